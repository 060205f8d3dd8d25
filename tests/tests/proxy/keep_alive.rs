//! A client that says nothing for longer than its keep-alive allows, and a broker that doesn't care.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, PINGREQ, Peer, StreamEnd, Version};

use crate::site::{Pair, Way};

/// The proxy leaves it to the broker to go first, looks at the clock twice a second, and the machine may be busy.
const SLACK: Duration = Duration::from_secs(6);
/// Long enough to tell that a client with a keep-alive of a second is not ended: it would have been after 4 s at the latest.
const WATCHED: Duration = Duration::from_secs(7);

/// A client with this keep-alive, let in by this CONNACK.
fn start(way: Way, version: Version, keep_alive: u16, connack: &[u8]) -> Result<Pair> {
    Pair::start_with(way, "", &Connect::new(version, "device").keep_alive(keep_alive).bytes(), connack)
}

/// A CONNACK of MQTT 5 with a Server Keep Alive.
fn with_server_keep_alive(seconds: u8) -> [u8; 8] {
    [0x20, 6, 0, 0, 3, 0x13, 0, seconds]
}

/// What the silent client reads, and that it is ended in time: after one and a half times its keep-alive, and not before.
fn is_ended(mut pair: Pair, way: Way, keep_alive: u64, expected: &[u8]) -> Result<Value> {
    let start = Instant::now();
    let found = wire::read_to_end(&mut pair.device, wait::SOON * 2);
    let lasted = start.elapsed();
    assert_eq!(found, (expected.to_vec(), StreamEnd::Closed), "{way:?}");
    // The client's last word was a moment before it read the CONNACK.
    let least = Duration::from_millis(1500 * keep_alive).saturating_sub(Duration::from_millis(600));
    assert!(lasted >= least && lasted <= least + SLACK, "{way:?}: after {lasted:?}");
    drop(pair.device);
    assert_eq!(wire::read_to_end(&mut pair.broker, wait::SOON), (Vec::new(), StreamEnd::Closed), "{way:?}");
    pair.site.access_line(way, pair.source)
}

/// That the client and its broker can still talk.
fn is_alive(device: &mut impl Peer, broker: &mut TcpStream) -> Result<()> {
    broker.write_all(&[0xd0, 0])?;
    assert_eq!(wire::read_packet(device, wait::SOON)?.bytes, [0xd0, 0]);
    device.write_all(&wire::DISCONNECT)?;
    device.flush()?;
    assert_eq!(wire::read_packet(broker, wait::SOON)?.bytes, wire::DISCONNECT);
    Ok(())
}

#[test]
fn a_silent_client_is_ended() -> Result<()> {
    for way in Way::BOTH {
        let pair = start(way, Version::V311, 2, &wire::CONNACK_V311)?;
        let line = is_ended(pair, way, 2, &[])?;
        assert_eq!((&line["end"], &line["sent_bytes"]), (&"KeepAliveTimeout".into(), &4.into()), "{line}");
    }
    Ok(())
}

#[test]
fn a_silent_client_of_mqtt_5_is_told() -> Result<()> {
    for way in Way::BOTH {
        let pair = start(way, Version::V5, 2, &wire::CONNACK_V5)?;
        let line = is_ended(pair, way, 2, &[0xe0, 1, 0x8d])?;
        assert_eq!((&line["end"], &line["sent_bytes"]), (&"KeepAliveTimeout".into(), &8.into()), "{line}");
    }
    Ok(())
}

/// What the broker sends is no word of the client.
#[test]
fn a_silent_client_is_ended_although_its_broker_talks() -> Result<()> {
    let Pair { mut site, mut device, source, mut broker } = start(Way::Plain, Version::V5, 1, &wire::CONNACK_V5)?;
    let message = wire::publish(Version::V5, "a", b"tick", 0, 0, false);
    let talking = thread::spawn({
        let message = message.clone();
        move || {
            while broker.write_all(&message).is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let (bytes, end) = wire::read_to_end(&mut device, wait::SOON);
    drop(device);
    assert_eq!(site.access_line(Way::Plain, source)?["end"], "KeepAliveTimeout");
    // Between two messages, and as the last.
    let messages = bytes.strip_suffix(&[0xe0, 1, 0x8d]);
    assert!(messages.is_some_and(|bytes| bytes.chunks(message.len()).all(|chunk| chunk == message)), "{bytes:x?}");
    assert_eq!(end, StreamEnd::Closed);
    talking.join().map_err(|_| anyhow::anyhow!("the broker's side failed"))
}

#[test]
fn a_client_that_pings_in_time_lives() -> Result<()> {
    let mut pairs = Vec::new();
    for way in Way::BOTH {
        pairs.push(start(way, Version::V5, 2, &wire::CONNACK_V5)?);
    }
    let start = Instant::now();
    while start.elapsed() < WATCHED {
        for Pair { device, broker, .. } in &mut pairs {
            device.write_all(&PINGREQ)?;
            device.flush()?;
            assert_eq!(wire::read_packet(broker, wait::SOON)?.bytes, PINGREQ);
        }
        thread::sleep(Duration::from_millis(500));
    }
    pairs.iter_mut().try_for_each(|pair| is_alive(&mut pair.device, &mut pair.broker))
}

/// 0 is none at all; a Server Keep Alive of 0 counts as much as the client's own.
#[test]
fn a_client_without_a_keep_alive_lives() -> Result<()> {
    let mut pairs = [
        start(Way::Plain, Version::V311, 0, &wire::CONNACK_V311)?,
        start(Way::Tls13, Version::V5, 0, &wire::CONNACK_V5)?,
        start(Way::Plain, Version::V5, 1, &with_server_keep_alive(0))?,
        start(Way::Plain, Version::V5, 1, &with_server_keep_alive(60))?,
    ];
    thread::sleep(WATCHED);
    pairs.iter_mut().try_for_each(|pair| is_alive(&mut pair.device, &mut pair.broker))
}

#[test]
fn the_brokers_keep_alive_counts_where_it_gives_one() -> Result<()> {
    for keep_alive in [60, 0] {
        let pair = start(Way::Plain, Version::V5, keep_alive, &with_server_keep_alive(1))?;
        let line = is_ended(pair, Way::Plain, 1, &[0xe0, 1, 0x8d])?;
        assert_eq!(line["end"], "KeepAliveTimeout", "{line}");
    }
    Ok(())
}
