//! Why a client is turned away at its CONNECT, and in which form it is told.

/// Every reason for which the proxy itself turns a client away, from the first byte of its CONNECT to
/// the choice of an endpoint.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Refusal {
    /// The first packet is no CONNECT.
    NotConnect,
    /// The protocol name is neither `MQTT` nor `MQIsdp`.
    UnknownProtocolName,
    /// The CONNECT cannot be read as its version of MQTT says.
    MalformedConnect,
    /// The CONNECT can be read, but says what its version of MQTT forbids.
    ProtocolError,
    /// The CONNECT is larger than the route allows.
    ConnectTooLarge,
    /// The route does not serve this protocol level.
    UnsupportedLevel,
    /// The client id is empty where one is needed.
    ClientIdRequired,
    /// The client id is not the one that the client's certificate gives it.
    ClientIdMismatch,
    /// There is no route for the name, the source or the listener.
    NoRoute,
    /// No endpoint of the route can be reached, or none answers.
    NoEndpoint,
    /// The proxy has as many connections as it can have.
    Overloaded,
}

impl Refusal {
    /// The code that the CONNACK carries: a return code of MQTT 3.1 and 3.1.1 (3.2.2.3), a reason code
    /// of MQTT 5.0 (3.2.2.2). `None` where the connection is closed without a word.
    pub fn code(self, form: Form) -> Option<u8> {
        let (v3, v5) = match self {
            Self::NotConnect | Self::UnknownProtocolName => (None, None),
            Self::MalformedConnect => (None, Some(0x81)),
            // Versions before 5 know no such thing.
            Self::ProtocolError => (None, Some(0x82)),
            Self::ConnectTooLarge => (None, Some(0x95)),
            Self::UnsupportedLevel => (Some(0x01), Some(0x84)),
            Self::ClientIdRequired => (Some(0x02), Some(0x85)),
            Self::ClientIdMismatch | Self::NoRoute => (Some(0x05), Some(0x87)),
            Self::NoEndpoint => (Some(0x03), Some(0x88)),
            Self::Overloaded => (Some(0x03), Some(0x89)),
        };
        match form {
            Form::V3 => v3,
            Form::V5(_) => v5,
        }
    }
}

/// The form in which a client can be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// The CONNACK of MQTT 3.1 and 3.1.1: one code and no more.
    V3,
    /// The CONNACK of MQTT 5.0: a code and a Reason String, as far as the client's Maximum Packet Size
    /// allows.
    V5(MaximumPacketSize),
}

/// What is known of the Maximum Packet Size that a client of MQTT 5.0 asked for (3.1.2.11.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MaximumPacketSize {
    /// What would tell has not arrived, or can't be read: nothing larger than need be may be sent.
    Unknown,
    /// The client set none.
    Absent,
    /// In bytes, over the whole packet; never 0.
    Known(u32),
}

impl From<Option<u32>> for MaximumPacketSize {
    fn from(size: Option<u32>) -> Self {
        size.map_or(Self::Absent, Self::Known)
    }
}
