//! At the limit of open files: clients are told, the admin port answers, and when some leave, others come in.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, StreamEnd, Version};

use crate::balancing::directory;
use crate::balancing::fleet::{NamedBroker, reached, upstream};
use crate::routing::place::PLAIN;

/// What the process may have open: a hundred for all else, and so room for 30 clients and their brokers at most.
const FILES: u32 = 160;

/// A proxy at a broker, with this limit.
struct Limited {
    broker: NamedBroker,
    proxy: Proxy,
    _config: streamgate_tests::config_dir::ConfigDir,
}

impl Limited {
    fn start() -> Result<Self> {
        let broker = NamedBroker::start("broker")?;
        let config = directory(&upstream([broker.node("")], ""))?;
        let proxy = Proxy::start_with_open_files(&config, &[Listener::mqtt(PLAIN)], FILES)?;
        Ok(Self { broker, proxy, _config: config })
    }

    /// Lets clients in until one is refused; gives those who were let in and what the last one read.
    fn fill(&self, version: Version) -> Result<(Vec<TcpStream>, Vec<u8>)> {
        let mut clients = Vec::new();
        loop {
            let mut client = wire::connect_tcp(self.proxy.address(PLAIN))?;
            client.write_all(&Connect::new(version, "device").bytes())?;
            let answer = wire::read_packet(&mut client, wait::SOON)?;
            if answer.code() != Some(0) {
                assert_eq!(wire::read_to_end(&mut client, wait::SOON), (Vec::new(), StreamEnd::Closed));
                return Ok((clients, answer.bytes));
            }
            clients.push(client);
            anyhow::ensure!(clients.len() < FILES as usize, "nobody is refused");
        }
    }
}

#[test]
fn an_older_client_without_room_gets_3() -> Result<()> {
    let mut limited = Limited::start()?;
    let (clients, told) = limited.fill(Version::V311)?;
    assert_eq!(told, [0x20, 2, 0, 3]);
    // All that were let in are at the broker, and the one that was not is not.
    assert_eq!(limited.broker.recorder.count(), clients.len());
    let line = limited.proxy.wait_for_connection("the one without room", |line| line["end"] != "ClientClosed")?;
    assert_eq!((&line["end"], &line["attempts"]), (&"Overloaded".into(), &().into()), "{line}");
    Ok(())
}

#[test]
fn a_client_of_mqtt_5_without_room_gets_137_and_a_sentence() -> Result<()> {
    let limited = Limited::start()?;
    // What a broker of MQTT 3.1.1 answers is read by its code alone.
    let (_clients, _) = limited.fill(Version::V311)?;
    let mut client = wire::connect_tcp(limited.proxy.address(PLAIN))?;
    client.write_all(&Connect::new(Version::V5, "device").bytes())?;
    let sentence = "the proxy has as many connections as it can have";
    let length = u8::try_from(sentence.len())?;
    let expected = [&[0x20, length + 6, 0, 0x89, length + 3, 0x1f, 0, length], sentence.as_bytes()].concat();
    assert_eq!(wire::read_to_end(&mut client, wait::SOON), (expected, StreamEnd::Closed));
    Ok(())
}

#[test]
fn those_who_are_in_do_not_notice() -> Result<()> {
    let limited = Limited::start()?;
    let (mut clients, _) = limited.fill(Version::V311)?;
    let _waiting = silent(&limited, 200)?;
    for (index, client) in clients.iter_mut().enumerate() {
        client.write_all(&wire::PINGREQ)?;
        let connect = Connect::new(Version::V311, "device").bytes();
        limited.broker.recorder.wait_for_bytes(index, connect.len() + wire::PINGREQ.len(), wait::SOON)?;
    }
    Ok(())
}

/// Clients that connect and say nothing.
fn silent(limited: &Limited, count: usize) -> Result<Vec<TcpStream>> {
    (0..count).map(|_| wire::connect_tcp(limited.proxy.address(PLAIN))).collect()
}

#[test]
fn the_admin_port_answers() -> Result<()> {
    let limited = Limited::start()?;
    let (_clients, _) = limited.fill(Version::V311)?;
    let _waiting = silent(&limited, 200)?;
    for _ in 0..20 {
        for path in ["/livez", "/readyz", "/metrics", "/config"] {
            assert_eq!(limited.proxy.admin_get(path)?.status, 200, "{path}");
        }
    }
    Ok(())
}

/// Who finds no room at all waits in the kernel's queue; the process never meets its limit.
#[test]
fn no_accept_fails() -> Result<()> {
    let limited = Limited::start()?;
    let (_clients, _) = limited.fill(Version::V311)?;
    let waiting = silent(&limited, 200)?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        assert!(limited.proxy.admin_get("/livez")?.status == 200);
        thread::sleep(Duration::from_millis(100));
    }
    drop(waiting);
    let log = limited.proxy.log();
    assert!(!log.contains("no connection can be accepted") && !log.contains("Too many open files"), "{log}");
    Ok(())
}

#[test]
fn when_some_leave_others_come_in() -> Result<()> {
    let limited = Limited::start()?;
    let mut room = Vec::new();
    for _ in 0..3 {
        let (clients, _) = limited.fill(Version::V311)?;
        let waiting = silent(&limited, 100)?;
        room.push(clients.len());
        drop((clients, waiting));
        wait::until("a client that is let in again", wait::SOON, || {
            reached(limited.proxy.address(PLAIN), "device").ok().filter(|fate| fate == "broker")
        })?;
        wait::until("the end of all", wait::SOON, || {
            let metrics = limited.proxy.admin_get("/metrics").ok()?.body;
            metrics.contains("streamgate_connections_active{listener=\"plain\"} 0\n").then_some(())
        })?;
    }
    // Nothing of the room was lost.
    assert!(room[0] >= 20 && room.iter().all(|count| *count == room[0]), "{room:?}");
    Ok(())
}
