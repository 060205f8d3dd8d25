//! What is changed counts a moment later.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wait;

use crate::balancing::change;
use crate::routing::place::{MQTTS, PLAIN, Place, by_client, by_source};

const A: &str = "a.devices.example";

/// Several times as long as a change takes to count.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

#[test]
fn a_route_that_is_added() -> Result<()> {
    let place = Place::new()?;
    let proxy = place.start()?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 5");
    change(&proxy, || place.route("acme/all", "").map(drop))?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");
    Ok(())
}

#[test]
fn a_route_that_is_changed() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "mqtt: {protocolLevels: [5]}")?;
    let proxy = place.start()?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 1");
    change(&proxy, || place.route("acme/all", "mqtt: {protocolLevels: [4, 5]}").map(drop))?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");
    Ok(())
}

#[test]
fn a_route_that_is_removed() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let proxy = place.start()?;
    change(&proxy, || place.config.remove_stream_route("acme", "all").map(drop))?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 5");
    Ok(())
}

#[test]
fn a_tls_sni_that_is_added() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let proxy = place.start()?;
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "alert 112");
    place.tls_sni("acme/names", &[A], "")?;
    proxy.wait_for_status("one TlsSni", |status| status["applied"]["tlssnis"] == 1)?;
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "acme/all");
    Ok(())
}

#[test]
fn a_certificate_that_is_replaced() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    let proxy = place.start()?;
    let other = CertificateAuthority::new("Other CA")?;
    change(&proxy, || place.config.secret("acme", "names-tls", &other.server(&[A])?.tls_secret()).map(drop))?;
    assert_eq!(by_client(&TlsClient::new(&other, A)?, proxy.address(MQTTS)), "acme/all");
    Ok(())
}

#[test]
fn an_authority_that_is_replaced() -> Result<()> {
    let place = Place::new()?;
    let (old, new) = (CertificateAuthority::new("Old CA")?, CertificateAuthority::new("New CA")?);
    let trust = |authority: &CertificateAuthority| {
        place.config.config_map("acme", "ca", &[("ca.crt", authority.certificate_pem().as_bytes())]).map(drop)
    };
    trust(&old)?;
    place.tls_sni("acme/names", &[A], "clientAuth: {ca: {configMapName: ca}}")?.route("acme/all", "")?;
    let proxy = place.start()?;
    let client = |authority: &CertificateAuthority| {
        TlsClient::with_certificate(&place.authority, A, &authority.device("device")?)
    };
    change(&proxy, || trust(&new))?;
    assert_eq!(by_client(&client(&new)?, proxy.address(MQTTS)), "acme/all");
    assert_eq!(by_client(&client(&old)?, proxy.address(MQTTS)), "alert 48");
    Ok(())
}

#[test]
fn a_file_that_says_the_same_changes_nothing() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?.tls_sni("acme/names", &[A], "")?;
    let proxy = place.start()?;
    let file = super::route_file("acme/all");
    let text = super::text_of(&place.config, &file)?;
    let generation = proxy.generation();
    place.config.write(&file, format!("# a comment\n{text}").as_bytes())?;
    let next =
        wait::until("what must not come", LONG_ENOUGH, || Some(proxy.generation()).filter(|now| *now != generation));
    assert!(next.is_err(), "from {generation} to {next:?}");
    Ok(())
}

#[test]
fn a_generation_counts_in_the_metrics_too() -> Result<()> {
    let place = Place::new()?;
    let proxy = place.start()?;
    change(&proxy, || place.route("acme/all", "").map(drop))?;
    let status = proxy.status();
    let generation = super::metric(&proxy, "streamgate_config_generation")?;
    assert_eq!(json!(generation), status["generation"]);
    assert_eq!(super::metric(&proxy, "streamgate_config_applied{kind=\"StreamRoute\"}")?, Some(1));
    Ok(())
}
