//! Copies that stay as they are because what they are to be can't be passed on yet: what they refer to stays with them, and
//! names that are lost are taken out.

use std::collections::BTreeSet;

use streamgate_crds::{Sni, TlsSni};

use super::materials::material_of;
use super::outcome::{Changed, Outcome, Wanted};
use super::{judgement, materials, objects, services};
use crate::generated::Folder;
use crate::store::{GeneratedKey, Name, Passed, Store};

/// What the copy of a `TlsSni` that can't be passed on as it is is to hold.
pub(super) fn kept(store: &Store, key: &GeneratedKey, name: &Name, tls_sni: &TlsSni) -> Option<Wanted> {
    match left(store, key, tls_sni) {
        None => Some(Wanted::Kept),
        Some(left) if left.spec.snis.is_empty() => None,
        Some(left) => objects::fingerprint(name, &left, &left.spec).ok(),
    }
}

/// What is left of the copy of a `TlsSni`, where it has names that are the `TlsSni`'s no more.
pub(super) fn left(store: &Store, key: &GeneratedKey, tls_sni: &TlsSni) -> Option<TlsSni> {
    let Some(Passed::TlsSni(copy)) = &store.generated(key)?.passed else { return None };
    let is_left = |sni: &Sni| tls_sni.spec.snis.contains(sni);
    if copy.spec.snis.iter().all(is_left) {
        return None;
    }
    let mut left = (**copy).clone();
    left.spec.snis.retain(is_left);
    Some(left)
}

/// What a copy refers to.
fn referents(key: &GeneratedKey, passed: &Passed) -> Vec<GeneratedKey> {
    let (Some(source), gateway) = (key.source(), &key.gateway) else { return Vec::new() };
    match passed {
        Passed::StreamRoute(services) => {
            let names = services.iter().map(|service| Name::new(&source.namespace, &service.name));
            names.map(|service| services::generated_key(gateway, &service)).collect()
        }
        Passed::TlsSni(tls_sni) => {
            let name = Name::new(&source.namespace, &source.name);
            let uses = judgement::uses(&name, &tls_sni.spec).into_iter();
            uses.map(|(material, _)| materials::generated_key(gateway, &material)).collect()
        }
    }
}

impl Outcome {
    /// Keeps what copies refer to that are not yet what they are to be, and lets go of it afterwards.
    pub(super) fn hold(&mut self, store: &Store, changed: &mut Changed) {
        let mut due = BTreeSet::new();
        for key in &changed.objects {
            let referents = match (self.objects.get(key), store.generated(key)) {
                (Some(Wanted::Content(wanted)), Some(copy)) if copy.fingerprint == *wanted => Vec::new(),
                (Some(_), Some(copy)) => copy.passed.as_ref().map(|passed| referents(key, passed)).unwrap_or_default(),
                (None, _) | (_, None) => Vec::new(),
            };
            due.insert(key.clone());
            due.extend(referents.iter().cloned());
            let before =
                if referents.is_empty() { self.held.remove(key) } else { self.held.insert(key.clone(), referents) };
            due.extend(before.into_iter().flatten());
        }
        due.retain(|key| !self.is_judged(key));
        if due.is_empty() {
            return;
        }
        let held: BTreeSet<GeneratedKey> = self.held.values().flatten().cloned().collect();
        for key in due {
            let wanted = held.contains(&key).then_some(Wanted::Kept);
            self.want(key, wanted, changed);
        }
    }

    /// Whether what a generated object is to be follows from what it is of.
    fn is_judged(&self, key: &GeneratedKey) -> bool {
        let index = self.gateways.iter().position(|gateway| *gateway == key.gateway);
        let (Some(source), Some(judged)) = (key.source(), index.and_then(|index| self.judged.get(index))) else {
            return true;
        };
        match source.folder {
            Folder::StreamRoutes | Folder::TlsSnis => true,
            Folder::Endpoints => judged.services.contains_key(&Name::new(&source.namespace, &source.name)),
            Folder::Secrets | Folder::ConfigMaps => {
                material_of(&source).is_some_and(|material| judged.materials.contains_key(&material))
            }
        }
    }
}
