//! The judgement of clients' certificates, with the alert that each client gets.

use anyhow::{Context, Result};
use rcgen::ExtendedKeyUsagePurpose;
use streamgate_tests::broker::{Broker, NAME_TOPIC};
use streamgate_tests::pki::{CertificateAuthority, Credentials, Leaf};
use streamgate_tests::proxy::Proxy;
use streamgate_tests::wire::{self, StreamEnd};
use streamgate_tests::{mosquitto, wait};

use crate::tls::fixture::{
    LISTENER, Outcome, Site, TLS, Tls, access_field, access_lines, bundle, device_of, is_served, outcome, s_client,
};

mod authorities;
mod subjects;

const NAME: &str = "one.devices.example";

/// A site whose clients' authority is in a `ConfigMap`, with further YAML of `clientAuth`.
fn started(rest: &str) -> Result<(Site, CertificateAuthority, Proxy)> {
    let site = Site::new()?;
    let devices = CertificateAuthority::new("Device CA")?;
    site.trust("acme", "device-ca", &[&devices])?;
    site.serve("acme", "devices", &[NAME], &format!("clientAuth: {{ca: {{configMapName: device-ca}}{rest}}}"))?;
    let proxy = site.start()?;
    Ok((site, devices, proxy))
}

/// How a device fares that shows this certificate.
fn show(site: &Site, proxy: &Proxy, tls: Tls, device: Option<&Credentials>) -> Result<Outcome> {
    Ok(outcome(&site.client(NAME, tls, device)?, proxy.address(LISTENER)))
}

/// Asserts that OpenSSL, with this certificate, reports the alert in both versions, and that the access lines say `end`.
fn assert_refused(site: &Site, proxy: &Proxy, device: Option<&Credentials>, alerts: [u8; 2], end: &str) -> Result<()> {
    for (tls, alert) in TLS.into_iter().zip(alerts) {
        let mut client = s_client(proxy.address(LISTENER), tls).server_name(NAME);
        if let Some(device) = device {
            let files = device.write(site.config.scratch(), "shown")?;
            let (chain, key) = (files.certificate.to_string_lossy(), files.key.to_string_lossy());
            client = client.arguments(&["-cert", &chain, "-key", &key, "-cert_chain", &chain]);
        }
        let session = client.run()?;
        assert_eq!(session.alert, Some(alert), "{tls:?}: {session:?}");
    }
    // Clients that were let in before may end after these.
    let refused = |proxy: &Proxy| proxy.events().iter().filter(|event| event["end"] == end).count();
    wait::until(&format!("two connections that end by {end}"), wait::SOON, || (refused(proxy) == 2).then_some(()))
        .with_context(|| proxy.log())
}

#[test]
fn a_client_without_certificate_is_refused_where_one_is_required() -> Result<()> {
    let (site, _, proxy) = started("")?;
    // TLS 1.2 has no alert of its own for it: handshake_failure; TLS 1.3 has certificate_required.
    assert_refused(&site, &proxy, None, [40, 116], "CertificateRequired")
}

#[test]
fn a_certificate_of_another_authority_is_refused_with_unknown_ca() -> Result<()> {
    let (site, _, proxy) = started("")?;
    let stranger = CertificateAuthority::new("Stranger CA")?.device("sensor-1")?;
    assert_refused(&site, &proxy, Some(&stranger), [48; 2], "UnknownCa")
}

#[test]
fn a_certificate_of_an_authority_with_the_same_name_and_another_key_is_refused() -> Result<()> {
    let (site, _, proxy) = started("")?;
    let stranger = CertificateAuthority::new("Device CA")?.device("sensor-1")?;
    assert_refused(&site, &proxy, Some(&stranger), [48; 2], "UnknownCa")
}

#[test]
fn an_expired_certificate_is_refused_with_certificate_expired() -> Result<()> {
    let (site, devices, proxy) = started("")?;
    let device = devices.issue(&Leaf::device("sensor-1").expired())?;
    assert_refused(&site, &proxy, Some(&device), [45; 2], "CertificateExpired")
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_refused_with_certificate_expired() -> Result<()> {
    let (site, devices, proxy) = started("")?;
    let device = devices.issue(&Leaf::device("sensor-1").not_yet_valid())?;
    // "A certificate has expired or is not currently valid" (RFC 8446, section 6.2).
    assert_refused(&site, &proxy, Some(&device), [45; 2], "CertificateNotYetValid")
}

#[test]
fn a_server_s_certificate_is_refused_with_unsupported_certificate() -> Result<()> {
    let (site, devices, proxy) = started("")?;
    let device = devices.issue(&Leaf::device("sensor-1").usages(vec![ExtendedKeyUsagePurpose::ServerAuth]))?;
    assert_refused(&site, &proxy, Some(&device), [43; 2], "BadCertificate")
}

#[test]
fn a_certificate_without_extended_key_usage_is_good_and_so_is_one_for_both_sides() -> Result<()> {
    let (site, devices, proxy) = started("")?;
    for usages in [vec![], vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]] {
        let device = devices.issue(&Leaf::device("sensor-1").usages(usages.clone()))?;
        assert_eq!(show(&site, &proxy, TLS[1], Some(&device))?, Outcome::Served, "{usages:?}");
    }
    Ok(())
}

#[test]
fn a_good_certificate_is_let_in_and_its_subject_is_in_the_access_line() -> Result<()> {
    let (site, devices, proxy) = started("")?;
    for leaf in [Leaf::device("sensor-1").organization("Acme"), Leaf::device("sensor-1").organization("Acme").rsa()] {
        for tls in TLS {
            let outcome = show(&site, &proxy, tls, Some(&devices.issue(&leaf)?))?;
            assert_eq!(outcome, Outcome::Served, "{tls:?}");
        }
    }
    assert_eq!(access_field(&proxy, 4, "subject")?, ["O=Acme,CN=sensor-1"; 4]);
    Ok(())
}

#[test]
fn nobody_is_asked_for_a_certificate_where_the_mode_is_none() -> Result<()> {
    let (site, _, proxy) = started(", mode: None")?;
    let stranger = CertificateAuthority::new("Stranger CA")?.device("sensor-1")?;
    for tls in TLS {
        for device in [None, Some(&stranger)] {
            assert_eq!(show(&site, &proxy, tls, device)?, Outcome::Served, "{tls:?}");
        }
    }
    assert_eq!(access_field(&proxy, 4, "subject")?, ["-"; 4]);
    Ok(())
}

#[test]
fn a_certificate_may_be_left_out_where_the_mode_is_optional() -> Result<()> {
    let (site, devices, proxy) = started(", mode: Optional")?;
    let device = devices.device("sensor-1")?;
    for tls in TLS {
        for shown in [None, Some(&device)] {
            assert_eq!(show(&site, &proxy, tls, shown)?, Outcome::Served, "{tls:?}");
        }
    }
    let mut subjects = access_field(&proxy, 4, "subject")?;
    subjects.sort();
    assert_eq!(subjects, ["-", "-", "CN=sensor-1", "CN=sensor-1"]);
    Ok(())
}

#[test]
fn a_certificate_that_is_shown_must_be_good_where_the_mode_is_optional() -> Result<()> {
    let (site, _, proxy) = started(", mode: Optional")?;
    let stranger = CertificateAuthority::new("Stranger CA")?.device("sensor-1")?;
    assert_refused(&site, &proxy, Some(&stranger), [48; 2], "UnknownCa")
}

#[test]
fn an_alert_is_read_to_the_end_though_much_was_pipelined() -> Result<()> {
    let (site, _, proxy) = started("")?;
    let stranger = CertificateAuthority::new("Stranger CA")?.device("sensor-1")?;
    let client = site.client(NAME, TLS[1], Some(&stranger))?;
    for round in 0..50 {
        // In TLS 1.3 a client may send before the server has judged its certificate.
        let mut stream = client.connect(proxy.address(LISTENER))?;
        std::io::Write::write_all(&mut stream, &vec![0x10; 64 * 1024])?;
        let read = wire::read_to_end(&mut stream, wait::SOON);
        assert_eq!(read, (Vec::new(), StreamEnd::Alert(48)), "round {round}");
        // After the alert comes the end, and no reset.
        let read = wire::read_to_end(&mut stream.sock, wait::SOON);
        assert_eq!(read, (Vec::new(), StreamEnd::Closed), "round {round}");
    }
    Ok(())
}

#[test]
fn an_alert_is_read_though_more_was_pipelined_than_buffers_hold() -> Result<()> {
    let (site, _, proxy) = started("")?;
    let stranger = CertificateAuthority::new("Stranger CA")?.device("sensor-1")?;
    let mut stream = site.client(NAME, TLS[1], Some(&stranger))?.connect(proxy.address(LISTENER))?;
    // It reads nothing before all of this is sent, and can't send it unless somebody takes it.
    std::io::Write::write_all(&mut stream, &vec![0x10; 8 << 20])?;
    assert_eq!(wire::read_to_end(&mut stream, wait::SOON), (Vec::new(), StreamEnd::Alert(48)));
    Ok(())
}

#[test]
fn mosquitto_s_clients_connect_by_mutual_tls_in_both_versions() -> Result<()> {
    let site = Site::new()?;
    let broker = Broker::start("amber")?;
    let devices = CertificateAuthority::new("Device CA")?;
    site.trust("acme", "device-ca", &[&devices])?;
    // mosquitto's clients ask for the name of the host that they connect to.
    site.serve("acme", "devices", &["localhost"], "clientAuth: {ca: {configMapName: device-ca}}")?;
    let upstream = format!("upstream: {{nodes: [{{host: 127.0.0.1, port: {}}}]}}", broker.address().port());
    site.config.stream_route("acme", "devices", &upstream)?;
    let proxy = site.start()?;
    let scratch = site.config.scratch();
    let device = devices.device("sensor-1")?.write(scratch, "device")?;
    let root = site.authority.write(scratch, "root")?;
    let port = proxy.address(LISTENER).port().to_string();
    let [root, certificate, key] = [&root, &device.certificate, &device.key].map(|path| path.to_string_lossy());
    for version in ["tlsv1.2", "tlsv1.3"] {
        let arguments = [
            ["-h", "localhost", "-p", &port, "--cafile", &root, "--cert", &certificate],
            ["--key", &key, "--tls-version", version, "-t", NAME_TOPIC, "-C", "1"],
        ];
        let output = mosquitto::subscribe(&arguments.concat(), wait::SOON)?;
        assert_eq!(output.text().trim(), "amber", "{version}: {output:?}");
    }
    let lines = access_lines(&proxy, 2)?;
    assert!(lines.iter().all(|line| line["subject"] == "CN=sensor-1" && line["sni"] == "localhost"), "{lines:?}");
    Ok(())
}

#[test]
fn openssl_s_client_is_let_in_with_a_good_certificate() -> Result<()> {
    let (site, devices, proxy) = started("")?;
    let files = devices.device("sensor-1")?.write(site.config.scratch(), "device")?;
    let (chain, key) = (files.certificate.to_string_lossy(), files.key.to_string_lossy());
    for tls in TLS {
        let client = s_client(proxy.address(LISTENER), tls).server_name(NAME);
        let session = client.arguments(&["-cert", &chain, "-key", &key]).run()?;
        assert!(is_served(&session), "{tls:?}: {session:?}");
    }
    Ok(())
}

#[test]
fn a_refused_device_reaches_no_broker() -> Result<()> {
    let (site, _, proxy) = started("")?;
    let stranger = device_of(&CertificateAuthority::new("Stranger CA")?, "sensor-1", "Acme")?;
    for tls in TLS {
        assert_eq!(show(&site, &proxy, tls, Some(&stranger))?, Outcome::Alert(48));
    }
    access_lines(&proxy, 2)?;
    assert_eq!(site.broker.count(), 0);
    Ok(())
}
