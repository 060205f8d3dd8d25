//! The fields of a CONNECT, one after the other.

use super::{ConnectDecoder, ConnectError, ConnectFlags};
use crate::mqtt::level::Level;
use crate::mqtt::properties::{Owner, Properties, find_maximum_packet_size};
use crate::mqtt::reason::{Form, MaximumPacketSize, Refusal};
use crate::mqtt::wire::{Reader, Stop, VariableByteInteger, minimal_bytes};

/// Which field comes next, in the order of the packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    FixedHeader,
    ProtocolName,
    Level(ProtocolName),
    Flags(Level),
    KeepAlive,
    PropertyLength(Owner),
    Property(Owner),
    ClientId,
    WillTopic,
    WillPayload,
    Username,
    Password,
    End,
    Done,
}

/// The protocol names that there are (3.1.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ProtocolName {
    Mqtt,
    Mqisdp,
}

impl ProtocolName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "MQTT",
            Self::Mqisdp => "MQIsdp",
        }
    }
}

impl ConnectDecoder {
    /// Reads the next field, if all of it is here, and goes on to the one after it.
    pub(super) fn read_field(&mut self, buffer: &[u8]) -> Result<(), Stop> {
        let mut reader = Reader::new(buffer, self.position..self.packet_end, "the packet");
        let next = match self.step {
            Step::FixedHeader => {
                reader.position = self.read_fixed_header(buffer)?;
                Step::ProtocolName
            }
            Step::ProtocolName => {
                let name = self.read_protocol_name(buffer)?;
                reader.position += LENGTH_BYTES + name.as_str().len();
                Step::Level(name)
            }
            Step::Level(name) => {
                let number = reader.byte("the protocol level")?;
                self.properties_start = reader.position + FLAGS_AND_KEEP_ALIVE_BYTES;
                Step::Flags(self.accept_level(name, number)?)
            }
            Step::Flags(level) => {
                self.flags = ConnectFlags::read(reader.byte("the connect flags byte")?, level)?;
                Step::KeepAlive
            }
            Step::KeepAlive => {
                self.keep_alive_seconds = reader.two_byte_integer("the keep alive")?;
                self.properties_or(Owner::Connect, Step::ClientId)
            }
            Step::PropertyLength(owner) => {
                self.properties = Properties::begin(owner, &mut reader)?;
                Step::Property(owner)
            }
            Step::Property(owner) => match self.properties.read_next(buffer, reader.position)? {
                Some(position) => {
                    reader.position = position;
                    Step::Property(owner)
                }
                None if owner == Owner::Connect => {
                    self.maximum_packet_size = self.properties.maximum_packet_size;
                    Step::ClientId
                }
                None => Step::WillTopic,
            },
            Step::ClientId => {
                self.client_id = Some(reader.utf8_string("the client id")?);
                if self.flags.will() { self.properties_or(Owner::Will, Step::WillTopic) } else { Step::Username }
            }
            // That a topic name is not empty and has no wildcards (4.7) is a rule of its own, neither of
            // a malformed packet nor of a protocol error: the broker judges it.
            Step::WillTopic => {
                reader.utf8_string("the will topic")?;
                Step::WillPayload
            }
            // MQTT 3.1 calls it a UTF-8 string too, but has its bytes published as they are: old clients
            // with binary wills are let through.
            Step::WillPayload => {
                reader.binary_data("the will payload")?;
                Step::Username
            }
            Step::Username => {
                if self.flags.username() && !self.may_be_missing() {
                    self.username = Some(reader.utf8_string("the user name")?);
                }
                Step::Password
            }
            Step::Password => {
                if self.flags.password() && !self.may_be_missing() {
                    self.password = Some(reader.binary_data("the password")?);
                }
                Step::End
            }
            Step::End => {
                self.check_end()?;
                Step::Done
            }
            Step::Done => Step::Done,
        };
        self.position = reader.position;
        self.step = next;
        Ok(())
    }

    /// How many further bytes are surely needed.
    pub(super) fn missing_bytes(&self, buffer: &[u8]) -> usize {
        let needed = match self.step {
            Step::FixedHeader => MIN_FIXED_HEADER_BYTES,
            // Up to the level, which alone may decide.
            Step::ProtocolName => {
                let name = match buffer.get(self.position + 1) {
                    Some(&6) => ProtocolName::Mqisdp,
                    _ => ProtocolName::Mqtt,
                };
                let level = self.position + LENGTH_BYTES + name.as_str().len();
                self.packet_end.min(level + 1)
            }
            Step::Level(_) => self.position + 1,
            _ => self.packet_end,
        };
        needed.saturating_sub(buffer.len()).max(1)
    }

    /// The error for what was found, in the form of the client's level.
    pub(super) fn refuse(&self, buffer: &[u8], refusal: Refusal, reason: String) -> ConnectError {
        let (refusal, reason) = match self.level.filter(|_| self.unserved) {
            // Whatever else is wrong: with another level it might not be.
            Some(level) => (Refusal::UnsupportedLevel, self.not_served(level)),
            None => (refusal, reason),
        };
        let form = match self.level {
            Some(Level::V5) => Some(Form::V5(find_maximum_packet_size(buffer, self.properties_start..self.packet_end))),
            Some(Level::V3_1 | Level::V3_1_1) | None => self.form,
        };
        ConnectError { refusal, form, reason }
    }

    /// Reads the packet type, its flags and the remaining length (2.1). Gives the position after them.
    fn read_fixed_header(&mut self, buffer: &[u8]) -> Result<usize, Stop> {
        let first = *buffer.first().ok_or(Stop::NeedMore)?;
        let packet_type = first >> 4;
        if packet_type != CONNECT {
            return Err(Stop::Refused(
                Refusal::NotConnect,
                format!(
                    "the first packet is {} (first byte 0x{first:02X}), not CONNECT",
                    PACKET_TYPES[usize::from(packet_type)],
                ),
            ));
        }
        let (remaining_length, bytes) = match VariableByteInteger::read(&buffer[1..]) {
            VariableByteInteger::Whole { value, bytes } => (value, bytes),
            VariableByteInteger::Partial => return Err(Stop::NeedMore),
            VariableByteInteger::TooLong => {
                return Err(Stop::malformed("the remaining length is longer than four bytes"));
            }
        };
        // What is wrong up to here leaves the rest readable as far as the level, and so the client can
        // be told.
        self.header_flags = first & 0x0F;
        if bytes > minimal_bytes(remaining_length) {
            // [MQTT-1.5.5-1]. MQTT 3.1 and 3.1.1 forbid it only by the algorithm that they give, which
            // never writes it so (2.2.3).
            self.length_fault =
                Some(format!("the remaining length is written in {bytes} bytes, which is more than it needs"));
        }
        self.packet_end = 1 + bytes + remaining_length;
        Ok(1 + bytes)
    }

    /// Reads the protocol name (3.1.2.1). What is neither name is found with its first wrong byte, since
    /// a peer that speaks something else may send no more than that.
    fn read_protocol_name(&self, buffer: &[u8]) -> Result<ProtocolName, Stop> {
        let too_short = || Stop::malformed("the packet ends within the protocol name");
        let left = self.packet_end - self.position;
        if left < LENGTH_BYTES {
            return Err(too_short());
        }
        let here = buffer.get(self.position..).unwrap_or_default();
        let (name, text) = match here {
            [] | [0] => return Err(Stop::NeedMore),
            [0, 4, text @ ..] => (ProtocolName::Mqtt, text),
            [0, 6, text @ ..] => (ProtocolName::Mqisdp, text),
            _ => return Err(unknown_protocol_name(buffer)),
        };
        let expected = name.as_str().as_bytes();
        if left < LENGTH_BYTES + expected.len() {
            return Err(too_short());
        }
        if text.iter().zip(expected).any(|(found, expected)| found != expected) {
            return Err(unknown_protocol_name(buffer));
        }
        if text.len() < expected.len() {
            return Err(Stop::NeedMore);
        }
        Ok(name)
    }

    /// Decides what can be decided as soon as the protocol level is known (3.1.2.2).
    fn accept_level(&mut self, name: ProtocolName, number: u8) -> Result<Level, Stop> {
        let level = match (name, number) {
            (ProtocolName::Mqisdp, 3) => Level::V3_1,
            (ProtocolName::Mqtt, 4) => Level::V3_1_1,
            (ProtocolName::Mqtt, 5) => Level::V5,
            _ => {
                self.form = Some(unreadable_level_form(name, number));
                return Err(unsupported_level(self.unreadable_level(name, number)));
            }
        };
        self.level = Some(level);
        self.form = Some(match level {
            Level::V3_1 | Level::V3_1_1 => Form::V3,
            Level::V5 => Form::V5(MaximumPacketSize::Unknown),
        });
        if !self.limits.levels.contains(level) {
            self.unserved = true;
            if level != Level::V5 {
                return Err(unsupported_level(self.not_served(level)));
            }
        }
        // [MQTT-2.2.2-2] (5.0: [MQTT-2.1.3-1]). MQTT 3.1 says that CONNECT does not use them.
        if self.header_flags != 0 && level != Level::V3_1 {
            let flags = self.header_flags;
            return Err(Stop::malformed(format!(
                "the CONNECT's fixed header has the flags 0x{flags:X}, which must be 0"
            )));
        }
        if let Some(fault) = self.length_fault.take() {
            return Err(Stop::malformed(fault));
        }
        if self.packet_end > self.limits.max_packet_bytes {
            return Err(Stop::Refused(
                Refusal::ConnectTooLarge,
                format!(
                    "the CONNECT has {} bytes, at most {} are allowed",
                    self.packet_end, self.limits.max_packet_bytes
                ),
            ));
        }
        Ok(level)
    }

    /// Only MQTT 5.0 has properties.
    fn properties_or(&self, owner: Owner, otherwise: Step) -> Step {
        match self.level {
            Some(Level::V5) => Step::PropertyLength(owner),
            Some(Level::V3_1 | Level::V3_1_1) | None => otherwise,
        }
    }

    /// Whether the packet ends where the user name or the password should stand, and may do so: in MQTT
    /// 3.1 "the Remaining Length field from the fixed header takes precedence over the User Name flag"
    /// and over that of the password, "for compatibility with the original MQTT V3 specification".
    fn may_be_missing(&self) -> bool {
        self.level == Some(Level::V3_1) && self.position == self.packet_end
    }

    fn check_end(&self) -> Result<(), Stop> {
        let left = self.packet_end - self.position;
        if left > 0 {
            return Err(Stop::malformed(format!("{left} bytes are left over after the last field of the CONNECT")));
        }
        match self.level.filter(|_| self.unserved) {
            Some(level) => Err(unsupported_level(self.not_served(level))),
            None => Ok(()),
        }
    }

    fn not_served(&self, level: Level) -> String {
        let number = level.number();
        let served = self.limits.levels;
        format!("protocol level {number} ({level}) is not served here; served: {served}")
    }

    fn unreadable_level(&self, name: ProtocolName, number: u8) -> String {
        let served = self.limits.levels;
        match (name, number) {
            (_, 0x83 | 0x84) => {
                let plain = number & 0x7F;
                format!(
                    "protocol level 0x{number:02X} (mosquitto's bridge form of {plain}) is not served \
                     here; served: {served}"
                )
            }
            (ProtocolName::Mqisdp, _) => {
                format!("protocol name MQIsdp goes with protocol level 3, not with {number}")
            }
            (ProtocolName::Mqtt, 3) => {
                "protocol name MQTT goes with protocol levels 4 and 5; level 3 has the name MQIsdp".to_owned()
            }
            (ProtocolName::Mqtt, _) => {
                format!("protocol level {number} is not served here; served: {served}")
            }
        }
    }
}

fn unsupported_level(reason: String) -> Stop {
    Stop::Refused(Refusal::UnsupportedLevel, reason)
}

/// How a client is told that goes by a level, or by a name and a level, that nobody reads.
///
/// What comes after MQTT 5.0 will understand its CONNACK; how large it may be can't be known. A mosquitto
/// bridge sets the highest bit of the level and, told 0x01 in the old form, tries again without it. The name
/// `MQIsdp` was never that of any but an old client.
fn unreadable_level_form(name: ProtocolName, number: u8) -> Form {
    match (name, number) {
        (ProtocolName::Mqisdp, _) | (ProtocolName::Mqtt, 0..5 | 0x83 | 0x84) => Form::V3,
        (ProtocolName::Mqtt, _) => Form::V5(MaximumPacketSize::Unknown),
    }
}

fn unknown_protocol_name(buffer: &[u8]) -> Stop {
    // A TLS record's first byte is that of a CONNECT with flags.
    let hint = if buffer.starts_with(&TLS_HANDSHAKE) { "; this looks like TLS on a listener without" } else { "" };
    Stop::Refused(Refusal::UnknownProtocolName, format!("the protocol name is neither MQTT nor MQIsdp{hint}"))
}

/// Packet type (2.1.2).
const CONNECT: u8 = 1;
/// Their names, by number.
const PACKET_TYPES: [&str; 16] = [
    "of the reserved type 0",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];
/// Packet type, flags and at least one byte of remaining length.
const MIN_FIXED_HEADER_BYTES: usize = 2;
/// The length that stands before each string (1.5.4).
const LENGTH_BYTES: usize = 2;
/// What stands between the level and the property length.
const FLAGS_AND_KEEP_ALIVE_BYTES: usize = 3;
/// Record type and major version.
const TLS_HANDSHAKE: [u8; 2] = [0x16, 0x03];
