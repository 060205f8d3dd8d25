//! What is to be fetched, written and said.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use streamgate_crds::problem::Kind;
use streamgate_crds::{ConditionType, ObjectRef};
use zeroize::Zeroizing;

use super::difference::{Content, File, Write, WriteAction};
use super::materials::{self, material_of};
use super::outcome::{Outcome, Wanted};
use super::verdict::Said;
use super::{copies, objects, render, services};
use crate::generated::{Folder, TICKET_KEYS};
use crate::store::{GeneratedKey, MaterialKey, MaterialKind, Name, Reference, Status, Store, Use};

impl Outcome {
    /// Which Secrets and ConfigMaps are to be fetched: those that are referred to and have not been looked at in their
    /// present version, and those whose contents are to be written and were let go.
    pub fn missing(&self, store: &Store) -> Vec<Reference> {
        let mut uses: BTreeMap<&MaterialKey, BTreeSet<Use>> = BTreeMap::new();
        for (material, used) in self.judged.iter().flat_map(|judged| &judged.materials) {
            uses.entry(material).or_default().extend(used.uses.iter().cloned());
        }
        let missing = uses.into_iter().filter(|(material, uses)| {
            let Some(version) = store.materials.get(*material) else { return false };
            store.fetched.get(*material).is_none_or(|fetched| {
                let is_let_go = fetched.bytes.is_none() && self.is_to_be_written(store, material);
                fetched.version < *version || !fetched.answers(uses) || is_let_go
            })
        });
        missing.map(|(material, uses)| Reference { key: material.clone(), uses }).collect()
    }

    /// Secrets and ConfigMaps whose contents can be let go, for what is generated of them is written:
    /// [`Store::let_go`] does. To be asked right after an update, which has looked at all that was fetched.
    pub fn spent(&self, store: &Store) -> Vec<MaterialKey> {
        let held = store.fetched.iter().filter(|(_, fetched)| fetched.bytes.is_some());
        held.filter(|(material, _)| !self.is_to_be_written(store, material))
            .map(|(material, _)| material.clone())
            .collect()
    }

    fn is_to_be_written(&self, store: &Store, material: &MaterialKey) -> bool {
        self.gateways.iter().any(|gateway| {
            let key = materials::generated_key(gateway, material);
            matches!(self.objects.get(&key), Some(Wanted::Content(wanted))
                if store.generated(&key).is_none_or(|there| there.fingerprint != *wanted))
        })
    }

    /// What is to be written of these objects, in this order: what is referred to before what refers to it, and then what is
    /// to be deleted, the other way round. What is to be fetched first is left out.
    pub fn writes(&self, store: &Store, keys: &BTreeSet<GeneratedKey>) -> Vec<Write> {
        let mut writes: Vec<Write> = keys.iter().filter_map(|key| self.write(store, key)).collect();
        let order = |write: &Write| {
            let folder = write.key.source().map(|source| source.folder);
            let place = Folder::ALL.iter().position(|known| Some(*known) == folder).unwrap_or(Folder::ALL.len());
            match write.action {
                WriteAction::Create(_) | WriteAction::Replace(..) => (false, place),
                WriteAction::Delete(_) => (true, Folder::ALL.len() - place),
            }
        };
        writes.sort_by_key(order);
        writes
    }

    /// What is to be written in all: for a start, and to be sure from time to time.
    pub fn all_writes(&self, store: &Store) -> Vec<Write> {
        self.writes(store, &self.objects.keys().chain(store.generated.keys()).cloned().collect())
    }

    fn write(&self, store: &Store, key: &GeneratedKey) -> Option<Write> {
        let is_served = self.gateways.contains(&key.gateway);
        let is_ticket_keys = key.kind == MaterialKind::Secret && &*key.name == TICKET_KEYS;
        if !is_served || is_ticket_keys {
            return None;
        }
        let there = store.generated(key);
        let action = match (self.objects.get(key), there) {
            (Some(Wanted::Kept), Some(there)) if !there.is_labelled => {
                // A person took its labels away: it is as good as ever.
                let source = key.source()?;
                let files: Vec<Box<str>> = if source.folder.is_of_files() {
                    vec![source.file_name().into()]
                } else {
                    there.files.keys().cloned().collect()
                };
                let files = files.into_iter().map(|file| (file, File::AsItIs)).collect();
                WriteAction::Replace(there.version.clone(), Content { files })
            }
            (Some(Wanted::Kept), _) | (None, None) => return None,
            (None, Some(there)) => WriteAction::Delete(there.version.clone()),
            (Some(Wanted::Content(wanted)), Some(there)) if there.fingerprint == *wanted => return None,
            (Some(Wanted::Content(_)), Some(there)) => {
                WriteAction::Replace(there.version.clone(), self.content(store, key)?)
            }
            (Some(Wanted::Content(_)), None) => WriteAction::Create(self.content(store, key)?),
        };
        Some(Write { key: key.clone(), action })
    }

    /// Copies among these that are to stay as they are and are not seen: they may have lost no more than their labels, so that
    /// they are to be looked for by name, once. What can be made anew is left out.
    pub fn lost(&self, store: &Store, keys: &BTreeSet<GeneratedKey>) -> Vec<GeneratedKey> {
        let is_lost = |key: &&GeneratedKey| {
            self.objects.get(*key) == Some(&Wanted::Kept)
                && store.generated(key).is_none()
                && !self.is_pending(store, key)
        };
        keys.iter().filter(is_lost).cloned().collect()
    }

    /// Whether a generated object is to be written once something is fetched.
    fn is_pending(&self, store: &Store, key: &GeneratedKey) -> bool {
        let Some(source) = key.source() else { return false };
        let name = Name::new(&source.namespace, &source.name);
        match source.folder {
            Folder::StreamRoutes => self.waiting.iter().any(|(_, waiting)| *waiting == name),
            Folder::TlsSnis => !self.verdicts.contains_key(&objects::reference(Kind::TlsSni, &name)),
            Folder::Secrets | Folder::ConfigMaps => material_of(&source).is_some_and(|material| {
                store.materials.contains_key(&material) && !store.fetched.contains_key(&material)
            }),
            Folder::Endpoints => false,
        }
    }

    /// What a generated object is to hold; `None` where it is to hold nothing else than it does, or what it is to hold has been
    /// let go.
    pub fn content(&self, store: &Store, key: &GeneratedKey) -> Option<Content> {
        if !matches!(self.objects.get(key)?, Wanted::Content(_)) {
            return None;
        }
        let index = self.gateways.iter().position(|gateway| *gateway == key.gateway)?;
        let source = key.source()?;
        let name = Name::new(&source.namespace, &source.name);
        let judged = &self.judged[index];
        let text = match source.folder {
            Folder::StreamRoutes => {
                judged.stream_routes.get(&name).map(|route| render::manifest(&**route, &route.spec))?
            }
            Folder::TlsSnis => {
                let tls_sni = judged.tls_snis.get(&name)?;
                let is_whole =
                    matches!(self.manifests.get(key), Some(Ok(whole)) if self.objects.get(key) == Some(whole));
                if is_whole {
                    render::manifest(&**tls_sni, &tls_sni.spec)
                } else {
                    let left = copies::left(store, key, tls_sni)?;
                    render::manifest(&left, &left.spec)
                }
            }
            Folder::Endpoints => services::text(store, store.gateways().get(index)?, &name)?,
            Folder::Secrets | Folder::ConfigMaps => {
                let material = material_of(&source)?;
                let uses = &judged.materials.get(&material)?.uses;
                return materials::content(store, &key.gateway, &material, uses, self.now);
            }
        };
        let file = (source.file_name().into(), File::Bytes(Zeroizing::new(text.into_bytes())));
        Some(Content { files: [file].into() })
    }

    /// The status that an object is to have; `None` where it has it already, or nothing can be said yet.
    ///
    /// The time of a condition that says the same stays; else it is `now`.
    pub fn status(&self, store: &Store, object: &ObjectRef, now: Timestamp) -> Option<Status> {
        let verdict = self.verdicts.get(object)?;
        let programmed = self.ledger.get(object)?.state.said();
        let name = objects::name(object);
        let (generation, before, upstream) = match object.kind {
            Kind::StreamRoute => {
                let seen = store.stream_routes.get(&name)?;
                (seen.generation, &seen.status, seen.unreadable.is_none().then(|| seen.object.spec.upstream.summary()))
            }
            Kind::TlsSni => store.tls_snis.get(&name).map(|seen| (seen.generation, &seen.status, None))?,
        };
        let condition = |kind: ConditionType, said: &Said| {
            let before = before.conditions.iter().find(|condition| condition.type_ == kind.as_str());
            let same = before.filter(|before| before.status == said.truth.as_str());
            // The API has whole seconds.
            let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
            Condition {
                type_: kind.as_str().to_owned(),
                status: said.truth.as_str().to_owned(),
                observed_generation: Some(generation),
                last_transition_time: same.map_or(Time(now), |same| same.last_transition_time.clone()),
                reason: said.reason.as_str().to_owned(),
                message: said.message.to_string(),
            }
        };
        let status = Status {
            conditions: vec![
                condition(ConditionType::Accepted, &verdict.accepted),
                condition(ConditionType::ResolvedRefs, &verdict.resolved_refs),
                condition(ConditionType::Programmed, &programmed),
            ],
            upstream,
            not_after: verdict.not_after,
            subject_alt_names: verdict.subject_alt_names.clone(),
        };
        let is_same = before.upstream == status.upstream
            && before.not_after == status.not_after
            && before.subject_alt_names == status.subject_alt_names
            && status.conditions.iter().all(|condition| before.conditions.contains(condition));
        (!is_same).then_some(status)
    }

    /// All statuses that are to be written: for a start, and to be sure from time to time.
    pub fn all_statuses(&self, store: &Store, now: Timestamp) -> BTreeMap<ObjectRef, Status> {
        let statuses = self.verdicts.keys().map(|object| (object, self.status(store, object, now)));
        statuses.filter_map(|(object, status)| Some((object.clone(), status?))).collect()
    }
}
