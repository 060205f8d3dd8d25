//! `ConsistentHash`: the same client, the same broker.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use streamgate_tests::proxy::{Listener, Proxy};

use super::fleet::{Fleet, SERVICE, client_ids, placed, reached, shares, slice, upstream};
use super::{change, directory, started};
use crate::routing::place::PLAIN;

const BY_HASH: &str = "loadBalancer: {type: ConsistentHash}";

/// So many connections of one client are served by both workers, but for a chance of one in 2^23.
const ON_BOTH_WORKERS: usize = 24;

#[test]
fn a_client_reaches_the_same_broker_on_every_worker() -> Result<()> {
    let fleet = Fleet::start(8)?;
    let (_config, proxy) = started(&fleet.upstream(BY_HASH))?;
    for client_id in client_ids(4) {
        let brokers: BTreeSet<String> =
            (0..ON_BOTH_WORKERS).map(|_| reached(proxy.address(PLAIN), &client_id)).collect::<Result<_>>()?;
        assert_eq!(brokers.len(), 1, "{client_id}: {brokers:?}");
    }
    Ok(())
}

#[test]
fn clients_are_spread_over_all_brokers() -> Result<()> {
    let fleet = Fleet::start(4)?;
    let (_config, proxy) = started(&fleet.upstream(BY_HASH))?;
    let found = shares(proxy.address(PLAIN), 200)?;
    // The hash is the same for ever, so this is no matter of chance.
    assert!(found.len() == 4 && found.values().all(|count| (30..=70).contains(count)), "{found:?}");
    Ok(())
}

#[test]
fn clients_are_spread_by_weight() -> Result<()> {
    let fleet = Fleet::start(3)?;
    let (_config, proxy) = started(&fleet.weighted(&[3, 1, 0], BY_HASH))?;
    let found = shares(proxy.address(PLAIN), 200)?;
    assert!(found.len() == 2 && (130..=170).contains(&found["broker-0"]), "{found:?}");
    Ok(())
}

#[test]
fn a_client_reaches_the_same_broker_after_a_restart_of_the_proxy() -> Result<()> {
    let fleet = Fleet::start(5)?;
    let (config, proxy) = started(&fleet.upstream(BY_HASH))?;
    let before = placed(proxy.address(PLAIN), &client_ids(30))?;
    drop(proxy);
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    assert_eq!(placed(proxy.address(PLAIN), &client_ids(30))?, before);
    Ok(())
}

#[test]
fn the_order_of_the_nodes_does_not_count() -> Result<()> {
    let fleet = Fleet::start(5)?;
    let (config, proxy) = started(&fleet.upstream(BY_HASH))?;
    let before = placed(proxy.address(PLAIN), &client_ids(30))?;
    let backwards = upstream(fleet.0.iter().rev().map(|broker| broker.node("")), BY_HASH);
    change(&proxy, || config.stream_route("acme", "devices", &backwards).map(drop))?;
    assert_eq!(placed(proxy.address(PLAIN), &client_ids(30))?, before);
    Ok(())
}

#[test]
fn a_node_that_is_taken_away_moves_its_clients_alone() -> Result<()> {
    let fleet = Fleet::start(5)?;
    let (config, proxy) = started(&fleet.upstream(BY_HASH))?;
    let clients = client_ids(60);
    let before = placed(proxy.address(PLAIN), &clients)?;
    let rest = upstream(fleet.0[1..].iter().map(|broker| broker.node("")), BY_HASH);
    change(&proxy, || config.stream_route("acme", "devices", &rest).map(drop))?;
    let after = placed(proxy.address(PLAIN), &clients)?;
    let moved = |client_id: &&String| before[*client_id] != after[*client_id];
    let expected: Vec<&String> = clients.iter().filter(|client_id| before[*client_id] == "broker-0").collect();
    assert!(!expected.is_empty());
    assert_eq!(clients.iter().filter(moved).collect::<Vec<_>>(), expected);
    Ok(())
}

#[test]
fn a_broker_that_fails_is_replaced_as_if_it_were_taken_away() -> Result<()> {
    let mut fleet = Fleet::start(5)?;
    let (config, proxy) = started(&fleet.upstream(BY_HASH))?;
    let clients = client_ids(60);
    let _stopped = fleet.stop("broker-3")?;
    let failed = placed(proxy.address(PLAIN), &clients)?;
    change(&proxy, || config.stream_route("acme", "devices", &fleet.upstream(BY_HASH)).map(drop))?;
    assert_eq!(placed(proxy.address(PLAIN), &clients)?, failed);
    Ok(())
}

/// The pods' slices, each of a broker.
fn slices<'a>(pods: impl Iterator<Item = (&'a str, &'a super::fleet::NamedBroker)>) -> String {
    pods.fold(SERVICE.to_owned(), |text, (pod, broker)| text + &slice(pod, broker.address(), ""))
}

#[test]
fn a_pod_under_a_new_address_takes_back_its_clients() -> Result<()> {
    let fleet = Fleet::start(5)?;
    let pods = ["emqx-0", "emqx-1", "emqx-2", "emqx-3"];
    let config = directory(&format!("upstream: {{services: [{{name: emqx, port: mqtt}}], {BY_HASH}}}"))?;
    config.endpoints("acme", "emqx", &slices(pods.into_iter().zip(&fleet.0)))?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    let clients = client_ids(60);
    let before = placed(proxy.address(PLAIN), &clients)?;

    let new_one = fleet.0[..3].iter().chain(&fleet.0[4..]);
    change(&proxy, || config.endpoints("acme", "emqx", &slices(pods.into_iter().zip(new_one))).map(drop))?;
    let after = placed(proxy.address(PLAIN), &clients)?;
    let expected: BTreeMap<String, String> =
        before.into_iter().map(|(client_id, broker)| (client_id, broker.replace("broker-3", "broker-4"))).collect();
    assert!(expected.values().any(|broker| broker == "broker-4"));
    assert_eq!(after, expected);
    Ok(())
}

#[test]
fn the_order_of_the_slices_does_not_count() -> Result<()> {
    let fleet = Fleet::start(4)?;
    let pods = ["emqx-0", "emqx-1", "emqx-2", "emqx-3"];
    let config = directory(&format!("upstream: {{services: [{{name: emqx, port: mqtt}}], {BY_HASH}}}"))?;
    config.endpoints("acme", "emqx", &slices(pods.into_iter().zip(&fleet.0)))?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    let before = placed(proxy.address(PLAIN), &client_ids(30))?;
    drop(proxy);
    config.endpoints("acme", "emqx", &slices(pods.into_iter().zip(&fleet.0).rev()))?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    assert_eq!(placed(proxy.address(PLAIN), &client_ids(30))?, before);
    Ok(())
}
