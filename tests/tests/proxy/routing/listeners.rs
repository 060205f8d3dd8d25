//! Routes that hold on some listeners alone, and listeners of every kind.

use anyhow::{Context, Result};
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::{broker, wait};

use super::place::{MQTTS, PLAIN, Place, by_source, refusals};

const A: &str = "a.devices.example";

#[test]
fn a_route_holds_on_the_listeners_that_it_names() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/inside", "listeners: [inside]")?.route("acme/outside", "listeners: [outside, further]")?;
    let listeners = ["inside", "outside", "further"].map(Listener::mqtt);
    let proxy = Proxy::start(&place.config, &listeners)?;
    for (listener, route) in [("inside", "acme/inside"), ("outside", "acme/outside"), ("further", "acme/outside")] {
        assert_eq!(by_source(proxy.address(listener), "127.0.0.1")?, route, "{listener}");
    }
    Ok(())
}

#[test]
fn a_route_that_names_none_holds_on_all() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    let proxy = place.start()?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "acme/all");
    Ok(())
}

#[test]
fn a_client_at_a_listener_without_a_route_is_refused() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/inside", "listeners: [inside]")?;
    let proxy = Proxy::start(&place.config, &["inside", "outside"].map(Listener::mqtt))?;
    assert_eq!(by_source(proxy.address("outside"), "127.0.0.1")?, "CONNACK 5");
    Ok(())
}

#[test]
fn a_route_none_of_whose_listeners_is_there_is_refused() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/nowhere", "listeners: [inside]")?;
    let proxy = place.start()?;
    assert_eq!(refusals(&proxy, "acme/nowhere"), ["NoMatchingListener"]);
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 5");
    Ok(())
}

#[test]
fn a_route_one_of_whose_listeners_is_there_is_served() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/somewhere", &format!("listeners: [inside, {PLAIN}]"))?;
    let proxy = place.start()?;
    assert_eq!(refusals(&proxy, "acme/somewhere"), [""; 0]);
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/somewhere");
    Ok(())
}

#[test]
fn listeners_of_ipv6() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    let listeners = [Listener::mqtt(PLAIN), Listener::mqtts(MQTTS)].map(|listener| listener.at("[::1]:0"));
    let proxy = Proxy::start(&place.config, &listeners)?;
    assert!(proxy.address(PLAIN).is_ipv6());
    assert_eq!(by_source(proxy.address(PLAIN), "::1")?, "acme/all");
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "acme/all");
    Ok(())
}

#[test]
fn one_port_for_ipv4_and_for_ipv6_with_a_listener_each() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/four", "listeners: [four]")?.route("acme/six", "listeners: [six]")?;
    // The port that was free may be another's by now.
    let mut started = Err(anyhow::anyhow!("not tried"));
    for _ in 0..5 {
        let port = broker::free_address(std::net::Ipv4Addr::UNSPECIFIED.into())?.port();
        let four = Listener::mqtt("four").at(&format!("0.0.0.0:{port}"));
        let six = Listener::mqtt("six").at(&format!("[::]:{port}"));
        started = Proxy::start(&place.config, &[four, six]);
        if started.is_ok() {
            break;
        }
    }
    let proxy = started.context("two listeners at one port")?;
    let port = proxy.address("four").port();
    let fates = [("127.0.0.1", "acme/four"), ("::1", "acme/six")];
    for (host, route) in fates {
        let address = std::net::SocketAddr::new(host.parse()?, port);
        assert_eq!(by_source(address, host)?, route, "{host}");
    }
    Ok(())
}

#[test]
fn both_workers_serve_each_listener() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let proxy = place.start()?;
    let folder = format!("/proc/{}/net/tcp", proxy.id());
    let port = format!(":{:04X} ", proxy.address(PLAIN).port());
    // State 0A is LISTEN.
    let sockets = || {
        std::fs::read_to_string(&folder)
            .ok()
            .map(|table| table.lines().filter(|line| line.contains(&port) && line.contains(" 0A ")).count())
    };
    wait::until("two sockets", wait::SOON, || sockets().filter(|count| *count == 2))?;
    Ok(())
}
