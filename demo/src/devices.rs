//! Devices: MQTT clients that connect through the proxy and look which broker they reached.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use streamgate_tests::broker::NAME_TOPIC;
use streamgate_tests::tls_client::{TlsClient, TlsStream, alert_of};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Packet, StreamEnd, Version};

/// How it went with a connection.
pub(crate) enum Outcome {
    /// It reached a broker.
    Reached(Box<Session>),
    /// Its CONNECT was refused, with the CONNACK's code and, in MQTT 5, the words beside it.
    Refused(u8, Option<String>),
    /// A TLS alert came.
    Alert(u8),
    /// Something else, in words.
    Failed(String),
}

impl Outcome {
    /// In words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Reached(session) => format!("reached {}", session.broker),
            Self::Refused(code, None) => format!("refused with CONNACK 0x{code:02x}"),
            Self::Refused(code, Some(reason)) => {
                format!("refused with CONNACK 0x{code:02x} \"{reason}\"")
            }
            Self::Alert(number) => format!("refused with alert {number} ({})", alert_name(*number)),
            Self::Failed(words) => words.clone(),
        }
    }

    /// The broker that was reached.
    pub(crate) fn broker(&self) -> Option<&str> {
        match self {
            Self::Reached(session) => Some(&session.broker),
            _ => None,
        }
    }
}

/// A device that is connected.
pub(crate) struct Session {
    /// The name that the broker gives itself.
    pub(crate) broker: String,
    stream: TlsStream,
}

impl Session {
    /// Whether the broker still answers.
    pub(crate) fn is_alive(&mut self) -> bool {
        let asked = self.stream.write_all(&wire::PINGREQ).and_then(|()| self.stream.flush());
        asked.is_ok() && wire::read_packet(&mut self.stream, wait::SOON).is_ok_and(|packet| packet.kind() == 13)
    }

    /// Whether the connection was ended from the other side, within a moment.
    pub(crate) fn was_ended(&mut self) -> bool {
        wire::read_to_end(&mut self.stream, Duration::from_secs(5)).1 != StreamEnd::StillOpen
    }

    /// Leaves in order.
    pub(crate) fn leave(mut self) {
        // A broker that is gone needs no goodbye.
        let _ = self.stream.write_all(&wire::DISCONNECT).and_then(|()| self.stream.flush());
    }
}

/// Connects, and asks for the broker's name.
pub(crate) fn connect(client: &TlsClient, address: SocketAddr, version: Version, connect: &Connect) -> Outcome {
    match attempt(client, address, version, connect) {
        Ok(outcome) => outcome,
        Err(error) => match alert_of(&error) {
            Some(number) => Outcome::Alert(number),
            None => Outcome::Failed(format!("{error:#}")),
        },
    }
}

/// An alert's name in RFC 8446, section 6.
pub(crate) fn alert_name(number: u8) -> &'static str {
    match number {
        40 => "handshake_failure",
        42 => "bad_certificate",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        48 => "unknown_ca",
        49 => "access_denied",
        70 => "protocol_version",
        112 => "unrecognized_name",
        116 => "certificate_required",
        _ => "another one",
    }
}

fn attempt(client: &TlsClient, address: SocketAddr, version: Version, connect: &Connect) -> Result<Outcome> {
    let mut stream = client.connect(address)?;
    let answer = wire::connack(&mut stream, connect)?;
    match answer.code() {
        Some(0) => {}
        Some(code) => return Ok(Outcome::Refused(code, reason_string(&answer))),
        None => bail!("no CONNACK, but {:02x?}", answer.bytes),
    }
    stream.write_all(&wire::subscribe(version, 1, NAME_TOPIC, 0))?;
    stream.flush()?;
    loop {
        let packet = wire::read_packet(&mut stream, wait::SOON)?;
        if let Some((_, name)) = packet.message(version) {
            let broker = String::from_utf8_lossy(&name).into_owned();
            return Ok(Outcome::Reached(Box::new(Session { broker, stream })));
        }
    }
}

/// The Reason String (property 0x1f) of an MQTT 5 CONNACK, where it stands first.
fn reason_string(connack: &Packet) -> Option<String> {
    let (&0x1f, rest) = connack.body.get(3..)?.split_first()? else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
    Some(String::from_utf8_lossy(rest.get(2..2 + length)?).into_owned())
}
