//! Brokers by DNS name, and addresses that are never connected to.

use anyhow::Result;
use streamgate_tests::proxy::{Listener, Proxy};

use super::fleet::{NamedBroker, reached, upstream};
use super::{attempts, directory, started};
use crate::routing::place::PLAIN;

/// A node by name (`.invalid` is reserved for names that there are not; RFC 2606).
const NO_SUCH_NAME: &str = "{name: nobody, host: no-such-broker.invalid, port: 1883}";

fn by_name(broker: &NamedBroker) -> String {
    format!("{{name: by-name, host: localhost, port: {}}}", broker.address().port())
}

#[test]
fn a_broker_by_name() -> Result<()> {
    let broker = NamedBroker::start("good")?;
    let (_config, proxy) = started(&upstream([by_name(&broker)], ""))?;
    assert_eq!(reached(proxy.address(PLAIN), "device")?, "good");
    Ok(())
}

#[test]
fn a_name_that_cannot_be_resolved_is_no_endpoint() -> Result<()> {
    let (_config, proxy) = started(&upstream([NO_SUCH_NAME.to_owned()], "connectTimeout: 2s"))?;
    assert_eq!(reached(proxy.address(PLAIN), "device")?, "CONNACK 3");
    // Where no server for names answers, the time is over first.
    assert_eq!(attempts(&proxy, "NameNotResolved")? + attempts(&proxy, "TimedOut")?, 1);
    Ok(())
}

#[test]
fn a_name_that_cannot_be_resolved_is_replaced() -> Result<()> {
    let broker = NamedBroker::start("good")?;
    let nodes = [NO_SUCH_NAME.to_owned(), broker.node("")];
    let (_config, proxy) = started(&upstream(nodes, "connectTimeout: 2s"))?;
    for _ in 0..4 {
        assert_eq!(reached(proxy.address(PLAIN), "device")?, "good");
    }
    Ok(())
}

/// A proxy that never connects to these ranges.
fn denying(ranges: &str, spec: &str) -> Result<(streamgate_tests::config_dir::ConfigDir, Proxy)> {
    let config = directory(spec)?;
    let proxy = Proxy::start_with(&config, &[Listener::mqtt(PLAIN)], &["--denied-upstreams", ranges])?;
    Ok((config, proxy))
}

#[test]
fn a_denied_address_is_never_connected_to() -> Result<()> {
    let broker = NamedBroker::start("good")?;
    let (_config, proxy) = denying("10.0.0.0/8,127.0.0.0/8", &upstream([broker.node("")], ""))?;
    assert_eq!(reached(proxy.address(PLAIN), "device")?, "CONNACK 3");
    assert_eq!((attempts(&proxy, "Denied")?, broker.recorder.count()), (1, 0));
    Ok(())
}

#[test]
fn a_name_that_resolves_to_denied_addresses_alone_is_never_connected_to() -> Result<()> {
    let broker = NamedBroker::start("good")?;
    let (_config, proxy) = denying("127.0.0.0/8,::1", &upstream([by_name(&broker)], ""))?;
    assert_eq!(reached(proxy.address(PLAIN), "device")?, "CONNACK 3");
    assert_eq!((attempts(&proxy, "Denied")?, broker.recorder.count()), (1, 0));
    Ok(())
}

#[test]
fn ipv4_written_as_ipv6_is_denied_too() -> Result<()> {
    let broker = NamedBroker::start("good")?;
    let config = directory("upstream: {services: [{name: broker, port: 1883}]}")?;
    let slice = format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: broker-1}}, addressType: IPv6,
          ports: [{{port: {}}}], endpoints: [{{addresses: [\"::ffff:127.0.0.1\"]}}]}}",
        broker.address().port()
    );
    let service = "{apiVersion: v1, kind: Service, metadata: {name: broker}, spec: {ports: [{port: 1883}]}}";
    config.endpoints("acme", "broker", &format!("{service}\n---\n{slice}\n"))?;
    let denied = ["--denied-upstreams", "127.0.0.0/8"];
    let proxy = Proxy::start_with(&config, &[Listener::mqtt(PLAIN)], &denied)?;
    assert_eq!(reached(proxy.address(PLAIN), "device")?, "CONNACK 3");
    assert_eq!((attempts(&proxy, "Denied")?, broker.recorder.count()), (1, 0));
    Ok(())
}

#[test]
fn a_denied_address_is_replaced_by_one_that_is_not() -> Result<()> {
    let broker = NamedBroker::start("good")?;
    let nodes = [format!("{{name: denied, host: 127.0.3.3, port: {}}}", broker.address().port()), broker.node("")];
    let (_config, proxy) = denying("127.0.3.0/24", &upstream(nodes, ""))?;
    for _ in 0..4 {
        assert_eq!(reached(proxy.address(PLAIN), "device")?, "good");
    }
    assert!(attempts(&proxy, "Denied")? > 0);
    assert_eq!(attempts(&proxy, "Refused")?, 0);
    Ok(())
}
