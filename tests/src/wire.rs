//! MQTT as bytes: what a test sends and reads where each byte counts.

mod peer;

pub use peer::{Peer, StreamEnd, connack, connect_tcp, read_packet, read_to_end};

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1: level 3, name `MQIsdp`.
    V31,
    /// MQTT 3.1.1: level 4.
    V311,
    /// MQTT 5.0: level 5.
    V5,
}

impl Version {
    /// All three.
    pub const ALL: [Self; 3] = [Self::V31, Self::V311, Self::V5];

    /// The protocol level.
    pub fn level(self) -> u8 {
        match self {
            Self::V31 => 3,
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }

    /// The protocol name.
    pub fn protocol_name(self) -> &'static str {
        if self == Self::V31 { "MQIsdp" } else { "MQTT" }
    }
}

/// A CONNECT to be built: with a clean session and 60 seconds of keep-alive where nothing else is said.
#[derive(Clone, Debug)]
pub struct Connect {
    version: Version,
    protocol_name: Vec<u8>,
    level: u8,
    flags: u8,
    keep_alive: u16,
    properties: Vec<u8>,
    client_id: Vec<u8>,
    will: Vec<u8>,
    username: Option<Vec<u8>>,
    password: Option<Vec<u8>>,
}

impl Connect {
    /// With this client id.
    pub fn new(version: Version, client_id: &str) -> Self {
        Self {
            version,
            protocol_name: version.protocol_name().as_bytes().to_vec(),
            level: version.level(),
            flags: 0x02,
            keep_alive: 60,
            properties: Vec::new(),
            client_id: client_id.as_bytes().to_vec(),
            will: Vec::new(),
            username: None,
            password: None,
        }
    }

    /// With another protocol name.
    #[must_use]
    pub fn protocol_name(mut self, name: &str) -> Self {
        self.protocol_name = name.as_bytes().to_vec();
        self
    }

    /// With another protocol level, in the form of the version all the same.
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    /// With flags of its own: reserved bits, a will's `QoS` of 3. Set after what sets flags itself.
    #[must_use]
    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    /// With (`true`) or without a clean session.
    #[must_use]
    pub fn clean(mut self, clean: bool) -> Self {
        self.flags = self.flags & !0x02 | u8::from(clean) << 1;
        self
    }

    /// With this keep-alive, in seconds.
    #[must_use]
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// With further bytes of properties (MQTT 5): identifier and value, any number of them.
    #[must_use]
    pub fn properties(mut self, bytes: &[u8]) -> Self {
        self.properties.extend_from_slice(bytes);
        self
    }

    /// With a client id that need not be UTF-8.
    #[must_use]
    pub fn client_id_bytes(mut self, bytes: &[u8]) -> Self {
        self.client_id = bytes.to_vec();
        self
    }

    /// With a will.
    #[must_use]
    pub fn will(self, topic: &str, payload: &[u8], qos: u8, retain: bool) -> Self {
        self.will_with_properties(topic, payload, qos, retain, &[])
    }

    /// With a will that has properties (MQTT 5 only).
    #[must_use]
    pub fn will_with_properties(
        mut self,
        topic: &str,
        payload: &[u8],
        qos: u8,
        retain: bool,
        properties: &[u8],
    ) -> Self {
        self.flags |= 0x04 | qos << 3 | u8::from(retain) << 5;
        self.will.clear();
        if self.version == Version::V5 {
            push_variable(&mut self.will, properties.len());
            self.will.extend_from_slice(properties);
        }
        push_string(&mut self.will, topic.as_bytes());
        push_string(&mut self.will, payload);
        self
    }

    /// With a user name.
    #[must_use]
    pub fn username(mut self, name: &str) -> Self {
        self.flags |= 0x80;
        self.username = Some(name.as_bytes().to_vec());
        self
    }

    /// With a password.
    #[must_use]
    pub fn password(mut self, password: &[u8]) -> Self {
        self.flags |= 0x40;
        self.password = Some(password.to_vec());
        self
    }

    /// The packet.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        push_string(&mut body, &self.protocol_name);
        body.extend_from_slice(&[self.level, self.flags]);
        body.extend_from_slice(&self.keep_alive.to_be_bytes());
        if self.version == Version::V5 {
            push_variable(&mut body, self.properties.len());
            body.extend_from_slice(&self.properties);
        }
        push_string(&mut body, &self.client_id);
        body.extend_from_slice(&self.will);
        for field in [&self.username, &self.password].into_iter().flatten() {
            push_string(&mut body, field);
        }
        packet(0x10, &body)
    }
}

/// A packet with this first byte and this body; the length is put between them.
pub fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    push_variable(&mut bytes, body.len());
    bytes.extend_from_slice(body);
    bytes
}

/// A SUBSCRIBE to one filter.
pub fn subscribe(version: Version, packet_id: u16, filter: &str, qos: u8) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    push_string(&mut body, filter.as_bytes());
    body.push(qos);
    packet(0x82, &body)
}

/// A PUBLISH; the packet id counts above `QoS` 0 only.
pub fn publish(version: Version, topic: &str, payload: &[u8], qos: u8, packet_id: u16, retain: bool) -> Vec<u8> {
    let mut body = Vec::new();
    push_string(&mut body, topic.as_bytes());
    if qos > 0 {
        body.extend_from_slice(&packet_id.to_be_bytes());
    }
    if version == Version::V5 {
        body.push(0);
    }
    body.extend_from_slice(payload);
    packet(0x30 | qos << 1 | u8::from(retain), &body)
}

/// A DISCONNECT without a word.
pub const DISCONNECT: [u8; 2] = [0xe0, 0];
/// A PINGREQ.
pub const PINGREQ: [u8; 2] = [0xc0, 0];
/// A CONNACK that lets the client in, in MQTT 3.1 and 3.1.1.
pub const CONNACK_V311: [u8; 4] = [0x20, 2, 0, 0];
/// A CONNACK that lets the client in, in MQTT 5.
pub const CONNACK_V5: [u8; 5] = [0x20, 3, 0, 0, 0];

/// The CONNACK by which a broker lets a client of this version in.
pub fn accepting(version: Version) -> &'static [u8] {
    if version == Version::V5 { &CONNACK_V5 } else { &CONNACK_V311 }
}

/// A packet that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Type and flags.
    pub first_byte: u8,
    /// What stands after the length.
    pub body: Vec<u8>,
    /// All of it, as it came.
    pub bytes: Vec<u8>,
}

impl Packet {
    /// The type: 2 is CONNACK, 3 PUBLISH, 9 SUBACK, 13 PINGRESP, 14 DISCONNECT.
    pub fn kind(&self) -> u8 {
        self.first_byte >> 4
    }

    /// A CONNACK's return or reason code, a DISCONNECT's reason code.
    pub fn code(&self) -> Option<u8> {
        match self.kind() {
            2 => self.body.get(1).copied(),
            14 => Some(self.body.first().copied().unwrap_or(0)),
            _ => None,
        }
    }

    /// The Reason String (0x1F) of an MQTT 5 CONNACK that has no other property before it.
    pub fn reason_string(&self) -> Option<String> {
        if self.kind() != 2 {
            return None;
        }
        let (_, width) = variable(self.body.get(2..)?)?;
        let text = self.body.get(2 + width..)?.strip_prefix(&[0x1f])?.get(2..)?;
        String::from_utf8(text.to_vec()).ok()
    }

    /// A PUBLISH's topic and payload.
    pub fn message(&self, version: Version) -> Option<(String, Vec<u8>)> {
        if self.kind() != 3 {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([*self.body.first()?, *self.body.get(1)?]));
        let topic = String::from_utf8_lossy(self.body.get(2..2 + length)?).into_owned();
        let mut at = 2 + length + if self.first_byte & 0x06 == 0 { 0 } else { 2 };
        if version == Version::V5 {
            let (properties, width) = variable(self.body.get(at..)?)?;
            at += width + properties;
        }
        Some((topic, self.body.get(at..)?.to_vec()))
    }
}

fn push_string(into: &mut Vec<u8>, text: &[u8]) {
    into.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    into.extend_from_slice(text);
}

fn push_variable(into: &mut Vec<u8>, mut length: usize) {
    loop {
        let byte = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        if length == 0 {
            into.push(byte);
            return;
        }
        into.push(byte | 0x80);
    }
}

/// A variable byte integer and how many bytes it takes; none where it is not whole.
fn variable(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}
