//! What brokers and clients get of each other's bytes, when some brokers fail.

use anyhow::Result;
use streamgate_tests::fake_broker::{Answer, FakeBroker, Step};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, StreamEnd, Version};

use super::{device, first, last, spec};
use crate::site::{ROUTE, Site, Way, recorder};

/// Two that fail, each in its way, and one that answers.
struct Row {
    bad: [FakeBroker; 2],
    good: FakeBroker,
    site: Site,
}

impl Row {
    fn start(version: Version) -> Result<Self> {
        let half = Step::Send(wire::accepting(version)[..2].to_vec());
        let bad = [
            FakeBroker::start(Answer::Script(vec![Step::Packet, half, Step::Close]))?,
            FakeBroker::start(Answer::Silence)?,
        ];
        let good = recorder(version)?;
        let nodes = [first("bad-0", bad[0].address()), first("bad-1", bad[1].address()), last("good", good.address())];
        let site = Site::start(&spec(nodes, "connackTimeout: 1s"))?;
        Ok(Self { bad, good, site })
    }
}

/// A CONNECT with everything in it, large enough for several reads.
fn connect(version: Version) -> Vec<u8> {
    let connect = Connect::new(version, "device").will("will", &vec![0xff; 40_000], 1, true).username("user");
    let connect = connect.password(b"\0secret").keep_alive(1234);
    let properties: &[u8] = if version == Version::V5 { &[0x26, 0, 1, b'a', 0, 1, b'b'] } else { &[] };
    connect.properties(properties).bytes()
}

/// Numbered packets, some hundred kilobytes.
fn packets(version: Version) -> Vec<u8> {
    let packet = |number: u8| wire::publish(version, &format!("a/{number}"), &[number; 1200], 0, 0, false);
    (0..=255).flat_map(packet).collect()
}

#[test]
fn each_broker_gets_the_same_connect() -> Result<()> {
    for version in Version::ALL {
        for way in Way::BOTH {
            let row = Row::start(version)?;
            let connect = connect(version);
            let mut device = device(&row.site, way, &connect)?;
            assert_eq!(wire::read_packet(&mut device, wait::SOON)?.bytes, wire::accepting(version));
            for broker in row.bad.iter().chain([&row.good]) {
                let found = broker.wait_for_bytes(0, connect.len(), wait::SOON)?;
                assert!(found == connect, "another CONNECT came, {version:?}, {way:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn what_follows_the_connect_goes_to_the_broker_that_answers_alone() -> Result<()> {
    for way in Way::ALL {
        let row = Row::start(Version::V311)?;
        let (connect, after) = (connect(Version::V311), packets(Version::V311));
        let mut device = device_in_pieces(&row, way, &connect, &after)?;
        assert_eq!(wire::read_packet(&mut device, wait::SOON)?.bytes, wire::CONNACK_V311);
        let all = [&connect[..], &after].concat();
        assert!(row.good.wait_for_bytes(0, all.len(), wait::SOON)? == all, "{way:?}: other bytes came");
        device.end_sending()?;
        row.good.wait_for_end(0, wait::SOON)?;
        assert!(row.good.received(0) == all, "{way:?}: something came twice");
        for bad in &row.bad {
            assert!(bad.received(0) == connect, "{way:?}: one that failed got more than the CONNECT");
            assert_eq!(bad.count(), 1, "{way:?}");
        }
    }
    Ok(())
}

/// A part of what follows comes with the CONNECT, the rest while a broker hangs.
fn device_in_pieces(row: &Row, way: Way, connect: &[u8], after: &[u8]) -> Result<Box<dyn wire::Peer + Send>> {
    let (with_it, later) = after.split_at(after.len() / 3);
    let mut device = device(&row.site, way, &[connect, with_it].concat())?;
    wait::until("a broker that hangs", wait::SOON, || (row.bad[1].count() > 0).then_some(()))?;
    std::io::Write::write_all(&mut device, later)?;
    std::io::Write::flush(&mut device)?;
    Ok(device)
}

/// Half a CONNACK of one that failed is nothing that the client sees.
#[test]
fn the_client_gets_the_bytes_of_the_broker_that_answers_alone() -> Result<()> {
    for way in Way::BOTH {
        let row = Row::start(Version::V5)?;
        let mut device = device(&row.site, way, &connect(Version::V5))?;
        row.good.wait_for_connections(1)?;
        row.good.wait_for_bytes(0, 1, wait::SOON)?;
        let message = wire::publish(Version::V5, "a", b"hello", 0, 0, false);
        assert_eq!(wire::read_packet(&mut device, wait::SOON)?.bytes, wire::CONNACK_V5);
        row.good.send(0, &message)?;
        row.good.end_sending(0)?;
        assert_eq!(wire::read_to_end(&mut device, wait::SOON), (message, StreamEnd::Closed), "{way:?}");
    }
    Ok(())
}

#[test]
fn what_a_broker_sends_behind_its_connack_is_passed_on_behind_it() -> Result<()> {
    let messages: Vec<u8> = packets(Version::V311);
    let answer = [&wire::CONNACK_V311[..], &messages].concat();
    let broker = FakeBroker::start(Answer::Script(vec![Step::Packet, Step::Send(answer.clone()), Step::Close]))?;
    let site = Site::start(&spec([first("broker", broker.address())], ""))?;
    for way in Way::ALL {
        let mut device = device(&site, way, &connect(Version::V311))?;
        let (found, end) = wire::read_to_end(&mut device, wait::SOON);
        assert!(found == answer, "{way:?}: {} of {} bytes, or others", found.len(), answer.len());
        assert_eq!(end, StreamEnd::Closed, "{way:?}");
    }
    Ok(())
}

/// A whole CONNACK is the broker's answer, whatever it says.
#[test]
fn a_refusal_of_the_broker_is_passed_on_unchanged_and_nobody_else_is_asked() -> Result<()> {
    let refusals: [(Version, &[u8]); 4] = [
        (Version::V31, &[0x20, 2, 0, 5]),
        (Version::V311, &[0x20, 2, 0, 3]),
        (Version::V311, &[0x20, 2, 0, 5]),
        (Version::V5, &[0x20, 9, 0, 0x87, 6, 0x1f, 0, 3, b'n', b'o', b'!']),
    ];
    for (version, refusal) in refusals {
        let refusing =
            FakeBroker::start(Answer::Script(vec![Step::Packet, Step::Send(refusal.to_vec()), Step::Close]))?;
        let other = recorder(version)?;
        let nodes = [first("refusing", refusing.address()), last("other", other.address())];
        let mut site = Site::start(&spec(nodes, ""))?;
        for way in Way::BOTH {
            let mut device = device(&site, way, &connect(version))?;
            let found = wire::read_to_end(&mut device, wait::SOON);
            assert_eq!(found, (refusal.to_vec(), StreamEnd::Closed), "{version:?}, {way:?}");
            let source = device.local_address()?;
            drop(device);
            let line = site.access_line(way, source)?;
            let told = (&line["attempts"], &line["endpoint"], &line["end"]);
            assert_eq!(told, (&1.into(), &"refusing".into(), &"BrokerClosed".into()), "{line}");
        }
        assert_eq!(other.count(), 0, "{version:?}");
        site.wait_for_counter("streamgate_upstream_attempts_total", &[("route", ROUTE), ("reason", "Answered")], 2)?;
    }
    Ok(())
}
