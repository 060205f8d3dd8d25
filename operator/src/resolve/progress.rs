//! How far each object has come at the proxies: what they need, and what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use streamgate_crds::ObjectRef;
use streamgate_crds::admit::Protocol;
use streamgate_crds::problem::Kind;

use super::materials::{Found, find};
use super::outcome::{Changed, Outcome, Wanted};
use super::{materials, objects, services};
use crate::generated::Folder;
use crate::programmed::{Bound, Fleet};
use crate::report::Revision;
use crate::store::{GeneratedKey, MaterialKind, Name, Store};

impl Outcome {
    /// Notes what proxies need of objects that are written whole by now.
    pub(super) fn note_needs(&mut self, store: &Store, written: &BTreeSet<GeneratedKey>, changed: &mut Changed) {
        let mut due = std::mem::take(&mut self.to_note);
        for key in written {
            let Some(index) = self.gateways.iter().position(|gateway| *gateway == key.gateway) else { continue };
            let Some(source) = key.source() else { continue };
            let judged = &self.judged[index];
            let name = Name::new(&source.namespace, &source.name);
            match source.folder {
                Folder::StreamRoutes => {
                    due.insert(objects::reference(Kind::StreamRoute, &name));
                }
                Folder::Endpoints => {
                    let by = judged.services.get(&name).into_iter().flatten();
                    due.extend(by.map(|route| objects::reference(Kind::StreamRoute, route)));
                }
                Folder::TlsSnis => {
                    due.insert(objects::reference(Kind::TlsSni, &name));
                    let routes = judged.attachments.of_tls_sni(&name).iter();
                    due.extend(routes.map(|route| objects::reference(Kind::StreamRoute, route)));
                }
                // Those that refer to them have been resolved again.
                Folder::Secrets | Folder::ConfigMaps => {}
            }
        }
        for object in due {
            let Some(index) = self.ledger.get(&object).map(|entry| entry.gateway) else { continue };
            let current = self.current(store, index, &object).filter(|_| self.can_serve(store, index, &object));
            if let Some(current) = current
                && self.ledger.need(&object, current, &self.fleets[index])
            {
                changed.statuses.insert(object);
            }
        }
    }

    /// Up to where a proxy must have applied what is there, to have this object with all that it refers to; `None` where some
    /// of it is not written yet.
    fn current(&self, store: &Store, index: usize, object: &ObjectRef) -> Option<Revision> {
        let (gateway, judged) = (&self.gateways[index], &self.judged[index]);
        let name = objects::name(object);
        let mut needed = Revision::default();
        self.add_need(store, &objects::key(gateway, objects::folder(object.kind), &name), &mut needed)?;
        let own = [name.clone()];
        let tls_snis = match object.kind {
            Kind::TlsSni => &own[..],
            Kind::StreamRoute => judged.attachments.of_route(&name),
        };
        if object.kind == Kind::StreamRoute {
            for service in judged.services_of(&name) {
                let service = Name { namespace: Arc::clone(&name.namespace), name: service.name.as_str().into() };
                self.add_need(store, &services::generated_key(gateway, &service), &mut needed)?;
            }
        }
        for tls_sni in tls_snis {
            self.add_need(store, &objects::key(gateway, Folder::TlsSnis, tls_sni), &mut needed)?;
            for (material, usage) in judged.uses_of(tls_sni) {
                if matches!(find(store, &material, &usage, self.now), Found::Pending) {
                    return None;
                }
                self.add_need(store, &materials::generated_key(gateway, &material), &mut needed)?;
            }
        }
        Some(needed)
    }

    /// Whether a route's clients can be let in: no TlsSni that it attaches to is bound to be refused. Of a route without names
    /// one TlsSni will do, and where it has listeners without TLS alone, none.
    fn can_serve(&self, store: &Store, index: usize, object: &ObjectRef) -> bool {
        let name = objects::name(object);
        let (judged, Some(gateway)) = (&self.judged[index], store.gateways().get(index)) else { return false };
        let Some(route) = judged.stream_routes.get(&name).filter(|_| object.kind == Kind::StreamRoute) else {
            return object.kind == Kind::TlsSni;
        };
        let mut usable = judged.attachments.of_route(&name).iter().map(|tls_sni| {
            let verdict = self.verdicts.get(&objects::reference(Kind::TlsSni, tls_sni));
            verdict.is_some_and(|verdict| !verdict.is_refused)
        });
        if !route.spec.r#match.snis.is_empty() {
            return usable.all(|is_usable| is_usable);
        }
        let listens = |name: &String| route.spec.listeners.is_empty() || route.spec.listeners.contains(name);
        let has_tls = gateway.listeners.is_empty()
            || gateway.listeners.iter().any(|listener| listener.protocol == Protocol::Mqtts && listens(&listener.name));
        !has_tls || usable.len() == 0 || usable.any(|is_usable| is_usable)
    }

    /// Adds what a generated object needs; `None` where it is not written yet.
    fn add_need(&self, store: &Store, key: &GeneratedKey, needed: &mut Revision) -> Option<()> {
        let Some(wanted) = self.objects.get(key) else { return Some(()) };
        let version = match (wanted, store.generated(key)) {
            (Wanted::Kept, None) => return Some(()),
            (Wanted::Content(wanted), Some(there)) if there.fingerprint == *wanted => &there.version,
            (Wanted::Kept, Some(there)) => &there.version,
            (Wanted::Content(_), _) => return None,
        };
        let highest = match key.kind {
            MaterialKind::Secret => &mut needed.secrets,
            MaterialKind::ConfigMap => &mut needed.config_maps,
        };
        if *highest < *version {
            *highest = version.clone();
        }
        Some(())
    }

    /// Counts what the proxies of each gateway say, and tells whether it is other than before.
    pub(super) fn count_proxies(&mut self, store: &Store) -> bool {
        let mut is_other = false;
        for (index, gateway) in store.gateways().iter().enumerate() {
            let is_of_gateway =
                |object: &ObjectRef| self.ledger.get(object).is_some_and(|entry| entry.gateway == index);
            let verdicts = self.verdicts.iter().filter(|(_, verdict)| verdict.expected_refusals > 0);
            let bound = verdicts.filter(|(object, _)| is_of_gateway(object)).map(|(object, verdict)| {
                (object, Bound { count: verdict.expected_refusals, goes_on: !verdict.is_refused })
            });
            let is_current = |object: &ObjectRef, revision: &Revision| {
                self.current(store, index, object).is_some_and(|current| revision.is_at_least(&current))
            };
            let none = BTreeMap::new();
            let leases = store.leases.get(&*gateway.name).unwrap_or(&none);
            let fleet = Fleet::of(&store.proxies(gateway), leases, &bound.collect(), is_current);
            is_other |= fleet != self.fleets[index];
            self.fleets[index] = fleet;
        }
        is_other
    }

    /// Judges again how far each object has come.
    pub(super) fn ask_proxies(&mut self, changed: &mut Changed) {
        for (object, entry) in self.ledger.entries() {
            if self.fleets.get(entry.gateway).is_some_and(|fleet| entry.judge(object, fleet)) {
                changed.statuses.insert(object.clone());
            }
        }
    }
}
