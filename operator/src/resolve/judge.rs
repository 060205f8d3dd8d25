//! What is resolved anew when StreamRoutes and TlsSnis have been judged.

use std::collections::BTreeSet;
use std::sync::Arc;

use streamgate_crds::manifest::Manifest;
use streamgate_crds::problem::Kind;
use streamgate_crds::{ObjectRef, Refusal};

use super::judgement::Judged;
use super::outcome::{Changed, Outcome};
use super::verdict::{Fault, Verdict};
use super::{materials, objects, services};
use crate::generated::Folder;
use crate::store::{GeneratedKey, MaterialKey, Name, Store};

impl Outcome {
    /// Judges anew, and resolves what is other than before.
    pub(super) fn judge(&mut self, store: &Store, changed: &mut Changed) {
        for index in 0..self.judged.len() {
            let Some(gateway) = store.gateways().get(index) else { continue };
            let before = std::mem::replace(&mut self.judged[index], Judged::of(store, gateway));
            self.withdraw(index, &before, changed);
            self.render(index, &before);
            self.keep_unreadable(index);
            self.resolve_new(store, index, &before, changed);
            self.refuse_others(store, index, changed);
            self.note_attached_otherwise(index, &before);
        }
        self.forget_the_gone(store);
        self.pass_on_waiting(store, changed);
        self.to_note.extend(self.ledger.unnoted().cloned());
    }

    /// Has it noted what proxies need of routes that attach to other TlsSnis than before.
    fn note_attached_otherwise(&mut self, index: usize, before: &Judged) {
        let Judged { attachments, stream_routes, .. } = &self.judged[index];
        let otherwise =
            stream_routes.keys().filter(|name| attachments.of_route(name) != before.attachments.of_route(name));
        self.to_note.extend(otherwise.map(|name| objects::reference(Kind::StreamRoute, name)));
    }

    /// Whether what was passed on of an object that can't be read is other than when it was judged.
    pub(super) fn is_passed_otherwise(&self, store: &Store, written: &BTreeSet<GeneratedKey>) -> bool {
        written.iter().any(|key| {
            let index = self.gateways.iter().position(|gateway| *gateway == key.gateway);
            let (Some(judged), Some(source)) = (index.and_then(|index| self.judged.get(index)), key.source()) else {
                return false;
            };
            let kind = match source.folder {
                Folder::StreamRoutes => Kind::StreamRoute,
                Folder::TlsSnis => Kind::TlsSni,
                Folder::Endpoints | Folder::Secrets | Folder::ConfigMaps => return false,
            };
            let object = ObjectRef { kind, namespace: source.namespace, name: source.name };
            let passed = || store.generated(key).and_then(|copy| copy.passed.as_ref());
            judged.unreadable.contains(&object) && judged.passed.get(&object) != passed()
        })
    }

    /// Takes out what is wanted no more.
    fn withdraw(&mut self, index: usize, before: &Judged, changed: &mut Changed) {
        let gateway = Arc::clone(&self.gateways[index]);
        let judged = &self.judged[index];
        let mut gone: Vec<GeneratedKey> = Vec::new();
        for name in before.stream_routes.keys().filter(|name| !judged.stream_routes.contains_key(*name)) {
            gone.push(objects::key(&gateway, Folder::StreamRoutes, name));
            self.waiting.remove(&(index, name.clone()));
        }
        for name in before.tls_snis.keys().filter(|name| !judged.tls_snis.contains_key(*name)) {
            gone.push(objects::key(&gateway, Folder::TlsSnis, name));
            let object = objects::reference(Kind::TlsSni, name);
            self.looks.remove(&object);
            if self.warnings.remove(&object).is_some() {
                changed.warnings.insert(object);
            }
        }
        for service in before.services.keys().filter(|service| !judged.services.contains_key(*service)) {
            gone.push(services::generated_key(&gateway, service));
            self.facts.remove(&(index, service.clone()));
        }
        let materials = before.materials.keys().filter(|material| !judged.materials.contains_key(*material));
        gone.extend(materials.map(|material| materials::generated_key(&gateway, material)));
        for key in gone {
            self.manifests.remove(&key);
            self.want(key, None, changed);
        }
    }

    /// Renders what is other than before.
    fn render(&mut self, index: usize, before: &Judged) {
        let (gateway, judged) = (&self.gateways[index], &self.judged[index]);
        for (name, tls_sni) in &judged.tls_snis {
            if !is_same(before.tls_snis.get(name), tls_sni) {
                let key = objects::key(gateway, Folder::TlsSnis, name);
                self.manifests.insert(key, objects::fingerprint(name, &**tls_sni, &tls_sni.spec));
            }
        }
        for (name, route) in &judged.stream_routes {
            if !is_same(before.stream_routes.get(name), route) {
                let key = objects::key(gateway, Folder::StreamRoutes, name);
                self.manifests.insert(key, objects::fingerprint(name, &**route, &route.spec));
            }
        }
    }

    /// Those that can't be read are passed on as nothing else than they are.
    fn keep_unreadable(&mut self, index: usize) {
        let judged = &self.judged[index];
        for object in &judged.unreadable {
            let name = objects::name(object);
            let (holds, folder) = match object.kind {
                Kind::StreamRoute => (judged.stream_routes.contains_key(&name), Folder::StreamRoutes),
                Kind::TlsSni => (judged.tls_snis.contains_key(&name), Folder::TlsSnis),
            };
            let message = judged.refusals.get(object).and_then(|refusals| refusals.first());
            if holds && let Some(Refusal { reason, message, .. }) = message.cloned() {
                let key = objects::key(&self.gateways[index], folder, &name);
                self.manifests.insert(key, Err(Fault { reason, message }));
            }
        }
    }

    /// Resolves what is other than before.
    fn resolve_new(&mut self, store: &Store, index: usize, before: &Judged, changed: &mut Changed) {
        let judged = &self.judged[index];
        let services: Vec<Name> =
            judged.services.keys().filter(|service| !before.services.contains_key(*service)).cloned().collect();
        let materials: Vec<MaterialKey> = judged
            .materials
            .iter()
            .filter(|(material, used)| before.materials.get(*material).is_none_or(|before| before.uses != used.uses))
            .map(|(material, _)| material.clone())
            .collect();
        let none_refused = judged.refusals.is_empty() && before.refusals.is_empty();
        let is_said = |kind: Kind, name: &Name| {
            none_refused || {
                let object = objects::reference(kind, name);
                judged.refusals.get(&object) == before.refusals.get(&object)
                    && judged.passed.get(&object) == before.passed.get(&object)
            }
        };
        let tls_snis = judged
            .tls_snis
            .iter()
            .filter(|(name, tls_sni)| !is_same(before.tls_snis.get(*name), tls_sni) || !is_said(Kind::TlsSni, name));
        let tls_snis: Vec<Name> = tls_snis.map(|(name, _)| name.clone()).collect();
        let routes = judged.stream_routes.iter().filter(|(name, route)| {
            !is_same(before.stream_routes.get(*name), route) || !is_said(Kind::StreamRoute, name)
        });
        let routes: Vec<Name> = routes.map(|(name, _)| name.clone()).collect();
        for service in &services {
            self.resolve_service(store, index, service, changed);
        }
        for material in &materials {
            self.resolve_material(store, index, material, changed);
        }
        for tls_sni in &tls_snis {
            self.resolve_tls_sni(store, index, tls_sni, changed);
        }
        for route in &routes {
            self.pass_on_route(store, index, route, changed);
            self.resolve_route(store, index, route, changed);
        }
    }

    /// Says of those that take no effect why.
    fn refuse_others(&mut self, store: &Store, index: usize, changed: &mut Changed) {
        let judged = &self.judged[index];
        let gateway = &*self.gateways[index];
        let routes = store.stream_routes.iter().filter(|(_, watched)| watched.object.gateway() == gateway);
        let routes = routes.filter(|(name, _)| !judged.stream_routes.contains_key(*name));
        let routes = routes.map(|(name, _)| objects::reference(Kind::StreamRoute, name));
        let tls_snis = store.tls_snis.iter().filter(|(_, watched)| watched.object.gateway() == gateway);
        let tls_snis = tls_snis.filter(|(name, _)| !judged.tls_snis.contains_key(*name));
        let tls_snis = tls_snis.map(|(name, _)| objects::reference(Kind::TlsSni, name));
        let verdicts = routes.chain(tls_snis).map(|object| {
            let refusals = judged.refusals.get(&object).map_or(&[][..], Vec::as_slice);
            let verdict = Verdict::new(object.kind, false, refusals, &[]);
            (object, verdict)
        });
        for (object, verdict) in verdicts.collect::<Vec<_>>() {
            self.say(store, index, object, Some(verdict), false, changed);
        }
    }

    /// Forgets objects that are gone, or of no gateway that is served.
    fn forget_the_gone(&mut self, store: &Store) {
        let is_served = |name: &str| self.gateways.iter().any(|served| **served == *name);
        let routes = store.stream_routes.values().filter(|watched| is_served(watched.object.gateway())).count();
        let tls_snis = store.tls_snis.values().filter(|watched| is_served(watched.object.gateway())).count();
        if self.ledger.len() == routes + tls_snis {
            return;
        }
        let is_there = |object: &ObjectRef| {
            let name = objects::name(object);
            let gateway = match object.kind {
                Kind::StreamRoute => store.stream_routes.get(&name).map(|watched| watched.object.gateway()),
                Kind::TlsSni => store.tls_snis.get(&name).map(|watched| watched.object.gateway()),
            };
            gateway.is_some_and(is_served)
        };
        self.verdicts.retain(|object, _| is_there(object));
        self.ledger.retain(is_there);
    }
}

/// Whether an object is as it was.
fn is_same<T: PartialEq>(before: Option<&Arc<T>>, now: &Arc<T>) -> bool {
    before.is_some_and(|before| Arc::ptr_eq(before, now) || before == now)
}
