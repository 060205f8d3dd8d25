//! The CONNECT packet (3.1), read while it arrives.

use std::fmt;
use std::ops::Range;
use std::str;

use super::connack;
use super::level::{Level, LevelSet};
use super::properties::Properties;
use super::reason::{Form, Refusal};
use super::wire::Stop;
use fields::Step;
use flags::ConnectFlags;

mod fields;
mod flags;
#[cfg(test)]
mod tests;

/// What a CONNECT may be.
#[derive(Clone, Copy, Debug)]
pub struct ConnectLimits {
    /// How large the whole packet may be, its fixed header included.
    pub max_packet_bytes: usize,
    /// The protocol levels that are served.
    pub levels: LevelSet,
}

/// Reads one CONNECT from a buffer that grows as bytes arrive.
///
/// The buffer is the caller's: it begins with the first byte of the connection, and each call shows all of
/// it again, with what has arrived since. The decoder keeps where it stands and looks at each byte about
/// once, however finely the bytes come.
#[derive(Clone, Debug)]
pub struct ConnectDecoder {
    limits: ConnectLimits,
    step: Step,
    /// Where the field begins that `step` reads.
    position: usize,
    /// Where the packet ends, once its fixed header is read.
    packet_end: usize,
    /// The flags of the fixed header. Whether they may be set depends on the level.
    header_flags: u8,
    /// What is wrong with the remaining length. It waits until the level tells how the client is told.
    length_fault: Option<String>,
    /// `None` until the client can be told anything.
    form: Option<Form>,
    level: Option<Level>,
    /// Whether the level is one that isn't served, and the rest is read only to know how large the CONNACK
    /// may be.
    unserved: bool,
    flags: ConnectFlags,
    keep_alive_seconds: u16,
    /// Where the property length stands, in MQTT 5.0.
    properties_start: usize,
    /// Those that are being read: the CONNECT's, later the will's.
    properties: Properties,
    /// In bytes, if the client set it.
    maximum_packet_size: Option<u32>,
    client_id: Option<Range<usize>>,
    username: Option<Range<usize>>,
    password: Option<Range<usize>>,
    refused: Option<ConnectError>,
}

/// How far a CONNECT has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// All is well so far.
    NeedMore {
        /// How many further bytes are surely needed, at least 1: never more than up to the packet's end.
        /// Once the packet is known to be within the limits, it is exactly what is missing of it.
        at_least: usize,
    },
    /// The CONNECT is whole; [`ConnectDecoder::connect`] has it.
    Complete {
        /// In bytes. What the buffer holds after them belongs to the packets that follow.
        packet_len: usize,
    },
}

/// Why a client is turned away, and how it is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectError {
    /// Which of the ways to be turned away this is.
    pub refusal: Refusal,
    /// The form in which the client can be told; `None` where its version of MQTT is not known yet.
    pub form: Option<Form>,
    /// What is wrong and where, in a sentence for the log and the Reason String. It repeats no value that
    /// could be a secret.
    pub reason: String,
}

/// A whole CONNECT.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Connect<'a> {
    /// The whole packet, to be forwarded as it is.
    pub packet: &'a [u8],
    /// The version of MQTT.
    pub level: Level,
    /// Clean Start; before MQTT 5.0, Clean Session (3.1.2.4).
    pub clean_start: bool,
    /// In seconds; 0 turns it off (3.1.2.10).
    pub keep_alive_seconds: u16,
    /// May be empty, see [`Connect::empty_client_id_allowed`] (3.1.3.1).
    pub client_id: &'a str,
    /// The user name, if there is one (3.1.3.5).
    pub username: Option<&'a str>,
    /// The password, if there is one: any bytes (3.1.3.6).
    pub password: Option<&'a [u8]>,
    /// Whether the client leaves a will (3.1.2.5).
    pub has_will: bool,
    /// The Maximum Packet Size in bytes, if the client set one: never 0, and only in MQTT 5.0
    /// (3.1.2.11.4).
    pub maximum_packet_size: Option<u32>,
}

impl ConnectDecoder {
    /// A decoder for a new connection.
    pub fn new(limits: ConnectLimits) -> Self {
        Self {
            limits,
            step: Step::FixedHeader,
            position: 0,
            packet_end: 0,
            header_flags: 0,
            length_fault: None,
            form: None,
            level: None,
            unserved: false,
            flags: ConnectFlags::default(),
            keep_alive_seconds: 0,
            properties_start: 0,
            properties: Properties::default(),
            maximum_packet_size: None,
            client_id: None,
            username: None,
            password: None,
            refused: None,
        }
    }

    /// Reads on, with `buffer` being all that has arrived.
    ///
    /// A verdict stands: further calls repeat it, and which one it is does not depend on how the bytes are
    /// cut. Only the Maximum Packet Size of an error does, which can't be known before it has arrived.
    ///
    /// # Errors
    ///
    /// As soon as the bytes show that the client is to be turned away, and in the case of a
    /// protocol level 5 that isn't served, when the whole packet is here.
    pub fn decode(&mut self, buffer: &[u8]) -> Result<Progress, ConnectError> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        while self.step != Step::Done {
            match self.read_field(buffer) {
                Ok(()) => {}
                Err(Stop::NeedMore) => {
                    let at_least = self.missing_bytes(buffer);
                    return Ok(Progress::NeedMore { at_least });
                }
                Err(Stop::Refused(refusal, reason)) => {
                    let error = self.refuse(buffer, refusal, reason);
                    self.refused = Some(error.clone());
                    return Err(error);
                }
            }
        }
        Ok(Progress::Complete { packet_len: self.packet_end })
    }

    /// The CONNECT, once [`ConnectDecoder::decode`] has said that it is whole; `None` before. `buffer` is
    /// the same as there.
    pub fn connect<'a>(&self, buffer: &'a [u8]) -> Option<Connect<'a>> {
        let level = self.level.filter(|_| self.step == Step::Done)?;
        let text = |range: &Range<usize>| str::from_utf8(buffer.get(range.clone())?).ok();
        Some(Connect {
            packet: buffer.get(..self.packet_end)?,
            level,
            clean_start: self.flags.clean_start(),
            keep_alive_seconds: self.keep_alive_seconds,
            client_id: self.client_id.as_ref().and_then(text)?,
            username: self.username.as_ref().and_then(text),
            password: self.password.clone().and_then(|range| buffer.get(range)),
            has_will: self.flags.will(),
            maximum_packet_size: self.maximum_packet_size,
        })
    }

    /// The client id as soon as it has been read, so that the log can name a client that is turned away
    /// for something after it.
    pub fn client_id<'a>(&self, buffer: &'a [u8]) -> Option<&'a str> {
        str::from_utf8(buffer.get(self.client_id.clone()?)?).ok()
    }
}

impl Connect<'_> {
    /// The form in which this client is told that it is turned away.
    pub fn form(&self) -> Form {
        match self.level {
            Level::V3_1 | Level::V3_1_1 => Form::V3,
            Level::V5 => Form::V5(self.maximum_packet_size.into()),
        }
    }

    /// Whether this version of MQTT lets such a client leave its client id empty: never in MQTT 3.1, in
    /// 3.1.1 together with Clean Session \[MQTT-3.1.3-7\], always in 5.0 \[MQTT-3.1.3-6\].
    pub fn empty_client_id_allowed(&self) -> bool {
        match self.level {
            Level::V3_1 => false,
            Level::V3_1_1 => self.clean_start,
            Level::V5 => true,
        }
    }
}

impl fmt::Debug for Connect<'_> {
    /// Without the password, and without the packet, which has the password in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connect")
            .field("level", &self.level)
            .field("clean_start", &self.clean_start)
            .field("keep_alive_seconds", &self.keep_alive_seconds)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("has_password", &self.password.is_some())
            .field("has_will", &self.has_will)
            .field("maximum_packet_size", &self.maximum_packet_size)
            .finish_non_exhaustive()
    }
}

impl ConnectError {
    /// What to send before closing: a whole CONNACK, or nothing (see [`connack::refusal`]).
    pub fn connack(&self) -> Option<Vec<u8>> {
        connack::refusal(self.form?, self.refusal, &self.reason)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for ConnectError {}
