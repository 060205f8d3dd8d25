//! What is seen of each kind of object, and what is kept of it.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service as ApiService};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::ApiResource;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::{Api, Client, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use streamgate_crds::manifest::Manifest;
use streamgate_crds::{StreamRoute, TlsSni};

use super::Told;
use crate::generated::TICKET_KEYS;
use crate::run::ticket_keys::Seen;
use crate::store::{
    Change, Generated, GeneratedKey, Listed, MaterialKey, MaterialKind, Name, Service, Slice, Status, Watched,
};
use crate::write::wipe;

/// One kind of object.
pub(super) trait Sight: 'static {
    /// How the API gives it.
    type Object: Resource + Clone + DeserializeOwned + Debug + Send + 'static;
    /// What it is known by within its watch.
    type Key: Hash + Eq;
    /// The word for it.
    const KIND: &'static str;

    /// What an object is known by.
    fn key(&self, object: &Self::Object) -> Option<Self::Key>;
    /// An object that is there.
    fn put(&self, object: Self::Object) -> Option<Told>;
    /// An object that is gone.
    fn gone(&self, object: Self::Object) -> Option<Told>;
    /// All objects that are there.
    fn listed(&self, keys: HashSet<Self::Key>) -> Listed;
}

fn name(metadata: &ObjectMeta) -> Option<Name> {
    Some(Name::new(metadata.namespace.as_deref()?, metadata.name.as_deref()?))
}

/// StreamRoutes.
pub(super) type StreamRoutes = Resources<StreamRoute>;
/// TlsSnis.
pub(super) type TlsSnis = Resources<TlsSni>;

/// One of the two resources. It is read loosely first, so that one that can't be read stops no watch.
pub(super) struct Resources<T>(PhantomData<T>);

impl<T> Default for Resources<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Resource<DynamicType = ()>> Resources<T> {
    pub(super) fn api(client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<T>(&());
        match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        }
    }
}

/// The status as it is written.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WrittenStatus {
    conditions: Vec<Condition>,
    upstream: Option<String>,
    not_after: Option<Timestamp>,
    subject_alt_names: Vec<String>,
}

/// Which of the two resources.
pub(super) trait Which: Manifest + Resource<DynamicType = ()> + DeserializeOwned + 'static {
    const WORD: &'static str;
    fn change(name: Name, object: Option<Watched<Self>>) -> Change;
    fn listed(names: HashSet<Name>) -> Listed;
}

impl Which for StreamRoute {
    const WORD: &'static str = "StreamRoute";

    fn change(name: Name, object: Option<Watched<Self>>) -> Change {
        Change::StreamRoute(name, object)
    }

    fn listed(names: HashSet<Name>) -> Listed {
        Listed::StreamRoutes(names)
    }
}

impl Which for TlsSni {
    const WORD: &'static str = "TlsSni";

    fn change(name: Name, object: Option<Watched<Self>>) -> Change {
        Change::TlsSni(name, object)
    }

    fn listed(names: HashSet<Name>) -> Listed {
        Listed::TlsSnis(names)
    }
}

impl<T: Which> Sight for Resources<T> {
    type Object = DynamicObject;
    type Key = Name;
    const KIND: &'static str = T::WORD;

    fn key(&self, object: &DynamicObject) -> Option<Name> {
        name(&object.metadata)
    }

    fn put(&self, mut object: DynamicObject) -> Option<Told> {
        let name = name(&object.metadata)?;
        object.metadata.managed_fields = None;
        let status = object.data.as_object_mut().and_then(|fields| fields.remove("status"));
        let status: WrittenStatus = status.and_then(|status| serde_json::from_value(status).ok()).unwrap_or_default();
        let WrittenStatus { conditions, upstream, not_after, subject_alt_names } = status;
        let status = Status { conditions, upstream, not_after, subject_alt_names };
        let metadata = object.metadata.clone();
        let object = serde_json::to_value(object).ok()?;
        let watched = match T::deserialize(&object) {
            Ok(object) => Watched::new(object, status),
            Err(error) => {
                tracing::error!(kind = T::WORD, %name, %error, "an object can't be read; what it said before holds");
                Watched::unreadable(metadata, &object["spec"], &error.to_string(), status)?
            }
        };
        Some(Told::Change(T::change(name, Some(watched))))
    }

    fn gone(&self, object: DynamicObject) -> Option<Told> {
        Some(Told::Change(T::change(name(&object.metadata)?, None)))
    }

    fn listed(&self, keys: HashSet<Name>) -> Listed {
        T::listed(keys)
    }
}

/// Namespaces, by their labels.
pub(super) struct Namespaces;

impl Sight for Namespaces {
    type Object = PartialObjectMeta<Namespace>;
    type Key = Arc<str>;
    const KIND: &'static str = "Namespace";

    fn key(&self, object: &Self::Object) -> Option<Arc<str>> {
        object.metadata.name.as_deref().map(Arc::from)
    }

    fn put(&self, object: Self::Object) -> Option<Told> {
        let name = self.key(&object)?;
        Some(Told::Change(Change::Namespace(name, Some(object.metadata.labels.unwrap_or_default()))))
    }

    fn gone(&self, object: Self::Object) -> Option<Told> {
        Some(Told::Change(Change::Namespace(self.key(&object)?, None)))
    }

    fn listed(&self, keys: HashSet<Arc<str>>) -> Listed {
        Listed::Namespaces(keys)
    }
}

/// Services.
pub(super) struct Services;

impl Sight for Services {
    type Object = ApiService;
    type Key = Name;
    const KIND: &'static str = "Service";

    fn key(&self, object: &ApiService) -> Option<Name> {
        name(&object.metadata)
    }

    fn put(&self, object: ApiService) -> Option<Told> {
        Some(Told::Change(Change::Service(name(&object.metadata)?, Some(Service::from(&object)))))
    }

    fn gone(&self, object: ApiService) -> Option<Told> {
        Some(Told::Change(Change::Service(name(&object.metadata)?, None)))
    }

    fn listed(&self, keys: HashSet<Name>) -> Listed {
        Listed::Services(keys)
    }
}

/// EndpointSlices.
pub(super) struct Slices;

impl Sight for Slices {
    type Object = EndpointSlice;
    type Key = Name;
    const KIND: &'static str = "EndpointSlice";

    fn key(&self, object: &EndpointSlice) -> Option<Name> {
        name(&object.metadata)
    }

    fn put(&self, object: EndpointSlice) -> Option<Told> {
        Some(Told::Change(Change::Slice(name(&object.metadata)?, Slice::of(&object))))
    }

    fn gone(&self, object: EndpointSlice) -> Option<Told> {
        Some(Told::Change(Change::Slice(name(&object.metadata)?, None)))
    }

    fn listed(&self, keys: HashSet<Name>) -> Listed {
        Listed::Slices(keys)
    }
}

/// Secrets or ConfigMaps, of which no more than the metadata is asked for.
pub(super) struct Materials<K> {
    kind: MaterialKind,
    of: PhantomData<K>,
}

impl<K> Materials<K> {
    pub(super) fn new(kind: MaterialKind) -> Self {
        Self { kind, of: PhantomData }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + Debug + Send + 'static> Sight for Materials<K>
where
    PartialObjectMeta<K>: Resource + Clone + DeserializeOwned + Debug + Send,
{
    type Object = PartialObjectMeta<K>;
    type Key = Name;
    const KIND: &'static str = "Secret or ConfigMap";

    fn key(&self, object: &Self::Object) -> Option<Name> {
        name(&object.metadata)
    }

    fn put(&self, object: Self::Object) -> Option<Told> {
        let key = MaterialKey { kind: self.kind, name: name(&object.metadata)? };
        Some(Told::Change(Change::Material(key, Some(object.metadata.resource_version?.parse().ok()?))))
    }

    fn gone(&self, object: Self::Object) -> Option<Told> {
        let key = MaterialKey { kind: self.kind, name: name(&object.metadata)? };
        Some(Told::Change(Change::Material(key, None)))
    }

    fn listed(&self, keys: HashSet<Name>) -> Listed {
        Listed::Materials(self.kind, keys)
    }
}

/// Generated ConfigMaps of this gateway.
pub(super) struct GeneratedConfigMaps(pub(super) Arc<str>);

impl Sight for GeneratedConfigMaps {
    type Object = ConfigMap;
    type Key = Box<str>;
    const KIND: &'static str = "generated ConfigMap";

    fn key(&self, object: &ConfigMap) -> Option<Box<str>> {
        object.metadata.name.as_deref().map(Into::into)
    }

    fn put(&self, object: ConfigMap) -> Option<Told> {
        let key = generated_key(&self.0, MaterialKind::ConfigMap, &object.metadata)?;
        generated(key, &object.metadata, Generated::of_config_map(&object))
    }

    fn gone(&self, object: ConfigMap) -> Option<Told> {
        generated(generated_key(&self.0, MaterialKind::ConfigMap, &object.metadata)?, &object.metadata, None)
    }

    fn listed(&self, keys: HashSet<Box<str>>) -> Listed {
        Listed::Generated(Arc::clone(&self.0), MaterialKind::ConfigMap, keys)
    }
}

/// Generated Secrets of this gateway.
pub(super) struct GeneratedSecrets(pub(super) Arc<str>);

impl Sight for GeneratedSecrets {
    type Object = Secret;
    type Key = Box<str>;
    const KIND: &'static str = "generated Secret";

    fn key(&self, object: &Secret) -> Option<Box<str>> {
        object.metadata.name.as_deref().map(Into::into)
    }

    fn put(&self, mut object: Secret) -> Option<Told> {
        if object.metadata.name.as_deref() == Some(TICKET_KEYS) {
            return Some(Told::TicketKeys(Arc::clone(&self.0), Some(Seen::of(object)?)));
        }
        let key = generated_key(&self.0, MaterialKind::Secret, &object.metadata)?;
        let seen = Generated::of_secret(&object);
        wipe(&mut object);
        generated(key, &object.metadata, seen)
    }

    fn gone(&self, mut object: Secret) -> Option<Told> {
        wipe(&mut object);
        if object.metadata.name.as_deref() == Some(TICKET_KEYS) {
            return Some(Told::TicketKeys(Arc::clone(&self.0), None));
        }
        generated(generated_key(&self.0, MaterialKind::Secret, &object.metadata)?, &object.metadata, None)
    }

    fn listed(&self, keys: HashSet<Box<str>>) -> Listed {
        Listed::Generated(Arc::clone(&self.0), MaterialKind::Secret, keys)
    }
}

fn generated_key(gateway: &Arc<str>, kind: MaterialKind, metadata: &ObjectMeta) -> Option<GeneratedKey> {
    Some(GeneratedKey { gateway: Arc::clone(gateway), kind, name: metadata.name.as_deref()?.into() })
}

fn generated(key: GeneratedKey, metadata: &ObjectMeta, seen: Option<Generated>) -> Option<Told> {
    let version = metadata.resource_version.as_deref()?.parse().ok()?;
    Some(Told::Change(Change::Generated(key, version, seen)))
}

/// Leases of this gateway's proxies.
pub(super) struct Proxies(pub(super) Arc<str>);

impl Sight for Proxies {
    type Object = Lease;
    type Key = Arc<str>;
    const KIND: &'static str = "Lease";

    fn key(&self, object: &Lease) -> Option<Arc<str>> {
        object.metadata.name.as_deref().map(Arc::from)
    }

    fn put(&self, object: Lease) -> Option<Told> {
        Some(Told::Lease(Arc::clone(&self.0), Box::new(object)))
    }

    fn gone(&self, object: Lease) -> Option<Told> {
        Some(Told::Change(Change::Proxy(Arc::clone(&self.0), self.key(&object)?, None)))
    }

    fn listed(&self, keys: HashSet<Arc<str>>) -> Listed {
        Listed::Proxies(Arc::clone(&self.0), keys)
    }
}
