//! The text log: for a person, whose terminal obeys nothing that a client says.

use std::io::Write;

use anyhow::{Context, Result};
use streamgate_tests::pki::Leaf;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, Version};

use crate::balancing::fleet::fate;
use crate::commands::Running;
use crate::routing::place::Place;

const A: &str = "a.devices.example";

/// What ends a line, moves a cursor, colours what follows, and turns text round.
const HOSTILE: &str =
    "x\n2026-01-01T00:00:00Z  INFO ready\r\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{85}\u{202e}\u{2028}";

/// A proxy of this place with a text log.
fn started(place: &Place) -> Result<Running> {
    let path = place.config.path().display().to_string();
    let [plain, mqtts] = [("plain", "MQTT"), ("mqtts", "MQTTS")]
        .map(|(name, protocol)| format!("name={name},address=127.0.0.1:0,protocol={protocol}"));
    Running::start(
        &[
            "--config-dir",
            &path,
            "--admin",
            "127.0.0.1:0",
            "--workers",
            "2",
            "--listener",
            &plain,
            "--listener",
            &mqtts,
        ],
        "info",
    )
}

/// Asserts that no line has what a terminal would obey, and that each begins as lines of the log do.
fn assert_clean(running: &Running) {
    for line in running.process.lines() {
        let obeyed = |letter: char| letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2028}');
        assert!(!line.contains(obeyed), "{line:?}");
        let begins = line.get(..5).is_some_and(|begin| begin.ends_with('-') && begin[..4].parse::<u16>().is_ok());
        assert!(begins && line.contains("Z "), "{line:?}");
    }
    let ready = running.process.lines().iter().filter(|line| line.ends_with(" INFO ready")).count();
    assert_eq!(ready, 1, "{:?}", running.process.lines());
}

#[test]
fn an_access_line_is_readable() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let mut running = started(&place)?;
    let mut stream = wire::connect_tcp(running.address("listener=\"plain\"")?)?;
    assert_eq!(fate(&mut stream, &Connect::new(Version::V311, "sensor-1")), "acme/all");
    let source = stream.local_address()?;
    drop(stream);
    running.wait_for_line(&[
        " INFO connection listener=\"plain\"",
        &format!(" source={source} mqtt_level=4 client_id=\"sensor-1\" route=\"acme/all\" "),
        " end=\"ClientClosed\"",
    ])?;
    Ok(())
}

#[test]
fn a_hostile_client_id() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "mqtt: {clientId: {policy: MatchesCertificate}}")?;
    let mut running = started(&place)?;
    for version in Version::ALL {
        let mut stream = wire::connect_tcp(running.address("listener=\"plain\"")?)?;
        let source = stream.local_address()?;
        let username = Connect::new(version, HOSTILE).username(HOSTILE).will(HOSTILE, b"", 0, false);
        stream.write_all(&username.bytes())?;
        wire::read_to_end(&mut stream, wait::SOON);
        drop(stream);
        running.wait_for_line(&[" connection ", &format!("source={source} ")])?;
    }
    assert_clean(&running);
    Ok(())
}

#[test]
fn a_hostile_protocol_name() -> Result<()> {
    let place = Place::new()?;
    let mut running = started(&place)?;
    let mut stream = wire::connect_tcp(running.address("listener=\"plain\"")?)?;
    let source = stream.local_address()?;
    stream.write_all(&Connect::new(Version::V311, "device").protocol_name(HOSTILE).bytes())?;
    wire::read_to_end(&mut stream, wait::SOON);
    running.wait_for_line(&[" connection ", &format!("source={source} ")])?;
    assert_clean(&running);
    Ok(())
}

#[test]
fn a_hostile_server_name() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A, "*"], "")?.route("acme/all", "")?;
    let mut running = started(&place)?;
    let (_, mut hello) = TlsClient::new(&place.authority, A)?.client_hello()?;
    let at = hello.windows(A.len()).position(|part| part == A.as_bytes()).context("the hello has the name")?;
    hello[at..at + 6].copy_from_slice(b"\n\x1b[2J\r");
    let mut stream = wire::connect_tcp(running.address("listener=\"mqtts\"")?)?;
    let source = stream.local_address()?;
    stream.write_all(&hello)?;
    stream.end_sending()?;
    wire::read_to_end(&mut stream, wait::SOON);
    running.wait_for_line(&[" connection ", &format!("source={source} ")])?;
    assert_clean(&running);
    Ok(())
}

#[test]
fn a_hostile_subject() -> Result<()> {
    let place = Place::new()?;
    place.config.config_map("acme", "ca", &[("ca.crt", place.authority.certificate_pem().as_bytes())])?;
    place.tls_sni("acme/names", &[A], "clientAuth: {ca: {configMapName: ca}}")?.route("acme/all", "")?;
    place.tls_sni(
        "acme/strict",
        &["b.devices.example"],
        "clientAuth: {ca: {configMapName: ca}, allowedSubjects: [\"CN=sensor-*\"]}",
    )?;
    let mut running = started(&place)?;
    let device = place.authority.issue(&Leaf::device(HOSTILE).organization(HOSTILE))?;
    let client = TlsClient::with_certificate(&place.authority, A, &device)?;
    let address = running.address("listener=\"mqtts\"")?;
    // The one is let in, and the other is refused for its subject.
    for name in [A, "b.devices.example"] {
        if let Ok(mut stream) = client.clone().named(name).connect(address) {
            fate(&mut stream, &Connect::new(Version::V311, "device"));
        }
        running.wait_for_line(&[" connection ", &format!("sni=\"{name}\"")])?;
    }
    assert_clean(&running);
    Ok(())
}

#[test]
fn a_hostile_file() -> Result<()> {
    let place = Place::new()?;
    let mut running = started(&place)?;
    place.config.write("streamroutes/x\n\u{1b}[2J.yml", b"")?;
    running.wait_for_line(&["WARN refused", ".yml"])?;
    place.config.write("streamroutes/acme.all.yaml", format!("kind: \"{}\"", HOSTILE.escape_default()).as_bytes())?;
    running.wait_for_line(&["WARN refused", "acme.all.yaml"])?;
    assert_clean(&running);
    Ok(())
}
