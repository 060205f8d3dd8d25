//! What a client is told that is turned away: every row of the table, by its exact bytes, read to the end.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use streamgate_tests::wire::{self, Connect, Packet, StreamEnd, Version};
use streamgate_tests::{broker, wait};

use super::site::{ALL_LEVELS, ROUTE, Site, Way, recorder, upstream};

mod client_id;
mod differential;
mod hostile;
mod malformed;

/// What a client gets before the end of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing.
    Nothing,
    /// The four bytes of MQTT 3.1 and 3.1.1, with this return code.
    Old(u8),
    /// The CONNACK of MQTT 5 with this reason code and nothing else.
    Bare(u8),
    /// The same with a Reason String.
    Sentence(u8),
}

impl Told {
    /// The code of MQTT 3.1 and 3.1.1 (none: nothing is said), or the one of MQTT 5.
    fn by_version(version: Version, old: Option<u8>, new: u8) -> Self {
        match version {
            Version::V5 => Self::Sentence(new),
            Version::V31 | Version::V311 => old.map_or(Self::Nothing, Self::Old),
        }
    }

    /// # Errors
    /// When the client got anything else than exactly this.
    pub(crate) fn check(self, bytes: &[u8]) -> Result<()> {
        let expected = match self {
            Self::Nothing => Vec::new(),
            Self::Old(code) => vec![0x20, 2, 0, code],
            Self::Bare(code) => vec![0x20, 3, 0, code, 0],
            Self::Sentence(code) => {
                let reason = reason_string(bytes).with_context(|| format!("no Reason String: {bytes:02x?}"))?;
                if reason.is_empty() || reason.contains(char::is_control) {
                    bail!("no sentence: {reason:?}");
                }
                with_reason(code, &reason)
            }
        };
        if bytes != expected {
            bail!("expected {self:?}, {expected:02x?}, but it was {bytes:02x?}");
        }
        Ok(())
    }
}

/// A CONNACK of MQTT 5 with a Reason String, put together anew.
fn with_reason(code: u8, reason: &str) -> Vec<u8> {
    let length = u16::try_from(reason.len()).unwrap_or(u16::MAX).to_be_bytes();
    let property = [&[0x1f], &length[..], reason.as_bytes()].concat();
    // A code and a length before a body are what begins a packet too.
    let code_and_properties = wire::packet(code, &property);
    wire::packet(0x20, &[&[0], &code_and_properties[..]].concat())
}

fn reason_string(bytes: &[u8]) -> Option<String> {
    let width = bytes.get(1..)?.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let packet = Packet { first_byte: *bytes.first()?, body: bytes.get(1 + width..)?.to_vec(), bytes: bytes.to_vec() };
    packet.reason_string()
}

/// Sends `bytes` on a new connection and reads to the end, which must come in order and after what is `told`.
///
/// Gives the client's address.
pub(crate) fn is_refused(site: &Site, way: Way, bytes: &[u8], told: Told) -> Result<SocketAddr> {
    let mut device = site.dial(way)?;
    device.write_all(bytes)?;
    device.flush()?;
    let (answer, end) = wire::read_to_end(&mut device, wait::SOON);
    told.check(&answer)?;
    if end != StreamEnd::Closed {
        bail!("the stream did not end in order, but as {end:?}");
    }
    Ok(device.local_address()?)
}

/// 64 KiB of packets, as a client may send them without waiting for its CONNACK.
fn pipelined(version: Version) -> Vec<u8> {
    [wire::subscribe(version, 1, "a/#", 1), wire::publish(version, "a/b", &vec![0x55; 64 << 10], 1, 2, false)].concat()
}

/// Each of these packets is refused 50 times in each way, whatever is pipelined behind it, and each time in the access log
/// and in the metrics as `end`.
fn are_refused_fifty_times(site: &Site, end: &str, route: &str, cases: &[(Vec<u8>, Told)]) -> Result<()> {
    let refused = cases.len() * ROUNDS;
    for way in Way::BOTH {
        for (index, (packet, told)) in cases.iter().enumerate() {
            let sent = [&packet[..], &pipelined(Version::V311)].concat();
            for round in 0..ROUNDS {
                is_refused(site, way, &sent, *told)
                    .with_context(|| format!("{end}, case {index}, {way:?}, round {round}"))?;
            }
        }
        let labels = [("listener", way.listener()), ("reason", end), ("route", route)];
        site.wait_for_counter("streamgate_connections_ended_total", &labels, refused as u64)?;
        let lines = site.access_lines(way, end, refused)?;
        assert_eq!(lines.len(), refused, "{end}, {way:?}");
        for line in lines {
            assert!(line["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{line}");
            assert_eq!(line["route"].as_str().unwrap_or(""), route, "{line}");
        }
    }
    Ok(())
}

/// How often each refusal is asked for: what is left to chance happens in one of so many.
const ROUNDS: usize = 50;
/// Nothing ever listens at this port, and only root could.
const REFUSING: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

fn every_version(old: Option<u8>, new: u8) -> Vec<(Vec<u8>, Told)> {
    let case = |version| (Connect::new(version, "sensor").bytes(), Told::by_version(version, old, new));
    Version::ALL.into_iter().map(case).collect()
}

#[test]
fn what_is_no_connect_is_closed_without_a_word() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let site = Site::before(&[broker.address()])?;
    let publish = wire::publish(Version::V311, "a/b", b"x", 0, 0, false);
    are_refused_fifty_times(&site, "NotConnect", ROUTE, &[(publish, Told::Nothing)])?;
    assert_eq!(broker.count(), 0);
    Ok(())
}

#[test]
fn an_unknown_protocol_name_is_closed_without_a_word() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let site = Site::before(&[broker.address()])?;
    let cases: Vec<_> = [(Version::V311, "HTTP"), (Version::V5, "mqtt"), (Version::V31, "MQIsdq")]
        .into_iter()
        .map(|(version, name)| (Connect::new(version, "sensor").protocol_name(name).bytes(), Told::Nothing))
        .collect();
    are_refused_fifty_times(&site, "UnknownProtocolName", ROUTE, &cases)?;
    assert_eq!(broker.count(), 0);
    Ok(())
}

#[test]
fn a_malformed_connect_is_closed_or_told_0x81() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let site = Site::before(&[broker.address()])?;
    let cases: Vec<_> = Version::ALL
        .into_iter()
        .map(|version| {
            let connect = Connect::new(version, "sensor").client_id_bytes(b"\xff");
            (connect.bytes(), Told::by_version(version, None, 0x81))
        })
        .collect();
    are_refused_fifty_times(&site, "MalformedConnect", ROUTE, &cases)?;
    assert_eq!(broker.count(), 0);
    Ok(())
}

#[test]
fn a_protocol_error_is_told_0x82() -> Result<()> {
    let broker = recorder(Version::V5)?;
    let site = Site::before(&[broker.address()])?;
    let with = |properties: &[u8]| Connect::new(Version::V5, "sensor").properties(properties).bytes();
    let cases = [(with(b"\x21\0\x09\x21\0\x09"), Told::Sentence(0x82)), (with(b"\x21\0\0"), Told::Sentence(0x82))];
    are_refused_fifty_times(&site, "ProtocolError", ROUTE, &cases)?;
    assert_eq!(broker.count(), 0);
    Ok(())
}

#[test]
fn a_level_that_is_not_served_is_told_in_its_own_form() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let site = Site::start(&format!("mqtt: {{protocolLevels: [4]}}\n{}", upstream(&[broker.address()])))?;
    let connect = |version| Connect::new(version, "sensor");
    let cases = [
        (connect(Version::V31).bytes(), Told::Old(0x01)),
        (connect(Version::V5).bytes(), Told::Sentence(0x84)),
        // How large a CONNACK it takes can't be known of a version that there isn't.
        (connect(Version::V5).level(6).bytes(), Told::Bare(0x84)),
        (connect(Version::V5).level(255).bytes(), Told::Bare(0x84)),
        (connect(Version::V311).level(2).bytes(), Told::Old(0x01)),
        // mosquitto's bridges.
        (connect(Version::V31).level(0x83).bytes(), Told::Old(0x01)),
        (connect(Version::V311).level(0x84).bytes(), Told::Old(0x01)),
    ];
    are_refused_fifty_times(&site, "UnsupportedLevel", ROUTE, &cases)?;
    assert_eq!(broker.count(), 0);
    Ok(())
}

#[test]
fn a_route_for_mqtt_5_refuses_the_older_versions() -> Result<()> {
    let broker = recorder(Version::V5)?;
    let site = Site::start(&format!("mqtt: {{protocolLevels: [5]}}\n{}", upstream(&[broker.address()])))?;
    let cases: Vec<_> = every_version(Some(0x01), 0x84).into_iter().take(2).collect();
    are_refused_fifty_times(&site, "UnsupportedLevel", ROUTE, &cases)
}

#[test]
fn an_empty_client_id_is_told_where_one_is_needed() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let nodes = upstream(&[broker.address()]);
    let site = Site::start(&format!("mqtt: {{protocolLevels: [3, 4, 5], clientId: {{policy: NonEmpty}}}}\n{nodes}"))?;
    let case = |version| (Connect::new(version, "").bytes(), Told::by_version(version, Some(0x02), 0x85));
    are_refused_fifty_times(&site, "ClientIdRequired", ROUTE, &Version::ALL.map(case))?;
    assert_eq!(broker.count(), 0);
    Ok(())
}

#[test]
fn a_client_id_that_is_not_the_certificates_is_told() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let nodes = upstream(&[broker.address()]);
    let site = Site::start(&format!(
        "mqtt: {{protocolLevels: [3, 4, 5], clientId: {{policy: MatchesCertificate}}}}\n{nodes}"
    ))?;
    are_refused_fifty_times(&site, "ClientIdMismatch", ROUTE, &every_version(Some(0x05), 0x87))?;
    assert_eq!(broker.count(), 0);
    Ok(())
}

#[test]
fn a_connect_that_is_too_large_is_closed_or_told_0x95() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let nodes = upstream(&[broker.address()]);
    let site = Site::start(&format!("mqtt: {{protocolLevels: [3, 4, 5], maxConnectSize: 100}}\n{nodes}"))?;
    let case = |version| {
        let connect = Connect::new(version, &"x".repeat(100));
        (connect.bytes(), Told::by_version(version, None, 0x95))
    };
    are_refused_fifty_times(&site, "ConnectTooLarge", ROUTE, &Version::ALL.map(case))?;
    assert_eq!(broker.count(), 0);
    Ok(())
}

#[test]
fn a_client_for_whom_there_is_no_route_is_told() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let elsewhere = "match: {sourceRanges: [192.0.2.0/24]}";
    let site = Site::start(&format!("{elsewhere}\n{ALL_LEVELS}\n{}", upstream(&[broker.address()])))?;
    are_refused_fifty_times(&site, "NoRoute", "", &every_version(Some(0x05), 0x87))?;
    assert_eq!(broker.count(), 0);
    Ok(())
}

#[test]
fn a_client_whose_brokers_are_all_away_is_told() -> Result<()> {
    let site = Site::before(&[REFUSING])?;
    are_refused_fifty_times(&site, "NoEndpoint", ROUTE, &every_version(Some(0x03), 0x88))
}

#[test]
fn a_client_that_has_ended_its_side_is_told_all_the_same() -> Result<()> {
    let site = Site::start(&format!("mqtt: {{protocolLevels: [4]}}\n{}", upstream(&[REFUSING])))?;
    for (connect, told) in [
        (Connect::new(Version::V5, "sensor"), Told::Sentence(0x84)),
        (Connect::new(Version::V31, "sensor"), Told::Old(0x01)),
        (Connect::new(Version::V311, "sensor"), Told::Old(0x03)),
    ] {
        for way in Way::ALL {
            let mut device = site.dial(way)?;
            device.write_all(&connect.bytes())?;
            device.end_sending()?;
            let (bytes, end) = wire::read_to_end(&mut device, wait::SOON);
            told.check(&bytes).with_context(|| format!("{way:?}"))?;
            assert_eq!(end, StreamEnd::Closed, "{way:?}");
        }
    }
    Ok(())
}

/// What a client goes on sending is read and dropped, though it comes long after the refusal.
#[test]
fn a_client_that_goes_on_sending_reads_its_refusal_to_the_end() -> Result<()> {
    let site = Site::start(&format!("mqtt: {{protocolLevels: [4]}}\n{}", upstream(&[REFUSING])))?;
    let publish = wire::publish(Version::V5, "a/b", &vec![0x55; 64 << 10], 0, 0, false);
    for way in Way::ALL {
        let mut device = site.dial(way)?;
        let source = device.local_address()?;
        device.write_all(&Connect::new(Version::V5, "sensor").bytes())?;
        // 6 MiB in pieces, before the first byte of the answer is read.
        for _ in 0..100 {
            device.write_all(&publish).with_context(|| format!("{way:?}"))?;
        }
        device.flush()?;
        let (bytes, end) = wire::read_to_end(&mut device, wait::SOON);
        Told::Sentence(0x84).check(&bytes)?;
        assert_eq!(end, StreamEnd::Closed, "{way:?}, {source}");
    }
    Ok(())
}

#[test]
fn a_refusal_is_read_to_its_end_under_tls_1_2_too() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let site = Site::start(&format!("mqtt: {{protocolLevels: [4]}}\n{}", upstream(&[broker.address()])))?;
    let sent = [Connect::new(Version::V5, "sensor").bytes(), pipelined(Version::V5)].concat();
    for _ in 0..ROUNDS {
        is_refused(&site, Way::Tls12, &sent, Told::Sentence(0x84))?;
    }
    Ok(())
}

/// The Reason String is sent while the CONNACK is at most as large as the client takes.
fn keeps_to_the_maximum_packet_size(spec: &str, code: u8, client_id: &str) -> Result<()> {
    let site = Site::start(spec)?;
    let connect = |size: u32| {
        let property = [&[0x27], &size.to_be_bytes()[..]].concat();
        Connect::new(Version::V5, client_id).properties(&property).bytes()
    };
    for way in Way::BOTH {
        let mut device = site.dial(way)?;
        device.write_all(&Connect::new(Version::V5, client_id).bytes())?;
        device.flush()?;
        let (whole, _) = wire::read_to_end(&mut device, wait::SOON);
        Told::Sentence(code).check(&whole)?;
        let size = u32::try_from(whole.len())?;
        for (size, told) in [
            (u32::MAX, Told::Sentence(code)),
            (size, Told::Sentence(code)),
            (size - 1, Told::Bare(code)),
            (5, Told::Bare(code)),
            (4, Told::Nothing),
        ] {
            is_refused(&site, way, &connect(size), told).with_context(|| format!("{way:?}, at most {size} bytes"))?;
        }
    }
    Ok(())
}

#[test]
fn the_sentence_of_a_level_is_left_out_for_a_client_of_small_packets() -> Result<()> {
    let spec = format!("mqtt: {{protocolLevels: [4]}}\n{}", upstream(&[REFUSING]));
    keeps_to_the_maximum_packet_size(&spec, 0x84, "sensor")
}

#[test]
fn the_sentence_of_a_client_id_is_left_out_for_a_client_of_small_packets() -> Result<()> {
    let policy = |policy: &str| format!("mqtt: {{clientId: {{policy: {policy}}}}}\n{}", upstream(&[REFUSING]));
    keeps_to_the_maximum_packet_size(&policy("NonEmpty"), 0x85, "")?;
    keeps_to_the_maximum_packet_size(&policy("MatchesCertificate"), 0x87, "sensor")
}

#[test]
fn the_sentence_of_a_route_is_left_out_for_a_client_of_small_packets() -> Result<()> {
    let spec = format!("match: {{sourceRanges: [192.0.2.0/24]}}\n{}", upstream(&[REFUSING]));
    keeps_to_the_maximum_packet_size(&spec, 0x87, "sensor")
}

#[test]
fn the_sentence_of_an_endpoint_is_left_out_for_a_client_of_small_packets() -> Result<()> {
    keeps_to_the_maximum_packet_size(&upstream(&[REFUSING]), 0x88, "sensor")
}

#[test]
fn the_sentence_of_a_size_is_left_out_for_a_client_of_small_packets() -> Result<()> {
    let spec = format!("mqtt: {{maxConnectSize: 64}}\n{}", upstream(&[REFUSING]));
    keeps_to_the_maximum_packet_size(&spec, 0x95, &"x".repeat(64))
}

#[test]
fn the_sentence_for_the_client_names_no_broker() -> Result<()> {
    let away = broker::free_address(REFUSING.ip())?;
    let site = Site::before(&[REFUSING, away])?;
    let mut device = site.dial(Way::Plain)?;
    let answer = wire::connack(&mut device, &Connect::new(Version::V5, "sensor"))?;
    let reason = answer.reason_string().context("a Reason String")?;
    for secret in ["127.0.0.1", "broker-", "refused"] {
        assert!(!reason.to_lowercase().contains(secret), "{reason}");
    }
    Ok(())
}
