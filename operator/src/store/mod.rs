//! What is in the cluster, as far as it matters: slim types, and what is touched when one of them changes.
//!
//! - [`gateway`]: what a gateway's owner decides.
//! - [`service`]: Services and their EndpointSlices.
//! - [`material`]: Secrets and ConfigMaps.
//! - [`generated`]: what is in the gateways' own namespaces.
//!
//! StreamRoutes and TlsSnis are kept whole, without what the API server adds to their metadata.

pub mod gateway;
pub mod generated;
pub mod material;
pub mod service;

mod change;
mod fingerprint;
mod name;
mod touched;
mod watched;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use streamgate_crds::{StreamRoute, TlsSni};

pub use self::change::{Change, Listed};
pub use self::fingerprint::Fingerprint;
pub use self::gateway::{Gateway, Namespaces};
pub use self::generated::{Generated, GeneratedKey, Passed};
pub use self::material::{Fetched, Files, MaterialKey, MaterialKind, Reference, Use};
pub use self::name::Name;
pub use self::service::{Service, Slice};
pub use self::touched::Touched;
pub use self::watched::{Status, Watched};
use crate::report::{Report, ResourceVersion};

/// What is in the cluster. It changes by [`Store::apply`] alone.
#[derive(Debug, Default)]
pub struct Store {
    gateways: Vec<Gateway>,
    pub(crate) stream_routes: BTreeMap<Name, Watched<StreamRoute>>,
    pub(crate) tls_snis: BTreeMap<Name, Watched<TlsSni>>,
    pub(crate) namespaces: BTreeMap<Arc<str>, BTreeMap<String, String>>,
    pub(crate) services: BTreeMap<Name, Service>,
    /// By the Service that they are of, then by their own name.
    slices: HashMap<Name, BTreeMap<Arc<str>, Slice>>,
    /// Which Service a slice is of.
    slice_services: HashMap<Name, Name>,
    /// Where the gateways' proxies are, ready or not.
    proxy_addresses: BTreeSet<IpAddr>,
    /// The resourceVersion of each.
    pub(crate) materials: BTreeMap<MaterialKey, ResourceVersion>,
    pub(crate) fetched: HashMap<MaterialKey, Fetched>,
    pub(crate) generated: BTreeMap<GeneratedKey, Generated>,
    /// By gateway, then by pod.
    pub(crate) leases: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Lease>>,
    names: name::Interner,
}

/// What is known of a proxy by its Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// What it last reported; `None` before it has.
    pub report: Option<Report>,
    /// Whether it was seen unchanged for its duration.
    pub is_silent: bool,
}

impl Store {
    /// An empty store of an operator that serves these gateways.
    pub fn new(gateways: Vec<Gateway>) -> Self {
        Self { gateways, ..Self::default() }
    }

    /// The gateways that are served.
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// A StreamRoute as it was last seen.
    pub fn stream_route(&self, name: &Name) -> Option<&Watched<StreamRoute>> {
        self.stream_routes.get(name)
    }

    /// A TlsSni as it was last seen.
    pub fn tls_sni(&self, name: &Name) -> Option<&Watched<TlsSni>> {
        self.tls_snis.get(name)
    }

    /// The resourceVersion of a Secret or ConfigMap as it was last seen.
    pub fn material(&self, key: &MaterialKey) -> Option<&ResourceVersion> {
        self.materials.get(key)
    }

    /// A generated object as it was last seen.
    pub fn generated(&self, key: &GeneratedKey) -> Option<&Generated> {
        self.generated.get(key)
    }

    /// The proxies of a gateway that count: the pods that are ready endpoints of its Service.
    pub fn proxies(&self, gateway: &Gateway) -> BTreeSet<&str> {
        let entries = self.slices_of(&gateway.service).flat_map(|(_, slice)| slice.entries.iter());
        let ready = entries.filter(|entry| entry.readiness == service::Readiness::Ready);
        ready.filter_map(|entry| entry.pod.as_deref()).collect()
    }

    /// The proxies of all gateways that count: each its gateway and its pod.
    pub fn all_proxies(&self) -> BTreeSet<(Arc<str>, Arc<str>)> {
        let of_gateway = |gateway: &Gateway| {
            let name: Arc<str> = gateway.name.as_str().into();
            let proxies = self.proxies(gateway).into_iter();
            proxies.map(|pod| (Arc::clone(&name), pod.into())).collect::<Vec<_>>()
        };
        self.gateways.iter().flat_map(of_gateway).collect()
    }

    /// Whether a proxy reports that it refuses anything.
    pub(crate) fn is_anything_refused(&self) -> bool {
        let reports = self.leases.values().flat_map(BTreeMap::values).filter_map(|lease| lease.report.as_ref());
        reports.map(|report| report.refused_count).any(|count| count > 0)
    }

    /// Whether a proxy of one of the gateways is at this address, or is reached by it.
    pub(crate) fn is_of_proxy(&self, address: IpAddr) -> bool {
        self.proxy_addresses.contains(&address)
    }

    /// The EndpointSlices of a Service, in the order of their names.
    pub(crate) fn slices_of(&self, service: &Name) -> impl Iterator<Item = (&Arc<str>, &Slice)> {
        self.slices.get(service).into_iter().flatten()
    }

    /// Lets go of the contents of a Secret or ConfigMap: what is generated of it has been written.
    pub fn let_go(&mut self, key: &MaterialKey) {
        if let Some(fetched) = self.fetched.get_mut(key) {
            fetched.bytes = None;
        }
    }

    /// Applies a change, and says what is to be resolved again: nothing where nothing is other than it was.
    pub fn apply(&mut self, change: Change) -> Touched {
        let mut touched = Touched::default();
        match change {
            Change::StreamRoute(name, object) => {
                let name = self.names.keep_name(&name);
                watched::put(&mut self.stream_routes, name, object, &mut touched);
            }
            Change::TlsSni(name, object) => {
                let name = self.names.keep_name(&name);
                watched::put(&mut self.tls_snis, name, object, &mut touched);
            }
            Change::Namespace(name, labels) => {
                touched.judgement = put(&mut self.namespaces, name, labels);
            }
            Change::Service(name, service) => {
                if put(&mut self.services, name.clone(), service) {
                    if self.gateways.iter().any(|gateway| gateway.service == name) {
                        touched.services.extend(self.move_proxies());
                    }
                    touched.services.insert(name);
                }
            }
            Change::Slice(name, slice) => self.put_slice(&name, slice, &mut touched),
            Change::Material(key, version) => {
                // Versions go back in a cluster that was restored from a backup.
                if version.as_ref().is_none_or(|version| self.materials.get(&key).is_some_and(|known| version < known))
                {
                    self.fetched.remove(&key);
                }
                if put(&mut self.materials, key.clone(), version) {
                    touched.materials.insert(key);
                }
            }
            Change::Fetched(key, fetched) => {
                if self.materials.contains_key(&key) {
                    self.fetched.insert(key.clone(), fetched);
                    touched.materials.insert(key);
                }
            }
            Change::Generated(key, version, generated) => {
                if self.generated.get(&key).is_none_or(|known| known.version <= version)
                    && put(&mut self.generated, key.clone(), generated)
                {
                    touched.generated.insert(key);
                }
            }
            Change::Found(key, generated) => {
                if put(&mut self.generated, key.clone(), generated) {
                    touched.generated.insert(key);
                }
            }
            Change::Proxy(gateway, pod, lease) => {
                touched.reports = put(self.leases.entry(gateway).or_default(), pod, lease);
            }
        }
        touched
    }

    fn put_slice(&mut self, name: &Name, slice: Option<Slice>, touched: &mut Touched) {
        let before = self.slice_services.remove(name);
        let mut services = BTreeSet::new();
        if let Some(service) = before.filter(|service| slice.as_ref().is_none_or(|slice| slice.service != *service)) {
            if let Some(slices) = self.slices.get_mut(&service) {
                slices.remove(&name.name);
                if slices.is_empty() {
                    self.slices.remove(&service);
                }
            }
            services.insert(service);
        }
        if let Some(mut slice) = slice {
            let service = self.names.keep_name(&slice.service);
            slice.service = service.clone();
            self.slice_services.insert(name.clone(), service.clone());
            if put(self.slices.entry(service.clone()).or_default(), Arc::clone(&name.name), Some(slice)) {
                services.insert(service);
            }
        }
        touched.reports = self.gateways.iter().any(|gateway| services.contains(&gateway.service));
        if touched.reports {
            services.extend(self.move_proxies());
        }
        touched.services = services;
    }

    /// Takes note of where the proxies are by now, and of how they are reached: the Services that lead to where one came or
    /// went.
    fn move_proxies(&mut self) -> Vec<Name> {
        let slices = self.gateways.iter().flat_map(|gateway| self.slices_of(&gateway.service));
        let addresses = slices.flat_map(|(_, slice)| slice.entries.iter()).map(|entry| entry.address);
        let services = self.gateways.iter().filter_map(|gateway| self.services.get(&gateway.service));
        let reached_by = services.flat_map(|service| service.addresses.iter().copied());
        let addresses: BTreeSet<IpAddr> = addresses.chain(reached_by).collect();
        let moved: BTreeSet<IpAddr> = addresses.symmetric_difference(&self.proxy_addresses).copied().collect();
        self.proxy_addresses = addresses;
        let is_moved = |slice: &Slice| slice.entries.iter().any(|entry| moved.contains(&entry.address));
        let touched = self.slices.iter().filter(|(_, slices)| !moved.is_empty() && slices.values().any(is_moved));
        let leads_there = |service: &Service| {
            let address = service.external_name.as_deref().and_then(|host| host.parse::<IpAddr>().ok());
            address.is_some_and(|address| moved.contains(&address.to_canonical()))
        };
        let external = self.services.iter().filter(|(_, service)| leads_there(service)).map(|(service, _)| service);
        touched.map(|(service, _)| service).chain(external).cloned().collect()
    }

    /// Lets go of names that nothing has any more; cheap enough for once in a while.
    pub fn sweep(&mut self) {
        self.names.sweep();
    }
}

/// Puts a value in its place, or takes it out, and tells whether anything changed.
fn put<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> bool {
    match value {
        Some(value) if map.get(&key) == Some(&value) => false,
        Some(value) => {
            map.insert(key, value);
            true
        }
        None => map.remove(&key).is_some(),
    }
}
