//! The JSON log: one object a line, and all of a connection in its access line.

use std::io::Write;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use streamgate_tests::pki::Leaf;
use streamgate_tests::proxy::Proxy;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, Version};

use crate::balancing::fleet::fate;
use crate::routing::place::{MQTTS, PLAIN, Place};

const A: &str = "a.devices.example";

fn keys(line: &Value) -> Result<Vec<&str>> {
    let object = line.as_object().context("no object")?;
    let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    Ok(keys)
}

/// A proxy that serves the name to devices with a certificate.
fn started() -> Result<(Place, Proxy)> {
    let place = Place::new()?;
    place.config.config_map("acme", "ca", &[("ca.crt", place.authority.certificate_pem().as_bytes())])?;
    place
        .tls_sni("acme/names", &[A], "clientAuth: {mode: Optional, ca: {configMapName: ca}}")?
        .route("acme/all", "")?;
    let proxy = place.start()?;
    Ok((place, proxy))
}

#[test]
fn the_access_line_of_a_device_over_tls_has_all_fields() -> Result<()> {
    let (place, mut proxy) = started()?;
    let device = place.authority.issue(&Leaf::device("sensor-1").organization("acme"))?;
    let mut stream = TlsClient::with_certificate(&place.authority, A, &device)?.connect(proxy.address(MQTTS))?;
    let source = stream.local_address()?;
    let connect = Connect::new(Version::V311, "sensor-1");
    assert_eq!(fate(&mut stream, &connect), "acme/all");
    stream.write_all(&wire::DISCONNECT)?;
    stream.end_sending()?;
    let line = proxy.wait_for_connection("the access line", |_| true)?;
    let expected = [
        "address",
        "attempts",
        "client_id",
        "duration_ms",
        "end",
        "endpoint",
        "level",
        "listener",
        "message",
        "mqtt_level",
        "reason",
        "received_bytes",
        "resumed",
        "route",
        "sent_bytes",
        "sni",
        "source",
        "subject",
        "timestamp",
        "tls_sni",
        "tls_version",
    ];
    assert_eq!(keys(&line)?, expected, "{line}");
    let name = wire::publish(Version::V311, "broker/name", b"acme/all", 0, 0, false);
    for (field, value) in [
        ("listener", json!(MQTTS)),
        ("source", json!(source.to_string())),
        ("sni", json!(A)),
        ("tls_version", json!("TLSv1.3")),
        ("resumed", json!(false)),
        ("subject", json!("O=acme,CN=sensor-1")),
        ("level", json!("INFO")),
        ("mqtt_level", json!(4)),
        ("client_id", json!("sensor-1")),
        ("tls_sni", json!("acme/names")),
        ("route", json!("acme/all")),
        ("attempts", json!(1)),
        ("received_bytes", json!(connect.bytes().len() + wire::DISCONNECT.len())),
        ("sent_bytes", json!(wire::CONNACK_V311.len() + name.len())),
        ("end", json!("ClientClosed")),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
    assert_eq!(line["endpoint"], line["address"]);
    Ok(())
}

#[test]
fn the_access_line_of_a_device_without_tls_leaves_out_what_does_not_apply() -> Result<()> {
    let (_place, mut proxy) = started()?;
    let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
    assert_eq!(fate(&mut stream, &Connect::new(Version::V311, "sensor-1")), "acme/all");
    drop(stream);
    let line = proxy.wait_for_connection("the access line", |_| true)?;
    let expected = [
        "address",
        "attempts",
        "client_id",
        "duration_ms",
        "end",
        "endpoint",
        "level",
        "listener",
        "message",
        "mqtt_level",
        "reason",
        "received_bytes",
        "route",
        "sent_bytes",
        "source",
        "timestamp",
    ];
    assert_eq!(keys(&line)?, expected, "{line}");
    Ok(())
}

#[test]
fn a_client_that_says_nothing_has_an_access_line_too() -> Result<()> {
    let (_place, mut proxy) = started()?;
    drop(wire::connect_tcp(proxy.address(MQTTS))?);
    let line = proxy.wait_for_connection("the access line", |_| true)?;
    assert_eq!((&line["end"], &line["received_bytes"]), (&json!("ClosedBeforeClientHello"), &json!(0)));
    Ok(())
}

#[test]
fn each_connection_has_one_access_line() -> Result<()> {
    let (_place, mut proxy) = started()?;
    for number in 0..20 {
        let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
        assert_eq!(fate(&mut stream, &Connect::new(Version::V311, &format!("sensor-{number}"))), "acme/all");
    }
    for number in 0..20 {
        proxy.wait_for_connection("its access line", |line| line["client_id"] == format!("sensor-{number}"))?;
    }
    let lines = proxy.events().into_iter().filter(|event| event["message"] == "connection").count();
    assert_eq!(lines, 20);
    Ok(())
}

#[test]
fn every_line_is_an_object_whatever_clients_say() -> Result<()> {
    let (place, mut proxy) = started()?;
    place.config.write("streamroutes/acme.br\"oken\n{.yaml", b"{")?;
    proxy.wait_for_status("a refusal", |status| status["refused"] != json!([]))?;
    let client_id = "\"}\n{\"message\":\"ready\"}\u{1b}[2J\u{9b}31m\u{202e}";
    let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
    stream.write_all(&Connect::new(Version::V311, client_id).bytes())?;
    stream.limit_read(wait::SOON)?;
    stream.end_sending()?;
    proxy.wait_for_connection("the access line", |line| line["listener"] == PLAIN)?;
    for line in proxy.log().lines() {
        let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        assert!(event["timestamp"].is_string() && event["message"].is_string(), "{line}");
        assert!(!line.contains(|letter: char| letter.is_ascii_control()), "{line:?}");
    }
    let ready = proxy.events().into_iter().filter(|event| event["message"] == "ready").count();
    assert_eq!(ready, 1);
    Ok(())
}
