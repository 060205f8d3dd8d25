//! MQTT packets for tests, right or wrong to the byte.

/// A CONNECT to be. What a test doesn't say is the simplest that is valid.
#[derive(Clone, Debug)]
pub(crate) struct ConnectPacket {
    name: String,
    level: u8,
    clean_start: bool,
    keep_alive_seconds: u16,
    properties: Vec<u8>,
    client_id: Vec<u8>,
    will: Option<Will>,
    username: Option<Vec<u8>>,
    password: Option<Vec<u8>>,
    /// These bits are turned over in the connect flags.
    flipped_flags: u8,
    /// Bytes after the last field.
    rest: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Will {
    qos: u8,
    retain: bool,
    properties: Vec<u8>,
    topic: Vec<u8>,
    payload: Vec<u8>,
}

impl ConnectPacket {
    /// MQTT 3.1, client id `device`.
    pub(crate) fn v3_1() -> Self {
        Self::new("MQIsdp", 3)
    }

    /// MQTT 3.1.1, client id `device`.
    pub(crate) fn v3_1_1() -> Self {
        Self::new("MQTT", 4)
    }

    /// MQTT 5.0, client id `device`.
    pub(crate) fn v5() -> Self {
        Self::new("MQTT", 5)
    }

    /// Of any name and level; as from level 5 on with properties.
    pub(crate) fn new(name: &str, level: u8) -> Self {
        Self {
            name: name.to_owned(),
            level,
            clean_start: true,
            keep_alive_seconds: 60,
            properties: Vec::new(),
            client_id: b"device".to_vec(),
            will: None,
            username: None,
            password: None,
            flipped_flags: 0,
            rest: Vec::new(),
        }
    }

    pub(crate) fn clean_start(mut self, clean_start: bool) -> Self {
        self.clean_start = clean_start;
        self
    }

    pub(crate) fn keep_alive_seconds(mut self, seconds: u16) -> Self {
        self.keep_alive_seconds = seconds;
        self
    }

    pub(crate) fn client_id(mut self, client_id: impl AsRef<[u8]>) -> Self {
        self.client_id = client_id.as_ref().to_vec();
        self
    }

    /// Adds a property, identifier and value (see [`property`] for those with a length).
    pub(crate) fn property(mut self, property: impl AsRef<[u8]>) -> Self {
        self.properties.extend(property.as_ref());
        self
    }

    pub(crate) fn will(mut self, topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        self.will = Some(Will {
            qos: 1,
            retain: true,
            properties: Vec::new(),
            topic: topic.as_ref().to_vec(),
            payload: payload.as_ref().to_vec(),
        });
        self
    }

    /// Adds a property to the will, which must be there already.
    pub(crate) fn will_property(mut self, property: impl AsRef<[u8]>) -> Self {
        let will = self.will.as_mut().expect("the will comes first");
        will.properties.extend(property.as_ref());
        self
    }

    pub(crate) fn username(mut self, username: impl AsRef<[u8]>) -> Self {
        self.username = Some(username.as_ref().to_vec());
        self
    }

    pub(crate) fn password(mut self, password: impl AsRef<[u8]>) -> Self {
        self.password = Some(password.as_ref().to_vec());
        self
    }

    /// Turns over these bits of the connect flags, so that they lie about the payload.
    pub(crate) fn flip_flags(mut self, bits: u8) -> Self {
        self.flipped_flags ^= bits;
        self
    }

    /// Adds bytes after the last field, within the packet.
    pub(crate) fn rest(mut self, rest: impl AsRef<[u8]>) -> Self {
        self.rest.extend(rest.as_ref());
        self
    }

    /// The whole packet.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        packet(0x10, self.body())
    }

    /// The packet without its fixed header.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = string(&self.name);
        body.push(self.level);
        body.push(self.flags());
        body.extend(self.keep_alive_seconds.to_be_bytes());
        self.push_properties(&mut body, &self.properties);
        body.extend(string(&self.client_id));
        if let Some(will) = &self.will {
            self.push_properties(&mut body, &will.properties);
            body.extend(string(&will.topic));
            body.extend(string(&will.payload));
        }
        for field in [&self.username, &self.password].into_iter().flatten() {
            body.extend(string(field));
        }
        body.extend(&self.rest);
        body
    }

    fn flags(&self) -> u8 {
        let mut flags = u8::from(self.clean_start) << 1;
        if let Some(will) = &self.will {
            flags |= 0x04 | will.qos << 3 | u8::from(will.retain) << 5;
        }
        flags |= u8::from(self.password.is_some()) << 6;
        flags |= u8::from(self.username.is_some()) << 7;
        flags ^ self.flipped_flags
    }

    fn push_properties(&self, body: &mut Vec<u8>, properties: &[u8]) {
        if self.level >= 5 {
            body.extend(variable_byte_integer(properties.len()));
            body.extend(properties);
        }
    }
}

/// A packet: type and flags, remaining length, the rest.
pub(crate) fn packet(first: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut packet = vec![first];
    packet.extend(variable_byte_integer(body.len()));
    packet.extend(body);
    packet
}

/// A property of one string, or of several.
pub(crate) fn property(identifier: u8, strings: &[&[u8]]) -> Vec<u8> {
    let mut property = vec![identifier];
    for text in strings {
        property.extend(string(text));
    }
    property
}

/// A string or binary data with its length.
pub(crate) fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let length = u16::try_from(text.len()).expect("a string has at most 65535 bytes");
    let mut string = length.to_be_bytes().to_vec();
    string.extend(text);
    string
}

/// A Variable Byte Integer in as few bytes as it needs.
pub(crate) fn variable_byte_integer(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [byte, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(byte & 0x7F);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}
