//! `StreamRoute`: which clients go to which broker.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::cidr::Cidr;
use crate::duration::Duration;
use crate::name;
use crate::size::Size;
use crate::sni::Sni;
use crate::word::{Wanted, filled_list, is_default};

mod validation;

#[cfg(test)]
mod tests;

/// Sends the MQTT clients that it matches to a broker: to Services of its own namespace, or to hosts by name.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "streamgate.dev",
    version = "v1alpha1",
    kind = "StreamRoute",
    plural = "streamroutes",
    namespaced,
    shortname = "sr",
    category = "streamgate",
    derive = "PartialEq",
    doc = "A StreamRoute sends the MQTT clients that it matches to a broker."
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamRouteSpec {
    /// Name of the gateway, the deployment of the proxy, that serves this route. Default: `default`.
    #[serde(default = "name::default_gateway")]
    pub gateway: String,
    /// Names of the gateway's listeners on which this route holds. Example: `[mqtts]`. Absent: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "filled_list")]
    #[schemars(length(min = 1))]
    pub listeners: Vec<String>,
    /// Which clients are meant. Absent: all of every TlsSni of this namespace, and those of plaintext listeners.
    #[serde(default, skip_serializing_if = "is_default")]
    pub r#match: RouteMatch,
    /// What is asked of a client's CONNECT, the first packet of MQTT.
    #[serde(default)]
    pub mqtt: Mqtt,
    /// Where the clients go.
    pub upstream: Upstream,
    /// What clients meet when the proxy is shut down. Absent: MQTT 5.0 clients are told by a DISCONNECT, wills are
    /// published.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_drain: OnDrain,
}

/// Which clients a StreamRoute is for. Both fields must match; of two routes the one with the exact name goes before the
/// one with the wildcard, before the one without names, then the one with the narrower range, then the older.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteMatch {
    /// Server names (SNI) that clients ask for: exact, or with `*` for the whole first label. A TlsSni must serve them and
    /// allow this namespace. Example: `[mqtt.example.com, "*.devices.example.com"]`. Absent: every name of the TlsSnis of
    /// this namespace, and plaintext listeners.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "filled_list")]
    #[schemars(length(min = 1))]
    pub snis: Vec<Sni>,
    /// Addresses that clients come from, IPv4 and IPv6. Example: `[10.0.0.0/8, "2001:db8::/32"]`. Absent: everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "filled_list")]
    #[schemars(length(min = 1))]
    pub source_ranges: Vec<Cidr>,
}

/// What a StreamRoute asks of a client's CONNECT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mqtt {
    /// Protocol name of the versions that are served: `MQTT`, or `MQIsdp` for MQTT 3.1 alone. Default: `MQTT`.
    #[serde(default)]
    pub protocol_name: ProtocolName,
    /// Protocol levels that are served: 3 is MQTT 3.1 (whose protocol name is `MQIsdp`), 4 is MQTT 3.1.1, 5 is MQTT 5.0.
    /// Other clients are told that their version isn't supported. Default: `[4, 5]`, with protocolName `MQIsdp` `[3]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "filled_list")]
    #[schemars(length(min = 1), inner(range(min = 3, max = 5)))]
    pub protocol_levels: Vec<u8>,
    /// Time within which a client's CONNECT must be there, from the end of the TLS handshake. Default: `10s`.
    #[serde(default = "Mqtt::default_connect_timeout")]
    pub connect_timeout: Duration,
    /// Largest CONNECT that is accepted: the whole packet, in bytes, its fixed header included. At least 64, at most
    /// 268435460, which is all that MQTT has. Default: `64Ki`.
    #[serde(default = "Mqtt::default_max_connect_size")]
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

/// Where a StreamRoute's clients go: either `services` or `nodes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upstream {
    /// Services of this namespace; each client goes to one of their ready endpoints. Example:
    /// `[{name: broker, port: 1883}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceRef>,
    /// Brokers by address or DNS name, instead of `services`. Example: `[{host: broker.example.com, port: 1883}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Node>,
    /// How one of them is chosen for a client. Absent: in turn.
    #[serde(default, skip_serializing_if = "is_default")]
    pub load_balancer: LoadBalancer,
    /// Time that one attempt to connect to a broker may take. Default: `5s`.
    #[serde(default = "Upstream::default_connect_timeout")]
    pub connect_timeout: Duration,
    /// Time that a broker may then take to answer the CONNECT. A broker that accepts the connection and hangs is given up
    /// after it, and another one is tried. Default: `10s`.
    #[serde(default = "Upstream::default_connack_timeout")]
    pub connack_timeout: Duration,
    /// How many further brokers are tried when the first can't be reached or doesn't answer, before the client is refused.
    /// Default: `2`.
    #[serde(default = "Upstream::default_retries")]
    pub retries: u8,
}

impl Upstream {
    /// An upstream of these nodes, the rest by default.
    pub fn of_nodes(nodes: Vec<Node>) -> Self {
        Self {
            services: Vec::new(),
            nodes,
            load_balancer: LoadBalancer::default(),
            connect_timeout: Self::default_connect_timeout(),
            connack_timeout: Self::default_connack_timeout(),
            retries: Self::default_retries(),
        }
    }

    /// An upstream of these services, the rest by default.
    pub fn of_services(services: Vec<ServiceRef>) -> Self {
        Self { services, ..Self::of_nodes(Vec::new()) }
    }

    fn default_connect_timeout() -> Duration {
        Duration::from_secs(5)
    }

    fn default_connack_timeout() -> Duration {
        Duration::from_secs(10)
    }

    fn default_retries() -> u8 {
        2
    }
}

/// A port of a Service of the route's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceRef {
    /// Name of the Service.
    pub name: String,
    /// Port of the Service, by number or by name. Example: `1883` or `mqtt`.
    pub port: ServicePort,
    /// Share of the clients that go to this Service, against the weights of the others: 0 to 65535. With 0, no new client
    /// does. Default: `1`.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 0, max = 65535))]
    pub weight: u32,
}

/// A port of a Service, by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServicePort {
    /// By number, from 1.
    Number(u16),
    /// By the name that the Service gives it.
    Name(String),
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Serialize for ServicePort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u16(*number),
            Self::Name(name) => serializer.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for ServicePort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ServicePortVisitor)
    }
}

impl JsonSchema for ServicePort {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ServicePort".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true
        })
    }
}

/// A broker by address or DNS name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// What the broker is called, so that it keeps its clients when its host changes. Default: its host and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// IP address or DNS name. A name is resolved ahead of the clients, and again as its time to live runs out (after 1 s to
    /// 60 s); while no answer comes, the last one holds. Example: `192.0.2.10`, `"2001:db8::10"` or `broker.example.com`.
    pub host: String,
    /// Port: 1 to 65535. Example: `1883`.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Share of the clients that go to this broker, against the weights of the others: 0 to 65535. With 0, no new client
    /// does. Default: `1`.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 0, max = 65535))]
    pub weight: u32,
}

impl Node {
    /// What the node is by for hashing: its name, else `host:port`, an IPv6 address in its shortest form and in brackets.
    pub fn identity(&self) -> String {
        let Self { name, host, port, .. } = self;
        match (name, host.parse()) {
            (Some(name), _) => name.clone(),
            (None, Ok(IpAddr::V6(address))) => format!("[{address}]:{port}"),
            (None, _) => format!("{}:{port}", host.to_ascii_lowercase()),
        }
    }
}

/// How one of several brokers is chosen for a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadBalancer {
    /// `RoundRobin`: in turn, by weight; `ConsistentHash`: the same `key` goes to the same broker while it is there;
    /// `LeastConnections`: the one with the fewest connections of this proxy, for its weight; `Random2`: of two that are
    /// drawn by weight, the one with fewer. Default: `RoundRobin`.
    #[serde(default)]
    pub r#type: LoadBalancerType,
    /// With type `ConsistentHash`: what is hashed. A client that has none of it (an empty client id, no user name, no
    /// certificate, no SNI) is hashed by its address. Default: `ClientId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "HashKey")]
    pub key: Option<HashKey>,
}

impl LoadBalancer {
    /// What is hashed: the key that is written, else the client id.
    pub fn key(&self) -> HashKey {
        self.key.unwrap_or_default()
    }
}

/// How one of several brokers is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LoadBalancerType {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// By the hash of a key.
    ConsistentHash,
    /// The one with the fewest connections for its weight.
    LeastConnections,
    /// Of two that are drawn, the one with fewer connections.
    Random2,
}

/// What clients meet when the proxy is shut down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OnDrain {
    /// `Publish`: the broker publishes the client's will, as for any connection that is lost; `Suppress`: the broker is told
    /// by a DISCONNECT that the client left in order, and publishes none. Default: `Publish`.
    #[serde(default)]
    pub will: OnDrainWill,
    /// Server Reference of the DISCONNECT that clients of MQTT 5.0 get, with the reason code 0x9C (use another server): where
    /// to connect instead. Example: `other.example.com:8883`. Absent: they get 0x8B (server shutting down) without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub server_reference: Option<String>,
}

/// What becomes of a client's will.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnDrainWill {
    /// It is published.
    #[default]
    Publish,
    /// It is not.
    Suppress,
}

/// What is hashed to choose a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HashKey {
    /// The client id of the CONNECT.
    #[default]
    ClientId,
    /// The address that the client comes from, without the port.
    SourceIp,
    /// The user name of the CONNECT.
    Username,
    /// The subject of the client's certificate.
    CertificateSubject,
    /// The server name that the client asked for.
    Sni,
}

struct ServicePortVisitor;

const PORT_WANTED: &str = "a port number from 1 to 65535, or the name of a port of the Service";

impl Visitor<'_> for ServicePortVisitor {
    type Value = ServicePort;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PORT_WANTED)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<ServicePort, E> {
        u16::try_from(number)
            .map(ServicePort::Number)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &Wanted(PORT_WANTED)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<ServicePort, E> {
        u16::try_from(number)
            .map(ServicePort::Number)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &Wanted(PORT_WANTED)))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<ServicePort, E> {
        Ok(ServicePort::Name(name.to_owned()))
    }
}

fn default_weight() -> u32 {
    1
}
