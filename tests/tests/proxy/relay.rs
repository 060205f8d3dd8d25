//! After the CONNECT: bytes go both ways, unchanged and at the pace of who reads them, until both sides have ended.

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, StreamEnd, Version};

use super::site::{Pair, ROUTE, Site, Way, accept, recorder, socket_state};

mod ends;
mod idle;
mod pressure;

/// What all devices of these tests say first.
fn connect() -> Vec<u8> {
    Connect::new(Version::V311, "sensor").bytes()
}

fn start(way: Way) -> Result<Pair> {
    Pair::start(way, &connect())
}

fn send(peer: &mut (impl Write + ?Sized), bytes: &[u8]) -> Result<()> {
    peer.write_all(bytes)?;
    Ok(peer.flush()?)
}

/// Reads as many bytes as are expected, and that they are the expected ones.
fn expect(peer: &mut impl Peer, bytes: &[u8]) -> Result<()> {
    peer.limit_read(wait::SOON)?;
    let mut found = vec![0; bytes.len()];
    peer.read_exact(&mut found).context("less came than was sent")?;
    assert!(found == bytes, "other bytes came than were sent");
    Ok(())
}

/// `size` bytes without a pattern that a buffer's size could hide: the same for the same seed.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed << 1 | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Sends `count` times a PUBLISH of about a megabyte, each to another topic. The block is a prime number of bytes long, so that
/// it meets every buffer at another place.
fn send_megabytes(to: &mut (impl Write + ?Sized), count: u8) -> Result<()> {
    let block = noise(7, 1_000_003);
    for number in 0..count {
        let topic = format!("a/{number}");
        send(to, &wire::publish(Version::V311, &topic, &block, 0, 0, false)).with_context(|| topic)?;
    }
    Ok(())
}

fn expect_megabytes(from: &mut impl Peer, count: u8) -> Result<()> {
    let block = noise(7, 1_000_003);
    for number in 0..count {
        let topic = format!("a/{number}");
        let packet = wire::read_packet(from, wait::SOON).with_context(|| format!("PUBLISH {number}"))?;
        let message = packet.message(Version::V311).with_context(|| format!("PUBLISH {number} is none"))?;
        assert!(message == (topic, block.clone()), "PUBLISH {number} was changed");
    }
    Ok(())
}

/// 100 megabytes up or down through a new proxy, to the last byte.
fn carries_100_megabytes(way: Way, upwards: bool) -> Result<()> {
    let mut pair = start(way)?;
    let (mut device, mut broker) = (pair.device, pair.broker);
    let sender = thread::spawn(move || -> Result<_> {
        if upwards {
            send_megabytes(&mut device, 100)?;
            device.end_sending()?;
        } else {
            expect_megabytes(&mut device, 100)?;
            assert_eq!(wire::read_to_end(&mut device, wait::SOON), (Vec::new(), StreamEnd::Closed));
        }
        Ok(device)
    });
    if upwards {
        expect_megabytes(&mut broker, 100)?;
        assert_eq!(wire::read_to_end(&mut broker, wait::SOON), (Vec::new(), StreamEnd::Closed));
    } else {
        send_megabytes(&mut broker, 100)?;
        broker.end_sending()?;
    }
    drop(sender.join().map_err(|_| anyhow!("the device's side failed"))??);
    drop(broker);
    let line = pair.site.access_line(way, pair.source)?;
    let bytes = |field: &str| line[field].as_u64();
    let least = Some(100_000_300);
    let (received, sent) = (bytes("received_bytes"), bytes("sent_bytes"));
    assert!(if upwards { received > least && sent == Some(4) } else { sent > least }, "{line}");
    Ok(())
}

#[test]
fn a_hundred_megabytes_go_to_the_broker_unchanged() -> Result<()> {
    carries_100_megabytes(Way::Plain, true)
}

#[test]
fn a_hundred_megabytes_go_to_the_device_unchanged() -> Result<()> {
    carries_100_megabytes(Way::Plain, false)
}

#[test]
fn a_hundred_megabytes_go_to_the_broker_unchanged_from_tls() -> Result<()> {
    carries_100_megabytes(Way::Tls13, true)
}

#[test]
fn a_hundred_megabytes_go_to_the_device_unchanged_by_tls() -> Result<()> {
    carries_100_megabytes(Way::Tls13, false)
}

#[test]
fn both_ways_are_carried_at_the_same_time() -> Result<()> {
    for way in Way::ALL {
        let pair = start(way)?;
        // The device is one object with both directions, so its reads and writes alternate; the broker's do not.
        let (mut device, mut broker, mut down) = (pair.device, pair.broker.try_clone()?, pair.broker);
        let (up, writer) = (
            thread::spawn(move || expect_megabytes(&mut broker, 10)),
            thread::spawn(move || send_megabytes(&mut down, 10)),
        );
        let block = noise(7, 1_000_003);
        for number in 0..10 {
            let topic = format!("a/{number}");
            send(&mut device, &wire::publish(Version::V311, &topic, &block, 0, 0, false))?;
            let message = wire::read_packet(&mut device, wait::SOON)?.message(Version::V311);
            assert!(message == Some((topic, block.clone())), "{way:?}: PUBLISH {number} was changed");
        }
        for side in [up, writer] {
            side.join().map_err(|_| anyhow!("the broker's side failed, {way:?}"))??;
        }
    }
    Ok(())
}

#[test]
fn packets_of_every_small_size_are_carried_unchanged() -> Result<()> {
    for way in Way::BOTH {
        let mut pair = start(way)?;
        for size in 1..300 {
            let bytes = noise(size, usize::try_from(size)?);
            send(&mut pair.device, &bytes)?;
            expect(&mut pair.broker, &bytes)?;
            send(&mut pair.broker, &bytes)?;
            expect(&mut pair.device, &bytes)?;
        }
    }
    Ok(())
}

/// The middle one of the times that `round` takes.
fn median(mut round: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..41 {
        let start = Instant::now();
        round()?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// Two small packets one behind the other: by Nagle's algorithm the second would wait for the first one's acknowledgement,
/// which a receiver that has nothing to say delays by 40 ms at least.
#[test]
fn small_packets_do_not_wait_for_each_other() -> Result<()> {
    for way in Way::BOTH {
        let mut pair = start(way)?;
        let up = median(|| {
            for byte in [b"1", b"2"] {
                send(&mut pair.device, byte)?;
                expect(&mut pair.broker, byte)?;
            }
            send(&mut pair.broker, b"3")?;
            expect(&mut pair.device, b"3")
        })?;
        let down = median(|| {
            for byte in [b"1", b"2"] {
                send(&mut pair.broker, byte)?;
                expect(&mut pair.device, byte)?;
            }
            send(&mut pair.device, b"3")?;
            expect(&mut pair.broker, b"3")
        })?;
        assert!(up.max(down) < Duration::from_millis(30), "{way:?}: {up:?} up, {down:?} down");
    }
    Ok(())
}

#[test]
fn an_answer_in_pieces_is_passed_on() -> Result<()> {
    for way in Way::BOTH {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let site = Site::before(&[listener.local_addr()?])?;
        let mut device = site.dial(way)?;
        send(&mut device, &connect())?;
        let mut broker = accept(&listener)?;
        // A broker that answers in pieces.
        for byte in wire::CONNACK_V311 {
            send(&mut broker, &[byte])?;
        }
        expect(&mut device, &wire::CONNACK_V311)?;
    }
    Ok(())
}

#[test]
fn many_connections_at_once_keep_their_bytes_apart() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let site = Site::before(&[broker.address()])?;
    let mut devices = Vec::new();
    for number in 0..300 {
        let mut device = site.dial(Way::ALL[number % 3])?;
        let connect = Connect::new(Version::V311, &format!("sensor-{number:03}")).bytes();
        send(&mut device, &connect)?;
        devices.push((device, connect));
    }
    for (device, _) in &mut devices {
        assert_eq!(wire::read_packet(device, wait::SOON)?.code(), Some(0));
    }
    for (number, (device, sent)) in devices.iter_mut().enumerate() {
        let publish = wire::publish(Version::V311, "a", &noise(u64::try_from(number)?, 3000), 0, 0, false);
        send(device, &publish)?;
        sent.extend(publish);
    }
    let mut expected: Vec<_> = devices.iter().map(|(_, sent)| sent.clone()).collect();
    expected.sort();
    let mut found = Vec::new();
    for index in 0..devices.len() {
        found.push(broker.wait_for_bytes(index, expected[0].len(), wait::SOON)?);
    }
    found.sort();
    assert!(found == expected, "bytes of one connection came by another");
    for listener in ["plain", "mqtts"] {
        let active = if listener == "plain" { 100 } else { 200 };
        site.wait_for_counter("streamgate_connections_active", &[("listener", listener)], active)?;
    }
    drop(devices);
    site.wait_for_counter("streamgate_connections_active", &[], 0)
}

#[test]
fn the_access_line_tells_of_a_connection_what_there_is_to_know() -> Result<()> {
    let broker = recorder(Version::V5)?;
    for way in Way::ALL {
        let mut site = Site::before(&[broker.address()])?;
        let mut device = site.dial(way)?;
        let connect = Connect::new(Version::V5, "sensor").username("u").bytes();
        send(&mut device, &[&connect[..], &wire::PINGREQ].concat())?;
        expect(&mut device, &wire::CONNACK_V5)?;
        broker.send(broker.count() - 1, b"\xd0\0")?;
        expect(&mut device, b"\xd0\0")?;
        device.end_sending()?;
        broker.wait_for_end(broker.count() - 1, wait::SOON)?;
        let source = device.local_address()?;
        let line = site.access_line(way, source)?;
        let fields: [(&str, Value); 10] = [
            ("listener", way.listener().into()),
            ("mqtt_level", 5.into()),
            ("client_id", "sensor".into()),
            ("route", ROUTE.into()),
            ("endpoint", "broker-0".into()),
            ("address", broker.address().to_string().into()),
            ("attempts", 1.into()),
            ("received_bytes", (connect.len() + 2).into()),
            ("sent_bytes", 7.into()),
            ("end", "ClientClosed".into()),
        ];
        for (field, expected) in fields {
            assert_eq!(line[field], expected, "{field}, {way:?}: {line}");
        }
        assert!(line["duration_ms"].is_u64() && line["reason"].is_string(), "{line}");
        let tls = match way {
            Way::Plain => ["", "", "", ""],
            Way::Tls12 => ["localhost", "TLSv1.2", "CN=device-1", "acme/devices"],
            Way::Tls13 => ["localhost", "TLSv1.3", "CN=device-1", "acme/devices"],
        };
        for (field, expected) in ["sni", "tls_version", "subject", "tls_sni"].into_iter().zip(tls) {
            assert_eq!(line[field].as_str().unwrap_or(""), expected, "{field}, {way:?}: {line}");
        }
        let labels = [("listener", way.listener()), ("route", ROUTE)];
        site.wait_for_counter("streamgate_received_bytes_total", &labels, u64::try_from(connect.len())? + 2)?;
        site.wait_for_counter("streamgate_sent_bytes_total", &labels, 7)?;
        site.wait_for_counter("streamgate_upstream_attempts_total", &[("route", ROUTE), ("reason", "Answered")], 1)?;
        site.wait_for_counter("streamgate_connects_total", &labels, 1)?;
    }
    Ok(())
}

#[test]
fn both_sides_of_an_idle_connection_are_probed() -> Result<()> {
    let pair = start(Way::Plain)?;
    let proxy = pair.site.proxy.address("plain");
    for (local, remote) in [(proxy, pair.source), (pair.broker.peer_addr()?, pair.broker.local_addr()?)] {
        wait::until(&format!("keep-alive probes from {local} to {remote}"), wait::SOON, || {
            socket_state(local, remote).filter(|socket| socket.timer == 2)
        })?;
    }
    Ok(())
}
