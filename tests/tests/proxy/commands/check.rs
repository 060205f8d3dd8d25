//! `check`: everything that is wrong, each with its place.

use std::fs;

use anyhow::Result;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::process::Output;

use super::proxy;
use crate::routing::place::Place;

const A: &str = "a.devices.example";

fn check(config: &ConfigDir, more: &[&str]) -> Result<Output> {
    let path = config.path().display().to_string();
    proxy(&[&["check", &path], more].concat())
}

/// A directory with one `TlsSni` and one route, which hold.
fn good() -> Result<Place> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    Ok(place)
}

#[test]
fn a_directory_that_holds() -> Result<()> {
    let place = good()?;
    let output = check(&place.config, &[])?;
    let path = place.config.path();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.text(), format!("{}: ok, 1 StreamRoute, 1 TlsSni\n", path.display()));
    assert_eq!(output.stderr, "");
    Ok(())
}

#[test]
fn an_empty_directory_holds() -> Result<()> {
    let output = check(&ConfigDir::new()?, &[])?;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.text().ends_with("ok, 0 StreamRoutes, 0 TlsSnis\n"), "{output:?}");
    Ok(())
}

#[test]
fn a_directory_that_is_not_there() -> Result<()> {
    let config = ConfigDir::new()?;
    let path = config.path().join("nowhere").display().to_string();
    let output = proxy(&["check", &path])?;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.starts_with(&format!("{path}: found ")) && output.stderr.contains("wanted "), "{output:?}");
    Ok(())
}

#[test]
fn a_file_in_place_of_a_directory() -> Result<()> {
    let config = ConfigDir::new()?;
    config.write("revision", b"1")?;
    let output = proxy(&["check", &config.path().join("revision").display().to_string()])?;
    assert_eq!(output.code, Some(2), "{output:?}");
    Ok(())
}

#[test]
fn every_problem_of_every_file_at_once_with_its_place() -> Result<()> {
    let place = good()?;
    place.config.write(
        "streamroutes/acme.two.yaml",
        b"apiVersion: streamgate.dev/v1alpha1
kind: StreamRoute
spec:
  mqtt: {protocolLevels: [4, 9]}
  upstream:
    nodes: [{host: broker, port: 0}]
",
    )?;
    place.config.write("streamroutes/acme.syntax.yaml", b"spec: {\n")?;
    place.config.write("tlssnis/acme.words.yaml", b"apiVersion: streamgate.dev/v1alpha1\nkind: Tlssni\nspec: {}\n")?;
    let output = check(&place.config, &[])?;
    assert_eq!(output.code, Some(1), "{output:?}");
    let expected = [
        "streamroutes/acme.two.yaml:4:30: StreamRoute acme/two: spec.mqtt.protocolLevels[1]: found the level 9; wanted ",
        "streamroutes/acme.two.yaml:6:34: StreamRoute acme/two: spec.upstream.nodes[0].port: found the port 0; wanted ",
        "streamroutes/acme.syntax.yaml:",
        "tlssnis/acme.words.yaml:2:7: TlsSni acme/words: kind: found `Tlssni`; wanted ",
    ];
    for begin in expected {
        assert!(output.stderr.lines().any(|line| line.starts_with(begin)), "no {begin} in\n{}", output.stderr);
    }
    assert!(output.stderr.ends_with(": 4 problems\n"), "{}", output.stderr);
    assert_eq!(output.text(), "");
    Ok(())
}

#[test]
fn a_certificate_that_does_not_match_its_key() -> Result<()> {
    let place = good()?;
    let other = place.authority.server(&[A])?;
    place.config.write("secrets/acme.names-tls/tls.key", other.key_pem.as_bytes())?;
    let mixed = [("tls.crt", fs::read(place.config.path().join("secrets/acme.names-tls/tls.crt"))?)];
    let (certificate, key) = (&mixed[0].1, other.key_pem.as_bytes());
    place.config.secret("acme", "names-tls", &[("tls.crt", certificate), ("tls.key", key)])?;
    let output = check(&place.config, &[])?;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.starts_with("TlsSni acme/names: InvalidCertificate: secrets/acme.names-tls: "), "{output:?}");
    assert!(output.stderr.ends_with(": 1 problem\n"), "{output:?}");
    Ok(())
}

#[test]
fn what_is_referred_to_and_is_not_there() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "clientAuth: {ca: {configMapName: ca}}")?;
    place.config.remove_secret("acme", "names-tls")?;
    place.config.stream_route("acme", "all", "upstream: {services: [{name: broker, port: 1883}]}")?;
    let output = check(&place.config, &[])?;
    assert_eq!(output.code, Some(1), "{output:?}");
    for file in ["secrets/acme.names-tls/tls.crt", "configmaps/acme.ca/ca.crt", "endpoints/acme.broker.yaml"] {
        assert!(
            output.stderr.lines().any(|line| line.contains("RefNotFound") && line.contains(file)),
            "no {file} in\n{}",
            output.stderr
        );
    }
    Ok(())
}

#[test]
fn a_file_that_is_no_object() -> Result<()> {
    let place = good()?;
    place.config.write("streamroutes/all.yaml", b"")?.write("tlssnis/README", b"")?;
    let output = check(&place.config, &[])?;
    assert_eq!(output.code, Some(1), "{output:?}");
    for file in ["streamroutes/all.yaml", "tlssnis/README"] {
        let begin = format!("{file}: found a file whose name says of no object; wanted `<namespace>.<name>.yaml`");
        assert!(output.stderr.lines().any(|line| line == begin), "no {begin} in\n{}", output.stderr);
    }
    Ok(())
}

#[test]
fn a_conflict() -> Result<()> {
    let place = good()?;
    place.route("acme/also-all", "")?;
    let output = check(&place.config, &[])?;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.starts_with("StreamRoute acme/also-all: Conflicted: "), "{output:?}");
    Ok(())
}

#[test]
fn the_objects_of_all_gateways_are_checked_each_for_itself() -> Result<()> {
    let place = good()?;
    place.tls_sni("acme/other", &[A], "gateway: other")?.route("acme/another", "gateway: other")?;
    let output = check(&place.config, &[])?;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.text().ends_with(": ok, 2 StreamRoutes, 2 TlsSnis\n"), "{output:?}");
    Ok(())
}

#[test]
fn the_objects_of_one_gateway_alone() -> Result<()> {
    let place = good()?;
    place.tls_sni("acme/other", &[A], "gateway: other")?;
    let output = check(&place.config, &["--gateway", "other"])?;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.text().ends_with(": ok, 0 StreamRoutes, 1 TlsSni\n"), "{output:?}");
    Ok(())
}

#[test]
fn routes_may_name_any_listener() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "listeners: [whichever]")?;
    assert_eq!(check(&place.config, &[])?.code, Some(0));
    Ok(())
}
