//! The first packet of a broker: CONNACK (3.2), or AUTH (3.15) on the way to it.

use super::level::Level;
use super::wire::VariableByteInteger;

/// What a broker answers to a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its first packet is not whole yet.
    NeedMore,
    /// A whole CONNACK.
    Connack {
        /// Whether the client is let in.
        is_accepted: bool,
        /// The Server Keep Alive in seconds, if the broker sets one (3.2.2.3.14).
        server_keep_alive_seconds: Option<u16>,
    },
    /// A whole AUTH: the client is to go on with its authentication.
    Auth {
        /// In bytes.
        packet_len: usize,
    },
    /// No answer to a CONNECT.
    Unexpected,
}

impl Answer {
    /// Reads what a broker has sent so far to a client of this version.
    pub fn read(level: Level, bytes: &[u8]) -> Self {
        let is_auth = match bytes.first() {
            None => return Self::NeedMore,
            Some(0x20) => false,
            Some(0xF0) if level == Level::V5 => true,
            Some(_) => return Self::Unexpected,
        };
        let (remaining_length, length_bytes) = match VariableByteInteger::read(&bytes[1..]) {
            VariableByteInteger::Whole { value, bytes } => (value, bytes),
            VariableByteInteger::Partial => return Self::NeedMore,
            VariableByteInteger::TooLong => return Self::Unexpected,
        };
        if remaining_length > MOST_ANSWER_BYTES || (!is_auth && remaining_length < 2) {
            return Self::Unexpected;
        }
        let packet_len = 1 + length_bytes + remaining_length;
        if bytes.len() < packet_len {
            return Self::NeedMore;
        }
        if is_auth {
            return Self::Auth { packet_len };
        }
        let body = &bytes[1 + length_bytes..packet_len];
        Self::Connack {
            is_accepted: body.get(1) == Some(&0),
            server_keep_alive_seconds: if level == Level::V5 { server_keep_alive(&body[2..]) } else { None },
        }
    }
}

/// Finds the Server Keep Alive among a CONNACK's properties. What can't be read has none: the client will judge it.
fn server_keep_alive(properties: &[u8]) -> Option<u16> {
    let VariableByteInteger::Whole { value, bytes } = VariableByteInteger::read(properties) else {
        return None;
    };
    let mut rest = properties.get(bytes..bytes + value)?;
    while let Some((&identifier, value)) = rest.split_first() {
        if identifier == SERVER_KEEP_ALIVE {
            return Some(u16::from_be_bytes([*value.first()?, *value.get(1)?]));
        }
        rest = value.get(value_len(identifier, value)?..)?;
    }
    None
}

/// How long the value of a CONNACK's property is (2.2.2.2, 3.2.2.3).
fn value_len(identifier: u8, value: &[u8]) -> Option<usize> {
    let string = |at: usize| Some(2 + usize::from(u16::from_be_bytes([*value.get(at)?, *value.get(at + 1)?])));
    match identifier {
        // Maximum QoS, Retain, Wildcard Subscription, Subscription Identifiers and Shared Subscription Available.
        0x24 | 0x25 | 0x28 | 0x29 | 0x2A => Some(1),
        // Receive Maximum, Topic Alias Maximum.
        0x21 | 0x22 => Some(2),
        // Session Expiry Interval, Maximum Packet Size.
        0x11 | 0x27 => Some(4),
        // Assigned Client Identifier, Authentication Method and Data, Response Information, Server Reference, Reason String.
        0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => string(0),
        // User Property.
        0x26 => {
            let name = string(0)?;
            Some(name + string(name)?)
        }
        _ => None,
    }
}

const SERVER_KEEP_ALIVE: u8 = 0x13;
/// More than a broker has to say at that time.
const MOST_ANSWER_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mqtt::packets::{packet, property};

    fn connack_v5(properties: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 0, u8::try_from(properties.len()).expect("few")];
        body.extend(properties);
        packet(0x20, body)
    }

    #[test]
    fn a_connack_is_whole_with_its_last_byte() {
        for (level, bytes) in [(Level::V3_1_1, vec![0x20, 2, 0, 0]), (Level::V5, connack_v5(&[0x13, 0, 30]))] {
            for cut in 0..bytes.len() {
                assert_eq!(Answer::read(level, &bytes[..cut]), Answer::NeedMore, "{cut}");
            }
            let Answer::Connack { is_accepted, .. } = Answer::read(level, &[&bytes[..], &[0x30]].concat()) else {
                panic!("no CONNACK");
            };
            assert!(is_accepted);
        }
    }

    #[test]
    fn a_refusal_is_an_answer_too() {
        let answer = Answer::read(Level::V3_1_1, &[0x20, 2, 0, 5]);
        assert_eq!(answer, Answer::Connack { is_accepted: false, server_keep_alive_seconds: None });
    }

    #[test]
    fn the_server_keep_alive_is_found_behind_all_other_properties() {
        let mut properties = vec![0x24, 1, 0x25, 1, 0x28, 1, 0x29, 1, 0x2A, 1, 0x21, 0, 9, 0x22, 0, 9];
        properties.extend([0x11, 0, 0, 0, 9, 0x27, 0, 1, 0, 0]);
        for identifier in [0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F] {
            properties.extend(property(identifier, &[b"x"]));
        }
        properties.extend(property(0x26, &[b"name", b"value"]));
        properties.extend([0x13, 0x01, 0x00]);
        let Answer::Connack { server_keep_alive_seconds, .. } = Answer::read(Level::V5, &connack_v5(&properties))
        else {
            panic!("no CONNACK");
        };
        assert_eq!(server_keep_alive_seconds, Some(256));
    }

    #[test]
    fn auth_is_an_answer_in_mqtt_5_alone() {
        assert_eq!(Answer::read(Level::V5, &[0xF0, 0]), Answer::Auth { packet_len: 2 });
        assert_eq!(Answer::read(Level::V3_1_1, &[0xF0, 0]), Answer::Unexpected);
    }

    #[test]
    fn anything_else_is_unexpected_at_its_first_byte() {
        for first in [0x00, 0x10, 0x21, 0x30, 0xD0, 0xE0, b'H'] {
            assert_eq!(Answer::read(Level::V5, &[first]), Answer::Unexpected, "{first:02x}");
        }
        assert_eq!(Answer::read(Level::V5, &[0x20, 0xFF, 0xFF, 0xFF, 0x7F]), Answer::Unexpected);
        assert_eq!(Answer::read(Level::V5, &[0x20, 1, 0]), Answer::Unexpected);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 1..60), level in prop::sample::select(&Level::ALL[..])) {
            bytes[0] = 0x20;
            Answer::read(level, &bytes);
        }
    }
}
