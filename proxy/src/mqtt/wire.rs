//! How MQTT writes numbers and strings (1.5), read from a packet of which only the beginning may be here.

use std::fmt::Display;
use std::ops::Range;
use std::str;

use super::reason::Refusal;

/// Why reading stops short of a value.
#[derive(Debug)]
pub(super) enum Stop {
    /// The value is not all here yet; nothing is wrong so far.
    NeedMore,
    /// The client is to be turned away; the sentence says what is wrong and where.
    Refused(Refusal, String),
}

impl Stop {
    pub(super) fn malformed(reason: impl Into<String>) -> Self {
        Self::Refused(Refusal::MalformedConnect, reason.into())
    }

    pub(super) fn protocol_error(reason: impl Into<String>) -> Self {
        Self::Refused(Refusal::ProtocolError, reason.into())
    }
}

/// Writes a Variable Byte Integer (1.5.5).
pub(super) fn push_variable_byte_integer(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

/// Reads values one after the other.
///
/// Whether a value may be as long as it says is decided before whether it is here, so a length that lies
/// is found when it arrives, and nobody waits for bytes that the packet can't have. The verdict is the
/// same however the bytes arrive.
///
/// After a [`Stop`] the position is of no use: whoever reads again starts anew where the value began.
pub(super) struct Reader<'a> {
    buffer: &'a [u8],
    /// Where the next value begins.
    pub(super) position: usize,
    /// Where what encloses the values ends; may be past the buffer.
    end: usize,
    /// What it is that ends there, for messages: `the packet`, `the properties`.
    enclosure: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(buffer: &'a [u8], values: Range<usize>, enclosure: &'static str) -> Self {
        Self { buffer, position: values.start, end: values.end, enclosure }
    }

    /// One byte. `what` names the value in messages, as in all that follow.
    pub(super) fn byte(&mut self, what: impl Display + Copy) -> Result<u8, Stop> {
        self.integer(what).map(u8::from_be_bytes)
    }

    /// A Two Byte Integer (1.5.2).
    pub(super) fn two_byte_integer(&mut self, what: impl Display + Copy) -> Result<u16, Stop> {
        self.integer(what).map(u16::from_be_bytes)
    }

    /// A Four Byte Integer (1.5.3).
    pub(super) fn four_byte_integer(&mut self, what: impl Display + Copy) -> Result<u32, Stop> {
        self.integer(what).map(u32::from_be_bytes)
    }

    /// A Variable Byte Integer (1.5.5), which must be as short as can be \[MQTT-1.5.5-1\].
    pub(super) fn variable_byte_integer(&mut self, what: impl Display + Copy) -> Result<usize, Stop> {
        let until = self.end.min(self.buffer.len());
        let here = self.buffer.get(self.position..until).unwrap_or_default();
        match VariableByteInteger::read(here) {
            VariableByteInteger::Whole { value, bytes } => {
                if bytes > minimal_bytes(value) {
                    return Err(Stop::malformed(format!(
                        "{what} is written in {bytes} bytes, which is more than it needs"
                    )));
                }
                self.position += bytes;
                Ok(value)
            }
            VariableByteInteger::TooLong => Err(Stop::malformed(format!("{what} is longer than four bytes"))),
            VariableByteInteger::Partial => {
                if self.position + here.len() >= self.end {
                    return Err(self.passes_end(what, here.len() + 1));
                }
                Err(Stop::NeedMore)
            }
        }
    }

    /// Binary Data (1.5.6), or a string that is still to be checked: where its bytes are.
    pub(super) fn binary_data(&mut self, what: impl Display + Copy) -> Result<Range<usize>, Stop> {
        let length = self.two_byte_integer(what)?;
        self.take(usize::from(length), what)
    }

    /// A UTF-8 Encoded String (1.5.4): where its bytes are.
    pub(super) fn utf8_string(&mut self, what: impl Display + Copy) -> Result<Range<usize>, Stop> {
        let text = self.binary_data(what)?;
        self.check_utf8(&text, what)?;
        Ok(text)
    }

    /// Surrogates, overlong forms and U+0000 may not stand in a string \[MQTT-1.5.4-1\], \[MQTT-1.5.4-2\].
    /// Control characters and non-characters "should not", which the broker may judge.
    pub(super) fn check_utf8(&self, text: &Range<usize>, what: impl Display + Copy) -> Result<(), Stop> {
        let bytes = self.buffer.get(text.clone()).unwrap_or_default();
        if let Err(error) = str::from_utf8(bytes) {
            let at = error.valid_up_to();
            return Err(Stop::malformed(format!("{what} is not UTF-8 (at its byte {at})")));
        }
        if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
            return Err(Stop::malformed(format!("{what} has the character U+0000 in it (at its byte {at})")));
        }
        Ok(())
    }

    /// How many bytes there may still be.
    pub(super) fn left(&self) -> usize {
        self.end.saturating_sub(self.position)
    }

    fn integer<const BYTES: usize>(&mut self, what: impl Display + Copy) -> Result<[u8; BYTES], Stop> {
        let integer = self.take(BYTES, what)?;
        let bytes = self.buffer.get(integer).and_then(|b| b.try_into().ok());
        bytes.ok_or(Stop::NeedMore)
    }

    /// Where the next so many bytes are, once all of them are here.
    fn take(&mut self, bytes: usize, what: impl Display + Copy) -> Result<Range<usize>, Stop> {
        let taken = self.position..self.position + bytes;
        if taken.end > self.end {
            return Err(self.passes_end(what, bytes));
        }
        if taken.end > self.buffer.len() {
            return Err(Stop::NeedMore);
        }
        self.position = taken.end;
        Ok(taken)
    }

    fn passes_end(&self, what: impl Display + Copy, bytes: usize) -> Stop {
        let left = self.left();
        let enclosure = self.enclosure;
        Stop::malformed(format!("{what} passes the end of {enclosure}: it wants {bytes} more bytes, {left} are left"))
    }
}

/// What the first bytes are as a Variable Byte Integer (1.5.5): seven bits a byte, lowest first, the
/// highest bit says that another byte follows.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum VariableByteInteger {
    /// All of it is here, in so many bytes.
    Whole { value: usize, bytes: usize },
    /// More of it follows.
    Partial,
    /// More than the four bytes that it may have.
    TooLong,
}

impl VariableByteInteger {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut value = 0;
        for (index, byte) in bytes.iter().take(MAX_VARIABLE_BYTES).enumerate() {
            value |= usize::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                let bytes = index + 1;
                return Self::Whole { value, bytes };
            }
        }
        if bytes.len() < MAX_VARIABLE_BYTES { Self::Partial } else { Self::TooLong }
    }
}

/// How many bytes the value takes as a Variable Byte Integer.
pub(super) fn minimal_bytes(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

const MAX_VARIABLE_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of 1.5.5.
    const LIMITS: [(usize, &[u8]); 8] = [
        (0, &[0x00]),
        (127, &[0x7F]),
        (128, &[0x80, 0x01]),
        (16_383, &[0xFF, 0x7F]),
        (16_384, &[0x80, 0x80, 0x01]),
        (2_097_151, &[0xFF, 0xFF, 0x7F]),
        (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
        (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
    ];

    #[test]
    fn variable_byte_integers_are_as_the_specification_has_them() {
        for (value, bytes) in LIMITS {
            let expected = VariableByteInteger::Whole { value, bytes: bytes.len() };
            assert_eq!(VariableByteInteger::read(bytes), expected);
            assert_eq!(minimal_bytes(value), bytes.len());
            for cut in 0..bytes.len() {
                let partial = VariableByteInteger::read(&bytes[..cut]);
                assert_eq!(partial, VariableByteInteger::Partial);
            }
        }
    }

    #[test]
    fn what_follows_a_variable_byte_integer_is_not_read() {
        let expected = VariableByteInteger::Whole { value: 1, bytes: 1 };
        assert_eq!(VariableByteInteger::read(&[0x01, 0xFF]), expected);
    }

    #[test]
    fn a_fifth_byte_is_too_many() {
        let read = VariableByteInteger::read(&[0x80, 0x80, 0x80, 0x80]);
        assert_eq!(read, VariableByteInteger::TooLong);
    }
}
