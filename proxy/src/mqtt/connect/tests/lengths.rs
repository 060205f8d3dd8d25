//! Lengths that do not fit what they are of.

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
