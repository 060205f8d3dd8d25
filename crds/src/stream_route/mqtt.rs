//! What a `StreamRoute` asks of a CONNECT.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::duration::{self, Duration};
use crate::schema;
use crate::size::{self, Size};
use crate::word::{filled_list, is_default};

/// What a StreamRoute asks of a client's CONNECT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = schema::rule_of(
    ".protocolLevels",
    "!has(self.protocolLevels) || self.protocolName == 'MQTT' || self.protocolLevels.all(level, level == 3)",
    &schema::found("another level than 3 with `protocolName: MQIsdp`", OLD_LEVELS_WANTED),
))]
pub struct Mqtt {
    /// Protocol name of the versions that are served: `MQTT`, or `MQIsdp` for MQTT 3.1 alone. Default: `MQTT`.
    #[serde(default)]
    pub protocol_name: ProtocolName,
    /// Protocol levels that are served: 3 is MQTT 3.1 (whose protocol name is `MQIsdp`), 4 is MQTT 3.1.1, 5 is MQTT 5.0.
    /// Other clients are told that their version isn't supported. Default: `[4, 5]`, with protocolName `MQIsdp` `[3]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "filled_list")]
    #[schemars(with = "Vec<Level>", length(min = 1, max = 3), transform = schema::set)]
    pub protocol_levels: Vec<u8>,
    /// Time within which a client's CONNECT must be there, from the end of the TLS handshake. Default: `10s`.
    #[serde(default = "Mqtt::default_connect_timeout")]
    #[schemars(transform = duration::positive)]
    pub connect_timeout: Duration,
    /// Largest CONNECT that is accepted: the whole packet, in bytes, its fixed header included. At least 64, at most
    /// 268435460, which is all that MQTT has. Default: `64Ki`.
    #[serde(default = "Mqtt::default_max_connect_size")]
    #[schemars(transform = size::between(LEAST_CONNECT_SIZE, MOST_CONNECT_SIZE))]
    pub max_connect_size: Size,
    /// What a client id must be. Absent: anything.
    #[serde(default, skip_serializing_if = "is_default")]
    pub client_id: ClientId,
}

impl Mqtt {
    /// The protocol levels that are served: those that are written, else those of the protocol name.
    pub fn levels(&self) -> &[u8] {
        match self.protocol_name {
            _ if !self.protocol_levels.is_empty() => &self.protocol_levels,
            ProtocolName::Mqtt => &[4, 5],
            ProtocolName::Mqisdp => &[3],
        }
    }

    fn default_connect_timeout() -> Duration {
        Duration::from_secs(10)
    }

    fn default_max_connect_size() -> Size {
        Size(64 << 10)
    }
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            protocol_name: ProtocolName::default(),
            protocol_levels: Vec::new(),
            connect_timeout: Self::default_connect_timeout(),
            max_connect_size: Self::default_max_connect_size(),
            client_id: ClientId::default(),
        }
    }
}

/// The protocol name of a CONNECT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProtocolName {
    /// MQTT 3.1.1 and 5.0.
    #[default]
    #[serde(rename = "MQTT")]
    Mqtt,
    /// MQTT 3.1.
    #[serde(rename = "MQIsdp")]
    Mqisdp,
}

/// What a client id must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = schema::rule_of(
    ".certificateField",
    "!has(self.certificateField) || self.certificateField == 'CommonName' || self.policy == 'MatchesCertificate'",
    &schema::wanted(CERTIFICATE_FIELD_WANTED),
))]
pub struct ClientId {
    /// `Any`; `NonEmpty`: a client without one is refused; `MatchesCertificate`: it must be what the client's certificate
    /// says in `certificateField`. Default: `Any`.
    #[serde(default)]
    pub policy: ClientIdPolicy,
    /// With policy `MatchesCertificate`: the part of the certificate that the client id must equal. Of several alternative
    /// names, one. Default: `CommonName`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub certificate_field: CertificateField,
}

/// What a client id must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientIdPolicy {
    /// Any, the empty one too.
    #[default]
    Any,
    /// Not empty.
    NonEmpty,
    /// What the client's certificate says.
    MatchesCertificate,
}

/// A part of a client's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CertificateField {
    /// The common name of the subject.
    #[default]
    CommonName,
    /// A DNS name of the subject's alternative names.
    DnsSan,
    /// A URI of the subject's alternative names.
    UriSan,
    /// An e-mail address of the subject's alternative names.
    EmailSan,
}

/// The schema of a protocol level.
struct Level;

impl JsonSchema for Level {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Level".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "enum": [3, 4, 5] })
    }
}

/// The smallest limit that leaves room for a CONNECT with a client id.
pub(super) const LEAST_CONNECT_SIZE: Size = Size(64);

/// The largest packet that MQTT can express: five bytes of fixed header, and a remaining length in four bytes of seven bits
/// (MQTT 5.0 section 1.5.5).
pub(super) const MOST_CONNECT_SIZE: Size = Size(268_435_460);

/// What the levels of `MQIsdp` are, in a phrase.
pub(super) const OLD_LEVELS_WANTED: &str =
    "3, the level of MQTT 3.1, or `protocolName: MQTT`, with which `protocolLevels` may have 3, 4 and 5";

/// What goes with a `certificateField`, in a phrase.
pub(super) const CERTIFICATE_FIELD_WANTED: &str = "`policy: MatchesCertificate` beside it, or no `certificateField`";
