//! Services and their EndpointSlices, slimmed to what says who serves.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service as ApiService;
use k8s_openapi::api::discovery::v1::{Endpoint as ApiEndpoint, EndpointConditions, EndpointSlice};
use streamgate_crds::stream_route::ServicePort;

use super::Name;

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Where its type is `ExternalName`, the DNS name that it stands for.
    pub external_name: Option<Box<str>>,
    /// Its TCP ports.
    pub ports: Box<[Port]>,
    /// Whether it lists no ports at all, not even of other protocols (a headless one may), so that its endpoints' own are
    /// meant.
    pub any_port: bool,
    /// Where it is reached itself: in the cluster, and from outside.
    pub addresses: Box<[IpAddr]>,
}

/// A TCP port of a Service or an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Its name; empty where it has none.
    pub name: Box<str>,
    /// Its number. `None`: every one (in an EndpointSlice).
    pub number: Option<u16>,
}

/// An EndpointSlice of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The Service that it is of.
    pub service: Name,
    /// The addresses' family: IPv6 or IPv4.
    pub is_ipv6: bool,
    /// Its TCP ports.
    pub ports: Box<[Port]>,
    /// Whether it lists no ports at all, not even of other protocols, so that every one is meant.
    pub any_port: bool,
    /// Who serves there.
    pub entries: Box<[Entry]>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name of its pod.
    pub pod: Option<Box<str>>,
    /// Where it is: the first of its addresses, to the others of which the API gives no meaning.
    pub address: IpAddr,
    /// Whether it takes clients.
    pub readiness: Readiness,
}

/// Whether an endpoint takes clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does as long as nobody else is ready.
    ServingWhileTerminating,
    /// It does not.
    NotReady,
}

impl Service {
    /// Whether it has this port: any by number where it stands for a DNS name.
    pub fn has_port(&self, port: &ServicePort) -> bool {
        let is = |known: &Port| match port {
            ServicePort::Number(number) => known.number == Some(*number),
            ServicePort::Name(name) => *known.name == **name,
        };
        let any_number = self.external_name.is_some() && matches!(port, ServicePort::Number(_));
        any_number || self.ports.iter().any(is)
    }
}

impl From<&ApiService> for Service {
    fn from(service: &ApiService) -> Self {
        let Some(spec) = &service.spec else { return Self::default() };
        let is_external = spec.type_.as_deref() == Some("ExternalName");
        let ports = spec.ports.iter().flatten().filter(|port| is_tcp(port.protocol.as_deref()));
        let ports = ports.filter_map(|port| {
            let number = u16::try_from(port.port).ok().filter(|number| *number > 0)?;
            Some(Port { name: text(port.name.as_deref()), number: Some(number) })
        });
        Self {
            external_name: spec.external_name.as_deref().filter(|name| is_external && !name.is_empty()).map(Into::into),
            ports: ports.collect(),
            any_port: spec.ports.as_ref().is_none_or(Vec::is_empty),
            addresses: addresses(service).collect(),
        }
    }
}

fn addresses(service: &ApiService) -> impl Iterator<Item = IpAddr> {
    let spec = service.spec.iter();
    let own = spec.flat_map(|spec| spec.cluster_ips.iter().chain(&spec.external_ips).flatten());
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let ingress = balancer.into_iter().flatten().filter_map(|ingress| ingress.ip.as_ref());
    // A headless one has the word `None`.
    own.chain(ingress).filter_map(|address| address.parse().ok())
}

impl Slice {
    /// What an EndpointSlice says; `None` where it is of no Service, or of addresses that are none of IP.
    pub fn of(slice: &EndpointSlice) -> Option<Self> {
        let namespace = slice.metadata.namespace.as_deref()?;
        let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME).filter(|name| !name.is_empty())?;
        let is_ipv6 = match slice.address_type.as_str() {
            "IPv4" => false,
            "IPv6" => true,
            _ => return None,
        };
        let ports = slice.ports.as_deref().unwrap_or_default();
        let tcp = ports.iter().filter(|port| is_tcp(port.protocol.as_deref())).filter_map(|port| {
            let number = match port.port {
                Some(number) => Some(u16::try_from(number).ok().filter(|number| *number > 0)?),
                None => None,
            };
            Some(Port { name: text(port.name.as_deref()), number })
        });
        let mut entries: Vec<Entry> =
            slice.endpoints.iter().flatten().filter_map(|endpoint| Entry::of(endpoint, is_ipv6)).collect();
        entries.sort_unstable();
        entries.dedup();
        Some(Self {
            service: Name::new(namespace, service),
            is_ipv6,
            ports: tcp.collect(),
            any_port: ports.is_empty(),
            entries: entries.into(),
        })
    }
}

impl Entry {
    fn of(endpoint: &ApiEndpoint, is_ipv6: bool) -> Option<Self> {
        let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
        let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
        let pod = pod.and_then(|pod| pod.name.as_deref()).filter(|name| !name.is_empty());
        let readiness = endpoint.conditions.as_ref().map_or(Readiness::Ready, Readiness::of);
        (address.is_ipv6() == is_ipv6).then(|| Self { pod: pod.map(Into::into), address, readiness })
    }
}

impl Readiness {
    /// `EndpointConditions` of discovery.k8s.io/v1: an absent `ready` is yes, an absent `serving` is what `ready` is, an
    /// absent `terminating` is no.
    fn of(conditions: &EndpointConditions) -> Self {
        let ready = conditions.ready.unwrap_or(true);
        match (ready, conditions.serving.unwrap_or(ready), conditions.terminating.unwrap_or(false)) {
            (true, _, _) => Self::Ready,
            (false, true, true) => Self::ServingWhileTerminating,
            (false, _, _) => Self::NotReady,
        }
    }
}

fn is_tcp(protocol: Option<&str>) -> bool {
    matches!(protocol, None | Some("TCP"))
}

fn text(name: Option<&str>) -> Box<str> {
    name.unwrap_or_default().into()
}

/// The label by which an EndpointSlice says whose it is.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
