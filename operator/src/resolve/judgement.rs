//! Which objects of a gateway take effect, and what they refer to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use streamgate_crds::manifest::Manifest;
use streamgate_crds::problem::Kind;
use streamgate_crds::stream_route::ServiceRef;
use streamgate_crds::tls_sni::ClientAuthMode;
use streamgate_crds::{Admitted, ObjectRef, Objects, Policy, Reason, Refusal, StreamRoute, TlsSni, TlsSniSpec, admit};

use super::attachments::Attachments;
use super::objects;
use crate::store::{Gateway, MaterialKey, MaterialKind, Name, Namespaces, Passed, Store, Use, Watched};

/// What was judged of one gateway.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Those that take effect, with what is left to them.
    pub(super) tls_snis: BTreeMap<Name, Arc<TlsSni>>,
    pub(super) stream_routes: BTreeMap<Name, Arc<StreamRoute>>,
    /// Those that can't be read.
    pub(super) unreadable: BTreeSet<ObjectRef>,
    /// What was passed on of those among them that take effect: what it refers to is in service.
    pub(super) passed: BTreeMap<ObjectRef, Passed>,
    /// What was refused, by the object.
    pub(super) refusals: HashMap<ObjectRef, Vec<Refusal>>,
    /// The Services that routes refer to, and which routes.
    pub(super) services: BTreeMap<Name, Vec<Name>>,
    /// The Secrets and ConfigMaps that TlsSnis refer to.
    pub(super) materials: BTreeMap<MaterialKey, Used>,
    /// Which routes attach to which TlsSnis.
    pub(super) attachments: Attachments,
}

/// What a Secret or ConfigMap is referred to for, and by which TlsSnis.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) uses: BTreeSet<Use>,
    pub(super) by: BTreeSet<Name>,
}

impl Judged {
    pub(super) fn of(store: &Store, gateway: &Gateway) -> Self {
        let known = Objects {
            tls_snis: of_gateway(&store.tls_snis, &gateway.name),
            stream_routes: of_gateway(&store.stream_routes, &gateway.name),
        };
        let Admitted { objects: admitted, refusals } = admit(&policy(store, gateway), known);
        let mut judged = Self {
            tls_snis: effective(&store.tls_snis, admitted.tls_snis),
            stream_routes: effective(&store.stream_routes, admitted.stream_routes),
            ..Self::default()
        };
        for refusal in refusals {
            judged.refusals.entry(refusal.object.clone()).or_default().push(refusal);
        }
        judged.add_unreadable(&store.stream_routes, gateway);
        judged.add_unreadable(&store.tls_snis, gateway);
        judged.passed = judged.passed_of_unreadable(store, gateway);
        let (mut services, mut materials) = (BTreeMap::new(), BTreeMap::new());
        for name in judged.stream_routes.keys() {
            for service in judged.services_of(name) {
                let service = Name { namespace: Arc::clone(&name.namespace), name: service.name.as_str().into() };
                let service = store.services.get_key_value(&service).map_or(service, |(known, _)| known.clone());
                let by: &mut Vec<Name> = services.entry(service).or_default();
                if by.last() != Some(name) {
                    by.push(name.clone());
                }
            }
        }
        for name in judged.tls_snis.keys() {
            for (material, usage) in judged.uses_of(name) {
                let used: &mut Used = materials.entry(material).or_default();
                used.uses.insert(usage);
                used.by.insert(name.clone());
            }
        }
        (judged.services, judged.materials) = (services, materials);
        judged.attachments = Attachments::of(&judged.tls_snis, &judged.stream_routes);
        judged
    }

    /// Notes those of the gateway that can't be read, which is all that is said of them.
    fn add_unreadable<T: Manifest>(&mut self, known: &BTreeMap<Name, Watched<T>>, gateway: &Gateway) {
        for watched in known.values().filter(|watched| watched.object.gateway() == gateway.name) {
            if let Some(why) = &watched.unreadable {
                let object = watched.object.reference();
                let message = format!("it can't be read, so that what it said before holds: {why}");
                let refusal = Refusal { object: object.clone(), reason: Reason::Invalid, message };
                self.refusals.insert(object.clone(), vec![refusal]);
                self.unreadable.insert(object);
            }
        }
    }

    fn passed_of_unreadable(&self, store: &Store, gateway: &Gateway) -> BTreeMap<ObjectRef, Passed> {
        let gateway = gateway.name.as_str().into();
        let passed = self.unreadable.iter().filter_map(|object| {
            let key = objects::key(&gateway, objects::folder(object.kind), &objects::name(object));
            Some((object.clone(), store.generated(&key)?.passed.clone()?))
        });
        passed.collect()
    }

    /// The Services that a route refers to; of one that can't be read, those that its copy does.
    pub(super) fn services_of(&self, name: &Name) -> &[ServiceRef] {
        if !self.is_unreadable(Kind::StreamRoute, name) {
            return self.stream_routes.get(name).map_or(&[], |route| &route.spec.upstream.services);
        }
        match self.passed.get(&objects::reference(Kind::StreamRoute, name)) {
            Some(Passed::StreamRoute(services)) => services,
            _ => &[],
        }
    }

    /// The TlsSni whose references are in service; of one that can't be read, its copy.
    pub(super) fn tls_sni_in_service(&self, name: &Name) -> Option<&Arc<TlsSni>> {
        if !self.is_unreadable(Kind::TlsSni, name) {
            return self.tls_snis.get(name);
        }
        match self.passed.get(&objects::reference(Kind::TlsSni, name)) {
            Some(Passed::TlsSni(tls_sni)) => Some(tls_sni),
            _ => None,
        }
    }

    /// What a TlsSni refers to; of one that can't be read, what its copy does.
    pub(super) fn uses_of(&self, name: &Name) -> Vec<(MaterialKey, Use)> {
        self.tls_sni_in_service(name).map(|tls_sni| uses(name, &tls_sni.spec)).unwrap_or_default()
    }

    pub(super) fn is_unreadable(&self, kind: Kind, name: &Name) -> bool {
        !self.unreadable.is_empty() && self.unreadable.contains(&objects::reference(kind, name))
    }
}

/// What a `TlsSni` refers to, in the order of its fields; as the proxy does, what clients show only where they are asked.
pub(super) fn uses(name: &Name, spec: &TlsSniSpec) -> Vec<(MaterialKey, Use)> {
    let secret = |secret: &str| material(name, MaterialKind::Secret, secret);
    let either = |config_map: Option<&str>, secret_name: Option<&str>| match config_map {
        Some(config_map) => material(name, MaterialKind::ConfigMap, config_map),
        None => secret(secret_name.unwrap_or_default()),
    };
    let mut uses: Vec<_> =
        spec.certificates.iter().map(|certificate| (secret(&certificate.secret_name), Use::Certificate)).collect();
    if spec.client_auth.mode() != ClientAuthMode::None {
        uses.extend(spec.client_auth.ca.iter().map(|ca| {
            (either(ca.config_map_name.as_deref(), ca.secret_name.as_deref()), Use::Authorities(ca.key().into()))
        }));
        uses.extend(spec.client_auth.crl.iter().map(|crl| {
            (either(crl.config_map_name.as_deref(), crl.secret_name.as_deref()), Use::Revocation(crl.key().into()))
        }));
    }
    uses
}

fn material(of: &Name, kind: MaterialKind, name: &str) -> MaterialKey {
    MaterialKey { kind, name: Name { namespace: Arc::clone(&of.namespace), name: name.into() } }
}

fn of_gateway<T: Manifest + Clone>(objects: &BTreeMap<Name, Watched<T>>, gateway: &str) -> Vec<T> {
    let of_gateway = objects.values().filter(|watched| watched.object.gateway() == gateway);
    of_gateway.map(|watched| (*watched.object).clone()).collect()
}

/// Objects by their names; those that have lost nothing are the ones that are kept already.
fn effective<T: Manifest + PartialEq>(known: &BTreeMap<Name, Watched<T>>, objects: Vec<T>) -> BTreeMap<Name, Arc<T>> {
    let named = objects.into_iter().map(|object| {
        let reference = object.reference();
        let name = Name::new(&reference.namespace, &reference.name);
        match known.get_key_value(&name) {
            Some((name, watched)) if *watched.object == object => (name.clone(), Arc::clone(&watched.object)),
            Some((name, _)) => (name.clone(), Arc::new(object)),
            None => (name, Arc::new(object)),
        }
    });
    named.collect()
}

/// What the owner decides, with the namespaces that are meant today.
fn policy(store: &Store, gateway: &Gateway) -> Policy {
    let resolved = |namespaces: &Namespaces| match namespaces {
        Namespaces::Named(names) => names.clone(),
        Namespaces::Labelled(_) => {
            let meant = store.namespaces.iter().filter(|(name, labels)| namespaces.contains(name, labels));
            meant.map(|(name, _)| name.to_string()).collect()
        }
    };
    Policy {
        gateway: Some(gateway.name.clone()),
        listeners: (!gateway.listeners.is_empty()).then(|| gateway.listeners.clone()),
        allowed_namespaces: gateway.allowed_namespaces.as_ref().map(resolved),
        domains: gateway.domains.clone(),
        plaintext_namespaces: gateway.plaintext_namespaces.as_ref().map(resolved),
        allow_external_upstreams: gateway.allow_external_upstreams,
    }
}
