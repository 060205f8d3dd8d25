//! `RoundRobin`. Each worker has its own turn, so shares are exact but for a few clients.

use std::collections::BTreeMap;

use anyhow::Result;

use super::fleet::{Fleet, SERVICE, shares, slice};
use super::{change, started};
use crate::routing::place::PLAIN;

/// How many clients a share may be off: in a round of each of the two workers that is not complete.
const TOLERANCE: usize = 6;

fn assert_shares(found: &BTreeMap<String, usize>, expected: &[(&str, usize)]) {
    let close = |(name, count): &(&str, usize)| found.get(*name).copied().unwrap_or(0).abs_diff(*count) <= TOLERANCE;
    let known: usize = expected.iter().map(|(name, _)| found.get(*name).copied().unwrap_or(0)).sum();
    assert!(expected.iter().all(close), "{found:?}, and not {expected:?}");
    assert_eq!(known, found.values().sum::<usize>(), "{found:?}");
}

#[test]
fn nodes_take_turns() -> Result<()> {
    let fleet = Fleet::start(3)?;
    let (_config, proxy) = started(&fleet.upstream(""))?;
    assert_shares(&shares(proxy.address(PLAIN), 150)?, &[("broker-0", 50), ("broker-1", 50), ("broker-2", 50)]);
    Ok(())
}

#[test]
fn nodes_take_clients_by_their_weights() -> Result<()> {
    let fleet = Fleet::start(3)?;
    let (_config, proxy) = started(&fleet.weighted(&[1, 2, 5], ""))?;
    assert_shares(&shares(proxy.address(PLAIN), 240)?, &[("broker-0", 30), ("broker-1", 60), ("broker-2", 150)]);
    Ok(())
}

#[test]
fn a_node_of_weight_0_takes_no_client() -> Result<()> {
    let fleet = Fleet::start(3)?;
    let (_config, proxy) = started(&fleet.weighted(&[1, 0, 1], ""))?;
    assert_shares(&shares(proxy.address(PLAIN), 60)?, &[("broker-0", 30), ("broker-2", 30)]);
    Ok(())
}

#[test]
fn a_node_of_weight_0_takes_no_client_of_one_that_fails() -> Result<()> {
    let mut fleet = Fleet::start(2)?;
    let (_config, proxy) = started(&fleet.weighted(&[1, 0], ""))?;
    let _stopped = fleet.stop("broker-0")?;
    let found = shares(proxy.address(PLAIN), 4)?;
    assert_eq!(found, BTreeMap::from([("CONNACK 3".to_owned(), 4)]));
    Ok(())
}

#[test]
fn services_take_clients_by_their_weights_and_their_endpoints_evenly() -> Result<()> {
    let fleet = Fleet::start(4)?;
    let (config, proxy) =
        started("upstream: {services: [{name: one, port: mqtt, weight: 3}, {name: three, port: mqtt, weight: 1}]}")?;
    let slices: Vec<String> = fleet.0.iter().map(|broker| slice(&broker.name, broker.address(), "")).collect();
    config.endpoints("acme", "one", &format!("{SERVICE}{}", slices[0]))?;
    config.endpoints("acme", "three", &format!("{SERVICE}{}", slices[1..].concat()))?;
    proxy.wait_for_status("no refusal", |status| status["refused"] == serde_json::json!([]))?;
    let expected = [("broker-0", 180), ("broker-1", 20), ("broker-2", 20), ("broker-3", 20)];
    assert_shares(&shares(proxy.address(PLAIN), 240)?, &expected);
    Ok(())
}

#[test]
fn one_that_fails_leaves_its_turns_to_all_others() -> Result<()> {
    let mut fleet = Fleet::start(4)?;
    let (_config, proxy) = started(&fleet.upstream(""))?;
    let _stopped = fleet.stop("broker-1")?;
    assert_shares(&shares(proxy.address(PLAIN), 120)?, &[("broker-0", 40), ("broker-2", 40), ("broker-3", 40)]);
    Ok(())
}

#[test]
fn a_new_node_gets_its_share() -> Result<()> {
    let fleet = Fleet::start(3)?;
    let (config, proxy) = started(&fleet.weighted(&[1, 1], ""))?;
    shares(proxy.address(PLAIN), 21)?;
    change(&proxy, || config.stream_route("acme", "devices", &fleet.upstream("")).map(drop))?;
    assert_shares(&shares(proxy.address(PLAIN), 90)?, &[("broker-0", 30), ("broker-1", 30), ("broker-2", 30)]);
    Ok(())
}
