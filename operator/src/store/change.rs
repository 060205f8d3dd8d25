//! What can change.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use streamgate_crds::{StreamRoute, TlsSni};

use super::{Fetched, Generated, GeneratedKey, Lease, MaterialKey, MaterialKind, Name, Service, Slice, Store, Watched};
use crate::report::ResourceVersion;

/// One object as it is now; `None`: it is gone.
#[derive(Clone, Debug)]
pub enum Change {
    /// A StreamRoute.
    StreamRoute(Name, Option<Watched<StreamRoute>>),
    /// A TlsSni.
    TlsSni(Name, Option<Watched<TlsSni>>),
    /// A Namespace, by its labels.
    Namespace(Arc<str>, Option<BTreeMap<String, String>>),
    /// A Service.
    Service(Name, Option<Service>),
    /// An EndpointSlice; `None` too where it is none of a Service and of IP addresses.
    Slice(Name, Option<Slice>),
    /// A Secret or ConfigMap, by its resourceVersion.
    Material(MaterialKey, Option<ResourceVersion>),
    /// What a Secret or ConfigMap holds, which [`Outcome::missing`](crate::resolve::Outcome::missing) asked for.
    Fetched(MaterialKey, Fetched),
    /// An object in a gateway's own namespace; of one that is gone, the version with which it went. What is older than what
    /// is known changes nothing, so that a writer may apply what it wrote ahead of the watch.
    Generated(GeneratedKey, ResourceVersion, Option<Generated>),
    /// The same as a list found it: taken whatever its version, for a cluster that was restored from a backup counts anew.
    Found(GeneratedKey, Option<Generated>),
    /// The Lease of a proxy, by gateway and pod.
    Proxy(Arc<str>, Arc<str>, Option<Lease>),
}

/// All objects of one kind that a list found.
#[derive(Clone, Debug)]
pub enum Listed {
    /// StreamRoutes.
    StreamRoutes(HashSet<Name>),
    /// TlsSnis.
    TlsSnis(HashSet<Name>),
    /// Namespaces.
    Namespaces(HashSet<Arc<str>>),
    /// Services.
    Services(HashSet<Name>),
    /// EndpointSlices.
    Slices(HashSet<Name>),
    /// Secrets or ConfigMaps.
    Materials(MaterialKind, HashSet<Name>),
    /// Generated objects of one kind, of one gateway.
    Generated(Arc<str>, MaterialKind, HashSet<Box<str>>),
    /// Leases of a gateway's proxies, by pod.
    Proxies(Arc<str>, HashSet<Arc<str>>),
}

impl Store {
    /// The removals of what is known and not listed. `within`: the list was of this namespace alone.
    pub fn removals(&self, listed: &Listed, within: Option<&str>) -> Vec<Change> {
        let is_within = |name: &Name| within.is_none_or(|namespace| *name.namespace == *namespace);
        let is_gone = |name: &&Name, there: &HashSet<Name>| is_within(name) && !there.contains(*name);
        match listed {
            Listed::StreamRoutes(there) => {
                let gone = self.stream_routes.keys().filter(|name| is_gone(name, there));
                gone.map(|name| Change::StreamRoute(name.clone(), None)).collect()
            }
            Listed::TlsSnis(there) => {
                let gone = self.tls_snis.keys().filter(|name| is_gone(name, there));
                gone.map(|name| Change::TlsSni(name.clone(), None)).collect()
            }
            Listed::Namespaces(there) => {
                let gone = self.namespaces.keys().filter(|name| !there.contains(*name));
                gone.map(|name| Change::Namespace(Arc::clone(name), None)).collect()
            }
            Listed::Services(there) => {
                let gone = self.services.keys().filter(|name| is_gone(name, there));
                gone.map(|name| Change::Service(name.clone(), None)).collect()
            }
            Listed::Slices(there) => {
                let gone = self.slice_services.keys().filter(|name| is_gone(name, there));
                gone.map(|name| Change::Slice(name.clone(), None)).collect()
            }
            Listed::Materials(kind, there) => {
                let gone = self.materials.keys().filter(|key| key.kind == *kind && is_gone(&&key.name, there));
                gone.map(|key| Change::Material(key.clone(), None)).collect()
            }
            Listed::Generated(gateway, kind, there) => {
                let of_list = |key: &GeneratedKey| key.gateway == *gateway && key.kind == *kind;
                let gone = self.generated.iter().filter(|(key, _)| of_list(key) && !there.contains(&key.name));
                gone.map(|(key, known)| Change::Generated(key.clone(), known.version.clone(), None)).collect()
            }
            Listed::Proxies(gateway, there) => {
                let gone = self.leases.get(gateway).into_iter().flatten().filter(|(pod, _)| !there.contains(*pod));
                gone.map(|(pod, _)| Change::Proxy(Arc::clone(gateway), Arc::clone(pod), None)).collect()
            }
        }
    }
}
