//! What is passed on of a Service that is referred to.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use streamgate_crds::Reason;
use streamgate_crds::stream_route::{ServicePort, ServiceRef};

use super::outcome::Wanted;
use super::render;
use super::verdict::Fault;
use crate::generated::{Folder, MOST_BYTES, Source};
use crate::store::service::Port;
use crate::store::{Fingerprint, Gateway, GeneratedKey, Name, Service, Store};

/// What routes are told of a Service. It stays the same while pods come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The Service, where it is there.
    service: Option<Service>,
    /// Where it has no ports of its own: those of its endpoints.
    endpoint_ports: BTreeSet<Port>,
    /// What is wrong with it, whichever the port.
    fault: Option<Fault>,
    /// Whether routes go on without it.
    is_left_out: bool,
}

/// What is wrong with a reference to a Service, and whether a proxy is bound to refuse it.
pub(super) struct ServiceFault {
    pub(super) fault: Fault,
    pub(super) is_refused: bool,
}

/// A Service resolved.
pub(super) struct Resolved {
    pub(super) facts: Facts,
    pub(super) wanted: Option<Wanted>,
}

/// The generated object of a Service.
pub(super) fn generated_key(gateway: &Arc<str>, service: &Name) -> GeneratedKey {
    GeneratedKey::of(gateway, &source(service))
}

fn source(service: &Name) -> Source {
    let Name { namespace, name } = service;
    Source { folder: Folder::Endpoints, namespace: namespace.to_string(), name: name.to_string() }
}

/// The text of the generated object; `None` where the Service is passed on to nobody.
pub(super) fn text(store: &Store, gateway: &Gateway, name: &Name) -> Option<String> {
    let service = store.services.get(name)?;
    let is_left_out = |host: &str| {
        !gateway.allow_external_upstreams || host.parse().is_ok_and(|address| is_denied(store, gateway, address))
    };
    if service.external_name.as_deref().is_some_and(is_left_out) {
        return None;
    }
    Some(render::endpoints(name, service, store.slices_of(name), |address| is_denied(store, gateway, address)))
}

/// Resolves a Service for the routes of a gateway.
pub(super) fn resolve(store: &Store, gateway: &Gateway, name: &Name) -> Resolved {
    let Some(service) = store.services.get(name) else { return Resolved { facts: Facts::default(), wanted: None } };
    let mut facts = Facts { service: Some(service.clone()), ..Facts::default() };
    if service.any_port && service.external_name.is_none() {
        let is_denied = |address| is_denied(store, gateway, address);
        let slices = store.slices_of(name).map(|(_, slice)| slice);
        let slices = slices.filter(|slice| render::serving(slice, is_denied).next().is_some());
        facts.endpoint_ports = slices
            .flat_map(|slice| {
                let any = slice.any_port.then(|| Port { name: "".into(), number: None });
                slice.ports.iter().cloned().chain(any)
            })
            .collect();
    }
    let Some(text) = text(store, gateway, name) else {
        facts.is_left_out = true;
        facts.fault = Some(external_fault(gateway, &name.name));
        return Resolved { facts, wanted: None };
    };
    let denied = store.slices_of(name).flat_map(|(_, slice)| slice.entries.iter().map(|entry| entry.address));
    if let Some(address) = denied.filter(|address| is_denied(store, gateway, *address)).min() {
        let message = format!(
            "Service `{}`: an endpoint has the address {address}, to which the gateway connects nobody; the others are used",
            name.name
        );
        facts.fault = Some(Fault { reason: Reason::UpstreamDenied, message });
    }
    if text.len() > MOST_BYTES {
        facts.is_left_out = store.generated(&generated_key(&gateway.name.as_str().into(), name)).is_none();
        let instead = if facts.is_left_out { "none of them is" } else { "those before them are" };
        let message = format!(
            "Service `{}`: its endpoints take more than {MOST_BYTES} bytes, so that {instead} used; wanted several Services \
             with fewer endpoints each",
            name.name
        );
        facts.fault = Some(Fault { reason: Reason::TooLarge, message });
        return Resolved { facts, wanted: Some(Wanted::Kept) };
    }
    let file = Fingerprint::of(text.as_bytes());
    let wanted = Fingerprint::of_files([(source(name).file_name().as_str(), file)]);
    Resolved { facts, wanted: Some(Wanted::Content(wanted)) }
}

impl Facts {
    /// What is wrong with a route's reference.
    pub(super) fn fault(&self, reference: &ServiceRef) -> Option<ServiceFault> {
        let ServiceRef { name, port, .. } = reference;
        let Some(service) = &self.service else {
            let message = format!("Service `{name}`: there is none in this namespace");
            return Some(ServiceFault { fault: Fault { reason: Reason::RefNotFound, message }, is_refused: true });
        };
        if !self.is_left_out && !self.has_port(service, port) {
            let message = format!("Service `{name}`: it has no TCP port `{port}`; {}", wanted_port(service));
            // Of nobody's ports, the proxy takes any for one that may come.
            let is_refused = !service.any_port || service.external_name.is_some() || !self.endpoint_ports.is_empty();
            return Some(ServiceFault { fault: Fault { reason: Reason::InvalidPort, message }, is_refused });
        }
        self.fault.clone().map(|fault| ServiceFault { fault, is_refused: self.is_left_out })
    }

    fn has_port(&self, service: &Service, port: &ServicePort) -> bool {
        let ports = &self.endpoint_ports;
        match port {
            _ if !service.any_port || service.external_name.is_some() => service.has_port(port),
            ServicePort::Number(number) => {
                ports.is_empty() || ports.iter().any(|port| port.number.is_none_or(|known| known == *number))
            }
            ServicePort::Name(name) => ports.iter().any(|port| port.number.is_some() && *port.name == **name),
        }
    }
}

fn wanted_port(service: &Service) -> String {
    const MOST_PORTS: usize = 8;

    let ports = service.ports.iter().take(MOST_PORTS).map(|port| match (port.number, &*port.name) {
        (Some(number), "") => number.to_string(),
        (Some(number), name) => format!("{number} (`{name}`)"),
        (None, name) => format!("`{name}`"),
    });
    let ports: Vec<String> = ports.collect();
    match (ports.is_empty(), service.external_name.is_some() || service.any_port) {
        (_, true) => "wanted a port by its number".to_owned(),
        (true, false) => "it has none".to_owned(),
        (false, false) => format!("wanted one of {}", ports.join(", ")),
    }
}

fn external_fault(gateway: &Gateway, service: &str) -> Fault {
    if gateway.allow_external_upstreams {
        let message = format!("Service `{service}`: it stands for an address to which the gateway connects nobody");
        return Fault { reason: Reason::UpstreamDenied, message };
    }
    let message = format!(
        "Service `{service}`: it is of type ExternalName, which the gateway's owner does not allow; wanted a Service of pods, \
         or the owner's `allowExternalUpstreams: true`"
    );
    Fault { reason: Reason::ExternalUpstreamNotAllowed, message }
}

/// Whether nobody is connected to this address: what is the proxy's own machine, a proxy itself, and what the owner denies.
fn is_denied(store: &Store, gateway: &Gateway, address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_own = match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local() || address.is_unspecified(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified(),
    };
    is_own || store.is_of_proxy(address) || gateway.denied_upstreams.iter().any(|range| range.contains(address))
}
