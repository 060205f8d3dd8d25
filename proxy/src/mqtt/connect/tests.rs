//! What a CONNECT may be, rule by rule. Every refusal here is asked for twice: of the bytes as a whole and of
//! the same bytes one by one.

use super::*;
use crate::mqtt::packets::{ConnectPacket, packet, property, variable_byte_integer};
use crate::mqtt::reason::MaximumPacketSize;

mod fragments;

const NO_LIMIT: ConnectLimits = ConnectLimits { max_packet_bytes: usize::MAX, levels: LevelSet::ALL };

const ABSENT: Option<Form> = Some(Form::V5(MaximumPacketSize::Absent));
const UNKNOWN: Option<Form> = Some(Form::V5(MaximumPacketSize::Unknown));

fn known(bytes: u32) -> Form {
    Form::V5(MaximumPacketSize::Known(bytes))
}

fn at_most(max_packet_bytes: usize) -> ConnectLimits {
    ConnectLimits { max_packet_bytes, ..NO_LIMIT }
}

fn serving(levels: &[u8]) -> ConnectLimits {
    ConnectLimits { levels: LevelSet::new(levels), ..NO_LIMIT }
}

/// Decodes the bytes at once.
fn decode(limits: ConnectLimits, bytes: &[u8]) -> Result<Progress, ConnectError> {
    ConnectDecoder::new(limits).decode(bytes)
}

/// Decodes the bytes as they come one by one, to the first verdict; and how many bytes that took.
fn decode_one_by_one(limits: ConnectLimits, bytes: &[u8]) -> (usize, Result<Progress, ConnectError>) {
    let mut decoder = ConnectDecoder::new(limits);
    for cut in 0..bytes.len() {
        let progress = decoder.decode(&bytes[..cut]);
        if !matches!(progress, Ok(Progress::NeedMore { .. })) {
            return (cut, progress);
        }
    }
    (bytes.len(), decoder.decode(bytes))
}

/// The error is the same but for what is known of the Maximum Packet Size.
fn same_verdict(whole: &Result<Progress, ConnectError>, pieces: &Result<Progress, ConnectError>) -> bool {
    match (whole, pieces) {
        (Err(whole), Err(pieces)) => {
            let same_form = match (whole.form, pieces.form) {
                (Some(Form::V5(_)), Some(Form::V5(_))) => true,
                (whole, pieces) => whole == pieces,
            };
            same_form && whole.refusal == pieces.refusal && whole.reason == pieces.reason
        }
        (whole, pieces) => whole == pieces,
    }
}

fn refused_by(limits: ConnectLimits, bytes: &[u8]) -> ConnectError {
    let whole = decode(limits, bytes);
    let (_, pieces) = decode_one_by_one(limits, bytes);
    assert!(same_verdict(&whole, &pieces), "{whole:?}\n{pieces:?}");
    whole.expect_err("to be refused")
}

/// Without limits, and as what a test compares.
fn refused(bytes: &[u8]) -> (Refusal, Option<Form>, String) {
    let error = refused_by(NO_LIMIT, bytes);
    (error.refusal, error.form, error.reason)
}

/// That the packet is malformed, and why.
fn malformed(bytes: &[u8], form: Option<Form>) -> String {
    let (refusal, found, reason) = refused(bytes);
    assert_eq!((refusal, found), (Refusal::MalformedConnect, form), "{reason}");
    reason
}

/// A decoder that has seen it all.
fn accepted(bytes: &[u8]) -> ConnectDecoder {
    let mut decoder = ConnectDecoder::new(NO_LIMIT);
    let packet_len = bytes.len();
    assert_eq!(decoder.decode(bytes), Ok(Progress::Complete { packet_len }));
    decoder
}

fn every_version() -> [(ConnectPacket, Option<Form>); 3] {
    [(ConnectPacket::v3_1(), Some(Form::V3)), (ConnectPacket::v3_1_1(), Some(Form::V3)), (ConnectPacket::v5(), ABSENT)]
}

mod valid {
    use super::*;

    #[test]
    fn a_connect_of_mqtt_3_1() {
        let bytes = b"\x10\x14\0\x06MQIsdp\x03\x02\0\x3C\0\x06device";
        assert_eq!(ConnectPacket::v3_1().bytes(), bytes);
        let expected = Connect {
            packet: bytes,
            level: Level::V3_1,
            clean_start: true,
            keep_alive_seconds: 60,
            client_id: "device",
            username: None,
            password: None,
            has_will: false,
            maximum_packet_size: None,
        };
        assert_eq!(accepted(bytes).connect(bytes), Some(expected));
    }

    #[test]
    fn a_connect_of_mqtt_3_1_1_with_everything() {
        let bytes = b"\x10\x2D\0\x04MQTT\x04\xEC\x01\x02\0\x06device\
            \0\x04will\0\x05\xFFgone\0\x04user\0\x06\0\xFFpass";
        let built = ConnectPacket::v3_1_1()
            .clean_start(false)
            .keep_alive_seconds(258)
            .will("will", b"\xFFgone")
            .username("user")
            .password(b"\0\xFFpass");
        assert_eq!(built.bytes(), bytes);
        let expected = Connect {
            packet: bytes,
            level: Level::V3_1_1,
            clean_start: false,
            keep_alive_seconds: 258,
            client_id: "device",
            username: Some("user"),
            password: Some(b"\0\xFFpass"),
            has_will: true,
            maximum_packet_size: None,
        };
        assert_eq!(accepted(bytes).connect(bytes), Some(expected));
    }

    #[test]
    fn a_connect_of_mqtt_5_with_everything() {
        let bytes = everything().bytes();
        let expected = Connect {
            packet: &bytes,
            level: Level::V5,
            clean_start: true,
            keep_alive_seconds: 60,
            client_id: "device",
            username: Some("user"),
            password: Some(b"\0\xFFpass"),
            has_will: true,
            maximum_packet_size: Some(1000),
        };
        assert_eq!(accepted(&bytes).connect(&bytes), Some(expected));
    }

    #[test]
    fn the_client_id_may_be_empty_and_the_protocol_says_when() {
        for (packet, allowed) in [
            (ConnectPacket::v3_1(), false),
            (ConnectPacket::v3_1_1(), true),
            (ConnectPacket::v3_1_1().clean_start(false), false),
            (ConnectPacket::v5(), true),
            (ConnectPacket::v5().clean_start(false), true),
        ] {
            let bytes = packet.client_id("").bytes();
            let decoder = accepted(&bytes);
            let connect = decoder.connect(&bytes).unwrap();
            assert_eq!(connect.client_id, "");
            assert_eq!(connect.empty_client_id_allowed(), allowed, "{connect:?}");
        }
    }

    #[test]
    fn a_long_client_id_is_for_the_broker_to_judge() {
        for (packet, _) in every_version() {
            accepted(&packet.client_id("x".repeat(65535)).bytes());
        }
    }

    #[test]
    fn control_characters_and_non_characters_are_for_the_broker_to_judge() {
        for (packet, _) in every_version() {
            accepted(&packet.client_id("\u{1}\u{7F}\u{FFFF}\u{FEFF}\u{10FFFF}").bytes());
        }
    }

    #[test]
    fn user_name_and_password_may_be_empty() {
        for (packet, _) in every_version() {
            let bytes = packet.username("").password("").bytes();
            let decoder = accepted(&bytes);
            let connect = decoder.connect(&bytes).unwrap();
            assert_eq!((connect.username, connect.password), (Some(""), Some(&[][..])));
        }
    }

    #[test]
    fn the_will_may_have_an_empty_payload_and_a_topic_that_only_the_broker_refuses() {
        for (packet, _) in every_version() {
            accepted(&packet.will("a/#", "").bytes());
        }
    }

    #[test]
    fn mqtt_5_allows_a_password_without_a_user_name() {
        let bytes = ConnectPacket::v5().password("secret").bytes();
        let decoder = accepted(&bytes);
        let connect = decoder.connect(&bytes).unwrap();
        assert_eq!(connect.username, None);
        assert_eq!(connect.password, Some(&b"secret"[..]));
    }

    #[test]
    fn mqtt_3_1_disregards_bits_that_it_does_not_use() {
        for bits in [0x01, 0x08, 0x10, 0x18, 0x20, 0x39] {
            accepted(&ConnectPacket::v3_1().flip_flags(bits).bytes());
        }
    }

    #[test]
    fn mqtt_3_1_disregards_the_flags_of_the_fixed_header() {
        for flags in 1..=15 {
            accepted(&packet(0x10 | flags, ConnectPacket::v3_1().body()));
        }
    }

    #[test]
    fn mqtt_3_1_lets_user_name_and_password_be_missing_against_their_flags() {
        for flags in [0x80, 0xC0] {
            let bytes = ConnectPacket::v3_1().flip_flags(flags).bytes();
            let decoder = accepted(&bytes);
            let connect = decoder.connect(&bytes).unwrap();
            assert_eq!((connect.username, connect.password), (None, None));
        }
        let bytes = ConnectPacket::v3_1().username("user").flip_flags(0x40).bytes();
        let decoder = accepted(&bytes);
        let connect = decoder.connect(&bytes).unwrap();
        assert_eq!((connect.username, connect.password), (Some("user"), None));
    }

    #[test]
    fn the_password_does_not_show_in_debug_output() {
        let bytes = ConnectPacket::v5().username("user").password("s3cret").bytes();
        let decoder = accepted(&bytes);
        let connect = format!("{:?}", decoder.connect(&bytes).unwrap());
        let secret = format!("{:?}", b"s3cret");
        assert!(!connect.contains("s3cret") && !connect.contains(&secret), "{connect}");
    }

    #[test]
    fn the_client_is_told_in_the_form_of_its_level() {
        for (packet, form) in every_version() {
            let bytes = packet.bytes();
            assert_eq!(accepted(&bytes).connect(&bytes).map(|c| c.form()), form);
        }
        let bytes = everything().bytes();
        let form = accepted(&bytes).connect(&bytes).map(|connect| connect.form());
        assert_eq!(form, Some(known(1000)));
    }
}

/// MQTT 5.0 with every property there is, a will, user name and password.
fn everything() -> ConnectPacket {
    ConnectPacket::v5()
        .property([0x11, 0, 0, 0x0E, 0x10])
        .property([0x21, 0, 20])
        .property([0x27, 0, 0, 0x03, 0xE8])
        .property([0x22, 0, 5])
        .property([0x19, 1])
        .property([0x17, 0])
        .property(property(0x26, &[b"a", b"1"]))
        .property(property(0x26, &[b"a", b"2"]))
        .property(property(0x15, &[b"SCRAM-SHA-256"]))
        .property(property(0x16, &[b"\0\xFF"]))
        .will("state/device", b"gone")
        .will_property([0x18, 0, 0, 0, 30])
        .will_property([0x01, 1])
        .will_property([0x02, 0, 0, 0x0E, 0x10])
        .will_property(property(0x03, &[b"text/plain"]))
        .will_property(property(0x08, &[b"answers"]))
        .will_property(property(0x09, &[b"\0\xFF"]))
        .will_property(property(0x26, &[b"b", b"3"]))
        .username("user")
        .password(b"\0\xFFpass")
}

mod first_bytes {
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
}

mod levels {
    use super::*;

    fn unsupported(limits: ConnectLimits, bytes: &[u8]) -> (Option<Form>, String) {
        let error = refused_by(limits, bytes);
        assert_eq!(error.refusal, Refusal::UnsupportedLevel);
        (error.form, error.reason)
    }

    #[test]
    fn a_level_that_is_served_is_accepted() {
        for (number, packet) in [(3, ConnectPacket::v3_1()), (4, ConnectPacket::v3_1_1()), (5, ConnectPacket::v5())] {
            let progress = decode(serving(&[number]), &packet.bytes());
            assert!(matches!(progress, Ok(Progress::Complete { .. })));
        }
    }

    #[test]
    fn a_level_that_is_not_served_is_told_in_its_own_form() {
        for (others, packet, form, reason) in [
            (
                &[4, 5],
                ConnectPacket::v3_1(),
                Some(Form::V3),
                "protocol level 3 (MQTT 3.1) is not served here; served: 4 (MQTT 3.1.1), 5 (MQTT 5.0)",
            ),
            (
                &[3, 5],
                ConnectPacket::v3_1_1(),
                Some(Form::V3),
                "protocol level 4 (MQTT 3.1.1) is not served here; served: 3 (MQTT 3.1), 5 (MQTT 5.0)",
            ),
            (
                &[3, 4],
                ConnectPacket::v5(),
                ABSENT,
                "protocol level 5 (MQTT 5.0) is not served here; served: 3 (MQTT 3.1), 4 (MQTT 3.1.1)",
            ),
        ] {
            let expected = (form, reason.to_owned());
            assert_eq!(unsupported(serving(others), &packet.bytes()), expected);
        }
    }

    #[test]
    fn an_old_level_that_is_not_served_is_refused_at_its_level_byte() {
        let bytes = ConnectPacket::v3_1_1().bytes();
        let (taken, verdict) = decode_one_by_one(serving(&[5]), &bytes);
        assert_eq!(taken, 9);
        assert!(verdict.is_err());
    }

    #[test]
    fn level_5_that_is_not_served_is_read_whole_so_that_its_maximum_packet_size_is_known() {
        let bytes = everything().bytes();
        assert_eq!(unsupported(serving(&[4]), &bytes).0, Some(known(1000)));
        let (taken, verdict) = decode_one_by_one(serving(&[4]), &bytes);
        assert_eq!(taken, bytes.len());
        assert_eq!(verdict.map_err(|error| error.form), Err(Some(known(1000))));
    }

    #[test]
    fn level_5_that_is_not_served_stays_so_whatever_else_is_wrong() {
        for bytes in [
            ConnectPacket::v5().flip_flags(1).bytes(),
            ConnectPacket::v5().property([0x21, 0, 0]).bytes(),
            ConnectPacket::v5().client_id(b"\xFF").bytes(),
            ConnectPacket::v5().rest("x").bytes(),
            packet(0x13, ConnectPacket::v5().body()),
        ] {
            let (form, reason) = unsupported(serving(&[3, 4]), &bytes);
            assert_eq!(form, ABSENT);
            assert!(reason.contains("level 5"), "{reason}");
        }
    }

    #[test]
    fn levels_above_5_are_told_in_the_form_of_5_at_once() {
        for level in (6..=255).filter(|level| ![0x83, 0x84].contains(level)) {
            let bytes = ConnectPacket::new("MQTT", level).bytes();
            let (form, reason) = unsupported(NO_LIMIT, &bytes);
            assert_eq!(form, UNKNOWN);
            assert!(reason.contains(&format!("level {level} ")), "{reason}");
            assert_eq!(decode_one_by_one(NO_LIMIT, &bytes).0, 9);
        }
    }

    #[test]
    fn levels_below_4_are_told_in_the_old_form() {
        for level in 0..4 {
            let bytes = ConnectPacket::new("MQTT", level).bytes();
            assert_eq!(unsupported(NO_LIMIT, &bytes).0, Some(Form::V3));
        }
    }

    #[test]
    fn mosquitto_bridges_are_told_in_the_old_form_so_that_they_fall_back() {
        for (name, level) in [("MQIsdp", 0x83), ("MQTT", 0x84), ("MQTT", 0x83)] {
            let bytes = ConnectPacket::new(name, level).bytes();
            let (form, reason) = unsupported(NO_LIMIT, &bytes);
            assert_eq!(form, Some(Form::V3));
            assert!(reason.contains("bridge"), "{reason}");
        }
    }

    #[test]
    fn the_old_name_goes_with_level_3_alone_and_is_told_in_the_old_form() {
        for level in (0..=255).filter(|level| *level != 3) {
            let bytes = ConnectPacket::new("MQIsdp", level).bytes();
            assert_eq!(unsupported(NO_LIMIT, &bytes).0, Some(Form::V3));
        }
    }

    #[test]
    fn the_level_comes_before_the_size() {
        let limits = ConnectLimits { max_packet_bytes: 10, levels: LevelSet::new(&[3]) };
        for (packet, form) in [(ConnectPacket::v3_1_1(), Some(Form::V3)), (ConnectPacket::v5(), ABSENT)] {
            assert_eq!(unsupported(limits, &packet.bytes()).0, form);
        }
    }

    #[test]
    fn level_5_that_is_neither_served_nor_small_enough_is_refused_at_once() {
        let limits = ConnectLimits { max_packet_bytes: 10, levels: LevelSet::new(&[3]) };
        let (taken, _) = decode_one_by_one(limits, &ConnectPacket::v5().bytes());
        assert_eq!(taken, 9);
    }
}

mod size {
    use super::*;

    fn too_large(limits: ConnectLimits, bytes: &[u8]) -> Option<Form> {
        let error = refused_by(limits, bytes);
        assert_eq!(error.refusal, Refusal::ConnectTooLarge);
        error.form
    }

    #[test]
    fn the_limit_counts_the_whole_packet() {
        for (packet, form) in every_version() {
            let bytes = packet.bytes();
            let progress = decode(at_most(bytes.len()), &bytes);
            assert!(matches!(progress, Ok(Progress::Complete { .. })));
            assert_eq!(too_large(at_most(bytes.len() - 1), &bytes), form);
        }
    }

    #[test]
    fn the_sentence_names_both_sizes() {
        let bytes = ConnectPacket::v3_1_1().client_id("x".repeat(1000)).bytes();
        let reason = refused_by(at_most(100), &bytes).reason;
        assert_eq!(reason, "the CONNECT has 1015 bytes, at most 100 are allowed");
    }

    #[test]
    fn it_is_decided_at_the_level_byte() {
        for (packet, taken) in [(ConnectPacket::v3_1(), 13), (ConnectPacket::v3_1_1(), 11), (ConnectPacket::v5(), 11)] {
            let bytes = packet.client_id("x".repeat(60_000)).bytes();
            // A remaining length of three bytes.
            assert_eq!(decode_one_by_one(at_most(1), &bytes).0, taken);
        }
    }

    #[test]
    fn the_protocol_name_comes_before_the_size() {
        let bytes = ConnectPacket::new("HTTP", 4).bytes();
        let error = refused_by(at_most(1), &bytes);
        assert_eq!(error.refusal, Refusal::UnknownProtocolName);
    }

    #[test]
    fn the_maximum_packet_size_is_found_as_far_as_it_has_arrived() {
        let whole =
            ConnectPacket::v5().property([0x27, 0, 0, 0, 50]).property([0x17, 1]).client_id("x".repeat(1000)).bytes();
        let with = |bytes: usize| too_large(at_most(100), &whole[..bytes]);
        // Fixed header 3, name 6, level 1, flags 1, keep alive 2, property length 1, property 5.
        for cut in 10..19 {
            assert_eq!(with(cut), UNKNOWN);
        }
        for cut in 19..30 {
            assert_eq!(with(cut), Some(known(50)));
        }
    }

    #[test]
    fn without_a_maximum_packet_size_that_is_known_when_the_properties_have_arrived() {
        let whole = ConnectPacket::v5().client_id("x".repeat(1000)).bytes();
        assert_eq!(too_large(at_most(100), &whole[..13]), UNKNOWN);
        assert_eq!(too_large(at_most(100), &whole[..14]), ABSENT);
    }
}

mod flags {
    use super::*;

    #[test]
    fn the_reserved_bit_is_malformed_from_3_1_1_on() {
        for (packet, form) in every_version().into_iter().skip(1) {
            let reason = malformed(&packet.flip_flags(0x01).bytes(), form);
            assert_eq!(reason, "the connect flags 0x03 announce the reserved bit 0");
        }
    }

    #[test]
    fn will_qos_3_is_malformed() {
        for (packet, form) in every_version() {
            // The builder's will has QoS 1.
            let reason = malformed(&packet.will("topic", "").flip_flags(0x10).bytes(), form);
            assert!(reason.contains("will QoS 3"), "{reason}");
        }
    }

    #[test]
    fn will_qos_without_a_will_is_malformed_from_3_1_1_on() {
        for qos in [0x08, 0x10, 0x18] {
            for (packet, form) in every_version().into_iter().skip(1) {
                let reason = malformed(&packet.flip_flags(qos).bytes(), form);
                assert!(reason.contains("a will QoS but no will"), "{reason}");
            }
        }
    }

    #[test]
    fn will_retain_without_a_will_is_malformed_from_3_1_1_on() {
        for (packet, form) in every_version().into_iter().skip(1) {
            let reason = malformed(&packet.flip_flags(0x20).bytes(), form);
            assert!(reason.contains("will retain but no will"), "{reason}");
        }
    }

    #[test]
    fn a_password_without_a_user_name_is_malformed_before_mqtt_5() {
        for packet in [ConnectPacket::v3_1(), ConnectPacket::v3_1_1()] {
            let reason = malformed(&packet.password("secret").bytes(), Some(Form::V3));
            assert!(reason.contains("a password but no user name"), "{reason}");
        }
    }

    #[test]
    fn they_are_judged_as_soon_as_they_arrive() {
        let bytes = ConnectPacket::v3_1_1().flip_flags(0x01).bytes();
        assert_eq!(decode_one_by_one(NO_LIMIT, &bytes).0, 10);
    }

    #[test]
    fn the_maximum_packet_size_counts_although_it_comes_after_them() {
        let packet = ConnectPacket::v5().property([0x27, 0, 0, 0, 9]).flip_flags(0x01);
        malformed(&packet.bytes(), Some(known(9)));
    }
}

mod lengths {
    use super::*;

    #[test]
    fn a_packet_that_is_too_short_for_its_fields_is_malformed() {
        for (connect, form) in every_version() {
            let connect = connect.will("topic", "payload").username("user").password("x");
            let body = connect.body();
            // What comes before the level is told to nobody.
            let level = body.iter().position(|byte| [3, 4, 5].contains(byte));
            let after_level = level.map_or(0, |_| usize::from(body[1]) + 3);
            for cut in after_level..body.len() {
                // Where the properties are cut off, their absence is certain.
                let bytes = packet(0x10, &body[..cut]);
                if form == Some(Form::V3) && body[1] == 6 && may_end(&connect, cut) {
                    accepted(&bytes);
                } else {
                    malformed(&bytes, form);
                }
            }
        }
    }

    /// Whether MQTT 3.1 allows the payload to end there: before the user name or the password.
    fn may_end(connect: &ConnectPacket, cut: usize) -> bool {
        let end = connect.body().len();
        // A password of 2 + 1 bytes, a user name of 2 + 4.
        cut == end - 3 || cut == end - 3 - 6
    }

    #[test]
    fn bytes_that_are_left_over_are_malformed() {
        for (packet, form) in every_version() {
            let reason = malformed(&packet.rest("abc").bytes(), form);
            assert_eq!(reason, "3 bytes are left over after the last field of the CONNECT");
        }
    }

    #[test]
    fn a_field_that_its_flag_does_not_announce_is_left_over() {
        for (packet, form) in every_version() {
            malformed(&packet.username("user").flip_flags(0x80).bytes(), form);
        }
    }

    #[test]
    fn a_field_that_its_flag_announces_may_not_be_missing_from_3_1_1_on() {
        for (packet, form) in every_version().into_iter().skip(1) {
            for (flags, what) in [(0x80, "the user name"), (0xC0, "the user name"), (0x04, "the will")] {
                let reason = malformed(&packet.clone().flip_flags(flags).bytes(), form);
                assert!(reason.contains(what), "{reason}");
            }
            malformed(&packet.username("user").flip_flags(0x40).bytes(), form);
        }
    }

    #[test]
    fn a_length_that_passes_the_packet_is_found_when_it_arrives() {
        let bytes = b"\x10\x14\0\x04MQTT\x04\x02\0\x3C\x01\0dev";
        let reason = malformed(bytes, Some(Form::V3));
        assert_eq!(reason, "the client id passes the end of the packet: it wants 256 more bytes, 8 are left");
        assert_eq!(decode_one_by_one(NO_LIMIT, bytes).0, 14);
    }

    #[test]
    fn a_property_length_that_passes_the_packet_is_found_when_it_arrives() {
        let mut bytes = ConnectPacket::v5().bytes();
        bytes[12] = 9;
        let reason = malformed(&bytes, ABSENT);
        assert_eq!(reason, "the property length passes the end of the packet: it says 9, 8 bytes are left");
        assert_eq!(decode_one_by_one(NO_LIMIT, &bytes).0, 13);
    }

    #[test]
    fn property_lengths_are_at_most_four_bytes_and_as_short_as_can_be() {
        let start = b"\0\x04MQTT\x05\x02\0\x3C";
        for (length, reason) in [
            (&b"\x80\x80\x80\x80\x01"[..], "the property length is longer than four bytes"),
            (b"\x80\x00", "the property length is written in 2 bytes, which is more than it needs"),
        ] {
            let body = [start, length, b"\0\x06device"].concat();
            assert_eq!(malformed(&packet(0x10, body), ABSENT), reason);
        }
    }

    #[test]
    fn a_length_of_properties_that_cuts_one_is_malformed() {
        let mut bytes = ConnectPacket::v5().property([0x21, 0, 9]).bytes();
        bytes[12] = 2;
        let reason = malformed(&bytes, ABSENT);
        assert!(reason.contains("Receive Maximum"), "{reason}");
    }
}

mod strings {
    use super::*;

    const BAD: [&[u8]; 6] = [b"ab\xFF", b"\xC3", b"\xC0\x80", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"a\0b"];

    #[test]
    fn a_client_id_must_be_utf_8_without_nul() {
        for bad in BAD {
            for (packet, form) in every_version() {
                let reason = malformed(&packet.client_id(bad).bytes(), form);
                assert!(reason.starts_with("the client id"), "{reason}");
            }
        }
    }

    #[test]
    fn a_user_name_must_be_utf_8_without_nul() {
        for bad in BAD {
            for (packet, form) in every_version() {
                let reason = malformed(&packet.username(bad).bytes(), form);
                assert!(reason.starts_with("the user name"), "{reason}");
            }
        }
    }

    #[test]
    fn a_will_topic_must_be_utf_8_without_nul() {
        for bad in BAD {
            for (packet, form) in every_version() {
                let reason = malformed(&packet.will(bad, "").bytes(), form);
                assert!(reason.starts_with("the will topic"), "{reason}");
            }
        }
    }

    #[test]
    fn the_sentence_says_where() {
        let bytes = ConnectPacket::v3_1_1().client_id(b"ab\xFF").bytes();
        let reason = malformed(&bytes, Some(Form::V3));
        assert_eq!(reason, "the client id is not UTF-8 (at its byte 2)");
    }
}

mod properties {
    use super::*;

    #[test]
    fn a_property_twice_is_a_protocol_error() {
        let packet = ConnectPacket::v5().property([0x21, 0, 9]).property([0x21, 0, 9]);
        assert_eq!(
            refused(&packet.bytes()),
            (Refusal::ProtocolError, ABSENT, "property Receive Maximum (0x21) appears twice".to_owned())
        );
    }

    #[test]
    fn receive_maximum_0_is_a_protocol_error() {
        let packet = ConnectPacket::v5().property([0x21, 0, 0]);
        assert_eq!(refused(&packet.bytes()).0, Refusal::ProtocolError);
    }

    #[test]
    fn an_unknown_property_is_malformed() {
        let packet = ConnectPacket::v5().property([0x7F, 0]);
        let reason = malformed(&packet.bytes(), ABSENT);
        assert_eq!(reason, "there is no property 0x7F in a CONNECT or a will");
    }

    #[test]
    fn the_will_has_properties_of_its_own() {
        let packet = ConnectPacket::v5().property([0x18, 0, 0, 0, 1]);
        let reason = malformed(&packet.bytes(), ABSENT);
        assert!(reason.contains("Will Delay Interval (0x18)"), "{reason}");
        let packet = ConnectPacket::v5().will("t", "").will_property([0x21, 0, 1]);
        let reason = malformed(&packet.bytes(), ABSENT);
        assert!(reason.contains("Receive Maximum (0x21)"), "{reason}");
    }

    #[test]
    fn a_property_may_stand_in_both_sets() {
        let user = property(0x26, &[b"a", b"b"]);
        let packet = ConnectPacket::v5().property(&user).will("t", "").will_property(&user);
        accepted(&packet.bytes());
    }

    #[test]
    fn the_maximum_packet_size_counts_wherever_it_stands() {
        let packet = ConnectPacket::v5().property([0x21, 0, 0]).property([0x27, 0, 0, 0, 77]);
        assert_eq!(refused(&packet.bytes()).1, Some(known(77)));
        let packet = ConnectPacket::v5().property([0x27, 0, 0, 0, 77]).client_id(b"\xFF");
        assert_eq!(refused(&packet.bytes()).1, Some(known(77)));
    }

    #[test]
    fn a_will_has_no_maximum_packet_size_to_give() {
        let packet = ConnectPacket::v5().property([0x27, 0, 0, 0, 77]).will("t", "").will_property([0x27, 0, 0, 0, 1]);
        malformed(&packet.bytes(), Some(known(77)));
    }

    #[test]
    fn before_mqtt_5_there_are_none() {
        // The property length 0 would be the first byte of the client id's length.
        let bytes = b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\0\0";
        malformed(bytes, Some(Form::V3));
    }
}

mod answers {
    use super::*;

    fn connack(limits: ConnectLimits, bytes: &[u8]) -> Option<Vec<u8>> {
        refused_by(limits, bytes).connack()
    }

    #[test]
    fn clients_whose_version_is_not_known_get_none() {
        assert_eq!(connack(NO_LIMIT, b"\x30"), None);
        assert_eq!(connack(NO_LIMIT, b"\x10\x0C\0\x04HTTP"), None);
        assert_eq!(connack(NO_LIMIT, b"\x10\xFF\xFF\xFF\xFF"), None);
    }

    #[test]
    fn a_malformed_old_connect_gets_none() {
        assert_eq!(connack(NO_LIMIT, &ConnectPacket::v3_1_1().rest("x").bytes()), None);
        assert_eq!(connack(at_most(10), &ConnectPacket::v3_1_1().bytes()), None);
    }

    #[test]
    fn an_old_level_gets_0x01() {
        let bytes = ConnectPacket::v3_1_1().bytes();
        assert_eq!(connack(serving(&[5]), &bytes), Some(vec![0x20, 2, 0, 0x01]));
        let bytes = ConnectPacket::new("MQTT", 0x84).bytes();
        assert_eq!(connack(NO_LIMIT, &bytes), Some(vec![0x20, 2, 0, 0x01]));
    }

    #[test]
    fn a_client_of_mqtt_5_gets_code_and_sentence() {
        let packet = ConnectPacket::v5().property([0x21, 0, 0]);
        let text = b"property Receive Maximum (0x21) is 0";
        let expected = [&b"\x20\x2A\0\x82\x27\x1F\0\x24"[..], text].concat();
        assert_eq!(connack(NO_LIMIT, &packet.bytes()), Some(expected));
    }

    #[test]
    fn a_client_of_mqtt_5_that_asks_for_small_packets_gets_the_code_alone() {
        let packet = ConnectPacket::v5().property([0x27, 0, 0, 0, 20]).property([0x21, 0, 0]);
        assert_eq!(connack(NO_LIMIT, &packet.bytes()), Some(vec![0x20, 3, 0, 0x82, 0]));
        let packet = packet.client_id("x").property([0x17, 1]);
        assert_eq!(connack(at_most(10), &packet.bytes()), Some(vec![0x20, 3, 0, 0x95, 0]));
    }

    #[test]
    fn a_level_above_5_gets_the_code_alone() {
        let bytes = ConnectPacket::new("MQTT", 6).bytes();
        assert_eq!(connack(NO_LIMIT, &bytes), Some(vec![0x20, 3, 0, 0x84, 0]));
    }
}

#[test]
fn the_client_id_is_known_before_what_is_wrong_after_it() {
    let bytes = ConnectPacket::v5().username(b"\xFF").bytes();
    let mut decoder = ConnectDecoder::new(NO_LIMIT);
    assert!(decoder.decode(&bytes).is_err());
    assert_eq!(decoder.client_id(&bytes), Some("device"));
    assert_eq!(decoder.connect(&bytes), None);
}

#[test]
fn a_client_id_that_is_not_valid_is_not_known() {
    let bytes = ConnectPacket::v5().client_id(b"\xFF").bytes();
    let mut decoder = ConnectDecoder::new(NO_LIMIT);
    assert!(decoder.decode(&bytes).is_err());
    assert_eq!(decoder.client_id(&bytes), None);
}
