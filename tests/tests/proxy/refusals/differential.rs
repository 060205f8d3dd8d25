//! The proxy's judgement of a CONNECT beside that of a real broker.

use anyhow::{Context, Result, anyhow};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use streamgate_tests::broker::Broker;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, Version};

use super::hostile::mutated;
use crate::connect::with_everything;
use crate::site::{Site, Way};

/// The code of the CONNACK; none where there is none.
fn code(device: &mut impl Peer, connect: &[u8]) -> Option<u8> {
    // Who has seen enough may have closed before all is sent.
    let _ = device.write_all(connect).and_then(|()| device.flush()).and_then(|()| device.end_sending());
    wire::read_packet(device, wait::SOON).ok()?.code()
}

/// Where mosquitto is known to be more lenient: it serves its own bridges' levels, and lets a client of MQTT 3.1 in whose
/// user name can't be read.
fn is_known_to_differ(connect: &[u8]) -> bool {
    let name = 1 + connect[1..].iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let level = name + 2 + usize::from(connect[name + 1]);
    let has_username = connect[level + 1] & 0x80 != 0;
    connect[level] & 0x80 != 0 || (connect[level] == 3 && has_username)
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
    let properties = b"\x21\0\x09\x26\0\x01a\0\x01b\x27\0\0\x0f\0\x11\0\0\0\0\x22\0\x01";
    valid.push(Connect::new(Version::V5, "sensor").properties(properties).bytes());
    let config = Config { cases: 1500, failure_persistence: None, ..Config::default() };
    // The same cases each time: what differs is found by whoever changes the parser, not by who comes later.
    let chance = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let run = TestRunner::new_with_rng(config, chance).run(&mutated(valid, 0..3), |bytes| {
        let compared = || -> Result<[Option<u8>; 2]> {
            let by_broker = code(&mut wire::connect_tcp(broker.address())?, &bytes);
            Ok([by_broker, code(&mut site.dial(Way::Plain)?, &bytes)])
        };
        let [by_broker, by_proxy] = compared().map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
        if by_broker == Some(0) && !is_known_to_differ(&bytes) {
            prop_assert_eq!(by_proxy, Some(0), "{}", bytes.escape_ascii());
        }
        Ok(())
    });
    run.map_err(|failure| anyhow!("{failure}")).context("a CONNECT that mosquitto lets in")
}
