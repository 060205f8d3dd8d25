//! All that follows from a store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use streamgate_crds::ObjectRef;

use super::judgement::Judged;
use super::ledger::Ledger;
use super::services::Facts;
use super::verdict::{Fault, Verdict};
use crate::generated::Folder;
use crate::programmed::Fleet;
use crate::store::{Fingerprint, GeneratedKey, Name, Store, Touched};

/// All that follows from a store and a time.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the gateways' namespaces are to hold.
    pub objects: BTreeMap<GeneratedKey, Wanted>,
    /// What is said of each object of the gateways that are served; of those alone whose references have been looked at.
    pub verdicts: BTreeMap<ObjectRef, Verdict>,
    /// What is to be warned of.
    pub warnings: BTreeMap<ObjectRef, Vec<Warning>>,
    pub(super) now: Timestamp,
    /// The names of the gateways that are served; what is kept of each is in the same order.
    pub(super) gateways: Vec<Arc<str>>,
    pub(super) judged: Vec<Judged>,
    /// What is known of each Service, by the gateway's place.
    pub(super) facts: BTreeMap<(usize, Name), Facts>,
    /// What each object that takes effect is to be passed on as, or why it can't be.
    pub(super) manifests: BTreeMap<GeneratedKey, Result<Wanted, Fault>>,
    pub(super) fleets: Vec<Fleet>,
    pub(super) ledger: Ledger,
    /// When the passing of time changes something about a TlsSni next.
    pub(super) looks: BTreeMap<ObjectRef, Timestamp>,
    /// Routes that wait for what a TlsSni refers to.
    pub(super) waiting: BTreeSet<(usize, Name)>,
    /// What copies refer to that are not yet what they are to be.
    pub(super) held: BTreeMap<GeneratedKey, Vec<GeneratedKey>>,
    /// Objects of which it is to be noted what proxies need, or whether they need less than was noted.
    pub(super) to_note: BTreeSet<ObjectRef>,
}

/// What a generated object is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What this is the fingerprint of.
    Content(Fingerprint),
    /// What it holds already; where there is none, there is to be none yet.
    Kept,
}

/// Something that an event is to tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// In a word: `CertificateExpiresSoon`.
    pub reason: &'static str,
    /// In a sentence, the same one as long as the matter is the same.
    pub message: String,
}

/// What an update changed, or found changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Generated objects that may have to be written.
    pub objects: BTreeSet<GeneratedKey>,
    /// Objects whose status may have to be written.
    pub statuses: BTreeSet<ObjectRef>,
    /// Objects with other warnings than before.
    pub warnings: BTreeSet<ObjectRef>,
}

/// All that follows from a store, at this time.
pub fn resolve(store: &Store, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.update(store, &Touched::everything(), now);
    outcome
}

impl Outcome {
    /// Brings it up to date with the store after these were touched. The same as [`resolve`] anew, but for what it costs, and
    /// for what is remembered of when an object was first resolved.
    ///
    /// At [`Outcome::next_look`] it is to be called with nothing touched.
    pub fn update(&mut self, store: &Store, touched: &Touched, now: Timestamp) -> Changed {
        self.now = now;
        let mut changed = Changed {
            objects: touched.generated.clone(),
            statuses: touched.statuses.clone(),
            warnings: BTreeSet::new(),
        };
        let is_first = self.gateways.is_empty() && !store.gateways().is_empty();
        if is_first {
            self.gateways = store.gateways().iter().map(|gateway| gateway.name.as_str().into()).collect();
            self.judged = store.gateways().iter().map(|_| Judged::default()).collect();
            self.fleets = store.gateways().iter().map(|_| Fleet::default()).collect();
        }
        if touched.judgement || is_first || self.is_passed_otherwise(store, &touched.generated) {
            self.judge(store, &mut changed);
        }
        self.renew(store, &touched.statuses, &mut changed);
        for service in touched.services.iter().chain(&self.kept_services(&touched.generated)) {
            for index in 0..self.judged.len() {
                self.resolve_service(store, index, service, &mut changed);
            }
        }
        self.resolve_materials(store, touched, &mut changed);
        self.hold(store, &mut changed);
        self.note_needs(store, &touched.generated, &mut changed);
        // Not before, for by now it is known which refusals are bound to be, and what is written: which may be seen after the
        // report of a refusal.
        if (touched.reports || is_first || store.is_anything_refused()) && self.count_proxies(store) {
            self.ask_proxies(&mut changed);
        }
        changed
    }

    /// Forgets what follows from the store, and not what is remembered of proxies: the next update with everything touched works
    /// it out anew, so that what an unforeseen order of events has left behind is mended.
    pub fn forget(&mut self) {
        let Self { gateways, fleets, ledger, .. } = std::mem::take(self);
        let judged = gateways.iter().map(|_| Judged::default()).collect();
        *self = Self { gateways, judged, fleets, ledger, ..Self::default() };
    }

    /// Services whose endpoints stay as they are, for which it matters whether there are any.
    fn kept_services(&self, written: &BTreeSet<GeneratedKey>) -> Vec<Name> {
        let kept = written.iter().filter(|key| self.objects.get(*key) == Some(&Wanted::Kept));
        let sources = kept.filter_map(GeneratedKey::source).filter(|source| source.folder == Folder::Endpoints);
        sources.map(|source| Name::new(&source.namespace, &source.name)).collect()
    }

    /// When the passing of time alone changes something next.
    pub fn next_look(&self) -> Option<Timestamp> {
        self.looks.values().min().copied()
    }
}
