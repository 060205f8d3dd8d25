//! Stage 4: which endpoint takes a client.

use std::borrow::Cow;
use std::net::IpAddr;

use streamgate_crds::stream_route::HashKey;

use crate::balance::{EndpointIndex, Rendezvous, least_connections, random2};
use crate::config::snapshot::{Route, Snapshot};
use crate::upstream::turns::Turns;
use crate::upstream::{Choice, Upstream};

/// A client, as far as it decides on its endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeker<'a> {
    /// The client id; may be empty.
    pub client_id: &'a str,
    /// The user name, if it gives one.
    pub username: Option<&'a str>,
    /// The subject of its certificate, if it shows one.
    pub subject: Option<&'a str>,
    /// The name that it asked for.
    pub sni: Option<&'a str>,
    /// Its address.
    pub source: IpAddr,
}

impl Seeker<'_> {
    /// What is hashed for this client: the key, or its address where it has none of that.
    pub(crate) fn hash_key(&self, key: HashKey) -> Cow<'_, str> {
        let value = match key {
            HashKey::ClientId => Some(self.client_id),
            HashKey::SourceIp => None,
            HashKey::Username => self.username,
            HashKey::CertificateSubject => self.subject,
            HashKey::Sni => self.sni,
        };
        match value.filter(|value| !value.is_empty()) {
            Some(value) => Cow::Borrowed(value),
            None => Cow::Owned(self.source.to_canonical().to_string()),
        }
    }
}

/// The endpoints for a client of a `ConsistentHash` route in the order in which they would be tried, at most `count`.
pub(crate) fn by_hash(upstream: &Upstream, rendezvous: &Rendezvous, key: &str, count: usize) -> Vec<EndpointIndex> {
    let mut tried = Vec::new();
    while tried.len() < count {
        match rendezvous.pick(key.as_bytes(), |index| upstream.is_tried(index, &tried)) {
            Some(index) => tried.push(index),
            None => break,
        }
    }
    tried
}

/// The next endpoint for a client that has `tried` some in vain, in this order.
pub(crate) fn pick(
    turns: &mut Turns,
    snapshot: &Snapshot,
    route: &Route,
    seeker: &Seeker<'_>,
    tried: &[EndpointIndex],
) -> Option<EndpointIndex> {
    let upstream = &route.upstream;
    let is_tried = |index| upstream.is_tried(index, tried);
    match &upstream.choice {
        Choice::RoundRobin => turns.pick(snapshot, route, tried),
        Choice::LeastConnections => {
            let tie = usize::try_from(turns.draw(u64::from(u32::MAX))).unwrap_or(0);
            least_connections(&upstream.groups, |index| upstream.connections(index), is_tried, tie)
        }
        Choice::Random2 => {
            random2(&upstream.groups, |index| upstream.connections(index), is_tried, |below| turns.draw(below))
        }
        Choice::ConsistentHash(key, rendezvous) => {
            let key = seeker.hash_key(*key);
            rendezvous.pick(key.as_bytes(), is_tried)
        }
    }
}
