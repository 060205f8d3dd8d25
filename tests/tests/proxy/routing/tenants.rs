//! Whose a name is: namespaces that share one gateway.

use anyhow::Result;

use super::place::{MQTTS, PLAIN, Place, by_source, refusals};

const A: &str = "a.devices.example";
const B: &str = "b.devices.example";
const OLDER: Option<&str> = Some("2024-01-01T00:00:00Z");
const YOUNGER: Option<&str> = Some("2025-01-01T00:00:00Z");

#[test]
fn a_tls_sni_admits_routes_of_its_own_namespace_alone() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?;
    place.route("globex/thief", &format!("match: {{snis: [{A}]}}"))?;
    let proxy = place.start()?;
    assert_eq!(refusals(&proxy, "globex/thief"), ["NotAllowedByTlsSni"]);
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "CONNACK 5");
    Ok(())
}

#[test]
fn a_tls_sni_that_allows_all_admits_routes_of_other_namespaces() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "allowedRoutes: {namespaces: All}")?;
    place.route("globex/guest", &format!("match: {{snis: [{A}]}}"))?;
    let proxy = place.start()?;
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "globex/guest");
    Ok(())
}

#[test]
fn a_route_without_names_is_for_no_other_namespace() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "allowedRoutes: {namespaces: All}")?;
    place.route("globex/nameless", "")?;
    let proxy = place.start()?;
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "CONNACK 5");
    Ok(())
}

#[test]
fn a_name_that_no_tls_sni_serves_is_refused() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/other", &format!("match: {{snis: [{B}]}}"))?;
    let proxy = place.start()?;
    assert_eq!(refusals(&proxy, "acme/other"), ["NoMatchingTlsSni"]);
    assert_eq!(place.by_name(proxy.address(MQTTS), B)?, "alert 112");
    Ok(())
}

#[test]
fn the_older_tls_sni_keeps_a_name() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni_created("acme/names", YOUNGER, &[A], "")?.route("acme/all", "")?;
    place.tls_sni_created("globex/names", OLDER, &[A], "")?.route("globex/all", "")?;
    let proxy = place.start()?;
    assert_eq!(refusals(&proxy, "acme/names"), ["Conflicted"]);
    assert_eq!(refusals(&proxy, "globex/names"), [""; 0]);
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "globex/all");
    Ok(())
}

#[test]
fn a_tls_sni_without_a_time_is_the_youngest() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    place.tls_sni_created("globex/names", YOUNGER, &[A], "")?.route("globex/all", "")?;
    let proxy = place.start()?;
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "globex/all");
    Ok(())
}

#[test]
fn the_younger_tls_sni_loses_the_name_in_question_alone() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni_created("acme/names", YOUNGER, &[A, B], "")?.route("acme/all", "")?;
    place.tls_sni_created("globex/names", OLDER, &[A], "")?.route("globex/all", "")?;
    let proxy = place.start()?;
    assert_eq!(refusals(&proxy, "acme/names"), ["Conflicted"]);
    assert_eq!(place.by_name(proxy.address(MQTTS), B)?, "acme/all");
    Ok(())
}

#[test]
fn the_younger_tls_sni_takes_over_when_the_older_goes() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni_created("acme/names", YOUNGER, &[A], "")?.route("acme/all", "")?;
    place.tls_sni_created("globex/names", OLDER, &[A], "")?.route("globex/all", "")?;
    let proxy = place.start()?;
    place.config.remove_tls_sni("globex", "names")?;
    proxy.wait_for_status("no refusal", |status| status["refused"].as_array().is_some_and(Vec::is_empty))?;
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "acme/all");
    Ok(())
}

#[test]
fn the_older_route_keeps_a_name() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?;
    place.route_created("acme/a", YOUNGER, &format!("match: {{snis: [{A}]}}"))?;
    place.route_created("acme/b", OLDER, &format!("match: {{snis: [{A}]}}"))?;
    let proxy = place.start()?;
    assert_eq!(refusals(&proxy, "acme/a"), ["Conflicted"]);
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "acme/b");
    Ok(())
}

#[test]
fn a_younger_route_gets_no_client_of_an_older_one() -> Result<()> {
    let place = Place::new()?;
    place.route_created("acme/a", YOUNGER, "")?.route_created("acme/b", OLDER, "")?;
    let proxy = place.start()?;
    let fates: Vec<String> = (0..10).map(|_| by_source(proxy.address(PLAIN), "127.0.0.1")).collect::<Result<_>>()?;
    assert_eq!(fates, ["acme/b"; 10]);
    Ok(())
}

#[test]
fn the_message_of_a_conflict_names_who_has_the_name() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?;
    place.route_created("acme/a", YOUNGER, &format!("match: {{snis: [{A}]}}"))?;
    place.route_created("acme/b", OLDER, &format!("match: {{snis: [{A}]}}"))?;
    let proxy = place.start()?;
    let message = proxy.status()["refused"][0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains(A) && message.contains("StreamRoute acme/b"), "{message}");
    Ok(())
}

#[test]
fn the_same_name_for_other_sources_is_no_conflict() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/a", "match: {sourceRanges: [127.17.0.0/16]}")?;
    place.route("acme/b", "match: {sourceRanges: [127.18.0.0/16]}")?;
    let proxy = place.start()?;
    assert_eq!(proxy.status()["refused"], serde_json::json!([]));
    assert_eq!(by_source(proxy.address(PLAIN), "127.18.0.1")?, "acme/b");
    Ok(())
}

#[test]
fn what_is_another_gateways_is_passed_over() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni_created("acme/names", OLDER, &[A], "gateway: other")?;
    place.route_created("acme/all", OLDER, "gateway: other")?;
    place.tls_sni_created("globex/names", YOUNGER, &[A], "")?.route("globex/all", "")?;
    let proxy = place.start()?;
    assert_eq!(proxy.status()["refused"], serde_json::json!([]));
    assert_eq!(proxy.status()["applied"], serde_json::json!({"streamroutes": 1, "tlssnis": 1}));
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "globex/all");
    Ok(())
}

#[test]
fn a_route_of_one_gateway_does_not_attach_to_a_tls_sni_of_another() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "gateway: other")?.route("acme/all", &format!("match: {{snis: [{A}]}}"))?;
    let proxy = place.start()?;
    assert_eq!(refusals(&proxy, "acme/all"), ["NoMatchingTlsSni"]);
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "alert 112");
    Ok(())
}
