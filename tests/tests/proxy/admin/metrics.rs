//! `/metrics`: what counts, when it counts, and that nothing in it is a client's word.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use streamgate_tests::pki::Leaf;
use streamgate_tests::proxy::Proxy;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, Version};

use crate::balancing::fleet::fate;
use crate::reload::metric;
use crate::routing::place::{MQTTS, PLAIN, Place, by_source};

const A: &str = "a.devices.example";

fn started() -> Result<(Place, Proxy)> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    let proxy = place.start()?;
    Ok((place, proxy))
}

/// Waits until a series has a value.
fn wait_for(proxy: &Proxy, series: &str, value: u64) -> Result<()> {
    wait::until(&format!("{series} {value}"), wait::SOON, || (metric(proxy, series).ok()? == Some(value)).then_some(()))
        .with_context(|| proxy.admin_get("/metrics").map(|response| response.body).unwrap_or_default())
}

/// The metric families of a page of OpenMetrics text, with their types.
///
/// # Errors
/// Where the page is none.
fn families(page: &str) -> Result<BTreeMap<String, String>> {
    let mut families = BTreeMap::new();
    let mut family = String::new();
    let (body, end) = page.split_at(page.len().saturating_sub(6));
    ensure!(end == "# EOF\n", "it ends by {end:?}");
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').context("a type has a name")?;
            ensure!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes twice");
            name.clone_into(&mut family);
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            ensure!(rest.split(' ').count() > 2 && rest.ends_with('.'), "{line}");
        } else if !line.starts_with("# UNIT ") {
            let (series, value) = line.rsplit_once(' ').context("a sample has a value")?;
            value.parse::<f64>().with_context(|| line.to_owned())?;
            let name = series.split('{').next().unwrap_or_default();
            let suffix = if families.get(&family).is_some_and(|kind| kind == "counter") { "_total" } else { "" };
            ensure!(name == format!("{family}{suffix}"), "{line} stands under {family}");
            if let Some((_, labels)) = series.split_once('{') {
                ensure!(labels.ends_with("\"}"), "{line}");
            }
        }
    }
    Ok(families)
}

#[test]
fn every_metric_is_there_with_its_type() -> Result<()> {
    let (place, proxy) = started()?;
    place.config.write("streamroutes/acme.broken.yaml", b"")?;
    proxy.wait_for_status("a refusal", |status| status["refused"][0]["name"] == "broken")?;
    place.by_name(proxy.address(MQTTS), A)?;
    let ended = "streamgate_connections_ended_total{listener=\"mqtts\",route=\"acme/all\",reason=\"ClientClosed\"}";
    wait_for(&proxy, ended, 1)?;
    let mut found = families(&proxy.admin_get("/metrics")?.body)?;
    // It is there only once there is an error; another test has one.
    found.remove("streamgate_accept_errors");
    let counters = [
        "connections_accepted",
        "connections_ended",
        "handshakes",
        "connects",
        "upstream_attempts",
        "received_bytes",
        "sent_bytes",
        "config_loads",
        "panics",
    ];
    let gauges = [
        "connections_active",
        "config_generation",
        "config_applied",
        "config_refused",
        "certificate_not_after_seconds",
        "build_info",
    ];
    let named = |names: &[&str], kind: &str| -> BTreeMap<String, String> {
        names.iter().map(|name| (format!("streamgate_{name}"), kind.to_owned())).collect()
    };
    let mut expected = named(&counters, "counter");
    expected.extend(named(&gauges, "gauge"));
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn a_connection_counts_as_it_comes_and_as_it_goes() -> Result<()> {
    let (_place, proxy) = started()?;
    let connect = Connect::new(Version::V311, "device");
    let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
    assert_eq!(fate(&mut stream, &connect), "acme/all");
    wait_for(&proxy, "streamgate_connections_accepted_total{listener=\"plain\"}", 1)?;
    wait_for(&proxy, "streamgate_connections_active{listener=\"plain\"}", 1)?;
    let connects = "streamgate_connects_total{listener=\"plain\",route=\"acme/all\",level=\"4\"}";
    wait_for(&proxy, connects, 1)?;
    wait_for(&proxy, "streamgate_upstream_attempts_total{route=\"acme/all\",reason=\"Answered\"}", 1)?;
    stream.write_all(&wire::DISCONNECT)?;
    stream.end_sending()?;
    let ended = "streamgate_connections_ended_total{listener=\"plain\",route=\"acme/all\",reason=\"ClientClosed\"}";
    wait_for(&proxy, ended, 1)?;
    wait_for(&proxy, "streamgate_connections_active{listener=\"plain\"}", 0)?;
    let received = connect.bytes().len() + wire::DISCONNECT.len();
    let sent = wire::CONNACK_V311.len() + wire::publish(Version::V311, "broker/name", b"acme/all", 0, 0, false).len();
    let series = |way: &str| format!("streamgate_{way}_bytes_total{{listener=\"plain\",route=\"acme/all\"}}");
    assert_eq!(metric(&proxy, &series("received"))?, Some(received as u64));
    assert_eq!(metric(&proxy, &series("sent"))?, Some(sent as u64));
    Ok(())
}

#[test]
fn handshakes_count_by_version_and_by_whether_they_were_resumed() -> Result<()> {
    let (place, proxy) = started()?;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = TlsClient::with_versions(&place.authority, A, None, &[version])?;
        for _ in 0..3 {
            assert_eq!(crate::routing::place::by_client(&client, proxy.address(MQTTS)), "acme/all");
        }
    }
    let expected = [("TLSv1.2", "false", 1), ("TLSv1.2", "true", 2), ("TLSv1.3", "false", 1), ("TLSv1.3", "true", 2)];
    for (version, resumed, count) in expected {
        let labels = format!("listener=\"mqtts\",version=\"{version}\",resumed=\"{resumed}\"");
        wait_for(&proxy, &format!("streamgate_handshakes_total{{{labels}}}"), count)?;
    }
    Ok(())
}

#[test]
fn a_client_without_a_route_ends_with_an_empty_one() -> Result<()> {
    let (place, proxy) = started()?;
    assert_eq!(place.by_name(proxy.address(MQTTS), "unknown.example")?, "alert 112");
    wait_for(&proxy, "streamgate_connections_ended_total{listener=\"mqtts\",route=\"\",reason=\"UnrecognizedName\"}", 1)
}

#[test]
fn no_label_is_a_clients_word() -> Result<()> {
    let (place, proxy) = started()?;
    place.tls_sni("acme/any", &["*"], "")?;
    proxy.wait_for_status("two TlsSnis", |status| status["applied"]["tlssnis"] == 2)?;
    let word = "clients-own-word";
    let client = TlsClient::new(&place.authority, "fallback.example")?;
    let mut stream = client.connect(proxy.address(MQTTS))?;
    let connect = Connect::new(Version::V311, word).username(word).password(word.as_bytes()).will(word, b"", 0, false);
    assert_eq!(fate(&mut stream, &connect), "acme/all");
    // The name of a fallback is the client's word too.
    let named = TlsClient::new(&place.authority, &format!("{word}.example"))?;
    assert!(named.connect(proxy.address(MQTTS)).is_err(), "the certificate is for another name");
    let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
    stream.write_all(&Connect::new(Version::V311, "device").protocol_name(word).bytes())?;
    wire::read_to_end(&mut stream, wait::SOON);
    drop(stream);
    let ended =
        "streamgate_connections_ended_total{listener=\"plain\",route=\"acme/all\",reason=\"UnknownProtocolName\"}";
    wait_for(&proxy, ended, 1)?;
    let page = proxy.admin_get("/metrics")?.body;
    assert!(!page.contains(word), "{page}");
    Ok(())
}

#[test]
fn levels_beyond_those_that_there_are_are_no_labels() -> Result<()> {
    let (_place, proxy) = started()?;
    for level in [0, 6, 77, 255] {
        let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
        stream.write_all(&Connect::new(Version::V311, "device").level(level).bytes())?;
        wire::read_to_end(&mut stream, wait::SOON);
    }
    let page = proxy.admin_get("/metrics")?.body;
    assert!(!page.contains("level=\""), "{page}");
    Ok(())
}

#[test]
fn the_end_of_a_certificate() -> Result<()> {
    let (place, proxy) = started()?;
    let end = SystemTime::now() + Duration::from_secs(1_000_000);
    let soon = place.authority.issue(&Leaf::server(&[A]).until(end))?;
    crate::balancing::change(&proxy, || place.config.secret("acme", "names-tls", &soon.tls_secret()).map(drop))?;
    let found = metric(&proxy, "streamgate_certificate_not_after_seconds{tls_sni=\"acme/names\"}")?;
    let expected = end.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    assert!(found.is_some_and(|found| found.abs_diff(expected) <= 1), "{found:?} and not {expected}");
    Ok(())
}

#[test]
fn what_is_gone_is_no_series_any_more() -> Result<()> {
    let (place, proxy) = started()?;
    crate::balancing::change(&proxy, || place.config.remove_tls_sni("acme", "names").map(drop))?;
    let page = proxy.admin_get("/metrics")?.body;
    assert!(!page.contains("streamgate_certificate_not_after_seconds{"), "{page}");
    Ok(())
}

#[test]
fn the_version_that_runs() -> Result<()> {
    let (_place, proxy) = started()?;
    let series = format!("streamgate_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(metric(&proxy, &series)?, Some(1));
    Ok(())
}

/// Lets the proxy have so many files open.
fn limit_files(proxy: &Proxy, soft: &str) -> Result<()> {
    let status =
        Command::new("prlimit").args(["--pid", &proxy.id().to_string(), &format!("--nofile={soft}:")]).status()?;
    ensure!(status.success(), "prlimit failed");
    Ok(())
}

#[test]
fn a_lack_of_files_is_counted_and_passes() -> Result<()> {
    let (_place, mut proxy) = started()?;
    limit_files(&proxy, "48")?;
    let waiting: Vec<TcpStream> = (0..64).map(|_| wire::connect_tcp(proxy.address(PLAIN))).collect::<Result<_>>()?;
    proxy.wait_for_log("that it is told", wait::SOON, |event| event["message"] == "no connection can be accepted")?;
    drop(waiting);
    limit_files(&proxy, "1024")?;
    wait::until("a client that is served again", wait::SOON, || {
        by_source(proxy.address(PLAIN), "127.0.0.1").ok().filter(|fate| fate == "acme/all")
    })?;
    let errors = metric(&proxy, "streamgate_accept_errors_total{listener=\"plain\"}")?;
    assert!(errors.is_some_and(|errors| errors > 0), "{errors:?}");
    Ok(())
}
