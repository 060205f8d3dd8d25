use super::*;
use crate::mqtt::packets::{property as text, variable_byte_integer};
use crate::mqtt::reason::Refusal;

/// Reads all of them as [`super::super::connect`] does; the length comes first.
fn read(owner: Owner, properties: &[u8]) -> Result<Properties, Stop> {
    let mut buffer = variable_byte_integer(properties.len());
    buffer.extend(properties);
    let mut reader = Reader::new(&buffer, 0..buffer.len(), "the packet");
    let mut read = Properties::begin(owner, &mut reader)?;
    let mut position = reader.position;
    while let Some(next) = read.read_next(&buffer, position)? {
        position = next;
    }
    assert_eq!(position, buffer.len());
    Ok(read)
}

fn refusal(owner: Owner, properties: &[u8]) -> (Refusal, String) {
    match read(owner, properties) {
        Err(Stop::Refused(refusal, reason)) => (refusal, reason),
        other => panic!("{properties:02X?} gave {other:?}"),
    }
}

fn find(bytes: &[u8], end: usize) -> MaximumPacketSize {
    find_maximum_packet_size(bytes, 0..end)
}

/// One valid property of each kind that the owner may have.
fn each(owner: Owner) -> Vec<Vec<u8>> {
    match owner {
        Owner::Connect => vec![
            vec![0x11, 0, 0, 0, 0],
            vec![0x21, 0, 1],
            vec![0x27, 0, 0, 0, 1],
            vec![0x22, 0, 0],
            vec![0x19, 1],
            vec![0x17, 0],
            text(0x26, &[b"name", b"value"]),
            text(0x15, &[b"SCRAM"]),
            text(0x16, &[&[0, 0xFF]]),
        ],
        Owner::Will => vec![
            vec![0x18, 0, 0, 0, 9],
            vec![0x01, 1],
            vec![0x02, 0, 0, 0, 0],
            text(0x03, &[b"text/plain"]),
            text(0x08, &[b"answers"]),
            text(0x09, &[&[0, 0xFF]]),
            text(0x26, &[b"", b""]),
        ],
    }
}

#[test]
fn each_property_may_stand_where_the_specification_says_and_nowhere_else() {
    for owner in [Owner::Connect, Owner::Will] {
        for identifier in 0..=255 {
            let own = each(owner).into_iter().find(|own| own[0] == identifier);
            if let Some(own) = own {
                // Authentication Data needs its method.
                let alone = identifier != AUTHENTICATION_DATA;
                assert_eq!(read(owner, &own).is_ok(), alone, "0x{identifier:02X}");
            } else {
                let (kind, reason) = refusal(owner, &[identifier, 0, 0, 0, 0, 0]);
                assert_eq!(kind, Refusal::MalformedConnect);
                assert!(reason.contains(&format!("0x{identifier:02X}")), "{reason}");
            }
        }
    }
}

#[test]
fn all_of_them_may_stand_together_in_any_order() {
    for owner in [Owner::Connect, Owner::Will] {
        let mut all = each(owner);
        assert!(read(owner, &all.concat()).is_ok());
        all.reverse();
        assert!(read(owner, &all.concat()).is_ok());
    }
}

#[test]
fn no_property_but_the_user_property_may_appear_twice() {
    for owner in [Owner::Connect, Owner::Will] {
        for own in each(owner) {
            let twice = [own.clone(), own.clone()].concat();
            if own[0] == USER_PROPERTY {
                assert!(read(owner, &twice).is_ok());
            } else {
                let (kind, reason) = refusal(owner, &twice);
                assert_eq!(kind, Refusal::ProtocolError, "{reason}");
                assert!(reason.contains("appears twice"), "{reason}");
            }
        }
    }
    assert_eq!(refusal(Owner::Connect, &[0x21, 0, 9, 0x21, 0, 9]).1, "property Receive Maximum (0x21) appears twice");
}

#[test]
fn values_that_the_specification_forbids_are_protocol_errors() {
    for (owner, property, reason) in [
        (Owner::Connect, &[0x21_u8, 0, 0][..], "property Receive Maximum (0x21) is 0"),
        (Owner::Connect, &[0x27, 0, 0, 0, 0], "property Maximum Packet Size (0x27) is 0"),
        (Owner::Connect, &[0x17, 2], "property Request Problem Information (0x17) is 2, but may only be 0 or 1"),
        (Owner::Connect, &[0x19, 0xFF], "property Request Response Information (0x19) is 255, but may only be 0 or 1"),
        (Owner::Will, &[0x01, 2], "property Payload Format Indicator (0x01) is 2, but may only be 0 or 1"),
        (
            Owner::Connect,
            &[0x16, 0, 1, 0x41],
            "property Authentication Data (0x16) stands without Authentication Method (0x15)",
        ),
    ] {
        assert_eq!(refusal(owner, property), (Refusal::ProtocolError, reason.to_owned()));
    }
}

#[test]
fn a_property_may_not_cross_the_end_of_the_properties() {
    for owner in [Owner::Connect, Owner::Will] {
        for own in each(owner) {
            for cut in 1..own.len() {
                let (kind, reason) = refusal(owner, &own[..cut]);
                assert_eq!(kind, Refusal::MalformedConnect);
                assert!(reason.contains("passes the end of the properties"), "{reason}");
            }
        }
    }
}

#[test]
fn texts_are_utf_8_and_data_is_not() {
    for bad in [&b"\xFF"[..], b"\xED\xA0\x80", b"\xC0\x80", b"a\0b"] {
        for (owner, property) in [
            (Owner::Connect, text(0x15, &[bad])),
            (Owner::Connect, text(0x26, &[bad, b"value"])),
            (Owner::Connect, text(0x26, &[b"name", bad])),
            (Owner::Will, text(0x03, &[bad])),
            (Owner::Will, text(0x08, &[bad])),
            (Owner::Will, text(0x26, &[b"name", bad])),
        ] {
            assert_eq!(refusal(owner, &property).0, Refusal::MalformedConnect);
        }
        assert!(read(Owner::Will, &text(0x09, &[bad])).is_ok());
    }
}

#[test]
fn the_maximum_packet_size_is_read() {
    let read = read(Owner::Connect, &[0x17, 1, 0x27, 0, 1, 0, 2]).unwrap();
    assert_eq!(read.maximum_packet_size, Some(65538));
}

#[test]
fn a_search_finds_the_maximum_packet_size_among_others() {
    let bytes = [12, 0x21, 0, 9, 0x27, 0, 0, 1, 0, 0x17, 1, 0x17, 1];
    assert_eq!(find(&bytes, bytes.len()), MaximumPacketSize::Known(256));
}

#[test]
fn a_search_gives_unknown_as_long_as_what_would_tell_has_not_arrived() {
    let bytes = [8, 0x21, 0, 9, 0x27, 0, 0, 1, 0];
    for cut in 0..bytes.len() {
        assert_eq!(find(&bytes[..cut], bytes.len()), MaximumPacketSize::Unknown);
    }
    let long = [0x85];
    assert_eq!(find(&long, 1000), MaximumPacketSize::Unknown);
}

#[test]
fn a_search_gives_absent_when_nothing_to_come_could_tell() {
    for bytes in [
        &[0_u8][..],
        &[3, 0x21, 0, 9],
        // No such property: nobody knows where the next begins.
        &[9, 0x21, 0, 9, 0x7F, 0x27, 0, 0, 1, 0],
        &[0x80, 0x80, 0x80, 0x80, 0x27, 0, 0, 1],
        // A length that lies, a property that passes the end.
        &[200, 1, 0x17, 1],
        &[2, 0x27, 0],
        // No size that anybody may ask for.
        &[5, 0x27, 0, 0, 0, 0],
    ] {
        assert_eq!(find(bytes, bytes.len()), MaximumPacketSize::Absent, "{bytes:02X?}");
    }
}

#[test]
fn a_search_does_not_mind_what_is_wrong_with_the_properties() {
    for bytes in [
        // Twice: the smaller counts, whichever comes first.
        &[10, 0x27, 0, 0, 0, 9, 0x27, 0, 0, 0, 7][..],
        &[10, 0x27, 0, 0, 0, 7, 0x27, 0, 0, 0, 9],
        // Not UTF-8; a length that lies; one that belongs to a will.
        &[9, 0x15, 0, 1, 0xFF, 0x27, 0, 0, 0, 7],
        &[99, 0x27, 0, 0, 0, 7],
        &[7, 0x01, 1, 0x27, 0, 0, 0, 7],
    ] {
        assert_eq!(find(bytes, bytes.len()), MaximumPacketSize::Known(7), "{bytes:02X?}");
    }
}
