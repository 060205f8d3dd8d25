//! What is remembered of each object: how far its present generation has come at the proxies.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use streamgate_crds::{ConditionType, ObjectRef};

use super::verdict::Truth;
use crate::programmed::{Fleet, Progress, State};
use crate::report::Revision;
use crate::store::Status;

/// By object.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<ObjectRef, Entry>);

/// One generation of an object.
#[derive(Debug)]
pub(super) struct Entry {
    uid: Box<str>,
    generation: i64,
    /// Its gateway's place among those that are served.
    pub(super) gateway: usize,
    /// Whether it takes effect.
    pub(super) does_hold: bool,
    pub(super) progress: Progress,
    pub(super) state: State,
}

/// An object as it is seen.
pub(super) struct Seen<'a> {
    pub(super) uid: &'a str,
    pub(super) generation: i64,
    pub(super) gateway: usize,
    pub(super) status: &'a Status,
    /// Whether there is a generated object of it.
    pub(super) is_passed_on: bool,
}

impl Ledger {
    pub(super) fn get(&self, object: &ObjectRef) -> Option<&Entry> {
        self.0.get(object)
    }

    /// Those that take effect and of which it is not noted what proxies need.
    pub(super) fn unnoted(&self) -> impl Iterator<Item = &ObjectRef> {
        let unnoted = self.0.iter().filter(|(_, entry)| entry.does_hold && entry.progress.needed.is_none());
        unnoted.map(|(object, _)| object)
    }

    /// How many objects there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn entries(&mut self) -> impl Iterator<Item = (&ObjectRef, &mut Entry)> {
        self.0.iter_mut()
    }

    /// Forgets objects that are gone.
    pub(super) fn retain(&mut self, is_there: impl Fn(&ObjectRef) -> bool) {
        self.0.retain(|object, _| is_there(object));
    }

    /// Notes an object. What its status says is believed when it is seen for the first time, which is after a restart, if there
    /// is anything that proxies can have; another generation begins anew, and so does what takes no effect.
    pub(super) fn note(&mut self, object: &ObjectRef, seen: &Seen<'_>, does_hold: bool, fleet: &Fleet) -> bool {
        let is_known = |entry: &Entry| {
            *entry.uid == *seen.uid && entry.generation == seen.generation && entry.gateway == seen.gateway
        };
        let is_first = !self.0.contains_key(object);
        let entry = self.0.entry(object.clone()).or_insert_with(|| Entry::new(seen));
        if !is_known(entry) {
            *entry = Entry::new(seen);
        }
        if is_first {
            entry.progress.was_programmed = seen.is_passed_on && was_programmed(seen);
        }
        if !does_hold {
            entry.progress = Progress::default();
        }
        entry.does_hold = does_hold;
        entry.judge(object, fleet)
    }

    /// Notes up to where proxies must come, which is where that was first noted and no further than `current`, where it would be
    /// now; and tells whether that changed anything.
    pub(super) fn need(&mut self, object: &ObjectRef, current: Revision, fleet: &Fleet) -> bool {
        let Some(entry) = self.0.get_mut(object).filter(|entry| entry.does_hold) else { return false };
        let needed = match entry.progress.needed.take() {
            Some(first) => first.least(&current),
            None => current,
        };
        entry.progress.needed = Some(needed);
        entry.judge(object, fleet)
    }
}

impl Entry {
    fn new(seen: &Seen<'_>) -> Self {
        Self {
            uid: seen.uid.into(),
            generation: seen.generation,
            gateway: seen.gateway,
            does_hold: false,
            progress: Progress::default(),
            state: State::Pending,
        }
    }

    /// Judges it again, and tells whether that changed anything.
    pub(super) fn judge(&mut self, object: &ObjectRef, fleet: &Fleet) -> bool {
        let state = if self.does_hold { fleet.judge(object, &self.progress, &self.state) } else { State::NotAccepted };
        self.progress.was_programmed |= state == State::Programmed;
        let is_other = state != self.state;
        self.state = state;
        is_other
    }
}

fn was_programmed(seen: &Seen<'_>) -> bool {
    let is_so = |condition: &Condition| {
        condition.type_ == ConditionType::Programmed.as_str()
            && condition.status == Truth::True.as_str()
            && condition.observed_generation == Some(seen.generation)
    };
    seen.status.conditions.iter().any(is_so)
}
