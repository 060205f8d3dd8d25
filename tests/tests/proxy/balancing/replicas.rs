//! Two proxies with the same configuration: each sends a client where the other would.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Result, ensure};
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::wire::{self, Connect, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};

use super::fleet::{Fleet, NamedBroker, SERVICE, slice};
use super::{change, directory};
use crate::routing::place::PLAIN;

/// How many clients each proxy places, each time.
const CLIENTS: usize = 10_000;
const AT_ONCE: usize = 32;

/// Two services of unequal weight.
const SPEC: &str = "upstream: {services: [{name: big, port: mqtt, weight: 5}, {name: small, port: mqtt, weight: 2}], \
                    loadBalancer: {type: ConsistentHash}}";

/// The pods of a service, each by the name of its broker or another one.
type Pods<'a> = Vec<(&'a str, &'a NamedBroker)>;

/// Two proxies, each with a directory of its own that says the same.
struct Replicas([(ConfigDir, Proxy); 2]);

impl Replicas {
    fn start(big: &Pods<'_>, small: &Pods<'_>) -> Result<Self> {
        let start = |is_reversed| -> Result<_> {
            let config = directory(SPEC)?;
            config.endpoints("acme", "big", &documents(big, is_reversed))?;
            config.endpoints("acme", "small", &documents(small, is_reversed))?;
            let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
            Ok((config, proxy))
        };
        Ok(Self([start(false)?, start(true)?]))
    }

    /// Changes the pods of a service, for both.
    fn change(&self, service: &str, pods: &Pods<'_>) -> Result<()> {
        for (index, (config, proxy)) in self.0.iter().enumerate() {
            change(proxy, || config.endpoints("acme", service, &documents(pods, index > 0)).map(drop))?;
        }
        Ok(())
    }

    /// Which broker each client reaches, by both alike.
    fn place(&self) -> Result<Vec<String>> {
        let [one, other] = [0, 1].map(|index| place(self.0[index].1.address(PLAIN)));
        let (one, other) = (one?, other?);
        let differing = one.iter().zip(&other).filter(|(one, other)| one != other).count();
        ensure!(differing == 0, "{differing} clients are sent to different brokers");
        Ok(one)
    }
}

/// A service's documents, its slices in this order or the other way round.
fn documents(pods: &Pods<'_>, is_reversed: bool) -> String {
    let mut slices: Vec<String> = pods.iter().map(|(pod, broker)| slice(pod, broker.address(), "")).collect();
    if is_reversed {
        slices.reverse();
    }
    format!("{SERVICE}{}", slices.concat())
}

fn place(address: SocketAddr) -> Result<Vec<String>> {
    let next = Rc::new(Cell::new(0));
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut placed = vec![String::new(); CLIENTS];
    LocalSet::new().block_on(&runtime, async {
        let mut clients = JoinSet::new();
        for _ in 0..AT_ONCE {
            let next = Rc::clone(&next);
            clients.spawn_local(async move {
                let mut reached = Vec::new();
                while next.get() < CLIENTS {
                    let number = next.replace(next.get() + 1);
                    reached.push((number, reach(address, number).await?));
                }
                anyhow::Ok(reached)
            });
        }
        while let Some(reached) = clients.join_next().await {
            for (number, broker) in reached?? {
                placed[number] = broker;
            }
        }
        anyhow::Ok(placed)
    })
}

async fn reach(address: SocketAddr, number: usize) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&Connect::new(Version::V311, &format!("sensor-{number}")).bytes()).await?;
    // The CONNACK, then the broker's name in a PUBLISH.
    let mut answer = vec![0; wire::CONNACK_V311.len() + 2];
    stream.read_exact(&mut answer).await?;
    let mut message = vec![0; usize::from(answer[5])];
    stream.read_exact(&mut message).await?;
    let publish = wire::Packet { first_byte: answer[4], body: message, bytes: Vec::new() };
    let name = publish.message(Version::V311).map(|(_, name)| String::from_utf8_lossy(&name).into_owned());
    ensure!(answer.starts_with(&wire::CONNACK_V311) && name.is_some(), "an unexpected answer: {answer:x?}");
    Ok(name.unwrap_or_default())
}

/// How many clients are at this broker.
fn count(placed: &[String], broker: &str) -> usize {
    placed.iter().filter(|&at| at == broker).count()
}

#[test]
fn each_client_reaches_the_same_broker_by_both_before_and_after_one_is_taken_away() -> Result<()> {
    let fleet = Fleet::start(5)?;
    let pods: Pods<'_> = fleet.0.iter().map(|broker| (broker.name.as_str(), broker)).collect();
    let (big, small) = (pods[..3].to_vec(), pods[3..].to_vec());
    let replicas = Replicas::start(&big, &small)?;
    let before = replicas.place()?;
    // 5/7 over three, 2/7 over two. The hash is the same for ever, so this is no matter of chance.
    for (index, expected) in [2381, 2381, 2381, 1429, 1429].into_iter().enumerate() {
        let found = count(&before, &format!("broker-{index}"));
        assert!(found.abs_diff(expected) < 150, "broker-{index} has {found}, and not about {expected}");
    }
    replicas.change("big", &big[1..].to_vec())?;
    let after = replicas.place()?;
    // Only the clients of the one that was taken away move, and within its service.
    for (before, after) in before.iter().zip(&after) {
        if before == "broker-0" {
            assert!(after == "broker-1" || after == "broker-2", "one of broker-0 moved to {after}");
        } else {
            assert_eq!(before, after);
        }
    }
    for index in 1..3 {
        let moved = count(&after, &format!("broker-{index}")) - count(&before, &format!("broker-{index}"));
        assert!(moved.abs_diff(1190) < 150, "{moved} moved to broker-{index}");
    }
    Ok(())
}

#[test]
fn each_client_stays_by_both_when_a_brokers_address_changes_and_its_name_stays() -> Result<()> {
    let fleet = Fleet::start(5)?;
    let pods: Pods<'_> = ["emqx-0", "emqx-1", "emqx-2", "emqx-3"].into_iter().zip(&fleet.0).collect();
    let (big, small) = (pods[..2].to_vec(), pods[2..].to_vec());
    let replicas = Replicas::start(&big, &small)?;
    let before = replicas.place()?;
    replicas.change("big", &vec![big[0], ("emqx-1", &fleet.0[4])])?;
    let expected: Vec<String> = before.iter().map(|broker| broker.replace("broker-1", "broker-4")).collect();
    assert!(count(&before, "broker-1") > 1000);
    assert!(replicas.place()? == expected, "some clients moved that had no reason to");
    Ok(())
}
