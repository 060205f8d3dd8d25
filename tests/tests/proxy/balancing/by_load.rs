//! `LeastConnections` and `Random2`: by how many clients a broker has now, over all workers.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};
use streamgate_tests::fake_broker::{Answer, FakeBroker, Step};
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use super::fleet::{Fleet, SERVICE, Stopped, fate, shares, slice, upstream};
use super::{change, directory, started};
use crate::routing::place::PLAIN;

const LEAST: &str = "loadBalancer: {type: LeastConnections}";
const RANDOM: &str = "loadBalancer: {type: Random2}";

/// Clients that stay, by the broker that each is at.
#[derive(Default)]
struct Staying(BTreeMap<String, Vec<TcpStream>>);

impl Staying {
    /// `count` more.
    fn come(&mut self, address: SocketAddr, count: usize) -> Result<()> {
        for _ in 0..count {
            let mut stream = wire::connect_tcp(address)?;
            let broker = fate(&mut stream, &Connect::new(Version::V311, "device"));
            self.0.entry(broker).or_default().push(stream);
        }
        Ok(())
    }

    /// All of this broker leave.
    fn leave(&mut self, proxy: &Proxy, broker: &str) -> Result<()> {
        let leaving = self.0.remove(broker).context("nobody is there")?;
        let left: usize = self.0.values().map(Vec::len).sum();
        drop(leaving);
        let series = format!("streamgate_connections_active{{listener=\"{PLAIN}\"}} {left}\n");
        wait::until("the end of those who leave", wait::SOON, || {
            proxy.admin_get("/metrics").ok()?.body.contains(&series).then_some(())
        })
    }

    fn counts(&self) -> BTreeMap<&str, usize> {
        self.0.iter().map(|(broker, clients)| (broker.as_str(), clients.len())).collect()
    }
}

#[test]
fn brokers_fill_evenly_over_both_workers() -> Result<()> {
    let fleet = Fleet::start(4)?;
    let (_config, proxy) = started(&fleet.upstream(LEAST))?;
    let mut staying = Staying::default();
    for round in 1..=15 {
        staying.come(proxy.address(PLAIN), 4)?;
        let counts = staying.counts();
        assert!(counts.len() == 4 && counts.values().all(|count| *count == round), "{round}: {counts:?}");
    }
    Ok(())
}

#[test]
fn brokers_fill_by_their_weights() -> Result<()> {
    let fleet = Fleet::start(4)?;
    let (_config, proxy) = started(&fleet.weighted(&[1, 2, 5, 0], LEAST))?;
    let mut staying = Staying::default();
    staying.come(proxy.address(PLAIN), 80)?;
    assert_eq!(staying.counts(), BTreeMap::from([("broker-0", 10), ("broker-1", 20), ("broker-2", 50)]));
    Ok(())
}

#[test]
fn a_broker_that_lost_its_clients_gets_the_next() -> Result<()> {
    let fleet = Fleet::start(3)?;
    let (_config, proxy) = started(&fleet.upstream(LEAST))?;
    let mut staying = Staying::default();
    staying.come(proxy.address(PLAIN), 30)?;
    staying.leave(&proxy, "broker-1")?;
    staying.come(proxy.address(PLAIN), 10)?;
    assert_eq!(staying.counts(), BTreeMap::from([("broker-0", 10), ("broker-1", 10), ("broker-2", 10)]));
    Ok(())
}

/// A broker is no better off for clients that it let down.
#[test]
fn attempts_that_failed_do_not_count() -> Result<()> {
    let mut fleet = Fleet::start(2)?;
    let half = Step::Send(wire::CONNACK_V311[..2].to_vec());
    let failing = FakeBroker::start(Answer::Script(vec![Step::Packet, half, Step::Close]))?;
    let gone = Stopped::start()?;
    let bad = format!("{{name: failing, host: 127.0.0.1, port: {}}}", failing.address().port());
    let nodes = [bad, gone.node("gone", ""), fleet.0[0].node(""), fleet.0[1].node("")];
    let (config, proxy) = started(&upstream(nodes, &format!("{LEAST}, retries: 3")))?;
    let mut staying = Staying::default();
    staying.come(proxy.address(PLAIN), 20)?;
    assert_eq!(staying.counts(), BTreeMap::from([("broker-0", 10), ("broker-1", 10)]));
    // They are at 0 still: so the one that comes back at the same place and by the same name gets the next.
    assert!(failing.count() >= 10, "the one that fails was tried {} times", failing.count());
    let new_one = super::fleet::NamedBroker::start("broker-2")?;
    fleet.0.push(new_one);
    change(&proxy, || config.stream_route("acme", "devices", &fleet.upstream(LEAST)).map(drop))?;
    staying.come(proxy.address(PLAIN), 10)?;
    assert_eq!(staying.counts(), BTreeMap::from([("broker-0", 10), ("broker-1", 10), ("broker-2", 10)]));
    Ok(())
}

/// A change of the configuration forgets no client of a broker that stays.
#[test]
fn a_new_broker_gets_all_clients_until_it_has_as_many() -> Result<()> {
    let fleet = Fleet::start(3)?;
    let (config, proxy) = started(&fleet.weighted(&[1, 1], LEAST))?;
    let mut staying = Staying::default();
    staying.come(proxy.address(PLAIN), 20)?;
    change(&proxy, || config.stream_route("acme", "devices", &fleet.upstream(LEAST)).map(drop))?;
    staying.come(proxy.address(PLAIN), 10)?;
    assert_eq!(staying.counts(), BTreeMap::from([("broker-0", 10), ("broker-1", 10), ("broker-2", 10)]));
    Ok(())
}

/// Its clients by either service are all its clients.
#[test]
fn a_pod_that_two_services_share_has_one_count() -> Result<()> {
    let fleet = Fleet::start(3)?;
    let slices: Vec<String> = fleet.0.iter().map(|broker| slice(&broker.name, broker.address(), "")).collect();
    let config = directory(&format!("upstream: {{services: [{{name: one, port: mqtt}}], {LEAST}}}"))?;
    // `one` is broker-0 and broker-1, `other` is broker-0 and broker-2.
    config.endpoints("acme", "one", &format!("{SERVICE}{}{}", slices[0], slices[1]))?;
    config.endpoints("acme", "other", &format!("{SERVICE}{}{}", slices[0], slices[2]))?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    let mut staying = Staying::default();
    staying.come(proxy.address(PLAIN), 20)?;
    assert_eq!(staying.counts(), BTreeMap::from([("broker-0", 10), ("broker-1", 10)]));
    // By the other service broker-0 has its ten from the start.
    let other = format!("upstream: {{services: [{{name: other, port: mqtt}}], {LEAST}}}");
    change(&proxy, || config.stream_route("acme", "devices", &other).map(drop))?;
    staying.come(proxy.address(PLAIN), 10)?;
    assert_eq!(staying.counts(), BTreeMap::from([("broker-0", 10), ("broker-1", 10), ("broker-2", 10)]));
    Ok(())
}

/// Of a route with both services, each may pick it.
#[test]
fn a_pod_that_two_services_share_takes_clients_by_each() -> Result<()> {
    let fleet = Fleet::start(1)?;
    for balancer in [LEAST, RANDOM, "loadBalancer: {type: RoundRobin}", "loadBalancer: {type: ConsistentHash}"] {
        for weights in [[1, 0], [0, 1], [1, 1]] {
            let services = ["one", "other"].iter().zip(weights);
            let services: Vec<String> =
                services.map(|(name, weight)| format!("{{name: {name}, port: mqtt, weight: {weight}}}")).collect();
            let config = directory(&format!("upstream: {{services: [{}], {balancer}}}", services.join(", ")))?;
            let slice = slice("broker-0", fleet.0[0].address(), "");
            config.endpoints("acme", "one", &format!("{SERVICE}{slice}"))?;
            config.endpoints("acme", "other", &format!("{SERVICE}{slice}"))?;
            let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
            let found = shares(proxy.address(PLAIN), 4)?;
            assert_eq!(found.get("broker-0"), Some(&4), "{balancer}, {weights:?}: {found:?}");
        }
    }
    Ok(())
}

#[test]
fn two_choices_fill_brokers_nearly_evenly() -> Result<()> {
    let fleet = Fleet::start(5)?;
    let (_config, proxy) = started(&fleet.upstream(RANDOM))?;
    let mut staying = Staying::default();
    staying.come(proxy.address(PLAIN), 200)?;
    let counts = staying.counts();
    // One choice would leave some more than 8 off in most runs; two hardly ever more than 3.
    assert!(counts.len() == 5 && counts.values().all(|count| count.abs_diff(40) <= 8), "{counts:?}");
    Ok(())
}

#[test]
fn two_choices_leave_a_broker_out_that_has_more_than_others() -> Result<()> {
    let fleet = Fleet::start(2)?;
    let (config, proxy) = started(&fleet.weighted(&[1], RANDOM))?;
    let mut staying = Staying::default();
    staying.come(proxy.address(PLAIN), 30)?;
    change(&proxy, || config.stream_route("acme", "devices", &fleet.upstream(RANDOM)).map(drop))?;
    // Of two brokers both are drawn each time.
    staying.come(proxy.address(PLAIN), 30)?;
    assert_eq!(staying.counts(), BTreeMap::from([("broker-0", 30), ("broker-1", 30)]));
    Ok(())
}

#[test]
fn two_choices_replace_a_broker_that_fails() -> Result<()> {
    let mut fleet = Fleet::start(4)?;
    let (_config, proxy) = started(&fleet.upstream(&format!("{RANDOM}, retries: 1")))?;
    let _stopped = fleet.stop("broker-2")?;
    let found = shares(proxy.address(PLAIN), 40)?;
    assert!(found.len() == 3 && found.keys().all(|broker| broker.starts_with("broker-")), "{found:?}");
    Ok(())
}

/// Both workers get clients, or these tests would show nothing of it: the chance of one in 2^59 is left out of account.
#[test]
fn a_broker_of_weight_0_takes_no_client_by_load() -> Result<()> {
    let fleet = Fleet::start(3)?;
    for balancer in [LEAST, RANDOM] {
        let (_config, proxy) = started(&fleet.weighted(&[1, 0, 1], balancer))?;
        let found = shares(proxy.address(PLAIN), 30)?;
        assert!(!found.contains_key("broker-1") && found.values().sum::<usize>() == 30, "{found:?}");
    }
    Ok(())
}
