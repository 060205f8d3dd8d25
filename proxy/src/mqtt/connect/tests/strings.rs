//! Strings that are no UTF-8.

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
