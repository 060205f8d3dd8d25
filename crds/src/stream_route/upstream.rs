//! Where the clients of a `StreamRoute` go.

use std::net::IpAddr;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::ServicePort;
use crate::duration::{self, Duration};
use crate::name;
use crate::schema::{self, text_schema};
use crate::word::is_default;

/// Where a StreamRoute's clients go: either `services` or `nodes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(
    transform = schema::rule(
        "has(self.services) && self.services.size() > 0 || has(self.nodes) && self.nodes.size() > 0",
        &schema::found("neither `services` nor `nodes`", "one of the two"),
    ),
    transform = schema::rule(
        "!(has(self.services) && self.services.size() > 0 && has(self.nodes) && self.nodes.size() > 0)",
        &schema::found("both `services` and `nodes`", "one of the two"),
    ),
)]
pub struct Upstream {
    /// Services of this namespace; each client goes to one of their ready endpoints. Example:
    /// `[{name: broker, port: 1883}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_SERVICES), transform = schema::map_by(&["name", "port"]))]
    pub services: Vec<ServiceRef>,
    /// Brokers by address or DNS name, instead of `services`. Example: `[{host: broker.example.com, port: 1883}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_NODES), transform = schema::atomic, transform = each_node_once)]
    pub nodes: Vec<Node>,
    /// How one of them is chosen for a client. Absent: in turn.
    #[serde(default, skip_serializing_if = "is_default")]
    pub load_balancer: LoadBalancer,
    /// Time that one attempt to connect to a broker may take. Default: `5s`.
    #[serde(default = "Upstream::default_connect_timeout")]
    #[schemars(transform = duration::positive)]
    pub connect_timeout: Duration,
    /// Time that a broker may then take to answer the CONNECT. A broker that accepts the connection and hangs is given up
    /// after it, and another one is tried. Default: `10s`.
    #[serde(default = "Upstream::default_connack_timeout")]
    #[schemars(transform = duration::positive)]
    pub connack_timeout: Duration,
    /// How many further brokers are tried when the first can't be reached or doesn't answer, before the client is refused.
    /// Default: `2`.
    #[serde(default = "Upstream::default_retries")]
    #[schemars(with = "i32", range(min = 0, max = 255))]
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

    /// Where the clients go, in short: `broker:mqtt`, `192.0.2.10:1883`; of many the first three, and how many more.
    pub fn summary(&self) -> String {
        const MOST_NAMED: usize = 3;

        let services = self.services.iter().map(|service| format!("{}:{}", service.name, service.port));
        let nodes = self.nodes.iter().map(Node::identity);
        let all: Vec<_> = services.chain(nodes).collect();
        let named = all.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
        match all.len().saturating_sub(MOST_NAMED) {
            0 => named,
            more => format!("{named} and {more} more"),
        }
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
    #[schemars(with = "name::Label")]
    pub name: String,
    /// Port of the Service, by number or by name. Example: `1883` or `mqtt`.
    pub port: ServicePort,
    /// Share of the clients that go to this Service, against the weights of the others: 0 to 65535. With 0, no new client
    /// does. Default: `1`.
    #[serde(default = "default_weight")]
    #[schemars(with = "i32", range(min = 0, max = 65535))]
    pub weight: u32,
}

/// A broker by address or DNS name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// What the broker is called, so that it keeps its clients when its host changes. Default: its host and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "NodeName")]
    pub name: Option<String>,
    /// IP address or DNS name. A name is resolved ahead of the clients, and again as its time to live runs out (after 1 s to
    /// 60 s); while no answer comes, the last one holds. Example: `192.0.2.10`, `"2001:db8::10"` or `broker.example.com`.
    #[schemars(with = "name::Host")]
    pub host: String,
    /// Port: 1 to 65535. Example: `1883`.
    #[schemars(with = "i32", range(min = 1, max = 65535))]
    pub port: u16,
    /// Share of the clients that go to this broker, against the weights of the others: 0 to 65535. With 0, no new client
    /// does. Default: `1`.
    #[serde(default = "default_weight")]
    #[schemars(with = "i32", range(min = 0, max = 65535))]
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
#[schemars(transform = schema::rule_of(
    ".key",
    "!has(self.key) || self.type == 'ConsistentHash'",
    &schema::wanted(KEY_WANTED),
))]
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

fn default_weight() -> u32 {
    1
}

text_schema!(
    /// The schema of a node's name.
    NodeName,
    253,
    ["self.matches(r'^[^\\p{Z}\\p{Cc}]+$') && bytes(self).size() <= 253", NODE_NAME_WANTED]
);

/// Adds the rule that each node has an identity of its own.
fn each_node_once(schema: &mut Schema) {
    // A port as a text has no bound that the API server knows of, so the name's end is read as a number instead.
    let is_called = |named: &str, other: &str| {
        let end = format!("{named}.name.substring({other}.host.size() + 1)");
        format!(
            "!{other}.host.contains(':') && {named}.name.startsWith({other}.host.lowerAscii() + ':') && \
             {end}.matches('^[1-9][0-9]{{0,4}}$') && int({end}) == {other}.port"
        )
    };
    let expression = format!(
        "self.all(node, self.exists_one(other, has(node.name) && has(other.name) ? node.name == other.name : \
         has(node.name) ? {} : has(other.name) ? {} : node.port == other.port && (node.host.lowerAscii() == \
         other.host.lowerAscii() || isIP(node.host) && isIP(other.host) && ip(node.host) == ip(other.host))))",
        is_called("node", "other"),
        is_called("other", "node"),
    );
    schema::rule(
        &expression,
        &schema::found("a node twice, by its name or else by its host and port", "each entry once"),
    )(schema);
}

/// How many services an upstream may have.
pub(super) const MOST_SERVICES: usize = 32;

/// How many nodes an upstream may have.
pub(super) const MOST_NODES: usize = 64;

/// What goes with a `key`, in a phrase.
pub(super) const KEY_WANTED: &str = "`type: ConsistentHash` beside it, or no `key`";

/// What a node's name is, in a phrase.
pub(super) const NODE_NAME_WANTED: &str = "1 to 253 characters without spaces, such as `broker-0`, or no `name`";
