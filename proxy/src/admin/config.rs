//! `/config`: what is applied, as JSON. No secret is in it.

use jiff::Timestamp;
use serde::Serialize;
use streamgate_crds::{StreamRouteSpec, TlsSniSpec};

use crate::bootstrap::Listener;
use crate::config::snapshot::{Route, Snapshot, TlsService};
use crate::config::status::Refused;

/// The page.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigPage<'a> {
    gateway: &'a str,
    revision: Option<&'a str>,
    generation: u64,
    applied_at: String,
    listeners: Vec<ListenerEntry<'a>>,
    tlssnis: Vec<TlsSniEntry<'a>>,
    streamroutes: Vec<StreamRouteEntry<'a>>,
    refused: Vec<Refused<'a>>,
}

#[derive(Serialize)]
struct ListenerEntry<'a> {
    name: &'a str,
    address: String,
    protocol: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TlsSniEntry<'a> {
    namespace: &'a str,
    name: &'a str,
    /// With the names that are left to it.
    spec: &'a TlsSniSpec,
    /// Whether its certificates could be read, so that it is served.
    served: bool,
    /// The end of the first certificate to end.
    not_after: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamRouteEntry<'a> {
    namespace: &'a str,
    name: &'a str,
    /// With the names that are left to it.
    spec: &'a StreamRouteSpec,
    upstream: Vec<GroupEntry<'a>>,
}

/// A service or a node, with the endpoints that it means now.
#[derive(Serialize)]
struct GroupEntry<'a> {
    name: &'a str,
    weight: u32,
    endpoints: Vec<EndpointEntry<'a>>,
}

#[derive(Serialize)]
struct EndpointEntry<'a> {
    identity: &'a str,
    target: String,
}

impl<'a> ConfigPage<'a> {
    pub(crate) fn of(gateway: &'a str, listeners: &'a [Listener], snapshot: &'a Snapshot) -> Self {
        Self {
            gateway,
            revision: snapshot.revision.as_deref(),
            generation: snapshot.generation,
            applied_at: snapshot.applied_at.to_string(),
            listeners: listeners.iter().map(ListenerEntry::of).collect(),
            tlssnis: snapshot.tls_services.iter().map(|service| TlsSniEntry::of(service)).collect(),
            streamroutes: snapshot.routes.routes().iter().map(|route| StreamRouteEntry::of(route)).collect(),
            refused: Refused::all(snapshot),
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
    }
}

impl<'a> ListenerEntry<'a> {
    fn of(listener: &'a Listener) -> Self {
        Self { name: &listener.name, address: listener.address.to_string(), protocol: listener.protocol.as_str() }
    }
}

impl<'a> TlsSniEntry<'a> {
    fn of(service: &'a TlsService) -> Self {
        let not_after = service.server.as_ref().and_then(|server| Timestamp::from_second(server.not_after).ok());
        Self {
            namespace: &service.object.namespace,
            name: &service.object.name,
            spec: &service.spec,
            served: service.server.is_some(),
            not_after: not_after.map(|time| time.to_string()),
        }
    }
}

impl<'a> StreamRouteEntry<'a> {
    fn of(route: &'a Route) -> Self {
        let groups = route.upstream.groups.iter().zip(route.upstream.endpoints());
        let upstream = groups.map(|(group, endpoints)| GroupEntry {
            name: &group.identity,
            weight: group.weight,
            endpoints: endpoints
                .iter()
                .map(|endpoint| EndpointEntry { identity: &endpoint.identity, target: endpoint.target.to_string() })
                .collect(),
        });
        Self {
            namespace: &route.object.namespace,
            name: &route.object.name,
            spec: &route.spec,
            upstream: upstream.collect(),
        }
    }
}
