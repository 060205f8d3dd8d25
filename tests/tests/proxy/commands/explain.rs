//! `explain`: what it says is what the running proxy does.

use anyhow::Result;
use streamgate_tests::process::Output;
use streamgate_tests::proxy::Listener;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wire::{Connect, Version};

use super::proxy;
use crate::balancing::fleet::{Fleet, client_ids, connect_from, fate, reached};
use crate::balancing::{directory, started};
use crate::routing::place::{MQTTS, PLAIN, Place};

const A: &str = "a.devices.example";

fn explain(config: &streamgate_tests::config_dir::ConfigDir, arguments: &[&str]) -> Result<Output> {
    let path = config.path().display().to_string();
    proxy(&[&["explain", "--config", &path], arguments].concat())
}

/// The endpoint that it names first.
fn endpoint(output: &Output) -> String {
    let text = output.text();
    let line = text.lines().find_map(|line| line.strip_prefix("endpoint ")).unwrap_or_default();
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Whether a line begins like this, whatever the space between its words.
fn has_line(output: &Output, begin: &str) -> bool {
    output.text().lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(begin))
}

#[test]
fn the_endpoint_is_the_one_that_the_proxy_picks() -> Result<()> {
    let fleet = Fleet::start(7)?;
    let weights = [1, 2, 3, 0, 1, 9, 1];
    let (config, proxy) = started(&fleet.weighted(&weights, "loadBalancer: {type: ConsistentHash}"))?;
    for client_id in client_ids(50) {
        let output = explain(&config, &["--listener", PLAIN, "--client-id", &client_id])?;
        assert_eq!(endpoint(&output), reached(proxy.address(PLAIN), &client_id)?, "{client_id}: {output:?}");
    }
    Ok(())
}

#[test]
fn the_next_choice_is_the_one_that_the_proxy_picks() -> Result<()> {
    let mut fleet = Fleet::start(4)?;
    let (config, proxy) = started(&fleet.upstream("loadBalancer: {type: ConsistentHash}"))?;
    let output = explain(&config, &["--listener", PLAIN, "--client-id", "device"])?;
    let text = output.text();
    let next: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("then ")?.split(' ').next()).collect();
    // By default two further ones are tried.
    assert_eq!(next.len(), 2, "{output:?}");
    let _first = fleet.stop(&endpoint(&output))?;
    assert_eq!(reached(proxy.address(PLAIN), "device")?, next[0]);
    let _second = fleet.stop(next[0])?;
    assert_eq!(reached(proxy.address(PLAIN), "device")?, next[1]);
    Ok(())
}

#[test]
fn the_endpoint_by_each_other_key() -> Result<()> {
    let fleet = Fleet::start(8)?;
    let by_key = |key: &str| fleet.upstream(&format!("loadBalancer: {{type: ConsistentHash, key: {key}}}"));
    let (config, proxy) = started(&by_key("SourceIp"))?;
    for source in ["127.0.5.1", "127.0.5.2", "127.0.5.3"] {
        let output = explain(&config, &["--listener", PLAIN, "--source", source])?;
        let connect = Connect::new(Version::V311, "device");
        let reached = fate(&mut connect_from(source, proxy.address(PLAIN))?, &connect);
        assert_eq!(endpoint(&output), reached, "{source}");
    }
    crate::balancing::change(&proxy, || config.stream_route("acme", "devices", &by_key("Username")).map(drop))?;
    for name in ["one", "two", "three"] {
        let output = explain(&config, &["--listener", PLAIN, "--username", name])?;
        let connect = Connect::new(Version::V311, "device").username(name);
        let reached = fate(&mut connect_from("127.0.0.1", proxy.address(PLAIN))?, &connect);
        assert_eq!(endpoint(&output), reached, "{name}");
    }
    Ok(())
}

#[test]
fn the_endpoint_by_the_subject_as_the_access_line_has_it() -> Result<()> {
    let fleet = Fleet::start(8)?;
    let place = Place::new()?;
    place.config.config_map("acme", "ca", &[("ca.crt", place.authority.certificate_pem().as_bytes())])?;
    place.tls_sni("acme/names", &[A], "clientAuth: {ca: {configMapName: ca}}")?;
    let spec = fleet.upstream("loadBalancer: {type: ConsistentHash, key: CertificateSubject}");
    place.config.stream_route("acme", "all", &spec)?;
    let mut proxy = place.start()?;
    for name in ["one", "two, too", "three"] {
        let device = streamgate_tests::pki::Leaf::device(name).organization("Acme+Co");
        let client = TlsClient::with_certificate(&place.authority, A, &place.authority.issue(&device)?)?;
        let mut stream = client.connect(proxy.address(MQTTS))?;
        let reached = fate(&mut stream, &Connect::new(Version::V311, name));
        drop(stream);
        let line = proxy.wait_for_connection(name, |line| line["client_id"] == name)?;
        let subject = line["subject"].as_str().unwrap_or_default();
        let output = explain(&place.config, &["--listener", MQTTS, "--sni", A, "--subject", subject])?;
        assert_eq!(endpoint(&output), reached, "{subject}");
    }
    Ok(())
}

/// Two `TlsSnis` and five routes.
fn several() -> Result<Place> {
    let place = Place::new()?;
    place.tls_sni("acme/exact", &[A], "")?.tls_sni("acme/wildcard", &["*.devices.example"], "")?;
    place.tls_sni("globex/names", &["globex.example"], "")?;
    place.route("acme/exact", &format!("listeners: [{MQTTS}]\nmatch: {{snis: [{A}]}}"))?;
    place.route("acme/wildcard", "match: {snis: [\"*.devices.example\"]}")?;
    place.route("acme/ranged", &format!("match: {{snis: [{A}], sourceRanges: [10.0.0.0/8]}}"))?;
    place.route("acme/elsewhere", &format!("listeners: [other]\nmatch: {{snis: [{A}]}}"))?;
    place.route("globex/nameless", "")?;
    Ok(place)
}

#[test]
fn which_tls_sni_and_route_and_why_not_the_others() -> Result<()> {
    let place = several()?;
    let output =
        explain(&place.config, &["--listener", MQTTS, "--sni", "A.Devices.Example.", "--source", "127.0.0.1"])?;
    assert_eq!(output.code, Some(0), "{output:?}");
    let expected = [
        "TlsSni acme/exact, for the name a.devices.example",
        "not acme/wildcard: its names (*.devices.example) are less specific",
        "not globex/names: it serves globex.example",
        "StreamRoute acme/exact, by its exact name",
        "not acme/wildcard: acme/exact is more specific",
        "not acme/ranged: the client's address is in none of its ranges",
        "not acme/elsewhere: it holds on other listeners",
        "not globex/nameless: without names (match.snis) it is for the TlsSnis of its own namespace",
    ];
    for begin in expected {
        assert!(has_line(&output, begin), "no `{begin}` in\n{}", output.text());
    }
    Ok(())
}

#[test]
fn a_source_range_counts() -> Result<()> {
    let place = several()?;
    let output = explain(&place.config, &["--listener", MQTTS, "--sni", A, "--source", "10.1.2.3"])?;
    assert!(has_line(&output, "StreamRoute acme/ranged, by its exact name and its source range"), "{output:?}");
    Ok(())
}

#[test]
fn a_name_that_nothing_serves() -> Result<()> {
    let place = several()?;
    let output = explain(&place.config, &["--listener", MQTTS, "--sni", "unknown.example"])?;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        has_line(&output, "TlsSni none serves the name unknown.example") && output.text().contains("112"),
        "{output:?}"
    );
    Ok(())
}

#[test]
fn no_name_where_one_is_needed() -> Result<()> {
    let place = several()?;
    let output = explain(&place.config, &["--listener", MQTTS, "--protocol", "MQTTS"])?;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(has_line(&output, "TlsSni none serves no name"), "{output:?}");
    Ok(())
}

#[test]
fn no_route() -> Result<()> {
    let place = several()?;
    let output = explain(&place.config, &["--listener", MQTTS, "--sni", "globex.example", "--gateway", "default"])?;
    assert_eq!(output.code, Some(0), "{output:?}");
    place.config.remove_stream_route("globex", "nameless")?;
    let output = explain(&place.config, &["--listener", MQTTS, "--sni", "globex.example"])?;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(has_line(&output, "StreamRoute none: refused with CONNACK 0x05"), "{output:?}");
    Ok(())
}

#[test]
fn no_endpoint() -> Result<()> {
    let config = directory("upstream: {services: [{name: broker, port: 1883}]}")?;
    let output = explain(&config, &["--listener", PLAIN])?;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(has_line(&output, "endpoint none takes clients: refused with CONNACK 0x03"), "{output:?}");
    // And what is wrong with the directory.
    assert!(has_line(&output, "refused StreamRoute acme/devices: RefNotFound: "), "{output:?}");
    Ok(())
}

#[test]
fn an_empty_client_id_where_one_is_needed() -> Result<()> {
    let fleet = Fleet::start(1)?;
    let config = directory(&format!("mqtt: {{clientId: {{policy: NonEmpty}}}}\n{}", fleet.upstream("")))?;
    assert_eq!(explain(&config, &["--listener", PLAIN])?.code, Some(1));
    assert_eq!(explain(&config, &["--listener", PLAIN, "--client-id", "device"])?.code, Some(0));
    Ok(())
}

#[test]
fn in_turn() -> Result<()> {
    let fleet = Fleet::start(2)?;
    let config = directory(&fleet.weighted(&[1, 3], ""))?;
    let output = explain(&config, &["--listener", PLAIN])?;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(has_line(&output, "endpoint each in turn, by weight"), "{output:?}");
    assert!(output.text().contains("broker-1") && output.text().contains("(weight 3)"), "{output:?}");
    Ok(())
}

#[test]
fn a_directory_that_is_not_there() -> Result<()> {
    let output = proxy(&["explain", "--config", "/nonexistent", "--listener", PLAIN])?;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.starts_with("/nonexistent: found "), "{output:?}");
    Ok(())
}

#[test]
fn arguments_that_are_none() -> Result<()> {
    let config = directory("upstream: {nodes: [{host: broker, port: 1883}]}")?;
    for arguments in
        [&["--listener", PLAIN, "--source", "somewhere"][..], &["--listener", PLAIN, "--protocol", "UDP"], &[]]
    {
        let output = explain(&config, arguments)?;
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
    }
    Ok(())
}

#[test]
fn what_it_says_of_a_name_holds_for_the_proxy_too() -> Result<()> {
    let place = several()?;
    let proxy = streamgate_tests::proxy::Proxy::start(&place.config, &[MQTTS, "other"].map(Listener::mqtts))?;
    for (listener, name) in [(MQTTS, A), ("other", A), (MQTTS, "b.devices.example"), (MQTTS, "globex.example")] {
        let output = explain(&place.config, &["--listener", listener, "--sni", name])?;
        let route = place.by_name(proxy.address(listener), name)?;
        assert!(has_line(&output, &format!("StreamRoute {route}, ")), "{listener} {name}: {route}\n{output:?}");
    }
    Ok(())
}
