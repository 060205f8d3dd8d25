//! `StreamRoute`: which clients go to which broker.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cidr::{self, Cidr};
use crate::schema::{self, text_schema};
use crate::sni::{self, Sni};
use crate::word::{filled_list, is_default};
use crate::{condition, name};

mod mqtt;
mod service_port;
mod upstream;
mod validation;

pub use mqtt::{CertificateField, ClientId, ClientIdPolicy, Mqtt, ProtocolName};
pub use service_port::ServicePort;
pub use upstream::{HashKey, LoadBalancer, LoadBalancerType, Node, ServiceRef, Upstream};

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
    status = "StreamRouteStatus",
    derive = "PartialEq",
    validation = name::object_name_rule(),
    printcolumn(name = "SNIs", type_ = "string", json_path = ".spec.match.snis", description = "Server names that it matches."),
    printcolumn(name = "Upstream", type_ = "string", json_path = ".status.upstream", description = "Where the clients go."),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status",
        description = "Whether it holds and the gateway's owner allows it."
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Programmed\")].status",
        description = "Whether every proxy that gets traffic has applied it."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    doc = "A StreamRoute sends the MQTT clients that it matches to a broker."
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamRouteSpec {
    /// Name of the gateway, the deployment of the proxy, that serves this route. Default: `default`.
    #[serde(default = "name::default_gateway")]
    #[schemars(with = "name::Gateway")]
    pub gateway: String,
    /// Names of the gateway's listeners on which this route holds. Example: `[mqtts]`. Absent: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "filled_list")]
    #[schemars(with = "Vec<name::Label>", length(min = 1, max = MOST_LISTENERS), transform = schema::set)]
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
    #[schemars(
        length(min = 1, max = MOST_SNIS),
        transform = schema::set,
        transform = sni::each_once,
        transform = schema::rule("!self.exists(name, name == '*')", &schema::found("`*`", ANY_WANTED)),
    )]
    pub snis: Vec<Sni>,
    /// Addresses that clients come from, IPv4 and IPv6. Example: `[10.0.0.0/8, "2001:db8::/32"]`. Absent: everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "filled_list")]
    #[schemars(length(min = 1, max = MOST_RANGES), transform = schema::set, transform = cidr::each_once)]
    pub source_ranges: Vec<Cidr>,
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
    #[schemars(with = "ServerReference")]
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

text_schema!(
    /// The schema of a Server Reference.
    ServerReference,
    1024,
    ["bytes(self).size() <= 1024", SERVER_REFERENCE_WANTED]
);

/// What the operator says of a StreamRoute. It changes when the truth about the route does, not with each pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamRouteStatus {
    /// Whether the route holds (`Accepted`), whether all that it refers to is there (`ResolvedRefs`), and whether every proxy
    /// that gets traffic has applied it (`Programmed`). Absent: nobody has looked at it yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,
    /// Where the clients go, in short: the services or nodes of `spec.upstream`. Absent: nobody has looked at it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 1024))]
    pub upstream: Option<String>,
}

/// How many listeners a route may name.
pub(crate) const MOST_LISTENERS: usize = 16;

/// How many names a route may match.
pub(crate) const MOST_SNIS: usize = 64;

/// How many source ranges a route may match.
pub(crate) const MOST_RANGES: usize = 128;

/// What `*` is not, in a phrase.
const ANY_WANTED: &str = "names such as `mqtt.example.com` or `*.example.com`, or no `snis` at all for every name of the TlsSnis of \
    this namespace";

const SERVER_REFERENCE_WANTED: &str = "1 to 1024 bytes, such as `other.example.com:8883`, or no `serverReference`";
