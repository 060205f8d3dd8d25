//! A file under `endpoints/`: a Service and its endpoint slices as Kubernetes has them, and which endpoints a port of
//! the Service means.
//!
//! The rules are kube-proxy's:
//! - The Service's port gives a name, and each slice's port of that name gives the number at its endpoints. Without the
//!   Service, a number is the endpoint's own port and a name is the slice's.
//! - An absent `ready` is ready. Endpoints that terminate but still serve count only while none is ready.
//! - Of an endpoint's `addresses` the first counts; the API gives the others no meaning.
//! - Only TCP ports count.

mod manifest;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use streamgate_crds::problem::{Problem, WordError};
use streamgate_crds::stream_route::ServicePort;

/// What a file under `endpoints/` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEndpoints {
    /// What the Service says; `None` where the file has slices alone.
    service: Option<Service>,
    slices: Vec<Slice>,
}

/// What a port of a Service means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// These endpoints, in the order of their identities; empty if nobody can serve at the moment.
    Endpoints(Vec<Endpoint>),
    /// A name that is to be resolved (`type: ExternalName`).
    External {
        /// The DNS name, as the Service has it.
        host: String,
        /// The port.
        port: u16,
    },
}

/// One peer that takes clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name of its pod; of one without a pod `address:port` (`[address]:port` for IPv6).
    pub identity: String,
    /// Where it can be reached, at least one; IPv4 first.
    pub addresses: Vec<SocketAddr>,
}

impl ServiceEndpoints {
    /// Reads the text of a file: YAML documents, or a `kind: List` of them.
    ///
    /// `file` is its path as problems are to name it; `namespace` and `service` are what its name says, and what the
    /// objects must say if they say anything.
    ///
    /// # Errors
    ///
    /// Each problem with line and column; if the YAML can't be read at all, the first one.
    pub fn read(file: &str, namespace: &str, service: &str, yaml: &str) -> Result<Self, Vec<Problem>> {
        manifest::read(file, namespace, service, yaml)
    }

    /// What `port` of the Service means.
    ///
    /// # Errors
    ///
    /// There is no such port; it says which there are.
    pub fn resolve(&self, port: &ServicePort) -> Result<Resolved, WordError> {
        match &self.service {
            Some(service) => self.resolve_by_service(service, port),
            None => self.resolve_by_slices(port),
        }
    }

    fn resolve_by_service(&self, service: &Service, port: &ServicePort) -> Result<Resolved, WordError> {
        let known = service.ports.iter().find(|known| known.is(port));
        match (&service.external_name, known, port) {
            (Some(host), Some(NamedPort { number, .. }), _) | (Some(host), None, ServicePort::Number(number)) => {
                Ok(Resolved::External { host: host.clone(), port: *number })
            }
            (None, Some(known), _) => Ok(self.endpoints(|slice| slice.port_named(&known.name))),
            (_, None, _) => Err(unknown_port(port, "the Service", &service.ports)),
        }
    }

    fn resolve_by_slices(&self, port: &ServicePort) -> Result<Resolved, WordError> {
        let known: Vec<NamedPort> = self.slices.iter().flat_map(|slice| slice.ports.iter().cloned()).collect();
        let anything_goes = self.slices.iter().any(|slice| slice.any_port && !slice.entries.is_empty());
        let nobody_there = self.slices.iter().all(|slice| slice.entries.is_empty());
        let is_known = known.iter().any(|known| known.is(port));
        match port {
            _ if nobody_there && known.is_empty() => Ok(Resolved::Endpoints(Vec::new())),
            ServicePort::Number(number) if is_known || anything_goes => {
                Ok(self.endpoints(|slice| slice.has_port(*number).then_some(*number)))
            }
            ServicePort::Name(name) if is_known => Ok(self.endpoints(|slice| slice.port_named(name))),
            _ => Err(unknown_port(port, "the EndpointSlices", &known)),
        }
    }

    /// The endpoints of all slices that have the port, by identity.
    fn endpoints(&self, port_of: impl Fn(&Slice) -> Option<u16>) -> Resolved {
        let entries: Vec<(&Entry, u16)> = self
            .slices
            .iter()
            .filter_map(|slice| Some((slice, port_of(slice)?)))
            .flat_map(|(slice, port)| slice.entries.iter().map(move |entry| (entry, port)))
            .collect();
        let state = if entries.iter().any(|(entry, _)| entry.state == State::Ready) {
            State::Ready
        } else {
            State::ServingWhileTerminating
        };

        // A set of socket addresses is in order, IPv4 before IPv6.
        let mut addresses: BTreeMap<String, BTreeSet<SocketAddr>> = BTreeMap::new();
        for (entry, port) in entries.iter().filter(|(entry, _)| entry.state == state) {
            let address = SocketAddr::new(entry.address, *port);
            let identity = entry.pod.clone().unwrap_or_else(|| address.to_string());
            addresses.entry(identity).or_default().insert(address);
        }
        Resolved::Endpoints(
            addresses
                .into_iter()
                .map(|(identity, addresses)| Endpoint { identity, addresses: addresses.into_iter().collect() })
                .collect(),
        )
    }
}

/// A Service, as far as it says who serves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Service {
    /// Where `type` is `ExternalName`, its name.
    external_name: Option<String>,
    ports: Vec<NamedPort>,
}

/// An `EndpointSlice`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slice {
    ports: Vec<NamedPort>,
    /// Its endpoints name no port of their own (no ports at all, or one without a number, which means all).
    any_port: bool,
    entries: Vec<Entry>,
}

impl Slice {
    fn port_named(&self, name: &str) -> Option<u16> {
        let port = self.ports.iter().find(|port| port.name == name)?;
        Some(port.number)
    }

    fn has_port(&self, number: u16) -> bool {
        self.any_port || self.ports.iter().any(|port| port.number == number)
    }
}

/// A TCP port; the name is empty where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NamedPort {
    name: String,
    number: u16,
}

impl NamedPort {
    fn is(&self, port: &ServicePort) -> bool {
        match port {
            ServicePort::Number(number) => self.number == *number,
            ServicePort::Name(name) => self.name == *name,
        }
    }
}

impl std::fmt::Display for NamedPort {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() {
            write!(formatter, "{}", self.number)
        } else {
            write!(formatter, "{} (`{}`)", self.number, self.name)
        }
    }
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    address: IpAddr,
    pod: Option<String>,
    state: State,
}

/// Whether an endpoint takes clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    ServingWhileTerminating,
    NotReady,
}

fn unknown_port(port: &ServicePort, whose: &str, known: &[NamedPort]) -> WordError {
    let known: BTreeSet<String> = known.iter().map(NamedPort::to_string).collect();
    let wanted = if known.is_empty() {
        format!("a TCP port of {whose}, of which there is none")
    } else {
        let known: Vec<String> = known.into_iter().collect();
        format!("a TCP port of {whose}: {}", known.join(", "))
    };
    WordError::new(format!("the port `{port}`"), wanted)
}

#[cfg(test)]
mod tests;
