//! A CONNECT reaches the broker byte for byte, however it arrives and whatever it carries.

use std::io::Write;

use anyhow::{Context, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use streamgate_tests::fake_broker::{Answer, FakeBroker};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, StreamEnd, Version};

use super::site::{ALL_LEVELS, SERVER_NAME, Site, Way, recorder, upstream};

/// With a will, a user name and a password, and in MQTT 5 with every property that there is.
pub(crate) fn with_everything(version: Version, client_id: &str) -> Connect {
    let connect = Connect::new(version, client_id).clean(false).keep_alive(300).username("user").password(b"\0\xff");
    if version == Version::V5 {
        connect.properties(&every_property()).will_with_properties("t/1", b"\0gone", 2, true, &every_will_property())
    } else {
        connect.will("t/1", b"\0gone", 2, true)
    }
}

fn every_property() -> Vec<u8> {
    let properties: [&[u8]; 10] = [
        b"\x11\0\0\x0e\x10",
        b"\x21\0\x14",
        b"\x27\0\0\x03\xe8",
        b"\x22\0\x05",
        b"\x19\x01",
        b"\x17\x01",
        b"\x26\0\x01a\0\x011",
        b"\x26\0\x01a\0\x012",
        b"\x15\0\x05SCRAM",
        b"\x16\0\x02\0\xff",
    ];
    properties.concat()
}

fn every_will_property() -> Vec<u8> {
    let properties: [&[u8]; 7] = [
        b"\x18\0\0\0\x1e",
        b"\x01\0",
        b"\x02\0\0\x0e\x10",
        b"\x03\0\x04text",
        b"\x08\0\x01r",
        b"\x09\0\x02\0\xff",
        b"\x26\0\x01b\0\x013",
    ];
    properties.concat()
}

/// Sends the CONNECT and is let in.
fn is_let_in(device: &mut impl Peer, connect: &[u8]) -> Result<()> {
    device.write_all(connect)?;
    device.flush()?;
    reads_accepting(device)
}

fn reads_accepting(device: &mut impl Peer) -> Result<()> {
    let answer = wire::read_packet(device, wait::SOON)?;
    assert_eq!(answer.code(), Some(0), "{answer:02x?}");
    Ok(())
}

/// What the broker got, in the order of the bytes: connections arrive in any.
fn received(broker: &FakeBroker, expected: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    broker.wait_for_connections(expected.len())?;
    let least = expected.iter().map(Vec::len).min().unwrap_or(0);
    let mut all = Vec::new();
    for index in 0..expected.len() {
        all.push(broker.wait_for_bytes(index, least, wait::SOON)?);
    }
    all.sort();
    Ok(all)
}

#[test]
fn a_connect_of_every_version_with_everything_in_it_arrives_as_it_was_sent() -> Result<()> {
    for version in Version::ALL {
        let broker = recorder(version)?;
        let site = Site::before(&[broker.address()])?;
        for (index, way) in Way::ALL.into_iter().enumerate() {
            let connect = with_everything(version, "sensor").bytes();
            let mut device = site.dial(way)?;
            is_let_in(&mut device, &connect).with_context(|| format!("{version:?} {way:?}"))?;
            assert_eq!(broker.wait_for_bytes(index, connect.len(), wait::SOON)?, connect, "{version:?} {way:?}");
        }
    }
    Ok(())
}

/// One connection for each cut; all first halves are sent before any second one, so that the proxy meets them apart.
fn cut_at_every_byte(version: Version, way: Way) -> Result<()> {
    let broker = recorder(version)?;
    let site = Site::before(&[broker.address()])?;
    let length = with_everything(version, "cut-000").bytes().len();
    let connects: Vec<_> = (1..length).map(|cut| with_everything(version, &format!("cut-{cut:03}")).bytes()).collect();
    let mut devices = Vec::new();
    for (connect, cut) in connects.iter().zip(1..) {
        let mut device = site.dial(way)?;
        device.write_all(&connect[..cut])?;
        device.flush()?;
        devices.push(device);
    }
    for ((connect, cut), device) in connects.iter().zip(1..).zip(&mut devices) {
        device.write_all(&connect[cut..])?;
        device.flush()?;
    }
    for (device, cut) in devices.iter_mut().zip(1..) {
        reads_accepting(device).with_context(|| format!("cut after {cut} bytes"))?;
    }
    let mut connects = connects;
    connects.sort();
    assert_eq!(received(&broker, &connects)?, connects);
    Ok(())
}

#[test]
fn a_connect_of_mqtt_3_1_may_be_cut_at_every_byte() -> Result<()> {
    cut_at_every_byte(Version::V31, Way::Plain)
}

#[test]
fn a_connect_of_mqtt_3_1_1_may_be_cut_at_every_byte() -> Result<()> {
    cut_at_every_byte(Version::V311, Way::Plain)
}

#[test]
fn a_connect_of_mqtt_5_may_be_cut_at_every_byte() -> Result<()> {
    cut_at_every_byte(Version::V5, Way::Plain)
}

#[test]
fn a_connect_of_mqtt_3_1_may_be_cut_at_every_byte_into_two_tls_records() -> Result<()> {
    cut_at_every_byte(Version::V31, Way::Tls13)
}

#[test]
fn a_connect_of_mqtt_3_1_1_may_be_cut_at_every_byte_into_two_tls_records() -> Result<()> {
    cut_at_every_byte(Version::V311, Way::Tls12)
}

#[test]
fn a_connect_of_mqtt_5_may_be_cut_at_every_byte_into_two_tls_records() -> Result<()> {
    cut_at_every_byte(Version::V5, Way::Tls13)
}

#[test]
fn a_connect_may_come_byte_by_byte() -> Result<()> {
    for version in Version::ALL {
        let broker = recorder(version)?;
        let site = Site::before(&[broker.address()])?;
        for (index, way) in Way::ALL.into_iter().enumerate() {
            let connect = with_everything(version, "sensor").bytes();
            let mut device = site.dial(way)?;
            for byte in &connect {
                device.write_all(std::slice::from_ref(byte))?;
                device.flush()?;
            }
            reads_accepting(&mut device).with_context(|| format!("{version:?} {way:?}"))?;
            assert_eq!(broker.wait_for_bytes(index, connect.len(), wait::SOON)?, connect, "{version:?} {way:?}");
        }
    }
    Ok(())
}

/// The CONNECT with a SUBSCRIBE and messages behind it: more than a buffer is likely to hold.
fn with_packets_behind(version: Version, connect: &Connect) -> Vec<u8> {
    let mut bytes = connect.bytes();
    bytes.extend(wire::subscribe(version, 1, "a/#", 1));
    for payload in [&b"x"[..], &vec![0x55; 40_000], &vec![0xaa; 70_000], b""] {
        bytes.extend(wire::publish(version, "a/b", payload, 1, 2, false));
    }
    bytes.extend(wire::PINGREQ);
    bytes
}

#[test]
fn what_follows_a_connect_in_the_same_segment_arrives_behind_it() -> Result<()> {
    for version in Version::ALL {
        let broker = recorder(version)?;
        let site = Site::before(&[broker.address()])?;
        for (index, way) in Way::ALL.into_iter().enumerate() {
            let all = with_packets_behind(version, &with_everything(version, "sensor"));
            let mut device = site.dial(way)?;
            is_let_in(&mut device, &all).with_context(|| format!("{version:?} {way:?}"))?;
            device.end_sending()?;
            broker.wait_for_end(index, wait::SOON)?;
            assert!(broker.received(index) == all, "{version:?} {way:?}: not what was sent");
        }
    }
    Ok(())
}

#[test]
fn what_follows_in_the_same_segment_may_end_anywhere() -> Result<()> {
    let broker = recorder(Version::V5)?;
    let site = Site::before(&[broker.address()])?;
    let connect = with_everything(Version::V5, "sensor").bytes();
    let behind = [wire::subscribe(Version::V5, 1, "a/#", 1), wire::PINGREQ.to_vec()].concat();
    for (index, cut) in (0..=behind.len()).enumerate() {
        let mut device = site.dial(Way::BOTH[cut % 2])?;
        is_let_in(&mut device, &[&connect, &behind[..cut]].concat())?;
        device.write_all(&behind[cut..])?;
        device.end_sending()?;
        broker.wait_for_end(index, wait::SOON)?;
        assert_eq!(broker.received(index), [&connect[..], &behind].concat(), "cut after {cut} bytes");
    }
    Ok(())
}

/// A CONNECT of exactly this many bytes; the password fills it up.
fn of_size(version: Version, bytes: usize) -> Vec<u8> {
    let empty = Connect::new(version, "sensor").username("user").password(b"").bytes().len();
    let mut length = bytes - empty;
    loop {
        let connect = Connect::new(version, "sensor").username("user").password(&vec![b'x'; length]).bytes();
        // The packet's own length takes more bytes as it grows.
        match connect.len() - bytes {
            0 => return connect,
            over => length -= over,
        }
    }
}

/// What a client of this version is told of a CONNECT that is too large: the code, if anything.
fn too_large(version: Version) -> Option<u8> {
    (version == Version::V5).then_some(0x95)
}

fn limit_is_kept(mqtt: &str, limit: usize) -> Result<()> {
    for version in Version::ALL {
        let broker = recorder(version)?;
        let site = Site::start(&format!("{mqtt}\n{}", upstream(&[broker.address()])))?;
        for (index, way) in Way::ALL.into_iter().enumerate() {
            let connect = of_size(version, limit);
            let mut device = site.dial(way)?;
            is_let_in(&mut device, &connect).with_context(|| format!("{version:?} {way:?}"))?;
            assert!(broker.wait_for_bytes(index, limit, wait::SOON)? == connect, "{version:?} {way:?}");
        }
        for way in Way::ALL {
            let mut device = site.dial(way)?;
            device.write_all(&of_size(version, limit + 1))?;
            device.flush()?;
            let (bytes, end) = wire::read_to_end(&mut device, wait::SOON);
            assert_eq!((bytes.get(3).copied(), end), (too_large(version), StreamEnd::Closed), "{version:?} {way:?}");
        }
        assert_eq!(broker.count(), Way::ALL.len(), "a CONNECT that was too large reached the broker");
    }
    Ok(())
}

#[test]
fn a_connect_may_be_as_large_as_the_route_says_and_no_larger() -> Result<()> {
    limit_is_kept("mqtt: {protocolLevels: [3, 4, 5], maxConnectSize: 1000}", 1000)
}

#[test]
fn a_connect_may_have_64_kibibytes_where_nothing_is_said() -> Result<()> {
    limit_is_kept(ALL_LEVELS, 64 << 10)
}

#[test]
fn a_route_may_allow_a_connect_of_a_megabyte() -> Result<()> {
    let broker = recorder(Version::V5)?;
    let spec = format!("mqtt: {{maxConnectSize: 1Mi}}\n{}", upstream(&[broker.address()]));
    let site = Site::start(&spec)?;
    let user_property = [&b"\x26\0\x01a\xff\xff"[..], &vec![b'x'; 65535]].concat();
    let connect = Connect::new(Version::V5, "sensor").properties(&user_property.repeat(15)).bytes();
    assert!((900_000..1 << 20).contains(&connect.len()));
    for (index, way) in Way::BOTH.into_iter().enumerate() {
        let mut device = site.dial(way)?;
        is_let_in(&mut device, &connect)?;
        assert!(broker.wait_for_bytes(index, connect.len(), wait::SOON)? == connect, "{way:?}");
    }
    Ok(())
}

/// Completes the handshake with `bytes` in the segment of the client's Finished, and gives the connection.
fn handshake_with(site: &Site, way: Way, bytes: &[u8]) -> Result<Box<dyn Peer>> {
    let mut socket = wire::connect_tcp(site.proxy.address("mqtts"))?;
    socket.set_read_timeout(Some(wait::SOON))?;
    let client = site.tls_client(way).context("a way with TLS")?;
    let mut connection = ClientConnection::new(client.config(), ServerName::try_from(SERVER_NAME)?)?;
    // rustls keeps it until the handshake is done on this side, and then sends it with its last flight.
    connection.writer().write_all(bytes)?;
    loop {
        let mut flight = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut flight)?;
        }
        socket.write_all(&flight)?;
        if !connection.is_handshaking() {
            return Ok(Box::new(StreamOwned::new(connection, socket)));
        }
        connection.read_tls(&mut socket)?;
        connection.process_new_packets()?;
    }
}

#[test]
fn a_connect_may_come_in_the_segment_of_the_clients_finished() -> Result<()> {
    for (index, version) in Version::ALL.into_iter().enumerate() {
        let broker = recorder(version)?;
        let site = Site::before(&[broker.address()])?;
        let connect = with_everything(version, &format!("sensor-{index}")).bytes();
        let all = [&connect[..], &wire::subscribe(version, 1, "a/#", 1)].concat();
        // The second one resumes: in TLS 1.2 only then the client's Finished is the last.
        for round in 0..2 {
            for way in [Way::Tls12, Way::Tls13] {
                let mut device = handshake_with(&site, way, &all)?;
                reads_accepting(&mut device).with_context(|| format!("{version:?} {way:?}, round {round}"))?;
            }
        }
        assert_eq!(received(&broker, &vec![all.clone(); 4])?, vec![all; 4]);
    }
    Ok(())
}

/// The records of a TLS client's CONNECT, the TCP segments cutting them where they like.
#[test]
fn a_tls_record_may_come_byte_by_byte() -> Result<()> {
    for way in [Way::Tls12, Way::Tls13] {
        let broker = recorder(Version::V5)?;
        let site = Site::before(&[broker.address()])?;
        let mut socket = wire::connect_tcp(site.proxy.address("mqtts"))?;
        let mut device = site.tls_client(way).context("TLS")?.handshake(socket.try_clone()?)?;
        let connect = with_everything(Version::V5, "sensor").bytes();
        device.conn.writer().write_all(&connect)?;
        let mut records = Vec::new();
        while device.conn.wants_write() {
            device.conn.write_tls(&mut records)?;
        }
        for byte in &records {
            socket.write_all(std::slice::from_ref(byte))?;
        }
        reads_accepting(&mut device)?;
        assert_eq!(broker.wait_for_bytes(0, connect.len(), wait::SOON)?, connect, "{way:?}");
    }
    Ok(())
}

#[test]
fn a_client_may_end_its_side_with_its_connect_and_is_answered() -> Result<()> {
    for version in Version::ALL {
        let broker = recorder(version)?;
        let site = Site::before(&[broker.address()])?;
        for (index, way) in Way::ALL.into_iter().enumerate() {
            let connect = with_everything(version, "sensor").bytes();
            let mut device = site.dial(way)?;
            device.write_all(&connect)?;
            device.end_sending()?;
            broker.wait_for_end(index, wait::SOON)?;
            assert_eq!(broker.received(index), connect, "{version:?} {way:?}");
            let answer = wire::read_to_end(&mut device, wait::SOON);
            assert_eq!(answer, (wire::accepting(version).to_vec(), StreamEnd::Closed), "{version:?} {way:?}");
        }
    }
    Ok(())
}

#[test]
fn a_client_that_leaves_within_its_connect_is_not_passed_on() -> Result<()> {
    let broker = recorder(Version::V5)?;
    let mut site = Site::before(&[broker.address()])?;
    let connect = with_everything(Version::V5, "sensor").bytes();
    for cut in [0, 1, 2, 9, 20, connect.len() - 1] {
        for way in Way::ALL {
            let mut device = site.dial(way)?;
            device.write_all(&connect[..cut])?;
            device.end_sending()?;
            let end = wire::read_to_end(&mut device, wait::SOON);
            assert_eq!(end, (Vec::new(), StreamEnd::Closed), "after {cut} bytes, {way:?}");
            let source = device.local_address()?;
            drop(device);
            let line = site.access_line(way, source)?;
            assert_eq!(line["end"], "ClosedBeforeConnect", "after {cut} bytes, {way:?}: {line}");
            assert_eq!(line["received_bytes"], cut, "{way:?}: {line}");
        }
    }
    assert_eq!(broker.count(), 0);
    Ok(())
}

#[test]
fn a_finished_without_a_word_behind_it_leaves_the_client_time_for_its_connect() -> Result<()> {
    let broker = FakeBroker::start(Answer::Bytes(wire::CONNACK_V311.to_vec()))?;
    let site = Site::before(&[broker.address()])?;
    let mut device = handshake_with(&site, Way::Tls13, b"")?;
    is_let_in(&mut device, &Connect::new(Version::V311, "sensor").bytes())
}
