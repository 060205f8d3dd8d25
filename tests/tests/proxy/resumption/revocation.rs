//! Revocation lists, for full handshakes and for sessions that go on.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{
    CertificateAuthority, Credentials, NAME, Proxy, Result, Site, TLS, is_served, known_devices, site_with, wait,
};
use crate::balancing::change;
use crate::resumption::reload::assert_refused;
use crate::tls::fixture::{LISTENER, Outcome, outcome};

const CLIENT_AUTH: &str = "clientAuth: {ca: {configMapName: device-ca}, crl: {configMapName: device-crl}}";

fn later() -> SystemTime {
    SystemTime::now() + Duration::from_hours(24)
}

/// Writes a `ConfigMap` with these lists.
fn lists(site: &Site, lists: &[String]) -> Result<()> {
    site.config.config_map("acme", "device-crl", &[("ca.crl", lists.concat().as_bytes())])?;
    Ok(())
}

/// A site whose `TlsSni` looks into the lists of its authority, which revoke nobody as yet.
fn site_with_list() -> Result<(Site, CertificateAuthority)> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    lists(&site, &[devices.revocation_list(&[], later())?])?;
    Ok((site, devices))
}

/// How a device fares that shows this certificate, in both versions.
fn show(site: &Site, proxy: &Proxy, device: &Credentials) -> Result<Vec<Outcome>> {
    let client = |tls| site.client(NAME, tls, Some(device));
    TLS.into_iter().map(|tls| Ok(outcome(&client(tls)?, proxy.address(LISTENER)))).collect()
}

/// The ends of the connections that were not served, once there are so many.
fn ends(proxy: &Proxy, count: usize) -> Result<Vec<Value>> {
    wait::until("the refused connections", wait::SOON, || {
        let lines = proxy.events().into_iter().filter(|event| event["message"] == "connection");
        let ends: Vec<Value> = lines.map(|line| line["end"].clone()).filter(|end| end != "ClientClosed").collect();
        (ends.len() >= count).then_some(ends)
    })
}

#[test]
fn a_revoked_certificate_is_refused_and_any_other_let_in() -> Result<()> {
    let (site, devices) = site_with_list()?;
    let (revoked, good) = (devices.device("sensor-1")?, devices.device("sensor-2")?);
    lists(&site, &[devices.revocation_list(&[revoked.serial()], later())?])?;
    let proxy = site.start()?;
    assert_eq!(show(&site, &proxy, &revoked)?, [Outcome::Alert(44), Outcome::Alert(44)]);
    assert_eq!(show(&site, &proxy, &good)?, [Outcome::Served, Outcome::Served]);
    assert_eq!(ends(&proxy, 2)?, ["CertificateRevoked"; 2]);
    Ok(())
}

#[test]
fn a_certificate_of_a_revoked_intermediate_is_refused() -> Result<()> {
    let (site, root) = site_with_list()?;
    let devices = root.intermediate("Intermediate CA")?;
    let proxy = site.start()?;
    let device = devices.device("sensor-1")?;
    // The intermediate itself has no list: its devices are good.
    assert_eq!(show(&site, &proxy, &device)?, [Outcome::Served, Outcome::Served]);
    change(&proxy, || lists(&site, &[root.revocation_list(&[devices.serial()], later())?]))?;
    assert_eq!(show(&site, &proxy, &device)?, [Outcome::Alert(44), Outcome::Alert(44)]);
    Ok(())
}

#[test]
fn a_session_lets_nobody_in_whose_certificate_was_revoked() -> Result<()> {
    let (site, devices) = site_with_list()?;
    let proxy = site.start()?;
    let credentials = devices.device("sensor-1")?;
    let known = known_devices(&site, &proxy, Some(&credentials))?;
    change(&proxy, || lists(&site, &[devices.revocation_list(&[credentials.serial()], later())?]))?;
    assert_refused(&known, &proxy, [44; 2])
}

#[test]
fn a_list_issued_anew_costs_no_session() -> Result<()> {
    let (site, devices) = site_with_list()?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    let stranger = devices.device("sensor-2")?;
    change(&proxy, || lists(&site, &[devices.revocation_list(&[stranger.serial()], later())?]))?;
    for device in &known {
        let session = device.come_back(&proxy, NAME)?;
        assert!(is_served(&session) && session.reused, "{:?}: {session:?}", device.tls);
    }
    Ok(())
}

#[test]
fn a_list_that_is_asked_for_only_now_costs_no_session() -> Result<()> {
    let (site, devices) = site_with(super::CLIENT_AUTH)?;
    lists(&site, &[devices.revocation_list(&[], later())?])?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    change(&proxy, || site.tls_sni("acme", "devices", &[NAME], CLIENT_AUTH).map(drop))?;
    for device in &known {
        assert!(device.come_back(&proxy, NAME)?.reused, "{:?}", device.tls);
    }
    Ok(())
}

#[test]
fn a_list_past_its_end_is_told_and_lets_nobody_of_its_issuer_in() -> Result<()> {
    let (site, devices) = site_with_list()?;
    let others = CertificateAuthority::new("Other CA")?;
    site.trust("acme", "device-ca", &[&devices, &others])?;
    let proxy = site.start()?;
    let credentials = devices.device("sensor-1")?;
    let known = known_devices(&site, &proxy, Some(&credentials))?;
    let yesterday = SystemTime::now() - Duration::from_hours(24);
    change(&proxy, || lists(&site, &[devices.revocation_list(&[], yesterday)?]))?;
    assert_refused(&known, &proxy, [46; 2])?;
    assert_eq!(ends(&proxy, 2)?, ["CrlExpired"; 2]);
    let refused = proxy.events().into_iter().find(|event| event["end"] == "CrlExpired").unwrap_or_default();
    let reason = refused["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("the revocation list of the certificate's issuer ended at 20"), "{reason}");
    let status = proxy.status();
    assert_eq!(status["applied"]["tlssnis"], 1, "{status}");
    let refused = &status["refused"][0];
    assert_eq!((&refused["name"], &refused["reason"]), (&"devices".into(), &"CrlExpired".into()), "{status}");
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(message.contains("configmaps/acme.device-crl/ca.crl") && message.contains("CN=Device CA"), "{message}");
    let told = proxy.events().into_iter().find(|event| event["message"] == "refused").unwrap_or_default();
    assert_eq!((&told["level"], &told["reason"]), (&"WARN".into(), &"CrlExpired".into()), "{told}");
    assert_eq!(show(&site, &proxy, &others.device("sensor-2")?)?, [Outcome::Served, Outcome::Served]);
    Ok(())
}

#[test]
fn a_list_that_ends_while_nothing_changes_is_told() -> Result<()> {
    let (site, devices) = site_with_list()?;
    let end = SystemTime::now() + Duration::from_secs(3);
    lists(&site, &[devices.revocation_list(&[], end)?])?;
    let proxy = site.start()?;
    let device = devices.device("sensor-1")?;
    assert_eq!(show(&site, &proxy, &device)?, [Outcome::Served, Outcome::Served]);
    proxy.wait_for_status("the end of the list", |status| status["refused"][0]["reason"] == "CrlExpired")?;
    assert_eq!(show(&site, &proxy, &device)?, [Outcome::Alert(46), Outcome::Alert(46)]);
    Ok(())
}

#[test]
fn the_last_good_list_counts_while_there_is_no_good_one() -> Result<()> {
    let (site, devices) = site_with_list()?;
    let revoked = devices.device("sensor-1")?;
    lists(&site, &[devices.revocation_list(&[revoked.serial()], later())?])?;
    let proxy = site.start()?;
    for (broken, reason) in [(Some("no list".to_owned()), "InvalidCertificate"), (None, "RefNotFound")] {
        change(&proxy, || match broken {
            Some(text) => lists(&site, &[text]),
            None => site.config.remove_config_map("acme", "device-crl").map(drop),
        })?;
        assert_eq!(proxy.status()["refused"][0]["reason"], reason);
        assert_eq!(show(&site, &proxy, &revoked)?, [Outcome::Alert(44), Outcome::Alert(44)], "{reason}");
        assert_eq!(show(&site, &proxy, &devices.device("sensor-2")?)?, [Outcome::Served, Outcome::Served], "{reason}");
    }
    Ok(())
}

#[test]
fn without_a_list_from_the_start_nobody_is_let_in() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let proxy = site.start()?;
    assert_eq!(proxy.status()["refused"][0]["reason"], "RefNotFound");
    assert_eq!(show(&site, &proxy, &devices.device("sensor-1")?)?, [Outcome::Alert(112), Outcome::Alert(112)]);
    Ok(())
}
