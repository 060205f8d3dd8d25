//! What is known by the first bytes.

use super::*;

#[test]
fn any_other_packet_type_is_known_by_its_first_byte() {
    for first in (0x00..=0x0F).chain(0x20..=0xFF) {
        let (refusal, form, reason) = refused(&[first]);
        assert_eq!((refusal, form), (Refusal::NotConnect, None));
        assert!(reason.contains(&format!("0x{first:02X}")), "{reason}");
    }
    assert_eq!(refused(b"\xC0\x00").2, "the first packet is PINGREQ (first byte 0xC0), not CONNECT");
}

#[test]
fn flags_of_the_fixed_header_are_told_in_the_form_of_the_level() {
    for flags in 1..=15 {
        for (connect, form) in every_version().into_iter().skip(1) {
            let reason = malformed(&packet(0x10 | flags, connect.body()), form);
            assert!(reason.contains("fixed header"), "{reason}");
        }
    }
}

#[test]
fn a_remaining_length_of_five_bytes_is_malformed() {
    let reason = malformed(b"\x10\x80\x80\x80\x80\x01", None);
    assert_eq!(reason, "the remaining length is longer than four bytes");
    // Four bytes are enough to see it.
    malformed(b"\x10\xFF\xFF\xFF\xFF", None);
}

#[test]
fn a_remaining_length_of_more_bytes_than_it_needs_is_malformed() {
    for (connect, form) in every_version() {
        let body = connect.body();
        let length = u8::try_from(body.len()).unwrap();
        for padding in [&[0x00][..], &[0x80, 0x00], &[0x80, 0x80, 0x00]] {
            let bytes = [&[0x10, length | 0x80], padding, &body].concat();
            let reason = malformed(&bytes, form);
            assert!(reason.contains("more than it needs"), "{reason}");
        }
    }
}

#[test]
fn a_packet_that_ends_before_its_level_is_closed() {
    for body in [&b""[..], b"\0", b"\0\x04", b"\0\x04MQ", b"\0\x04MQTT", b"\0\x06MQTT", b"\0\x06MQIsdp"] {
        malformed(&packet(0x10, body), None);
    }
}

#[test]
fn another_protocol_name_is_closed_with_its_first_wrong_byte() {
    for start in [&b"\x01"[..], b"\0\0", b"\0\x05", b"\0\x04m", b"\0\x04MQTt", b"\0\x06MQT", b"\0\x06MQIsD"] {
        let bytes = [&b"\x10\x40"[..], start].concat();
        let (refusal, form, _) = refused(&bytes);
        assert_eq!((refusal, form), (Refusal::UnknownProtocolName, None), "{start:?}");
        let before = decode(NO_LIMIT, &bytes[..bytes.len() - 1]);
        assert!(matches!(before, Ok(Progress::NeedMore { .. })), "{start:?}");
    }
}

#[test]
fn tls_on_a_plain_listener_is_named() {
    let (refusal, _, reason) = refused(b"\x16\x03\x01\x02\0\x01\0\x01\xFC\x03\x03");
    assert_eq!(refusal, Refusal::UnknownProtocolName);
    assert!(reason.contains("TLS"), "{reason}");
}
