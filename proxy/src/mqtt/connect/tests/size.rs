//! Packets that are larger than allowed.

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
