//! The CONNACK that turns a client away (3.2).

use super::reason::{Form, MaximumPacketSize, Refusal};
use super::wire::push_variable_byte_integer;

/// The whole CONNACK packet for this refusal, or `None` where the connection is closed without a word.
///
/// In the form of MQTT 5.0 `reason` goes along as the Reason String, cut to at most 1 KiB. It is left out
/// where the packet would pass the client's Maximum Packet Size \[MQTT-3.2.2-19\] or where that is not
/// known. Where even the bare packet would pass it, nothing may be sent \[MQTT-3.1.2-24\].
pub fn refusal(form: Form, refusal: Refusal, reason: &str) -> Option<Vec<u8>> {
    let code = refusal.code(form)?;
    match form {
        // Session Present is 0 in every refusal [MQTT-3.2.2-4], [MQTT-3.2.2-6].
        Form::V3 => Some(vec![CONNACK, 2, 0, code]),
        Form::V5(maximum) => {
            let (reason, limit) = match maximum {
                MaximumPacketSize::Unknown => ("", usize::MAX),
                MaximumPacketSize::Absent => (reason, usize::MAX),
                MaximumPacketSize::Known(bytes) => (reason, usize::try_from(bytes).unwrap_or(usize::MAX)),
            };
            [reason, ""].into_iter().map(|reason| v5(code, reason)).find(|packet| packet.len() <= limit)
        }
    }
}

/// The CONNACK of MQTT 5.0, without the Reason String where `reason` is empty.
fn v5(code: u8, reason: &str) -> Vec<u8> {
    let properties = reason_string(reason);
    let mut body = vec![0, code];
    push_variable_byte_integer(&mut body, properties.len());
    body.extend(properties);
    let mut packet = vec![CONNACK];
    push_variable_byte_integer(&mut packet, body.len());
    packet.extend(body);
    packet
}

/// The property Reason String (3.2.2.3.9), nothing where `reason` is empty.
fn reason_string(reason: &str) -> Vec<u8> {
    let mut text = String::new();
    for character in reason.chars() {
        if text.len() + character.len_utf8() > MAX_REASON_BYTES {
            break;
        }
        // U+0000 may not stand in a string [MQTT-1.5.4-2], and other control characters should not.
        text.push(if character.is_control() { ' ' } else { character });
    }
    // Never fails: MAX_REASON_BYTES is less.
    let length = u16::try_from(text.len()).unwrap_or(0);
    if length == 0 {
        return Vec::new();
    }
    let mut property = vec![REASON_STRING];
    property.extend(length.to_be_bytes());
    property.extend(text.bytes());
    property
}

/// Fixed header: packet type 2, flags 0.
const CONNACK: u8 = 0x20;
/// Property identifier.
const REASON_STRING: u8 = 0x1F;
/// A sentence is shorter; what a client sent and a sentence repeats may be longer.
const MAX_REASON_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSALS: [(Refusal, Option<u8>, Option<u8>); 11] = [
        (Refusal::NotConnect, None, None),
        (Refusal::UnknownProtocolName, None, None),
        (Refusal::MalformedConnect, None, Some(0x81)),
        (Refusal::ProtocolError, None, Some(0x82)),
        (Refusal::ConnectTooLarge, None, Some(0x95)),
        (Refusal::UnsupportedLevel, Some(0x01), Some(0x84)),
        (Refusal::ClientIdRequired, Some(0x02), Some(0x85)),
        (Refusal::ClientIdMismatch, Some(0x05), Some(0x87)),
        (Refusal::NoRoute, Some(0x05), Some(0x87)),
        (Refusal::NoEndpoint, Some(0x03), Some(0x88)),
        (Refusal::Overloaded, Some(0x03), Some(0x89)),
    ];

    fn v5_refusal(maximum: MaximumPacketSize, reason: &str) -> Option<Vec<u8>> {
        refusal(Form::V5(maximum), Refusal::NoEndpoint, reason)
    }

    #[test]
    fn before_mqtt_5_a_refusal_is_four_bytes() {
        for (reason, code, _) in REFUSALS {
            let expected = code.map(|code| vec![0x20, 0x02, 0x00, code]);
            assert_eq!(refusal(Form::V3, reason, "not sent"), expected, "{reason:?}");
        }
    }

    #[test]
    fn in_mqtt_5_a_refusal_carries_a_reason_string() {
        for (reason, _, code) in REFUSALS {
            let expected = code.map(|code| vec![0x20, 0x08, 0x00, code, 0x05, 0x1F, 0x00, 0x02, b'n', b'o']);
            let form = Form::V5(MaximumPacketSize::Absent);
            assert_eq!(refusal(form, reason, "no"), expected, "{reason:?}");
        }
    }

    #[test]
    fn without_a_reason_there_are_no_properties() {
        assert_eq!(v5_refusal(MaximumPacketSize::Absent, ""), Some(vec![0x20, 0x03, 0x00, 0x88, 0x00]));
    }

    #[test]
    fn the_reason_string_is_left_out_where_the_maximum_packet_size_is_not_known() {
        assert_eq!(v5_refusal(MaximumPacketSize::Unknown, "no"), Some(vec![0x20, 0x03, 0x00, 0x88, 0x00]));
    }

    #[test]
    fn the_reason_string_is_left_out_where_it_would_pass_the_maximum_packet_size() {
        let whole = v5_refusal(MaximumPacketSize::Known(10), "no").unwrap();
        assert_eq!(whole.len(), 10);
        for maximum in 5..10 {
            assert_eq!(
                v5_refusal(MaximumPacketSize::Known(maximum), "no"),
                Some(vec![0x20, 0x03, 0x00, 0x88, 0x00]),
                "{maximum}"
            );
        }
    }

    #[test]
    fn nothing_is_sent_where_even_the_bare_packet_would_pass_the_maximum_packet_size() {
        for maximum in 1..5 {
            assert_eq!(v5_refusal(MaximumPacketSize::Known(maximum), "no"), None);
        }
    }

    #[test]
    fn lengths_of_two_bytes_are_written_right() {
        let text = "x".repeat(200);
        let packet = v5_refusal(MaximumPacketSize::Absent, &text).unwrap();
        // The property has 203 bytes, the body 2 + 2 + 203.
        assert_eq!(packet[..9], [0x20, 0xCF, 0x01, 0, 0x88, 0xCB, 0x01, 0x1F, 0]);
        assert_eq!(packet[9], 200);
        assert_eq!(&packet[10..], text.as_bytes());
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        // 3 bytes each: 341 of them are 1023 bytes.
        let packet = v5_refusal(MaximumPacketSize::Absent, &"\u{20AC}".repeat(500)).unwrap();
        assert_eq!(packet[8..10], 1023_u16.to_be_bytes());
        assert_eq!(&packet[10..], "\u{20AC}".repeat(341).as_bytes());
        let packet = v5_refusal(MaximumPacketSize::Absent, &"x".repeat(2000)).unwrap();
        assert_eq!(packet[8..10], 1024_u16.to_be_bytes());
    }

    #[test]
    fn control_characters_of_a_reason_become_spaces() {
        let packet = v5_refusal(MaximumPacketSize::Absent, "a\0b\nc").unwrap();
        assert!(packet.ends_with(b"a b c"));
    }
}
