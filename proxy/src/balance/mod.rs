//! Which endpoint takes a client.
//!
//! An upstream is a list of [`Group`]s: a service with its weight and its endpoints, or a node, which is a group of one
//! with the node's weight. The weight chooses the group, then an endpoint within it is chosen evenly. A group of weight
//! 0 or without endpoints takes no new client.
//!
//! - [`Rendezvous`] (`ConsistentHash`): the same key goes to the same endpoint, on every replica.
//! - [`RoundRobin`]: one after the other, by weight.
//! - [`least_connections`] (`LeastConnections`): the one with the fewest for its weight.
//! - [`random2`] (`Random2`): of two that are drawn, the one with fewer.
//!
//! Everything here is a pure function of its arguments, in integer arithmetic.

mod hash;
mod least_connections;
mod logarithm;
mod random2;
mod rendezvous;
mod round_robin;

pub use least_connections::least_connections;
pub use random2::random2;
pub use rendezvous::Rendezvous;
pub use round_robin::RoundRobin;

/// What a weight belongs to: a service with its endpoints, or a node, which is a group of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What the group is called, the same on all replicas: the service's name and port, the node's identity. Distinct
    /// within an upstream: of several groups with the same identity and weight, only one gets clients from
    /// [`Rendezvous`].
    pub identity: String,
    /// Its share of the clients, relative to the other groups' weights; 0 takes none.
    pub weight: u32,
    /// The identities of its endpoints, distinct within the group. Another group may have the same ones (a pod behind
    /// two services).
    pub endpoints: Vec<String>,
}

impl Group {
    /// A node: a group of one, called as its endpoint.
    pub fn of_one(identity: impl Into<String>, weight: u32) -> Self {
        let identity = identity.into();
        Self { endpoints: vec![identity.clone()], identity, weight }
    }
}

/// An endpoint by its place in the list of groups that was balanced: `groups[group].endpoints[endpoint]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointIndex {
    /// Index into the groups.
    pub group: usize,
    /// Index into the group's endpoints.
    pub endpoint: usize,
}

#[cfg(test)]
mod tests;
