//! What a refused client is told is what `docs/refusals.md` says.

use anyhow::{Context, Result, ensure};
use streamgate_tests::openssl::SClient;
use streamgate_tests::pki::{CertificateAuthority, Leaf};
use streamgate_tests::wire::{Connect, PINGREQ, Version};

use crate::examples::device::{Device, Met};
use crate::examples::stage::{Manifests, Stage};
use streamgate_tests::page::Page;

const CLIENT_ID: &str = "sensor-1";

/// A name for each reason to be refused.
const MANIFESTS: &str = "\
apiVersion: streamgate.dev/v1alpha1
kind: TlsSni
metadata: {namespace: acme, name: names}
spec:
  snis: [good.example, routeless.example, deserted.example]
  certificates: [{secretName: acme-tls}]
  clientAuth:
    ca: {configMapName: acme-ca}
    maxDepth: 0
    allowedSubjects: [CN=sensor-*]
---
apiVersion: streamgate.dev/v1alpha1
kind: TlsSni
metadata: {namespace: acme, name: strict}
spec:
  snis: [strict.example]
  certificates: [{secretName: strict-tls}]
  clientAuth: {ca: {configMapName: acme-ca}}
  minProtocolVersion: \"1.3\"
  alpnProtocols: [mqtt]
---
apiVersion: streamgate.dev/v1alpha1
kind: StreamRoute
metadata: {namespace: acme, name: good}
spec:
  match: {snis: [good.example]}
  mqtt: {maxConnectSize: 128, clientId: {policy: MatchesCertificate}}
  upstream: {services: [{name: broker, port: mqtt}]}
---
apiVersion: streamgate.dev/v1alpha1
kind: StreamRoute
metadata: {namespace: acme, name: deserted}
spec:
  match: {snis: [deserted.example]}
  upstream: {services: [{name: broker, port: mqtt, weight: 0}]}
";

#[test]
fn every_connack_is_the_one_of_its_row() -> Result<()> {
    let mut stage = Stage::start(Manifests::read(MANIFESTS)?)?;
    let rows = Page::read("docs/refusals.md")?.table("CONNACK");
    ensure!(rows.len() == 11, "{rows:?}");
    for row in rows {
        let end = row[3].trim_matches('`');
        if end == "Overloaded" {
            // It takes a proxy without open files, which is another test's.
            continue;
        }
        for (version, told) in [(Version::V311, &row[1]), (Version::V5, &row[2])] {
            let wanted = match told.strip_prefix("0x") {
                Some(code) => Met::Code(u8::from_str_radix(code, 16)?),
                None if told == "closed" => Met::Closed,
                None => continue,
            };
            let visit = stage.visit(&turned_away(&stage, end, version)?)?;
            ensure!(visit.met == wanted && visit.line["end"] == end, "{version:?}, {end}, not {told}: {visit:?}");
        }
    }
    Ok(())
}

/// A device that is refused for this reason.
fn turned_away(stage: &Stage, end: &str, version: Version) -> Result<Device> {
    let device = stage.device("good.example", CLIENT_ID)?;
    let connect = Connect::new(version, CLIENT_ID);
    Ok(match end {
        "MalformedConnect" => device.sends(connect.flags(0x03)),
        // Receive Maximum 0.
        "ProtocolError" => device.sends(connect.properties(&[0x21, 0, 0])),
        "UnsupportedLevel" if version == Version::V5 => device.sends(connect.level(6)),
        "UnsupportedLevel" => device.called(Version::V31, CLIENT_ID),
        "ClientIdRequired" => device.called(version, ""),
        "ClientIdMismatch" => device.called(version, "sensor-2"),
        "NoRoute" => device.named("routeless.example").sends(connect),
        "NoEndpoint" => device.named("deserted.example").sends(connect),
        "ConnectTooLarge" => device.called(version, &"x".repeat(200)),
        "NotConnect" => device.sends_bytes(&PINGREQ),
        "UnknownProtocolName" => device.sends(connect.protocol_name("MQTX")),
        other => anyhow::bail!("no device is refused by {other}"),
    })
}

/// Asserts that the table has this alert beside this `end` word.
fn assert_alert(met: &Met, end: &str, wanted_end: &str) -> Result<()> {
    let Met::Alert(alert) = met else { anyhow::bail!("{wanted_end}: {met:?}") };
    ensure!(end == wanted_end, "{end}, not {wanted_end}");
    let rows = Page::read("docs/refusals.md")?.table("Alert");
    let row = rows.iter().find(|row| row[0] == alert.to_string()).with_context(|| format!("no alert {alert}"))?;
    ensure!(row[2].contains(&format!("`{end}`")), "alert {alert} is for {}, not for {end}", row[2]);
    Ok(())
}

#[test]
fn every_alert_about_a_certificate_is_in_the_table_beside_its_end() -> Result<()> {
    let mut stage = Stage::start(Manifests::read(MANIFESTS)?)?;
    let device = Device::new(CLIENT_ID).named("good.example");
    let leaf = Leaf::device(CLIENT_ID);
    let server = Leaf::server(&[CLIENT_ID]);
    let intermediate = stage.authorities.devices.intermediate("Between")?;
    // Of the same name and with another key.
    let impostor = CertificateAuthority::new("Devices")?;
    for (credentials, end) in [
        (stage.authorities.device(&leaf.clone().expired())?, "CertificateExpired"),
        (stage.authorities.device(&leaf.clone().not_yet_valid())?, "CertificateNotYetValid"),
        (stage.authorities.device(&server)?, "BadCertificate"),
        (stage.authorities.device(&Leaf::device("meter-1"))?, "SubjectNotAllowed"),
        (intermediate.issue(&leaf)?, "ChainTooLong"),
        (stage.authorities.servers.issue(&leaf)?, "UnknownCa"),
        (impostor.issue(&leaf)?, "UnknownCa"),
    ] {
        let visit = stage.visit(&device.clone().certificate(credentials))?;
        assert_alert(&visit.met, visit.line["end"].as_str().unwrap_or_default(), end)?;
    }
    Ok(())
}

#[test]
fn every_other_alert_is_in_the_table_beside_its_end() -> Result<()> {
    let mut stage = Stage::start(Manifests::read(MANIFESTS)?)?;
    let device = stage.device("good.example", CLIENT_ID)?;
    for (device, end) in [
        (device.clone().without_certificate(), "CertificateRequired"),
        (device.clone().without_certificate().tls12(), "CertificateRequired"),
        (device.clone().named("strange.example"), "UnrecognizedName"),
        (device.clone().unnamed(), "UnrecognizedName"),
        (device.clone().named("strict.example").tls12(), "ProtocolVersion"),
        (device.named("strict.example").alpn(&["h2"]), "NoApplicationProtocol"),
    ] {
        let visit = stage.visit(&device)?;
        assert_alert(&visit.met, visit.line["end"].as_str().unwrap_or_default(), end)?;
    }
    Ok(())
}

#[test]
fn a_client_that_can_do_rsa_alone_gets_the_alert_of_the_table() -> Result<()> {
    for arguments in [["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], ["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"]]
    {
        let mut stage = Stage::start(Manifests::read(MANIFESTS)?)?;
        let client = SClient::new(stage.proxy.address("mqtts")).server_name("good.example");
        let alert = client.arguments(&arguments).run()?.alert.context("no alert")?;
        let line = stage.proxy.wait_for_connection("its access line", |_| true)?;
        assert_alert(&Met::Alert(alert), line["end"].as_str().unwrap_or_default(), "NoCommonCipher")?;
    }
    Ok(())
}
