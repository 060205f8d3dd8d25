//! `/config`: what is applied.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use streamgate_tests::proxy::Proxy;

use crate::balancing::fleet::{NamedBroker, SERVICE, slice};
use crate::routing::place::{MQTTS, PLAIN, Place};

const A: &str = "a.devices.example";

fn page(proxy: &Proxy) -> Result<Value> {
    let body = proxy.admin_get("/config")?.body;
    serde_json::from_str(&body).context(body)
}

#[test]
fn it_has_the_listeners_with_the_addresses_that_they_are_bound_to() -> Result<()> {
    let place = Place::new()?;
    let proxy = place.start()?;
    let listener = |name: &str, protocol: &str| json!({"name": name, "address": proxy.address(name).to_string(), "protocol": protocol});
    assert_eq!(page(&proxy)?["listeners"], json!([listener(PLAIN, "MQTT"), listener(MQTTS, "MQTTS")]));
    Ok(())
}

#[test]
fn it_says_what_the_status_says() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?.config.write("streamroutes/acme.broken.yaml", b"")?;
    let proxy = place.start()?;
    let (page, status) = (page(&proxy)?, proxy.status());
    assert_eq!(page["gateway"], "default");
    for field in ["revision", "generation", "appliedAt", "refused"] {
        assert_eq!(page[field], status[field], "{field}");
    }
    Ok(())
}

#[test]
fn it_has_the_objects_with_their_defaults_and_the_end_of_their_certificates() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    let proxy = place.start()?;
    let page = page(&proxy)?;
    let tls_sni = &page["tlssnis"][0];
    assert_eq!((&tls_sni["namespace"], &tls_sni["name"]), (&json!("acme"), &json!("names")));
    assert_eq!(tls_sni["spec"]["minProtocolVersion"], "1.2");
    assert_eq!(tls_sni["notAfter"], "2090-01-01T00:00:00Z");
    let route = &page["streamroutes"][0];
    assert_eq!((&route["namespace"], &route["name"]), (&json!("acme"), &json!("all")));
    assert_eq!(route["spec"]["upstream"]["retries"], 2);
    Ok(())
}

#[test]
fn it_has_the_endpoints_that_services_mean() -> Result<()> {
    let place = Place::new()?;
    let broker = NamedBroker::start("broker")?;
    place.config.stream_route("acme", "all", "upstream: {services: [{name: broker, port: mqtt, weight: 7}]}")?;
    place.config.endpoints("acme", "broker", &format!("{SERVICE}{}", slice("pod-0", broker.address(), "")))?;
    let proxy = place.start()?;
    let endpoints = json!([{"identity": "pod-0", "target": broker.address().to_string()}]);
    let expected = json!([{"name": "broker:mqtt", "weight": 7, "endpoints": endpoints}]);
    assert_eq!(page(&proxy)?["streamroutes"][0]["upstream"], expected);
    Ok(())
}
