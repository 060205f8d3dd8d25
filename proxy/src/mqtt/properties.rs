//! The properties of CONNECT and of its will in MQTT 5.0 (2.2.2, 3.1.2.11, 3.1.3.2).

use std::fmt;
use std::ops::Range;

use super::reason::MaximumPacketSize;
use super::wire::{Reader, Stop};

/// Which of the two sets of properties is being read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Owner {
    #[default]
    Connect,
    Will,
}

/// What has been read of one set of properties.
#[derive(Clone, Debug, Default)]
pub(super) struct Properties {
    owner: Owner,
    /// Where they are, without their length.
    range: Range<usize>,
    /// Bit n stands for the property with identifier n.
    seen: u64,
    /// In bytes, if the client set it.
    pub(super) maximum_packet_size: Option<u32>,
}

impl Properties {
    /// Reads the length that the properties begin with.
    pub(super) fn begin(owner: Owner, reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let what = match owner {
            Owner::Connect => "the property length",
            Owner::Will => "the will property length",
        };
        let length = reader.variable_byte_integer(what)?;
        let start = reader.position;
        let left = reader.left();
        if length > left {
            return Err(Stop::malformed(format!(
                "{what} passes the end of the packet: it says {length}, {left} bytes are left"
            )));
        }
        Ok(Self { owner, range: start..start + length, seen: 0, maximum_packet_size: None })
    }

    /// Reads the property at `position`. Gives the position after it, or `None` after the last one.
    pub(super) fn read_next(&mut self, buffer: &[u8], position: usize) -> Result<Option<usize>, Stop> {
        if position >= self.range.end {
            return self.check_whole().map(|()| None);
        }
        let mut reader = Reader::new(buffer, position..self.range.end, "the properties");
        let property = self.identify(reader.byte("a property")?)?;
        let value = property.read_value(&mut reader)?;
        match &value {
            Value::Text(text) => reader.check_utf8(text, property)?,
            Value::TextPair(name, value) => {
                reader.check_utf8(name, property)?;
                reader.check_utf8(value, property)?;
            }
            Value::Number(number) => self.check_number(property, *number)?,
            Value::Data => {}
        }
        self.seen |= property.bit();
        Ok(Some(reader.position))
    }

    /// Finds the property that the identifier stands for. Whether it may stand here is known before its
    /// value is.
    fn identify(&self, identifier: u8) -> Result<&'static Property, Stop> {
        // An identifier is a Variable Byte Integer, but no property has one of more than one byte, so
        // the first byte settles it.
        let Some(property) = Property::find(identifier) else {
            return Err(Stop::malformed(format!("there is no property 0x{identifier:02X} in a CONNECT or a will")));
        };
        if !property.owners.contains(&self.owner) {
            let place = match self.owner {
                Owner::Connect => "among the CONNECT's own properties",
                Owner::Will => "among the will's properties",
            };
            return Err(Stop::malformed(format!("property {property} may not stand {place}")));
        }
        if self.seen & property.bit() != 0 && property.identifier != USER_PROPERTY {
            return Err(Stop::protocol_error(format!("property {property} appears twice")));
        }
        Ok(property)
    }

    /// What can be read but is not allowed is a protocol error (1.2).
    fn check_number(&mut self, property: &Property, number: u32) -> Result<(), Stop> {
        match (property.identifier, number) {
            (RECEIVE_MAXIMUM | MAXIMUM_PACKET_SIZE, 0) => {
                Err(Stop::protocol_error(format!("property {property} is 0")))
            }
            // Of the Payload Format Indicator the specification says only that it is 0 or 1; a byte that
            // is neither can be read, so it isn't malformed.
            (REQUEST_PROBLEM_INFORMATION | REQUEST_RESPONSE_INFORMATION | PAYLOAD_FORMAT_INDICATOR, 2..) => {
                Err(Stop::protocol_error(format!("property {property} is {number}, but may only be 0 or 1")))
            }
            (MAXIMUM_PACKET_SIZE, size) => {
                self.maximum_packet_size = Some(size);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What can be said only at the end of all properties.
    fn check_whole(&self) -> Result<(), Stop> {
        let has = |identifier: u8| self.seen & (1 << identifier) != 0;
        if has(AUTHENTICATION_DATA) && !has(AUTHENTICATION_METHOD) {
            return Err(Stop::protocol_error(
                "property Authentication Data (0x16) stands without Authentication Method (0x15)",
            ));
        }
        Ok(())
    }
}

/// Finds the Maximum Packet Size of a CONNECT that is refused before its properties were read, or while
/// they were. `properties` is where their length begins, and where the packet ends.
///
/// What is wrong with the properties is of no matter here. Of several values the smallest counts, and 0,
/// which no client may ask for, is none.
pub(super) fn find_maximum_packet_size(buffer: &[u8], properties: Range<usize>) -> MaximumPacketSize {
    let mut found: Option<u32> = None;
    let mut reader = Reader::new(buffer, properties.clone(), "the packet");
    let stop = match reader.variable_byte_integer("the property length") {
        Ok(length) => {
            let end = properties.end.min(reader.position + length);
            let mut reader = Reader::new(buffer, reader.position..end, "the properties");
            loop {
                if reader.position >= end {
                    break None;
                }
                match Property::read(&mut reader) {
                    Ok((MAXIMUM_PACKET_SIZE, Value::Number(size @ 1..))) => {
                        found = Some(found.map_or(size, |smallest| smallest.min(size)));
                    }
                    Ok(_) => {}
                    Err(stop) => break Some(stop),
                }
            }
        }
        Err(stop) => Some(stop),
    };
    match (found, stop) {
        (Some(size), _) => MaximumPacketSize::Known(size),
        (None, Some(Stop::NeedMore)) => MaximumPacketSize::Unknown,
        // Nothing that is still to come could tell.
        (None, Some(Stop::Refused(..)) | None) => MaximumPacketSize::Absent,
    }
}

/// A property that may stand in a CONNECT (2.2.2.2).
#[derive(Debug)]
struct Property {
    identifier: u8,
    name: &'static str,
    data_type: DataType,
    owners: &'static [Owner],
}

/// How a property's value is written.
#[derive(Clone, Copy, Debug)]
enum DataType {
    Byte,
    TwoByteInteger,
    FourByteInteger,
    BinaryData,
    Utf8String,
    Utf8StringPair,
}

/// As much of a value as anything here depends on.
#[derive(Debug)]
enum Value {
    Number(u32),
    Data,
    Text(Range<usize>),
    TextPair(Range<usize>, Range<usize>),
}

impl Property {
    fn find(identifier: u8) -> Option<&'static Self> {
        PROPERTIES.iter().find(|property| property.identifier == identifier)
    }

    /// Reads whichever property comes next.
    fn read(reader: &mut Reader<'_>) -> Result<(u8, Value), Stop> {
        let identifier = reader.byte("a property")?;
        let property = Self::find(identifier).ok_or_else(|| Stop::malformed(""))?;
        Ok((identifier, property.read_value(reader)?))
    }

    /// Reads the value, without a look at what stands in it. A text is checked only when all of the
    /// property is here: a name that was checked again with each byte of its value would cost the square
    /// of its length.
    fn read_value(&self, reader: &mut Reader<'_>) -> Result<Value, Stop> {
        Ok(match self.data_type {
            DataType::Byte => Value::Number(reader.byte(self)?.into()),
            DataType::TwoByteInteger => Value::Number(reader.two_byte_integer(self)?.into()),
            DataType::FourByteInteger => Value::Number(reader.four_byte_integer(self)?),
            DataType::BinaryData => {
                reader.binary_data(self)?;
                Value::Data
            }
            DataType::Utf8String => Value::Text(reader.binary_data(self)?),
            DataType::Utf8StringPair => Value::TextPair(reader.binary_data(self)?, reader.binary_data(self)?),
        })
    }

    fn bit(&self) -> u64 {
        1 << self.identifier
    }
}

impl fmt::Display for Property {
    /// `Receive Maximum (0x21)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (0x{:02X})", self.name, self.identifier)
    }
}

const fn property(identifier: u8, name: &'static str, data_type: DataType, owners: &'static [Owner]) -> Property {
    Property { identifier, name, data_type, owners }
}

const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
const AUTHENTICATION_METHOD: u8 = 0x15;
const AUTHENTICATION_DATA: u8 = 0x16;
const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
const RECEIVE_MAXIMUM: u8 = 0x21;
const USER_PROPERTY: u8 = 0x26;
const MAXIMUM_PACKET_SIZE: u8 = 0x27;

const CONNECT: &[Owner] = &[Owner::Connect];
const WILL: &[Owner] = &[Owner::Will];
const BOTH: &[Owner] = &[Owner::Connect, Owner::Will];

#[rustfmt::skip]
const PROPERTIES: [Property; 15] = {
    use DataType::{BinaryData, Byte, FourByteInteger, TwoByteInteger, Utf8String, Utf8StringPair};
    [
        property(PAYLOAD_FORMAT_INDICATOR, "Payload Format Indicator", Byte, WILL),
        property(0x02, "Message Expiry Interval", FourByteInteger, WILL),
        property(0x03, "Content Type", Utf8String, WILL),
        property(0x08, "Response Topic", Utf8String, WILL),
        property(0x09, "Correlation Data", BinaryData, WILL),
        property(0x11, "Session Expiry Interval", FourByteInteger, CONNECT),
        property(AUTHENTICATION_METHOD, "Authentication Method", Utf8String, CONNECT),
        property(AUTHENTICATION_DATA, "Authentication Data", BinaryData, CONNECT),
        property(REQUEST_PROBLEM_INFORMATION, "Request Problem Information", Byte, CONNECT),
        property(0x18, "Will Delay Interval", FourByteInteger, WILL),
        property(REQUEST_RESPONSE_INFORMATION, "Request Response Information", Byte, CONNECT),
        property(RECEIVE_MAXIMUM, "Receive Maximum", TwoByteInteger, CONNECT),
        property(0x22, "Topic Alias Maximum", TwoByteInteger, CONNECT),
        property(USER_PROPERTY, "User Property", Utf8StringPair, BOTH),
        property(MAXIMUM_PACKET_SIZE, "Maximum Packet Size", FourByteInteger, CONNECT),
    ]
};

#[cfg(test)]
mod tests;
