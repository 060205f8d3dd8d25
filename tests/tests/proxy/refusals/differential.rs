//! The proxy's judgement of a CONNECT beside that of a real broker.

use anyhow::{Context, Result};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use streamgate_tests::broker::Broker;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use crate::connect::with_everything;
use crate::site::{Site, Way};

/// The code of the CONNACK; none where there is none.
fn code(mut device: impl wire::Peer, connect: &[u8]) -> Option<u8> {
    device.write_all(connect).and_then(|()| device.flush()).and_then(|()| device.end_sending()).ok()?;
    let packet = wire::read_packet(&mut device, wait::SOON).ok()?;
    packet.code()
}

#[test]
fn what_mosquitto_lets_in_the_proxy_lets_in_too() -> Result<()> {
    let broker = Broker::start("amber")?;
    let site = Site::before(&[broker.address()])?;
    let mut valid = Vec::new();
    for version in Version::ALL {
        valid.push(Connect::new(version, "s").bytes());
        valid.push(Connect::new(version, "sensor").username("u").password(b"p").bytes());
        valid.push(Connect::new(version, "sensor").will("t", b"p", 1, true).clean(false).bytes());
        valid.push(with_everything(version, "sensor").bytes());
    }
    valid.push(Connect::new(Version::V5, "x").properties(b"\x21\0\x09\x26\0\x01a\0\x01b\x27\0\0\x0f\0").bytes());
    let mutation = (0..4_u8, any::<prop::sample::Index>(), any::<u8>());
    let mutated = (prop::sample::select(valid), prop::collection::vec(mutation, 0..3)).prop_map(|(mut bytes, mutations)| {
        for (kind, at, byte) in mutations {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    });
    let count = std::cell::Cell::new(0);
    let config = Config { cases: 3000, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let run = TestRunner::new(config).run(&mutated, |bytes| {
        let direct = wire::connect_tcp(broker.address()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        if code(direct, &bytes) == Some(0) {
            count.set(count.get() + 1);
            let way = site.dial(Way::Plain).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let source = way.local_address().unwrap();
            let found = code(way, &bytes);
            if found != Some(0) {
                eprintln!("DIFF {source} {found:?} {}", bytes.escape_ascii());
            }
        } else {
            let way = site.dial(Way::Plain).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let before = site.proxy.id();
            let _ = (before, code(way, &bytes));
        }
        Ok(())
    });
    eprintln!("{} accepted", count.get());
    std::thread::sleep(std::time::Duration::from_millis(300));
    for line in site.proxy.events() {
        if line["end"] != "ClientClosed" && line["message"] == "connection" {
            eprintln!("LINE {} {} {}", line["source"], line["end"], line["reason"]);
        }
    }
    run.context("run")
}
