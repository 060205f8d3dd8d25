//! What is resolved by itself: a Service, a Secret or ConfigMap, or an object.

use std::collections::BTreeSet;
use std::sync::Arc;

use streamgate_crds::ObjectRef;
use streamgate_crds::problem::Kind;

use super::certificates::Looked;
use super::ledger::Seen;
use super::materials::material_of;
use super::outcome::{Changed, Outcome, Wanted};
use super::verdict::Verdict;
use super::{certificates, copies, materials, objects, services};
use crate::generated::Folder;
use crate::store::{GeneratedKey, MaterialKey, Name, Store, Touched};

impl Outcome {
    /// Resolves a Service, if a route of the gateway refers to it.
    pub(super) fn resolve_service(&mut self, store: &Store, index: usize, service: &Name, changed: &mut Changed) {
        let Some(gateway) = store.gateways().get(index) else { return };
        let Some(by) = self.judged[index].services.get(service) else { return };
        let resolved = services::resolve(store, gateway, service);
        let by = by.clone();
        self.want(services::generated_key(&self.gateways[index], service), resolved.wanted, changed);
        let place = (index, service.clone());
        if self.facts.get(&place) != Some(&resolved.facts) {
            self.facts.insert(place, resolved.facts);
            for route in &by {
                self.resolve_route(store, index, route, changed);
            }
        }
    }

    /// Resolves Secrets and ConfigMaps that were touched or whose time has come, and the TlsSnis that refer to them.
    pub(super) fn resolve_materials(&mut self, store: &Store, touched: &Touched, changed: &mut Changed) {
        let mut due = touched.materials.clone();
        due.extend(touched.generated.iter().filter_map(|key| material_of(&key.source()?)));
        let mut tls_snis: BTreeSet<(usize, Name)> = BTreeSet::new();
        let late: Vec<Name> =
            self.looks.iter().filter(|(_, look)| **look <= self.now).map(|(object, _)| objects::name(object)).collect();
        for name in late {
            for (index, judged) in self.judged.iter().enumerate() {
                if judged.tls_snis.contains_key(&name) {
                    due.extend(judged.uses_of(&name).into_iter().map(|(material, _)| material));
                    tls_snis.insert((index, name.clone()));
                }
            }
        }
        for key in &touched.generated {
            // The copy may be what this one is to stay as.
            let Some(source) = key.source().filter(|source| source.folder == Folder::TlsSnis) else { continue };
            if let Some(index) = self.gateways.iter().position(|gateway| *gateway == key.gateway) {
                tls_snis.insert((index, Name::new(&source.namespace, &source.name)));
            }
        }
        for material in &due {
            for index in 0..self.judged.len() {
                self.resolve_material(store, index, material, changed);
                let by = self.judged[index].materials.get(material).map(|used| &used.by);
                tls_snis.extend(by.into_iter().flatten().map(|name| (index, name.clone())));
            }
        }
        for (index, tls_sni) in &tls_snis {
            self.resolve_tls_sni(store, *index, tls_sni, changed);
        }
        if !tls_snis.is_empty() {
            self.pass_on_waiting(store, changed);
        }
    }

    /// Passes routes on that wait for nothing any more.
    pub(super) fn pass_on_waiting(&mut self, store: &Store, changed: &mut Changed) {
        for (index, route) in std::mem::take(&mut self.waiting) {
            self.pass_on_route(store, index, &route, changed);
        }
    }

    pub(super) fn resolve_material(
        &mut self,
        store: &Store,
        index: usize,
        material: &MaterialKey,
        changed: &mut Changed,
    ) {
        let Some(used) = self.judged[index].materials.get(material) else { return };
        let gateway = &self.gateways[index];
        let wanted = materials::wanted(store, gateway, material, &used.uses, self.now);
        let key = materials::generated_key(gateway, material);
        // What was to be written may have waited for its contents.
        changed.objects.insert(key.clone());
        self.want(key, wanted, changed);
    }

    /// Passes a TlsSni on, unless something that it refers to has not been looked at yet; and says what is to be said of it.
    pub(super) fn resolve_tls_sni(&mut self, store: &Store, index: usize, name: &Name, changed: &mut Changed) {
        let Some(tls_sni) = self.judged[index].tls_snis.get(name) else { return };
        let tls_sni = &Arc::clone(tls_sni);
        let object = objects::reference(Kind::TlsSni, name);
        let key = objects::key(&self.gateways[index], Folder::TlsSnis, name);
        // Of one that stays as it is though it can be read, its copy's references do too.
        let does_stay =
            matches!(self.manifests.get(&key), Some(Err(_))) && !self.judged[index].unreadable.contains(&object);
        let in_service = self.judged[index].tls_sni_in_service(name).filter(|_| !does_stay);
        let looked = in_service.map_or_else(Looked::default, |in_service| {
            certificates::look(store, &self.gateways[index], name, &in_service.spec, self.now)
        });
        // While something else is being fetched, too, the time of what is there comes.
        match looked.next_look {
            Some(next_look) => self.looks.insert(object.clone(), next_look),
            None => self.looks.remove(&object),
        };
        if looked.is_pending {
            self.want(key.clone(), copies::kept(store, &key, name, tls_sni), changed);
            self.say(store, index, object, None, true, changed);
            return;
        }
        let refusals = self.judged[index].refusals.get(&object).map_or(&[][..], Vec::as_slice);
        let manifest = self.manifests.get(&key);
        let does_hold = !matches!(manifest, Some(Err(_)));
        let wanted = match manifest {
            Some(Ok(wanted)) => Some(*wanted),
            _ => copies::kept(store, &key, name, tls_sni),
        };
        let verdict = match manifest {
            Some(Err(fault)) => Verdict {
                expected_refusals: looked.expected_refusals,
                is_refused: looked.is_refused || store.generated(&key).is_none(),
                ..Verdict::not_accepted(fault.clone())
            },
            _ => Verdict {
                not_after: looked.not_after,
                subject_alt_names: looked.subject_alt_names,
                expected_refusals: looked.expected_refusals,
                is_refused: looked.is_refused,
                ..Verdict::new(Kind::TlsSni, true, refusals, &looked.faults)
            },
        };
        let before = self.warnings.remove(&object).unwrap_or_default();
        if before != looked.warnings {
            changed.warnings.insert(object.clone());
        }
        if !looked.warnings.is_empty() {
            self.warnings.insert(object.clone(), looked.warnings);
        }
        self.want(key, wanted, changed);
        let routes = self.judged[index].attachments.of_tls_sni(name).iter();
        self.to_note.extend(routes.map(|route| objects::reference(Kind::StreamRoute, route)));
        self.to_note.insert(object.clone());
        self.say(store, index, object, Some(verdict), does_hold, changed);
    }

    /// Passes a route on; where it is new to the proxies, not before the TlsSnis that it attaches to.
    pub(super) fn pass_on_route(&mut self, store: &Store, index: usize, name: &Name, changed: &mut Changed) {
        let judged = &self.judged[index];
        if !judged.stream_routes.contains_key(name) {
            return;
        }
        let gateway = &self.gateways[index];
        let waits = judged.attachments.of_route(name).iter().any(|tls_sni| {
            !self.verdicts.contains_key(&objects::reference(Kind::TlsSni, tls_sni))
                && store.generated(&objects::key(gateway, Folder::TlsSnis, tls_sni)).is_none()
        });
        let key = objects::key(gateway, Folder::StreamRoutes, name);
        if waits {
            self.waiting.insert((index, name.clone()));
            self.want(key, Some(Wanted::Kept), changed);
        } else {
            self.waiting.remove(&(index, name.clone()));
            self.pass_on(key, changed);
        }
    }

    fn pass_on(&mut self, key: GeneratedKey, changed: &mut Changed) {
        let wanted = self.manifests.get(&key).and_then(|manifest| manifest.as_ref().ok().copied());
        // What can't be passed on as it is stays as it was.
        self.want(key, Some(wanted.unwrap_or(Wanted::Kept)), changed);
    }

    /// Says what is to be said of a route.
    pub(super) fn resolve_route(&mut self, store: &Store, index: usize, name: &Name, changed: &mut Changed) {
        if !self.judged[index].stream_routes.contains_key(name) {
            return;
        }
        let object = objects::reference(Kind::StreamRoute, name);
        let key = objects::key(&self.gateways[index], Folder::StreamRoutes, name);
        let mut faults = Vec::new();
        // What is the matter with a Service whichever the port, a proxy says once.
        let mut refused = BTreeSet::new();
        for reference in self.judged[index].services_of(name) {
            let service = Name { namespace: Arc::clone(&name.namespace), name: reference.name.as_str().into() };
            if let Some(found) = self.facts.get(&(index, service)).and_then(|facts| facts.fault(reference)) {
                if found.is_refused {
                    refused.insert(found.fault.message.clone());
                }
                faults.push(found.fault);
            }
        }
        let refusals = self.judged[index].refusals.get(&object).map_or(&[][..], Vec::as_slice);
        let (verdict, does_hold) = match self.manifests.get(&key) {
            Some(Err(fault)) => {
                // Only of one that can't be read are these what its copy refers to.
                let expected_refusals = if self.judged[index].unreadable.contains(&object) { refused.len() } else { 0 };
                (Verdict { expected_refusals, ..Verdict::not_accepted(fault.clone()) }, false)
            }
            _ => {
                let verdict = Verdict::new(Kind::StreamRoute, true, refusals, &faults);
                (Verdict { expected_refusals: refused.len(), ..verdict }, true)
            }
        };
        self.say(store, index, object, Some(verdict), does_hold, changed);
    }

    pub(super) fn want(&mut self, key: GeneratedKey, wanted: Option<Wanted>, changed: &mut Changed) {
        if self.objects.get(&key).copied() == wanted {
            return;
        }
        match wanted {
            Some(wanted) => self.objects.insert(key.clone(), wanted),
            None => self.objects.remove(&key),
        };
        changed.objects.insert(key);
    }

    /// Says something of an object; `None`: nothing yet.
    pub(super) fn say(
        &mut self,
        store: &Store,
        index: usize,
        object: ObjectRef,
        verdict: Option<Verdict>,
        does_hold: bool,
        changed: &mut Changed,
    ) {
        let mut is_other = self.note(store, index, &object, does_hold);
        match verdict {
            None => is_other |= self.verdicts.remove(&object).is_some(),
            Some(verdict) => {
                if self.verdicts.get(&object) != Some(&verdict) {
                    self.verdicts.insert(object.clone(), verdict);
                    is_other = true;
                }
            }
        }
        if is_other {
            changed.statuses.insert(object);
        }
    }

    /// Notes objects that are seen in another generation.
    pub(super) fn renew(&mut self, store: &Store, objects: &BTreeSet<ObjectRef>, changed: &mut Changed) {
        for object in objects {
            let known = self.ledger.get(object).map(|entry| (entry.gateway, entry.does_hold));
            if known.is_some_and(|(index, does_hold)| self.note(store, index, object, does_hold)) {
                changed.statuses.insert(object.clone());
            }
        }
    }

    /// Notes an object as it is seen, and tells whether that changed how far it has come.
    fn note(&mut self, store: &Store, index: usize, object: &ObjectRef, does_hold: bool) -> bool {
        let name = objects::name(object);
        let seen = match object.kind {
            Kind::StreamRoute => store.stream_routes.get(&name).map(|seen| (&seen.uid, seen.generation, &seen.status)),
            Kind::TlsSni => store.tls_snis.get(&name).map(|seen| (&seen.uid, seen.generation, &seen.status)),
        };
        let Some((uid, generation, status)) = seen else { return false };
        let key = objects::key(&self.gateways[index], objects::folder(object.kind), &name);
        let is_passed_on = store.generated(&key).is_some();
        let seen = Seen { uid, generation, gateway: index, status, is_passed_on };
        let is_other = self.ledger.note(object, &seen, does_hold, &self.fleets[index]);
        if does_hold && self.ledger.get(object).is_some_and(|entry| entry.progress.needed.is_none()) {
            self.to_note.insert(object.clone());
        }
        is_other
    }
}
