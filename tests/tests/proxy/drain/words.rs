//! What a client of MQTT 5.0 is told when it is handed back, and when it is told nothing.

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use streamgate_tests::fake_broker::{Answer, FakeBroker};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, StreamEnd, Version};

use super::{SHUTTING_DOWN, assert_clean_end, let_in, read_to_disconnect, start, start_with, wait_for_handing_back};
use crate::site::{Way, accept, recorder};

const REFERENCE: &str = "onDrain: {serverReference: 'other.example:8883'}";
/// Maximum Packet Size.
const MAXIMUM_PACKET_SIZE: u8 = 0x27;

/// Asserts what clients with this CONNECT read when they are handed back.
fn assert_told(on_drain: &str, connect: &Connect, expected: &[u8]) -> Result<()> {
    let broker = recorder(Version::V5)?;
    let mut site = start_with(&[broker.address()], on_drain, "0s", "100ms")?;
    let mut devices = Vec::new();
    for way in Way::BOTH {
        devices.push((way, let_in(&site, way, connect)?));
    }
    site.proxy.signal("TERM")?;
    for (way, device) in &mut devices {
        let told = wire::read_to_end(device, wait::SOON);
        assert_eq!(told, (expected.to_vec(), StreamEnd::Closed), "{way:?}");
    }
    drop(devices);
    assert_eq!(site.proxy.wait_for_end(wait::SOON)?.code(), Some(0));
    Ok(())
}

fn connect_with_maximum(maximum_packet_size: u8) -> Connect {
    Connect::new(Version::V5, "device").properties(&[MAXIMUM_PACKET_SIZE, 0, 0, 0, maximum_packet_size])
}

/// The DISCONNECT with a reason code of 0x9C and the Server Reference.
fn use_another() -> Vec<u8> {
    let mut body = vec![0x9C, 21, 0x1C, 0, 18];
    body.extend(b"other.example:8883");
    wire::packet(0xE0, &body)
}

#[test]
fn with_a_server_reference_it_is_told_where_to_go() -> Result<()> {
    assert_told(REFERENCE, &Connect::new(Version::V5, "device"), &use_another())
}

#[test]
fn the_server_reference_may_be_as_long_as_the_client_takes() -> Result<()> {
    assert_told(REFERENCE, &connect_with_maximum(u8::try_from(use_another().len())?), &use_another())
}

#[test]
fn a_server_reference_that_would_pass_the_clients_maximum_packet_size_is_left_out() -> Result<()> {
    let maximum = u8::try_from(use_another().len())? - 1;
    assert_told(REFERENCE, &connect_with_maximum(maximum), &[0xE0, 1, 0x9C])
}

#[test]
fn a_client_that_takes_no_such_packet_is_told_nothing() -> Result<()> {
    assert_told("", &connect_with_maximum(2), &[])
}

#[test]
fn a_client_of_an_older_version_is_told_nothing() -> Result<()> {
    let broker = recorder(Version::V311)?;
    for version in [Version::V31, Version::V311] {
        let site = start_with(&[broker.address()], REFERENCE, "0s", "1ms")?;
        let mut devices = Vec::new();
        for way in Way::ALL {
            devices.push((way, let_in(&site, way, &Connect::new(version, "device"))?));
        }
        site.proxy.signal("TERM")?;
        for (way, mut device) in devices {
            assert_clean_end(&mut device, &format!("{version:?}, {way:?}"));
        }
    }
    Ok(())
}

#[test]
fn nobody_is_told_before_its_connack() -> Result<()> {
    for way in Way::BOTH {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut site = start(&[listener.local_addr()?], "0s", "1s")?;
        let mut device = site.dial(way)?;
        device.write_all(&Connect::new(Version::V5, "patient").bytes())?;
        device.flush()?;
        let mut broker = accept(&listener)?;
        wire::read_packet(&mut broker, wait::SOON)?;
        let (first, rest) = wire::CONNACK_V5.split_at(2);
        broker.write_all(first)?;
        site.proxy.signal("TERM")?;
        wait_for_handing_back(&mut site)?;
        broker.write_all(rest)?;
        let (packets, _) = read_to_disconnect(&mut device, wait::SOON)?;
        let bytes: Vec<_> = packets.into_iter().map(|packet| packet.bytes).collect();
        assert_eq!(bytes, [wire::CONNACK_V5.to_vec(), vec![0xE0, 1, SHUTTING_DOWN]], "{way:?}");
        assert_clean_end(&mut device, &format!("{way:?}"));
    }
    Ok(())
}

/// A broker that is to publish no will is told so between two packets of the client's, too.
#[test]
fn the_broker_is_told_that_the_client_left_behind_the_packet_that_is_under_way() -> Result<()> {
    for way in Way::BOTH {
        let broker = recorder(Version::V311)?;
        let mut site = start_with(&[broker.address()], "onDrain: {will: Suppress}", "0s", "1ms")?;
        let connect = Connect::new(Version::V311, "device");
        let mut device = let_in(&site, way, &connect)?;
        let message = wire::publish(Version::V311, "a", b"slow", 0, 0, false);
        let (first, rest) = message.split_at(2);
        device.write_all(first)?;
        device.flush()?;
        broker.wait_for_bytes(0, connect.bytes().len() + first.len(), wait::SOON)?;
        site.proxy.signal("TERM")?;
        wait_for_handing_back(&mut site)?;
        // So slow that the hand-back comes in between.
        for byte in rest {
            thread::sleep(Duration::from_millis(50));
            device.write_all(&[*byte])?;
            device.flush()?;
        }
        broker.wait_for_end(0, wait::SOON)?;
        assert_eq!(broker.received(0), [&connect.bytes()[..], &message, &wire::DISCONNECT].concat(), "{way:?}");
    }
    Ok(())
}

/// A CONNACK that refuses is the last packet of a connection (3.2.2.2).
#[test]
fn a_client_that_its_broker_did_not_let_in_is_told_nothing() -> Result<()> {
    const NOT_AUTHORIZED: [u8; 5] = [0x20, 3, 0, 0x87, 0];
    let broker = FakeBroker::start(Answer::Bytes(NOT_AUTHORIZED.to_vec()))?;
    let site = start(&[broker.address()], "0s", "100ms")?;
    let mut device = site.dial(Way::Plain)?;
    assert_eq!(wire::connack(&mut device, &Connect::new(Version::V5, "stranger"))?.bytes, NOT_AUTHORIZED);
    site.proxy.signal("TERM")?;
    assert_clean_end(&mut device, "refused");
    Ok(())
}
