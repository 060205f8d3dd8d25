//! What a CONNECT can have wrong in it, over real sockets: each once in plaintext and once under TLS.

use anyhow::{Context, Result};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use super::{Told, is_refused};
use crate::site::{Site, Way, recorder};

/// Each of these is refused as `end`, and nothing of it reaches the broker.
fn are_refused(end: &str, cases: &[(&str, Vec<u8>, Told)]) -> Result<()> {
    let broker = recorder(Version::V5)?;
    let mut site = Site::before(&[broker.address()])?;
    for (what, bytes, told) in cases {
        for way in Way::BOTH {
            let source = is_refused(&site, way, bytes, *told).with_context(|| format!("{what}, {way:?}"))?;
            assert_eq!(site.access_line(way, source)?["end"], end, "{what}, {way:?}");
        }
    }
    assert_eq!(broker.count(), 0);
    Ok(())
}

/// The same mistake in versions that know it; `connect` makes it.
fn in_versions<'a>(
    what: &'a str,
    versions: &[Version],
    connect: impl Fn(Connect) -> Vec<u8>,
) -> Vec<(&'a str, Vec<u8>, Told)> {
    let case =
        |version: &Version| (what, connect(Connect::new(*version, "sensor")), Told::by_version(*version, None, 0x81));
    versions.iter().map(case).collect()
}

const FROM_3_1_1: [Version; 2] = [Version::V311, Version::V5];

#[test]
fn every_other_packet_type_may_come_first_and_is_closed() -> Result<()> {
    let packets: Vec<_> = (0..=15_u8)
        .filter(|kind| *kind != 1)
        .flat_map(|kind| [vec![kind << 4, 0], wire::packet(kind << 4 | 0x02, b"\0\x04MQTT\x04\x02\0\x3c\0\0")])
        .map(|bytes| ("another packet", bytes, Told::Nothing))
        .collect();
    are_refused("NotConnect", &packets)
}

#[test]
fn flags_that_contradict_each_other_are_malformed() -> Result<()> {
    let flags = |flags: u8| move |connect: Connect| connect.flags(flags).bytes();
    let will = |flags: u8| move |connect: Connect| connect.will("t", b"p", 0, false).flags(flags).bytes();
    let cases = [
        in_versions("the reserved flag", &FROM_3_1_1, flags(0x03)),
        in_versions("a will QoS without a will", &FROM_3_1_1, flags(0x0a)),
        in_versions("will retain without a will", &FROM_3_1_1, flags(0x22)),
        in_versions("will QoS 3", &Version::ALL, will(0x1e)),
        in_versions("a will that is not there", &Version::ALL, flags(0x06)),
        in_versions("a user name that is not there", &FROM_3_1_1, flags(0x82)),
        in_versions("a user name that is not announced", &Version::ALL, |connect| {
            connect.username("u").flags(0x02).bytes()
        }),
        in_versions("a password without a user name", &[Version::V31, Version::V311], |connect| {
            connect.password(b"p").bytes()
        }),
    ];
    are_refused("MalformedConnect", &cases.concat())
}

#[test]
fn lengths_that_lie_are_malformed() -> Result<()> {
    // The packet's length is one more or less than its fields have.
    let one_more = |connect: Connect| [&connect.bytes()[..], b"x"].concat();
    let lying = |change: fn(u8) -> u8, bytes: fn(Connect) -> Vec<u8>| {
        move |connect: Connect| {
            let mut bytes = bytes(connect);
            bytes[1] = change(bytes[1]);
            bytes
        }
    };
    let client_id = |connect: Connect| {
        let mut bytes = connect.bytes();
        let at = bytes.len() - "sensor".len() - 2;
        bytes[at] = 0xff;
        bytes
    };
    let properties = |length: &[u8]| {
        let body = [&b"\0\x04MQTT\x05\x02\0\x3c"[..], length, b"\0\x06sensor"].concat();
        wire::packet(0x10, &body)
    };
    let five = |what, length: &[u8]| (what, properties(length), Told::Sentence(0x81));
    let cases = [
        in_versions(
            "a packet of one byte more",
            &Version::ALL,
            lying(|length| length + 1, |c| [&c.bytes()[..], b"x"].concat()),
        ),
        in_versions("a packet of one byte less", &Version::ALL, lying(|length| length - 1, |c| c.bytes())),
        in_versions("a client id past the end", &Version::ALL, client_id),
        vec![
            five("properties past the end", b"\x20"),
            five("a property length of five bytes", b"\x80\x80\x80\x80\x01"),
            five("a property length of more bytes than it needs", b"\x80\x00"),
            ("a packet length of five bytes", b"\x10\x80\x80\x80\x80\x01\0\x04MQTT".to_vec(), Told::Nothing),
            ("an empty packet", vec![0x10, 0], Told::Nothing),
            ("a packet that ends in its protocol name", wire::packet(0x10, b"\0\x04MQ"), Told::Nothing),
            ("a property that passes their end", properties(b"\x02\x21\0"), Told::Sentence(0x81)),
        ],
    ];
    // That alone is none: what follows a packet is another.
    let broker = recorder(Version::V311)?;
    let site = Site::before(&[broker.address()])?;
    let mut device = site.dial(Way::Plain)?;
    device.write_all(&one_more(Connect::new(Version::V311, "sensor")))?;
    assert_eq!(wire::read_packet(&mut device, wait::SOON)?.code(), Some(0));
    are_refused("MalformedConnect", &cases.concat())
}

#[test]
fn flags_of_the_fixed_header_and_lengths_longer_than_they_need_are_malformed() -> Result<()> {
    let header = |first: u8| {
        move |connect: Connect| {
            let mut bytes = connect.bytes();
            bytes[0] = first;
            bytes
        }
    };
    let longer = |connect: Connect| {
        let mut bytes = connect.bytes();
        bytes[1] |= 0x80;
        bytes.insert(2, 0);
        bytes
    };
    let cases = [
        in_versions("a flag of the fixed header", &FROM_3_1_1, header(0x11)),
        in_versions("all flags of the fixed header", &FROM_3_1_1, header(0x1f)),
        in_versions("a packet length of more bytes than it needs", &Version::ALL, longer),
    ];
    are_refused("MalformedConnect", &cases.concat())
}

#[test]
fn texts_that_are_no_text_are_malformed() -> Result<()> {
    let mut cases = Vec::new();
    for (what, text) in [
        ("no UTF-8", &b"a\xff"[..]),
        ("half a character", b"\xc3"),
        ("an overlong slash", b"\xc0\xaf"),
        ("an overlong U+0000", b"\xc0\x80"),
        ("U+0000", b"a\0b"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("a pair of surrogates", b"\xed\xa0\xbd\xed\xb8\x80"),
        ("a character past U+10FFFF", b"\xf4\x90\x80\x80"),
    ] {
        cases.extend(in_versions(what, &Version::ALL, |connect| connect.client_id_bytes(text).bytes()));
        let length = u8::try_from(text.len())?;
        let property = [&[0x15, 0, length], text].concat();
        cases.extend(in_versions(what, &[Version::V5], |connect| connect.properties(&property).bytes()));
        let property = [&[0x03, 0, length], text].concat();
        cases.extend(in_versions(what, &[Version::V5], |connect| {
            connect.will_with_properties("t", b"", 0, false, &property).bytes()
        }));
    }
    are_refused("MalformedConnect", &cases)
}

#[test]
fn properties_that_may_not_be_there_are_malformed() -> Result<()> {
    let with = |properties: &'static [u8]| move |connect: Connect| connect.properties(properties).bytes();
    let cases = [
        in_versions("no property", &[Version::V5], with(b"\x7f\0")),
        in_versions("a property of a CONNACK", &[Version::V5], with(b"\x12\0\x01a")),
        in_versions("a property of a will", &[Version::V5], with(b"\x18\0\0\0\x01")),
        in_versions("an identifier of two bytes", &[Version::V5], with(b"\xa6\0\0\x01a\0\x01b")),
        in_versions("a property of the CONNECT in the will", &[Version::V5], |connect| {
            connect.will_with_properties("t", b"", 0, false, b"\x21\0\x01").bytes()
        }),
    ];
    are_refused("MalformedConnect", &cases.concat())
}

#[test]
fn properties_that_say_what_may_not_be_are_protocol_errors() -> Result<()> {
    let cases: Vec<_> = [
        ("Receive Maximum 0", &b"\x21\0\0"[..]),
        ("Maximum Packet Size 0", b"\x27\0\0\0\0"),
        ("Request Problem Information 2", b"\x17\x02"),
        ("Request Response Information 2", b"\x19\x02"),
        ("Authentication Data without a method", b"\x16\0\x01a"),
        ("Session Expiry Interval twice", b"\x11\0\0\0\0\x11\0\0\0\0"),
        ("Topic Alias Maximum twice", b"\x22\0\0\x22\0\0"),
    ]
    .into_iter()
    .map(|(what, properties)| {
        let connect = Connect::new(Version::V5, "sensor").properties(properties);
        (what, connect.bytes(), Told::Sentence(0x82))
    })
    .collect();
    are_refused("ProtocolError", &cases)?;
    let will = Connect::new(Version::V5, "sensor").will_with_properties("t", b"", 0, false, b"\x01\0\x01\0");
    are_refused("ProtocolError", &[("Payload Format Indicator twice", will.bytes(), Told::Sentence(0x82))])
}
