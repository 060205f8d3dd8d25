//! Endpoint slices as kube-proxy reads them.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::json;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::proxy::{Listener, Proxy};

use super::fleet::{Fleet, SERVICE, reached, slice};
use super::{change, directory, started};
use crate::routing::place::{PLAIN, refusals};

/// A proxy before the Service `broker`, of which one pod each has these conditions.
fn with_conditions(conditions: &[&str]) -> Result<(Fleet, ConfigDir, Proxy)> {
    let fleet = Fleet::start(conditions.len())?;
    let config = directory(TO_SERVICE)?;
    config.endpoints("acme", "broker", &documents(&fleet, conditions))?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    Ok((fleet, config, proxy))
}

fn documents(fleet: &Fleet, conditions: &[&str]) -> String {
    let pods = fleet.0.iter().zip(conditions);
    pods.fold(SERVICE.to_owned(), |text, (broker, conditions)| {
        text + &slice(&broker.name, broker.address(), conditions)
    })
}

/// The brokers that clients reach.
fn reachable(proxy: &Proxy) -> Result<BTreeSet<String>> {
    (0..8).map(|_| reached(proxy.address(PLAIN), "device")).collect()
}

fn set(brokers: &[&str]) -> BTreeSet<String> {
    brokers.iter().map(|&broker| broker.to_owned()).collect()
}

#[test]
fn endpoints_that_are_not_ready_take_no_client() -> Result<()> {
    let (_fleet, _config, proxy) = with_conditions(&["ready: true", "ready: false"])?;
    assert_eq!(reachable(&proxy)?, set(&["broker-0"]));
    Ok(())
}

#[test]
fn an_endpoint_that_does_not_say_whether_it_is_ready_is_ready() -> Result<()> {
    let (_fleet, _config, proxy) = with_conditions(&["", "serving: true"])?;
    assert_eq!(reachable(&proxy)?, set(&["broker-0", "broker-1"]));
    Ok(())
}

#[test]
fn an_endpoint_that_terminates_and_serves_counts_for_nothing_beside_a_ready_one() -> Result<()> {
    let (_fleet, _config, proxy) = with_conditions(&["ready: true", "ready: false, serving: true, terminating: true"])?;
    assert_eq!(reachable(&proxy)?, set(&["broker-0"]));
    Ok(())
}

#[test]
fn endpoints_that_terminate_and_serve_count_while_none_is_ready() -> Result<()> {
    let (_fleet, _config, proxy) = with_conditions(&[
        "ready: false, serving: false, terminating: true",
        "ready: false, serving: true, terminating: true",
        "ready: false",
    ])?;
    assert_eq!(reachable(&proxy)?, set(&["broker-1"]));
    Ok(())
}

#[test]
fn a_service_without_endpoints_refuses_its_clients_and_its_route_stays() -> Result<()> {
    let (_fleet, _config, proxy) = with_conditions(&["ready: false"])?;
    assert_eq!(reachable(&proxy)?, set(&["CONNACK 3"]));
    assert_eq!(proxy.status()["refused"], json!([]));
    assert_eq!(proxy.status()["applied"]["streamroutes"], 1);
    Ok(())
}

#[test]
fn an_endpoint_that_gets_ready_takes_clients() -> Result<()> {
    let (fleet, config, proxy) = with_conditions(&["ready: true", "ready: false"])?;
    change(&proxy, || {
        config.endpoints("acme", "broker", &documents(&fleet, &["ready: true", "ready: true"])).map(drop)
    })?;
    assert_eq!(reachable(&proxy)?, set(&["broker-0", "broker-1"]));
    Ok(())
}

#[test]
fn a_pod_in_two_slices_is_one_endpoint() -> Result<()> {
    let fleet = Fleet::start(1)?;
    let one = slice("broker-0", fleet.0[0].address(), "");
    let config = directory(TO_SERVICE)?;
    config.endpoints("acme", "broker", &format!("{SERVICE}{one}{one}"))?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    let page: serde_json::Value = serde_json::from_str(&proxy.admin_get("/config")?.body)?;
    let endpoints = page["streamroutes"][0]["upstream"][0]["endpoints"].as_array().cloned().unwrap_or_default();
    assert_eq!(endpoints.len(), 1, "{endpoints:?}");
    Ok(())
}

#[test]
fn ports_that_are_not_tcp_do_not_count() -> Result<()> {
    let fleet = Fleet::start(1)?;
    let (address, free) = (fleet.0[0].address(), streamgate_tests::broker::free_address([127, 0, 0, 1].into())?);
    let udp = format!("ports: [{{name: mqtt, port: {}, protocol: UDP}}, {{name: mqtt, port: ", free.port());
    let config = directory(TO_SERVICE)?;
    let slice = slice("broker-0", address, "").replace("ports: [{name: mqtt, port: ", &udp);
    config.endpoints("acme", "broker", &format!("{SERVICE}{slice}"))?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    assert_eq!(reachable(&proxy)?, set(&["broker-0"]));
    Ok(())
}

#[test]
fn a_port_of_the_service_by_number() -> Result<()> {
    let fleet = Fleet::start(1)?;
    let config = directory("upstream: {services: [{name: broker, port: 1883}]}")?;
    config.endpoints("acme", "broker", &documents(&fleet, &[""]))?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    assert_eq!(reachable(&proxy)?, set(&["broker-0"]));
    Ok(())
}

#[test]
fn without_the_service_a_number_is_the_endpoints_own_port() -> Result<()> {
    let fleet = Fleet::start(1)?;
    let address = fleet.0[0].address();
    let config = directory(&format!("upstream: {{services: [{{name: broker, port: {}}}]}}", address.port()))?;
    config.endpoints("acme", "broker", &slice("broker-0", address, ""))?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    assert_eq!(reachable(&proxy)?, set(&["broker-0"]));
    Ok(())
}

#[test]
fn an_external_name_is_resolved() -> Result<()> {
    let fleet = Fleet::start(1)?;
    let config =
        directory(&format!("upstream: {{services: [{{name: broker, port: {}}}]}}", fleet.0[0].address().port()))?;
    let service = "apiVersion: v1\nkind: Service\nspec: {type: ExternalName, externalName: localhost}\n";
    config.endpoints("acme", "broker", service)?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    assert_eq!(reachable(&proxy)?, set(&["broker-0"]));
    Ok(())
}

#[test]
fn a_service_that_is_not_there_is_told_and_the_others_serve() -> Result<()> {
    let fleet = Fleet::start(1)?;
    let config = directory("upstream: {services: [{name: broker, port: mqtt}, {name: missing, port: mqtt}]}")?;
    config.endpoints("acme", "broker", &documents(&fleet, &[""]))?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    assert_eq!(refusals(&proxy, "acme/devices"), ["RefNotFound"]);
    assert_eq!(reachable(&proxy)?, set(&["broker-0"]));
    Ok(())
}

#[test]
fn a_service_that_comes_later_is_served() -> Result<()> {
    let fleet = Fleet::start(1)?;
    let (config, proxy) = started(TO_SERVICE)?;
    assert_eq!(reachable(&proxy)?, set(&["CONNACK 3"]));
    change(&proxy, || config.endpoints("acme", "broker", &documents(&fleet, &[""])).map(drop))?;
    assert_eq!(refusals(&proxy, "acme/devices"), [""; 0]);
    assert_eq!(reachable(&proxy)?, set(&["broker-0"]));
    Ok(())
}

#[test]
fn a_service_of_another_namespace_is_not_meant() -> Result<()> {
    let fleet = Fleet::start(1)?;
    let config = directory(TO_SERVICE)?;
    config.endpoints("globex", "broker", &documents(&fleet, &[""]))?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    assert_eq!(reachable(&proxy)?, set(&["CONNACK 3"]));
    Ok(())
}

const TO_SERVICE: &str = "upstream: {services: [{name: broker, port: mqtt}]}";
