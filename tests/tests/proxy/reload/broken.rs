//! A file that can't be read as what it should be: it is named, its last good version stays, and nothing else is disturbed.

use anyhow::Result;
use serde_json::json;
use streamgate_tests::proxy::Proxy;
use streamgate_tests::wait;

use super::{metric, route_file, text_of, wait_for_no_refusal, wait_for_refusal};
use crate::balancing::change;
use crate::routing::place::{MQTTS, PLAIN, Place, by_source};

const A: &str = "a.devices.example";

/// A place with a route, whose file is then broken: the port of its node is 0.
fn broken() -> Result<(Place, Proxy)> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let proxy = place.start()?;
    place.config.write(&route_file("acme/all"), BROKEN.as_bytes())?;
    wait_for_refusal(&proxy, "StreamRoute", "acme/all")?;
    Ok((place, proxy))
}

const BROKEN: &str = "\
apiVersion: streamgate.dev/v1alpha1
kind: StreamRoute
metadata: {name: all, namespace: acme}
spec:
  upstream:
    nodes:
    - host: 127.0.0.1
      port: 0
";

#[test]
fn it_is_named_in_the_status_with_its_place() -> Result<()> {
    let (_place, proxy) = broken()?;
    let expected = json!([{
        "kind": "StreamRoute",
        "namespace": "acme",
        "name": "all",
        "reason": "Invalid",
        "message": "streamroutes/acme.all.yaml:8:13: spec.upstream.nodes[0].port: found the port 0; \
                    wanted a port from 1 to 65535",
    }]);
    assert_eq!(proxy.status()["refused"], expected);
    Ok(())
}

#[test]
fn it_is_named_in_the_log_once() -> Result<()> {
    let (place, mut proxy) = broken()?;
    // Two further changes, at which it is refused again.
    change(&proxy, || place.route("acme/one", "match: {sourceRanges: [127.17.0.0/16]}").map(drop))?;
    change(&proxy, || place.config.remove_stream_route("acme", "one").map(drop))?;
    proxy.wait_for_log("generation 4", wait::SOON, |event| {
        event["message"] == "configuration applied" && event["generation"] == 4
    })?;
    let refused: Vec<_> = proxy.events().into_iter().filter(|event| event["message"] == "refused").collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    let fields = ["level", "kind", "namespace", "name", "reason"].map(|field| refused[0][field].clone());
    assert_eq!(json!(fields), json!(["WARN", "StreamRoute", "acme", "all", "Invalid"]));
    assert!(refused[0]["detail"].as_str().is_some_and(|detail| detail.contains("acme.all.yaml:8:13")), "{refused:?}");
    Ok(())
}

#[test]
fn it_is_counted_in_the_metrics() -> Result<()> {
    let (_place, proxy) = broken()?;
    let series = "streamgate_config_refused{kind=\"StreamRoute\",reason=\"Invalid\"}";
    assert_eq!(metric(&proxy, series)?, Some(1));
    Ok(())
}

#[test]
fn its_last_good_version_stays() -> Result<()> {
    let (_place, proxy) = broken()?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");
    assert_eq!(proxy.status()["applied"]["streamroutes"], 1);
    Ok(())
}

#[test]
fn after_a_restart_it_is_refused() -> Result<()> {
    let (place, proxy) = broken()?;
    drop(proxy);
    let proxy = place.start()?;
    wait_for_refusal(&proxy, "StreamRoute", "acme/all")?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 5");
    Ok(())
}

#[test]
fn repaired_it_counts_again() -> Result<()> {
    let (place, proxy) = broken()?;
    place.route("acme/all", "mqtt: {protocolLevels: [5]}")?;
    wait_for_no_refusal(&proxy)?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 1");
    Ok(())
}

#[test]
fn removed_it_is_gone() -> Result<()> {
    let (place, proxy) = broken()?;
    place.config.remove_stream_route("acme", "all")?;
    wait_for_no_refusal(&proxy)?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 5");
    Ok(())
}

#[test]
fn it_disturbs_no_change_of_another() -> Result<()> {
    let (place, proxy) = broken()?;
    change(&proxy, || place.route("globex/one", "match: {sourceRanges: [127.17.0.0/16]}").map(drop))?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.17.0.1")?, "globex/one");
    Ok(())
}

#[test]
fn another_problem_of_the_same_file_is_a_new_generation() -> Result<()> {
    let (place, proxy) = broken()?;
    change(&proxy, || place.config.write(&route_file("acme/all"), b"kind: Other").map(drop))?;
    let refusal = wait_for_refusal(&proxy, "StreamRoute", "acme/all")?;
    assert!(refusal["message"].as_str().is_some_and(|message| message.contains("`Other`")), "{refusal}");
    Ok(())
}

#[test]
fn whatever_stands_in_the_file() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let good = text_of(&place.config, &route_file("acme/all"))?;
    let proxy = place.start()?;
    let deep = format!("spec: {}", "[".repeat(100_000));
    let aliases = (0..30).fold("a0: &a0 [x]\n".to_owned(), |text, level| {
        format!("{text}a{0}: &a{0} [*a{level}, *a{level}, *a{level}]\n", level + 1)
    });
    let kinds: [(&str, Vec<u8>); 9] = [
        ("empty", Vec::new()),
        ("no YAML", b"{[}".to_vec()),
        ("no UTF-8", b"kind: \xff\xfe".to_vec()),
        ("another kind", good.replace("StreamRoute", "TlsSni").into_bytes()),
        ("another name", good.replace("name: all", "name: other").into_bytes()),
        ("an unknown field", good.replace("spec:", "spec:\n  extra: 1").into_bytes()),
        ("too large", vec![b'#'; 3 << 20]),
        ("deep", deep.into_bytes()),
        ("a bomb of aliases", aliases.into_bytes()),
    ];
    for (kind, bytes) in kinds {
        place.config.write(&route_file("acme/all"), &bytes)?;
        let refusal = wait_for_refusal(&proxy, "StreamRoute", "acme/all")?;
        assert_eq!(refusal["reason"], "Invalid", "{kind}");
        assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all", "{kind}");
        place.config.write(&route_file("acme/all"), good.as_bytes())?;
        wait_for_no_refusal(&proxy)?;
    }
    Ok(())
}

#[test]
fn a_broken_tls_sni_serves_on_in_its_last_good_version() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    let proxy = place.start()?;
    place.config.tls_sni(
        "acme",
        "names",
        "snis: [a.devices.example, \"a b\"]\ncertificates: [{secretName: names-tls}]",
    )?;
    let refusal = wait_for_refusal(&proxy, "TlsSni", "acme/names")?;
    assert!(
        refusal["message"].as_str().is_some_and(|message| message.starts_with("tlssnis/acme.names.yaml:7:")),
        "{refusal}"
    );
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "acme/all");
    Ok(())
}

#[test]
fn a_broken_endpoints_file_is_told_of_its_routes_and_its_last_good_version_stays() -> Result<()> {
    use crate::balancing::fleet::{NamedBroker, SERVICE, slice};

    let place = Place::new()?;
    let broker = NamedBroker::start("broker")?;
    place.config.stream_route("acme", "all", "upstream: {services: [{name: broker, port: mqtt}]}")?;
    place.config.endpoints("acme", "broker", &format!("{SERVICE}{}", slice("pod", broker.address(), "")))?;
    let proxy = place.start()?;
    place.config.endpoints("acme", "broker", "kind: EndpointSlice\napiVersion: v2")?;
    let refusal = wait_for_refusal(&proxy, "StreamRoute", "acme/all")?;
    assert_eq!(refusal["reason"], "Invalid");
    assert!(
        refusal["message"].as_str().is_some_and(|message| message.starts_with("endpoints/acme.broker.yaml:2:")),
        "{refusal}"
    );
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "broker");
    Ok(())
}
