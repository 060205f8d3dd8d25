//! The DISCONNECT that a client of MQTT 5.0 gets (3.14), and the one that a broker gets in its client's place.

use super::reason::MaximumPacketSize;
use super::wire::push_variable_byte_integer;

/// Why a server ends a connection (3.14.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell<'a> {
    /// Server shutting down.
    ShuttingDown,
    /// Use another server: this one.
    UseAnother(&'a str),
    /// Keep Alive timeout.
    KeepAliveTimeout,
}

/// The DISCONNECT for a client of MQTT 5.0, within its Maximum Packet Size; `None` where none fits.
pub fn to_client(farewell: Farewell<'_>, maximum: MaximumPacketSize) -> Option<Vec<u8>> {
    let limit = match maximum {
        MaximumPacketSize::Absent => usize::MAX,
        MaximumPacketSize::Known(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        MaximumPacketSize::Unknown => 0,
    };
    let (code, reference) = match farewell {
        Farewell::ShuttingDown => (0x8B, ""),
        Farewell::UseAnother(reference) => (0x9C, reference),
        Farewell::KeepAliveTimeout => (0x8D, ""),
    };
    [reference, ""].into_iter().filter_map(|reference| disconnect(code, reference)).find(|packet| packet.len() <= limit)
}

/// The DISCONNECT by which a client leaves in order, so that its will is not published: in every version the same.
pub const NORMAL: [u8; 2] = [0xE0, 0];

fn disconnect(code: u8, reference: &str) -> Option<Vec<u8>> {
    if reference.is_empty() {
        return Some(vec![0xE0, 1, code]);
    }
    let length = u16::try_from(reference.len()).ok()?;
    let mut properties = vec![SERVER_REFERENCE];
    properties.extend(length.to_be_bytes());
    properties.extend(reference.bytes());
    let mut body = vec![code];
    push_variable_byte_integer(&mut body, properties.len());
    body.extend(properties);
    let mut packet = vec![0xE0];
    push_variable_byte_integer(&mut packet, body.len());
    packet.extend(body);
    Some(packet)
}

const SERVER_REFERENCE: u8 = 0x1C;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_reference_it_is_three_bytes() {
        let packet = to_client(Farewell::ShuttingDown, MaximumPacketSize::Absent);
        assert_eq!(packet, Some(vec![0xE0, 1, 0x8B]));
    }

    #[test]
    fn a_reference_comes_with_its_code() {
        let packet = to_client(Farewell::UseAnother("ab"), MaximumPacketSize::Absent);
        assert_eq!(packet, Some(vec![0xE0, 7, 0x9C, 5, 0x1C, 0, 2, b'a', b'b']));
    }

    #[test]
    fn a_reference_that_would_pass_the_maximum_packet_size_is_left_out() {
        let packet = |maximum| to_client(Farewell::UseAnother("ab"), MaximumPacketSize::Known(maximum));
        assert_eq!(packet(9).map(|packet| packet.len()), Some(9));
        assert_eq!(packet(8), Some(vec![0xE0, 1, 0x9C]));
        assert_eq!(packet(2), None);
    }
}
