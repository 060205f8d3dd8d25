//! Where a client comes from: the narrowest range first.

use anyhow::Result;
use streamgate_tests::proxy::{Listener, Proxy};

use super::place::{MQTTS, PLAIN, Place, by_source};
use crate::balancing::fleet::{connect_from, fate};

const A: &str = "a.devices.example";

/// Routes for narrower and narrower ranges, the widest written first.
fn nested() -> Result<Place> {
    let place = Place::new()?;
    place.route("acme/everywhere", "")?;
    place.route("acme/wide", "match: {sourceRanges: [127.16.0.0/12]}")?;
    place.route("acme/narrow", "match: {sourceRanges: [127.17.0.0/16]}")?;
    place.route("acme/one", "match: {sourceRanges: [127.17.0.5, 127.99.0.0/16]}")?;
    Ok(place)
}

#[test]
fn the_narrowest_range_counts() -> Result<()> {
    let place = nested()?;
    let proxy = place.start()?;
    let expected = [
        ("127.17.0.5", "acme/one"),
        ("127.99.1.1", "acme/one"),
        ("127.17.0.6", "acme/narrow"),
        ("127.17.255.255", "acme/narrow"),
        ("127.16.0.1", "acme/wide"),
        ("127.31.255.254", "acme/wide"),
        ("127.32.0.1", "acme/everywhere"),
        ("127.0.0.1", "acme/everywhere"),
    ];
    for (source, route) in expected {
        assert_eq!(by_source(proxy.address(PLAIN), source)?, route, "{source}");
    }
    Ok(())
}

#[test]
fn a_client_in_no_range_is_refused() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/wide", "match: {sourceRanges: [127.16.0.0/12]}")?;
    let proxy = place.start()?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 5");
    Ok(())
}

/// How a client fares that asks for the name and comes from this address.
fn by_name_from(place: &Place, proxy: &Proxy, source: &str) -> Result<String> {
    let stream = connect_from(source, proxy.address(MQTTS))?;
    Ok(fate(&mut place.client(A)?.handshake(stream)?, &super::place::connect()))
}

#[test]
fn a_name_goes_before_a_range() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &["*.devices.example"], "")?;
    place.route("acme/exact", &format!("match: {{snis: [{A}]}}"))?;
    place.route("acme/wildcard", "match: {snis: [\"*.devices.example\"], sourceRanges: [127.0.0.1]}")?;
    let proxy = place.start()?;
    assert_eq!(by_name_from(&place, &proxy, "127.0.0.1")?, "acme/exact");
    Ok(())
}

#[test]
fn a_client_outside_of_the_exact_names_ranges_falls_through() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &["*.devices.example"], "")?;
    place.route("acme/exact", &format!("match: {{snis: [{A}], sourceRanges: [127.17.0.0/16]}}"))?;
    place.route("acme/wildcard", "match: {snis: [\"*.devices.example\"], sourceRanges: [127.18.0.0/16]}")?;
    place.route("acme/nameless", "")?;
    let proxy = place.start()?;
    for (source, route) in
        [("127.17.0.1", "acme/exact"), ("127.18.0.1", "acme/wildcard"), ("127.19.0.1", "acme/nameless")]
    {
        assert_eq!(by_name_from(&place, &proxy, source)?, route, "{source}");
    }
    Ok(())
}

#[test]
fn ranges_of_ipv6() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/everywhere", "")?;
    place.route("acme/documentation", "match: {sourceRanges: [\"2001:db8::/32\"]}")?;
    place.route("acme/loopback", "match: {sourceRanges: [\"::1\"]}")?;
    place.route("acme/half", "match: {sourceRanges: [\"::/1\"]}")?;
    let proxy = Proxy::start(&place.config, &[Listener::mqtt(PLAIN).at("[::1]:0")])?;
    assert_eq!(by_source(proxy.address(PLAIN), "::1")?, "acme/loopback");
    Ok(())
}

#[test]
fn ipv6_is_in_no_range_of_ipv4() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/everywhere", "")?;
    place.route("acme/all-of-ipv4", "match: {sourceRanges: [0.0.0.0/0]}")?;
    let proxy = Proxy::start(&place.config, &[Listener::mqtt(PLAIN).at("[::1]:0")])?;
    assert_eq!(by_source(proxy.address(PLAIN), "::1")?, "acme/everywhere");
    Ok(())
}

#[test]
fn ipv4_at_a_listener_for_both_counts_as_ipv4() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all-of-ipv6", "match: {sourceRanges: [\"::/0\"]}")?;
    place.route("acme/all-of-ipv4", "match: {sourceRanges: [0.0.0.0/0]}")?;
    let proxy = Proxy::start(&place.config, &[Listener::mqtt(PLAIN).at("[::]:0")])?;
    let port = proxy.address(PLAIN).port();
    assert_eq!(by_source(([127, 0, 0, 1], port).into(), "127.0.0.1")?, "acme/all-of-ipv4");
    Ok(())
}
