//! Exact names before wildcards before none.

use anyhow::Result;

use super::place::{MQTTS, PLAIN, Place};

const A: &str = "a.devices.example";
const B: &str = "b.devices.example";
const WILDCARD: &str = "*.devices.example";

/// A `TlsSni` for all of these names, and a route for each kind of them.
fn of_each_kind() -> Result<Place> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[WILDCARD, "other.example", "*"], "")?;
    place.route("acme/exact", &format!("match: {{snis: [{A}]}}"))?;
    place.route("acme/wildcard", &format!("match: {{snis: [\"{WILDCARD}\"]}}"))?;
    place.route("acme/nameless", "")?;
    Ok(place)
}

#[test]
fn an_exact_name_goes_before_a_wildcard() -> Result<()> {
    let place = of_each_kind()?;
    let proxy = place.start()?;
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "acme/exact");
    Ok(())
}

#[test]
fn a_wildcard_goes_before_no_name() -> Result<()> {
    let place = of_each_kind()?;
    let proxy = place.start()?;
    assert_eq!(place.by_name(proxy.address(MQTTS), B)?, "acme/wildcard");
    Ok(())
}

#[test]
fn a_route_without_names_is_for_all_other_names_of_its_namespace() -> Result<()> {
    let place = of_each_kind()?;
    let proxy = place.start()?;
    assert_eq!(place.by_name(proxy.address(MQTTS), "other.example")?, "acme/nameless");
    Ok(())
}

#[test]
fn a_route_without_names_is_for_clients_that_ask_for_none() -> Result<()> {
    let place = of_each_kind()?;
    let proxy = place.start()?;
    assert_eq!(place.by_no_name(proxy.address(MQTTS))?, "acme/nameless");
    Ok(())
}

#[test]
fn a_route_without_names_is_for_plaintext_listeners() -> Result<()> {
    let place = of_each_kind()?;
    let proxy = place.start()?;
    assert_eq!(super::place::by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/nameless");
    Ok(())
}

#[test]
fn a_route_with_names_is_for_no_plaintext_listener() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/exact", &format!("match: {{snis: [{A}]}}"))?;
    let proxy = place.start()?;
    assert_eq!(super::place::by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 5");
    Ok(())
}

#[test]
fn a_name_without_a_route_is_refused_after_its_connect() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A, B], "")?.route("acme/exact", &format!("match: {{snis: [{A}]}}"))?;
    let proxy = place.start()?;
    assert_eq!(place.by_name(proxy.address(MQTTS), B)?, "CONNACK 5");
    Ok(())
}

#[test]
fn a_wildcard_is_for_one_label() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[WILDCARD], "")?.route("acme/nameless", "")?;
    let proxy = place.start()?;
    assert_eq!(place.by_name(proxy.address(MQTTS), "x.a.devices.example")?, "alert 112");
    Ok(())
}

#[test]
fn the_exact_tls_sni_is_chosen_before_routes_compete() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/wildcard", &[WILDCARD], "")?.route("acme/nameless", "")?;
    place.tls_sni("globex/exact", &[A], "")?.route("globex/nameless", "")?;
    let proxy = place.start()?;
    let fates = [A, B].map(|name| place.by_name(proxy.address(MQTTS), name));
    let [a, b] = fates;
    assert_eq!((a?.as_str(), b?.as_str()), ("globex/nameless", "acme/nameless"));
    Ok(())
}

#[test]
fn one_route_serves_several_names() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A, "other.example"], "")?;
    place.route("acme/both", &format!("match: {{snis: [{A}, other.example]}}"))?;
    let proxy = place.start()?;
    for name in [A, "other.example"] {
        assert_eq!(place.by_name(proxy.address(MQTTS), name)?, "acme/both", "{name}");
    }
    Ok(())
}
