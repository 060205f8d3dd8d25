//! `StreamRoute`s with the endpoints that their services and nodes mean.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use streamgate_crds::manifest::Manifest;
use streamgate_crds::stream_route::{Node, ServiceRef};
use streamgate_crds::{ObjectRef, Reason, Refusal, StreamRoute, StreamRouteSpec};

use super::sentences;
use crate::config::endpoints::{Resolved, ServiceEndpoints};
use crate::config::folder::Folder;
use crate::config::snapshot::{Route, label};
use crate::upstream::load::Loads;
use crate::upstream::names::Names;
use crate::upstream::{Endpoint, Members, Target, Upstream};

/// The routes, each kept as long as what it is made of stays the same.
#[derive(Debug)]
pub(super) struct Routes {
    made: HashMap<ObjectRef, Made>,
    endpoints: EndpointMaker,
}

/// Makes endpoints: who is the same has the same count of connections and the same resolved name.
#[derive(Debug)]
struct EndpointMaker {
    loads: Loads,
    names: Arc<Names>,
}

/// A route, and what it was made of.
#[derive(Debug)]
struct Made {
    services: Vec<Option<Arc<ServiceEndpoints>>>,
    route: Arc<Route>,
}

impl Routes {
    pub(super) fn new(names: Arc<Names>) -> Self {
        Self { made: HashMap::new(), endpoints: EndpointMaker { loads: Loads::default(), names } }
    }

    /// Makes routes of `StreamRoute`s, the oldest first. One of whose listeners there is none is left out; one that refers to
    /// what isn't there is refused, and goes on with the endpoints that are.
    pub(super) fn resolve(
        &mut self,
        stream_routes: Vec<StreamRoute>,
        listeners: Option<&[String]>,
        endpoints: &Folder<ServiceEndpoints>,
        refused: &mut Vec<Refusal>,
    ) -> Vec<Arc<Route>> {
        let mut before = std::mem::take(&mut self.made);
        let mut routes = Vec::with_capacity(stream_routes.len());
        for stream_route in stream_routes {
            let object = stream_route.reference();
            if let Some(message) = no_listener(&stream_route.spec, listeners) {
                refused.push(Refusal { object, reason: Reason::NoMatchingListener, message });
                continue;
            }
            let made =
                make(&object, stream_route.spec, endpoints, before.remove(&object), &mut self.endpoints, refused);
            routes.push(Arc::clone(&made.route));
            self.made.insert(object, made);
        }
        drop(before);
        self.endpoints.loads.sweep();
        routes
    }
}

fn make(
    object: &ObjectRef,
    spec: StreamRouteSpec,
    endpoints: &Folder<ServiceEndpoints>,
    before: Option<Made>,
    maker: &mut EndpointMaker,
    refused: &mut Vec<Refusal>,
) -> Made {
    let services: Vec<_> =
        spec.upstream.services.iter().map(|service| endpoints.get(&object.namespace, &service.name).cloned()).collect();
    for (service, known) in spec.upstream.services.iter().zip(&services) {
        let fault = fault(object, service, known.as_deref(), endpoints);
        refused.extend(fault.map(|(reason, message)| Refusal { object: object.clone(), reason, message }));
    }
    let is_same = |made: &Made| {
        let same_services = made.services.iter().map(|known| known.as_ref().map(Arc::as_ptr));
        made.route.spec == spec && same_services.eq(services.iter().map(|known| known.as_ref().map(Arc::as_ptr)))
    };
    let before = match before {
        Some(made) if is_same(&made) => return made,
        before => before.map(|made| made.route),
    };
    let of_services = spec.upstream.services.iter().zip(&services);
    let mut members: Vec<_> = of_services.map(|(service, known)| maker.of_service(service, known.as_deref())).collect();
    members.extend(spec.upstream.nodes.iter().map(|node| maker.of_node(node)));
    let upstream = Upstream::new(members, &spec.upstream.load_balancer);
    let route = Route { object: object.clone(), label: label(object), spec, upstream };
    let route = match before {
        Some(before) if *before == route => before,
        _ => Arc::new(route),
    };
    Made { services, route }
}

/// What is wrong with a service that a route refers to.
fn fault(
    object: &ObjectRef,
    service: &ServiceRef,
    known: Option<&ServiceEndpoints>,
    endpoints: &Folder<ServiceEndpoints>,
) -> Option<(Reason, String)> {
    let problems = endpoints.problems_of(&object.namespace, &service.name);
    if !problems.is_empty() {
        return Some((Reason::Invalid, sentences(problems)));
    }
    let file = format!("endpoints/{}.{}.yaml", object.namespace, service.name);
    match known.map(|known| known.resolve(&service.port)) {
        None => Some((
            Reason::RefNotFound,
            format!("there is no file {file}, which says what the Service `{}` means", service.name),
        )),
        Some(Err(error)) => Some((Reason::RefNotFound, format!("{file}: {error}"))),
        Some(Ok(_)) => None,
    }
}

impl EndpointMaker {
    fn of_service(&mut self, service: &ServiceRef, known: Option<&ServiceEndpoints>) -> Members {
        let endpoints = match known.map(|known| known.resolve(&service.port)) {
            Some(Ok(Resolved::Endpoints(endpoints))) => endpoints
                .into_iter()
                .map(|endpoint| self.endpoint(endpoint.identity, Target::Addresses(endpoint.addresses)))
                .collect(),
            Some(Ok(Resolved::External { host, port })) => {
                let target = self.target(&host, port);
                vec![self.endpoint(format!("{host}:{port}"), target)]
            }
            Some(Err(_)) | None => Vec::new(),
        };
        Members { identity: format!("{}:{}", service.name, service.port), weight: service.weight, endpoints }
    }

    fn of_node(&mut self, node: &Node) -> Members {
        let identity = node.identity();
        let target = self.target(&node.host, node.port);
        let endpoint = self.endpoint(identity.clone(), target);
        Members { identity, weight: node.weight, endpoints: vec![endpoint] }
    }

    fn target(&self, host: &str, port: u16) -> Target {
        match host.parse::<IpAddr>() {
            Ok(address) => Target::Addresses(vec![SocketAddr::new(address, port)]),
            Err(_) => Target::Name(self.names.get(host), port),
        }
    }

    fn endpoint(&mut self, identity: String, target: Target) -> Endpoint {
        let load = self.loads.of(&identity, &target);
        Endpoint { identity: identity.into(), target, load }
    }
}

/// What to say of a route that names listeners of which there is none.
fn no_listener(spec: &StreamRouteSpec, listeners: Option<&[String]>) -> Option<String> {
    let known = listeners?;
    if spec.listeners.is_empty() || spec.listeners.iter().any(|listener| known.contains(listener)) {
        return None;
    }
    Some(format!(
        "spec.listeners: found {}, of which this proxy has none; wanted one of its listeners ({}), or no `listeners` for all",
        quoted(&spec.listeners),
        quoted(known)
    ))
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
