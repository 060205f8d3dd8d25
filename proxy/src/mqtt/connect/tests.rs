//! What a CONNECT may be, rule by rule. Every refusal here is asked for twice: of the bytes as a whole and of
//! the same bytes one by one.

use super::*;
use crate::mqtt::packets::{ConnectPacket, packet, property, variable_byte_integer};
use crate::mqtt::reason::MaximumPacketSize;

mod answers;
mod first_bytes;
mod flags;
mod fragments;
mod lengths;
mod levels;
mod properties;
mod size;
mod strings;
mod valid;

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
