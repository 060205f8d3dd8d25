//! Sessions past a change of the configuration.

use super::{
    CLIENT_AUTH, CertificateAuthority, Device, NAME, OTHER_NAME, Proxy, Result, is_served, known_devices, site_with,
};
use crate::balancing::change;

pub(super) fn assert_refused(known: &[Device], proxy: &Proxy, alerts: [u8; 2]) -> Result<()> {
    for (device, alert) in known.iter().zip(alerts) {
        let session = device.come_back(proxy, NAME)?;
        assert_eq!(session.alert, Some(alert), "{:?}: {session:?}", device.tls);
    }
    Ok(())
}

fn assert_served(known: &[Device], proxy: &Proxy) -> Result<()> {
    for device in known {
        let session = device.come_back(proxy, NAME)?;
        assert!(is_served(&session), "{:?}: {session:?}", device.tls);
    }
    Ok(())
}

fn assert_resumed(known: &[Device], proxy: &Proxy) -> Result<()> {
    for device in known {
        let session = device.come_back(proxy, NAME)?;
        assert!(is_served(&session) && session.reused, "{:?}: {session:?}", device.tls);
    }
    Ok(())
}

#[test]
fn a_session_lets_nobody_in_whose_authority_was_replaced() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    let other = CertificateAuthority::new("Other CA")?;
    change(&proxy, || site.trust("acme", "device-ca", &[&other]).map(drop))?;
    assert_refused(&known, &proxy, [48; 2])
}

#[test]
fn a_session_lets_nobody_in_whose_authority_was_replaced_by_one_of_the_same_name() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    let other = CertificateAuthority::new("Device CA")?;
    change(&proxy, || site.trust("acme", "device-ca", &[&other]).map(drop))?;
    assert_refused(&known, &proxy, [48; 2])
}

#[test]
fn a_session_lets_nobody_in_once_the_tls_sni_refers_to_another_authority() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    site.trust("acme", "other-ca", &[&CertificateAuthority::new("Other CA")?])?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    let other = "clientAuth: {ca: {configMapName: other-ca}}";
    change(&proxy, || site.tls_sni("acme", "devices", &[NAME], other).map(drop))?;
    assert_refused(&known, &proxy, [48; 2])
}

#[test]
fn a_session_lets_nobody_in_whose_subject_is_allowed_no_more() -> Result<()> {
    let allowed =
        |subjects: &str| format!("clientAuth: {{ca: {{configMapName: device-ca}}, allowedSubjects: [{subjects}]}}");
    let (site, devices) = site_with(&allowed("CN=sensor-1, CN=sensor-2"))?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    change(&proxy, || site.tls_sni("acme", "devices", &[NAME], &allowed("CN=sensor-2")).map(drop))?;
    assert_refused(&known, &proxy, [49; 2])
}

#[test]
fn a_session_without_certificate_lets_nobody_in_once_one_is_required() -> Result<()> {
    let (site, _) = site_with("clientAuth: {ca: {configMapName: device-ca}, mode: Optional}")?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, None)?;
    change(&proxy, || site.tls_sni("acme", "devices", &[NAME], CLIENT_AUTH).map(drop))?;
    assert_refused(&known, &proxy, [40, 116])
}

#[test]
fn a_session_of_tls_1_2_does_not_go_on_once_1_3_is_the_least() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    let strict = format!("minProtocolVersion: \"1.3\"\n{CLIENT_AUTH}");
    change(&proxy, || site.tls_sni("acme", "devices", &[NAME], &strict).map(drop))?;
    let session = known[0].come_back(&proxy, NAME)?;
    assert_eq!(session.alert, Some(70), "{session:?}");
    assert_served(&known[1..], &proxy)
}

#[test]
fn a_name_that_moves_to_another_tls_sni_takes_no_session_along() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    site.trust("acme", "other-ca", &[&CertificateAuthority::new("Other CA")?])?;
    site.serve("acme", "others", &[OTHER_NAME], "clientAuth: {ca: {configMapName: other-ca}}")?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    change(&proxy, || site.config.remove_tls_sni("acme", "devices").map(drop))?;
    assert_refused(&known, &proxy, [112; 2])?;
    let other = "clientAuth: {ca: {configMapName: other-ca}}";
    change(&proxy, || site.tls_sni("acme", "others", &[NAME], other).map(drop))?;
    assert_refused(&known, &proxy, [48; 2])
}

#[test]
fn a_renewed_certificate_of_the_server_costs_no_session() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    let renewed = site.authority.server(&[NAME])?;
    change(&proxy, || site.config.secret("acme", "devices-tls", &renewed.tls_secret()).map(drop))?;
    assert_resumed(&known, &proxy)
}

#[test]
fn a_further_authority_costs_no_session() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    let further = CertificateAuthority::new("Further CA")?;
    change(&proxy, || site.trust("acme", "device-ca", &[&devices, &further]).map(drop))?;
    assert_resumed(&known, &proxy)
}

#[test]
fn a_change_elsewhere_costs_no_session() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    // Another TlsSni comes, and the route of this one changes.
    change(&proxy, || site.serve("globex", "meters", &["meters.example"], "").map(drop))?;
    change(&proxy, || site.route("acme", "mqtt: {connectTimeout: 9s}").map(drop))?;
    assert_resumed(&known, &proxy)
}

#[test]
fn an_authority_issued_anew_with_its_name_and_key_costs_no_session() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    // By itself it would be no change at all.
    let further = CertificateAuthority::new("Further CA")?;
    change(&proxy, || site.trust("acme", "device-ca", &[&devices.renewed()?, &further]).map(drop))?;
    assert_resumed(&known, &proxy)
}

#[test]
fn a_session_is_a_full_handshake_once_an_authority_was_taken_away() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    site.trust("acme", "device-ca", &[&devices, &CertificateAuthority::new("Other CA")?])?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    change(&proxy, || site.trust("acme", "device-ca", &[&devices]).map(drop))?;
    for device in &known {
        let session = device.come_back(&proxy, NAME)?;
        assert!(is_served(&session) && !session.reused, "{:?}: {session:?}", device.tls);
    }
    Ok(())
}

#[test]
fn a_wider_choice_of_subjects_costs_no_session() -> Result<()> {
    let allowed =
        |subjects: &str| format!("clientAuth: {{ca: {{configMapName: device-ca}}, allowedSubjects: [{subjects}]}}");
    let (site, devices) = site_with(&allowed("CN=sensor-1"))?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    change(&proxy, || site.tls_sni("acme", "devices", &[NAME], &allowed("CN=sensor-1, CN=sensor-2")).map(drop))?;
    assert_resumed(&known, &proxy)
}

#[test]
fn a_session_without_certificate_is_a_full_handshake_once_one_is_asked_for() -> Result<()> {
    let (site, _) = site_with("")?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, None)?;
    let optional = "clientAuth: {ca: {configMapName: device-ca}, mode: Optional}";
    change(&proxy, || site.tls_sni("acme", "devices", &[NAME], optional).map(drop))?;
    for device in &known {
        let session = device.come_back(&proxy, NAME)?;
        assert!(is_served(&session) && !session.reused, "{:?}: {session:?}", device.tls);
    }
    Ok(())
}
