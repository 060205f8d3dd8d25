//! Where a route's clients go: the endpoints that its services and nodes mean, and what chooses among them.
//!
//! - [`Upstream`]: the groups and endpoints, immutable within a snapshot.
//! - [`load`]: how many connections an endpoint has.
//! - [`names`]: DNS names, resolved.
//! - [`turns`]: whose turn it is, each worker's own.

pub(crate) mod load;
pub(crate) mod names;
pub(crate) mod turns;

use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;

use streamgate_crds::stream_route::{HashKey, LoadBalancer, LoadBalancerType};

use self::load::Load;
use self::names::Name;
use crate::balance::{EndpointIndex, Group, Rendezvous};

/// The endpoints of a route, and how they are balanced.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// What weights belong to: a service with its endpoints, or a node.
    pub groups: Arc<[Group]>,
    /// The endpoints of each group, in the order of the group's identities.
    endpoints: Vec<Vec<Endpoint>>,
    /// How one is chosen.
    pub choice: Choice,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug)]
pub enum Choice {
    /// In turn; whose turn it is, each worker knows for itself.
    RoundRobin,
    /// By the hash of a key.
    ConsistentHash(HashKey, Arc<Rendezvous>),
    /// The one with the fewest connections for its weight.
    LeastConnections,
    /// Of two that are drawn, the one with fewer connections.
    Random2,
}

/// One peer that takes clients.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its pod's name, its node's name, or host and port.
    pub identity: Arc<str>,
    /// Where it can be reached.
    pub target: Target,
    /// Its connections, shared by all that have this endpoint.
    pub load: Arc<Load>,
}

impl PartialEq for Endpoint {
    /// How many connections it has now is no part of what it is.
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity && self.target == other.target
    }
}

/// Where an endpoint can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// At these addresses, the first before the others.
    Addresses(Vec<SocketAddr>),
    /// At what this name resolves to, at this port.
    Name(Arc<Name>, u16),
}

/// A group in the making: its identity, its weight, its endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Members {
    /// What the group is called.
    pub identity: String,
    /// Its share of the clients.
    pub weight: u32,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

impl Upstream {
    /// An upstream of these groups, balanced as `load_balancer` says.
    pub fn new(members: Vec<Members>, load_balancer: &LoadBalancer) -> Self {
        let groups: Arc<[Group]> = members
            .iter()
            .map(|group| Group {
                identity: group.identity.clone(),
                weight: group.weight,
                endpoints: group.endpoints.iter().map(|endpoint| endpoint.identity.to_string()).collect(),
            })
            .collect();
        let choice = match load_balancer.r#type {
            LoadBalancerType::RoundRobin => Choice::RoundRobin,
            LoadBalancerType::ConsistentHash => {
                Choice::ConsistentHash(load_balancer.key(), Arc::new(Rendezvous::new(&groups)))
            }
            LoadBalancerType::LeastConnections => Choice::LeastConnections,
            LoadBalancerType::Random2 => Choice::Random2,
        };
        Self { groups, endpoints: members.into_iter().map(|group| group.endpoints).collect(), choice }
    }

    /// The endpoint at an index out of [`Upstream::groups`].
    pub fn endpoint(&self, index: EndpointIndex) -> Option<&Endpoint> {
        self.endpoints.get(index.group)?.get(index.endpoint)
    }

    /// How many connections the endpoint at an index has now.
    pub fn connections(&self, index: EndpointIndex) -> u64 {
        self.endpoint(index).map_or(0, |endpoint| endpoint.load.connections())
    }

    /// Whether the endpoint at an index is one of `tried`, also where two groups have the same one.
    pub fn is_tried(&self, index: EndpointIndex, tried: &[EndpointIndex]) -> bool {
        tried.iter().any(|&other| other == index || self.endpoint(other) == self.endpoint(index))
    }

    /// How many endpoints take new clients, each counted in each of its groups.
    pub fn available(&self) -> usize {
        self.groups.iter().filter(|group| group.weight > 0).map(|group| group.endpoints.len()).sum()
    }

    /// The endpoints of each group, beside [`Upstream::groups`].
    pub fn endpoints(&self) -> &[Vec<Endpoint>] {
        &self.endpoints
    }
}

impl PartialEq for Upstream {
    /// The choice follows from the groups and the key.
    fn eq(&self, other: &Self) -> bool {
        let is_same_choice = match (&self.choice, &other.choice) {
            (Choice::ConsistentHash(key, _), Choice::ConsistentHash(other_key, _)) => key == other_key,
            (choice, other_choice) => mem::discriminant(choice) == mem::discriminant(other_choice),
        };
        is_same_choice && self.groups == other.groups && self.endpoints == other.endpoints
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(addresses) => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                f.write_str(&addresses.join(", "))
            }
            Self::Name(name, port) => write!(f, "{}:{port}", name.host()),
        }
    }
}
