//! Every way in which a connection can end.

use std::fmt;

use crate::mqtt::Refusal;

macro_rules! ends {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// How a connection ended: a closed set, in the access line as `end`, in metrics as `reason`. `docs/refusals.md` says
        /// of each what to do about it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum End {
            $($(#[doc = $doc])+ $name,)+
        }

        impl End {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

ends! {
    /// The client ended the connection, once its CONNECT was whole.
    ClientClosed,
    /// The broker ended the connection, after it was relayed.
    BrokerClosed,
    /// The client's side broke: a reset, or a TLS record that can't be read.
    ClientError,
    /// The broker's side broke, or it ended the client's authentication.
    BrokerError,
    /// One side had ended, and the other neither sent nor ended for too long.
    HalfCloseTimeout,
    /// The client said nothing for longer than its keep-alive allows.
    KeepAliveTimeout,
    /// The proxy shuts down, and has handed the client back.
    HandedBack,
    /// No whole ClientHello came in time.
    ClientHelloTimeout,
    /// The handshake was not completed in time.
    HandshakeTimeout,
    /// The client left before its ClientHello was whole.
    ClosedBeforeClientHello,
    /// The client left during the handshake.
    ClosedInHandshake,
    /// What the client sent is no TLS.
    NotTls,
    /// No TlsSni serves the name that the client asked for.
    UnrecognizedName,
    /// The client offers no version of TLS that the TlsSni allows.
    ProtocolVersion,
    /// The client offers protocols (ALPN), but none that the TlsSni requires.
    NoApplicationProtocol,
    /// The client offers no cipher suite, key exchange or signature that can be used.
    NoCommonCipher,
    /// The client showed no certificate where one is required.
    CertificateRequired,
    /// The client's certificate comes from no authority that the TlsSni trusts.
    UnknownCa,
    /// The client's certificate is past its end.
    CertificateExpired,
    /// The client's certificate is not valid yet.
    CertificateNotYetValid,
    /// The client's certificate can't be used: its form, its purpose, its signature.
    BadCertificate,
    /// The client's certificate, or one above it, was revoked.
    CertificateRevoked,
    /// The revocation list of the certificate's issuer is past its end.
    CrlExpired,
    /// The subject of the client's certificate is none of the allowed ones.
    SubjectNotAllowed,
    /// More intermediates than allowed stand between the client's certificate and an authority.
    ChainTooLong,
    /// The handshake failed for another reason.
    HandshakeFailed,
    /// No whole CONNECT came in time, or no answer to the broker's AUTH.
    ConnectTimeout,
    /// The client left before its CONNECT was whole.
    ClosedBeforeConnect,
    /// The first packet was no CONNECT.
    NotConnect,
    /// The protocol name is neither MQTT nor MQIsdp.
    UnknownProtocolName,
    /// The CONNECT was malformed.
    MalformedConnect,
    /// The CONNECT broke a rule of the protocol, or an answer to the broker's AUTH was too large.
    ProtocolError,
    /// The CONNECT was larger than allowed.
    ConnectTooLarge,
    /// The route does not serve this version of MQTT.
    UnsupportedLevel,
    /// The client id was empty where one is needed.
    ClientIdRequired,
    /// The client id is not what the certificate says.
    ClientIdMismatch,
    /// No route is for this name, source and listener.
    NoRoute,
    /// No endpoint could be reached, or none answered.
    NoEndpoint,
    /// The proxy is at its limit of open files.
    Overloaded,
    /// A fault of the proxy, of which the log tells in the line before: it ended this connection alone.
    Panicked,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotConnect => Self::NotConnect,
            Refusal::UnknownProtocolName => Self::UnknownProtocolName,
            Refusal::MalformedConnect => Self::MalformedConnect,
            Refusal::ProtocolError => Self::ProtocolError,
            Refusal::ConnectTooLarge => Self::ConnectTooLarge,
            Refusal::UnsupportedLevel => Self::UnsupportedLevel,
            Refusal::ClientIdRequired => Self::ClientIdRequired,
            Refusal::ClientIdMismatch => Self::ClientIdMismatch,
            Refusal::NoRoute => Self::NoRoute,
            Refusal::NoEndpoint => Self::NoEndpoint,
            Refusal::Overloaded => Self::Overloaded,
        }
    }
}
