//! Bytes of chance and of malice: the proxy lives on, grows no larger, and nobody else notices.

use std::cell::Cell;
use std::io::Write;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use streamgate_tests::fake_broker::{Answer, FakeBroker};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, StreamEnd, Version};

use super::{REFUSING, Told, is_refused};
use crate::connect::with_everything;
use crate::site::{Site, Way, recorder, upstream};

/// How many cases come before memory is measured, and how many after.
const CASES: [u32; 2] = [150, 250];
/// What an allocator may keep for itself.
const SLACK_BYTES: u64 = 6 << 20;

/// Sends `bytes`, ends the sending side, and sees the stream end in whatever way.
fn survives(site: &Site, turn: usize, bytes: &[u8]) -> Result<StreamEnd> {
    let mut device: Box<dyn Peer> = match turn % 3 {
        0 => site.dial(Way::Plain)?,
        1 => site.dial(Way::Tls13)?,
        // No TLS where TLS should be.
        _ => Box::new(wire::connect_tcp(site.proxy.address("mqtts"))?),
    };
    // The proxy may have seen enough before all is sent.
    let sent = device.write_all(bytes).and_then(|()| device.flush()).and_then(|()| device.end_sending());
    let (_, end) = wire::read_to_end(&mut device, wait::SOON);
    match end {
        StreamEnd::StillOpen => bail!("the stream stays open; sent: {sent:?}"),
        end => Ok(end),
    }
}

fn check(strategy: &impl Strategy<Value = Vec<u8>>) -> Result<()> {
    let broker = FakeBroker::start(Answer::Close)?;
    let mut site = Site::before(&[broker.address()])?;
    let turn = Cell::new(0);
    let mut memory = Vec::new();
    for cases in CASES {
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 50, ..Config::default() };
        TestRunner::new(config)
            .run(strategy, |bytes| {
                turn.set(turn.get() + 1);
                let survived = survives(&site, turn.get(), &bytes);
                survived.map(|_| ()).map_err(|error| TestCaseError::fail(format!("{error:#}")))
            })
            .map_err(|failure| anyhow::anyhow!("{failure}\n{}", site.proxy.log()))?;
        memory.push(site.memory_bytes()?);
    }
    assert!(memory[1] <= memory[0] + SLACK_BYTES, "the proxy grew: {memory:?}");
    assert!(site.proxy.is_running());
    assert!(!site.proxy.log().contains("panicked"), "{}", site.proxy.log());
    Ok(())
}

#[test]
fn random_bytes_end_their_own_connection_and_nothing_else() -> Result<()> {
    check(&prop::collection::vec(any::<u8>(), 0..300))
}

#[test]
fn bytes_that_begin_as_a_connect_end_their_own_connection_and_nothing_else() -> Result<()> {
    let start = prop::sample::select(vec![&b"\0\x04MQTT\x04"[..], b"\0\x04MQTT\x05", b"\0\x06MQIsdp\x03"]);
    let rest = prop::collection::vec(prop_oneof![3 => 0..0x28_u8, 1 => any::<u8>()], 0..100);
    check(&(start, rest).prop_map(|(start, rest)| wire::packet(0x10, &[start, &rest].concat())))
}

/// One of these, a few bytes replaced, taken out or put in.
pub(super) fn mutated(valid: Vec<Vec<u8>>, times: Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    let mutation = (0..4_u8, any::<prop::sample::Index>(), any::<u8>());
    (prop::sample::select(valid), prop::collection::vec(mutation, times)).prop_map(|(mut bytes, mutations)| {
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
    })
}

#[test]
fn mutated_connects_end_their_own_connection_and_nothing_else() -> Result<()> {
    let valid = Version::ALL.map(|version| with_everything(version, "sensor").bytes()).to_vec();
    check(&mutated(valid, 1..4))
}

#[test]
fn a_tls_record_of_chance_within_the_connection_ends_it() -> Result<()> {
    let broker = recorder(Version::V5)?;
    let mut site = Site::before(&[broker.address()])?;
    for kind in [20, 21, 22, 23, 99] {
        let mut socket = wire::connect_tcp(site.proxy.address("mqtts"))?;
        let source = socket.local_addr()?;
        let mut device = site.tls_client(Way::Tls13).context("TLS")?.handshake(socket.try_clone()?)?;
        assert_eq!(wire::connack(&mut device, &Connect::new(Version::V5, "sensor"))?.code(), Some(0));
        // A record that nobody sealed.
        socket.write_all(&[kind, 3, 3, 0, 20])?;
        socket.write_all(&[0x55; 20])?;
        let (_, end) = wire::read_to_end(&mut device, wait::SOON);
        assert_ne!(end, StreamEnd::StillOpen, "record type {kind}");
        assert_eq!(site.access_line(Way::Tls13, source)?["end"], "ClientError", "record type {kind}");
    }
    Ok(())
}

#[test]
fn connections_that_announce_much_and_send_little_cost_little() -> Result<()> {
    let site = Site::start(&format!("mqtt: {{maxConnectSize: 16Mi, connectTimeout: 60s}}\n{}", upstream(&[REFUSING])))?;
    // A CONNECT of 2 MiB less a byte, of which no more comes than the level.
    let start = b"\x10\xff\xff\x7f\0\x04MQTT\x04\x02\0\x3c";
    let mut devices = Vec::new();
    let mut open = |count: usize| -> Result<u64> {
        for _ in 0..count {
            let mut device = site.dial(Way::Plain)?;
            device.write_all(start)?;
            devices.push(device);
        }
        site.wait_for_counter("streamgate_connections_accepted_total", &[], devices.len() as u64)?;
        site.memory_bytes()
    };
    let before = open(50)?;
    let after = open(400)?;
    assert!(after < before + 400 * (32 << 10), "400 connections took {} bytes", after - before);
    Ok(())
}

#[test]
fn other_connections_notice_nothing_of_what_one_does_wrong() -> Result<()> {
    let broker = recorder(Version::V5)?;
    let site = Site::before(&[broker.address()])?;
    let connect = Connect::new(Version::V5, "bystander");
    let mut bystanders = Vec::new();
    for way in Way::BOTH {
        let mut device = site.dial(way)?;
        assert_eq!(wire::connack(&mut device, &connect)?.code(), Some(0));
        bystanders.push(device);
    }
    let wrong = [
        (wire::PINGREQ.to_vec(), Told::Nothing),
        (Connect::new(Version::V5, "x").protocol_name("HTTP").bytes(), Told::Nothing),
        (Connect::new(Version::V5, "x").flags(0x03).bytes(), Told::Sentence(0x81)),
        (Connect::new(Version::V311, "x").flags(0x03).bytes(), Told::Nothing),
        (Connect::new(Version::V5, "x").properties(b"\x21\0\0").bytes(), Told::Sentence(0x82)),
        (Connect::new(Version::V5, "x").level(9).bytes(), Told::Bare(0x84)),
        (Connect::new(Version::V31, "").bytes(), Told::Old(0x02)),
        (Connect::new(Version::V5, &"x".repeat(65000)).username(&"y".repeat(65000)).bytes(), Told::Sentence(0x95)),
    ];
    let mut sent = connect.bytes();
    for (bytes, told) in wrong {
        for way in Way::BOTH {
            is_refused(&site, way, &bytes, told)?;
        }
        sent.extend(wire::PINGREQ);
        for (index, device) in bystanders.iter_mut().enumerate() {
            device.write_all(&wire::PINGREQ)?;
            device.flush()?;
            assert_eq!(broker.wait_for_bytes(index, sent.len(), wait::SOON)?, sent);
            broker.send(index, b"\xd0\0")?;
            assert_eq!(wire::read_packet(device, wait::SOON)?.bytes, b"\xd0\0");
        }
    }
    Ok(())
}
