//! Whether proxies have applied an object: what each proxy that counts reports, against the versions that were needed when
//! the object was first resolved.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use streamgate_crds::problem::{Kind, one_line};
use streamgate_crds::{ObjectRef, Reason};

use crate::report::{Refused, Report, Revision};
use crate::resolve::{Said, Truth};
use crate::store::Lease;

/// What the proxies of a gateway that count say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Whether there is any.
    is_empty: bool,
    /// The first that is silent.
    silent: Option<Arc<str>>,
    /// Up to where all of them have applied what is there; `None` where one has said nothing yet.
    applied: Option<Revision>,
    /// What they refuse.
    refused: HashMap<ObjectRef, Vec<Refusal>>,
    /// Whether one of them refuses more than it names and than is bound to be.
    hides: bool,
    /// Objects that are bound to be refused, where one of them does not name all that it refuses.
    unnamed: BTreeSet<ObjectRef>,
}

/// That a proxy refuses an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    /// Up to where it had come.
    at: Revision,
    /// Whether that was as far as the object, and all that it refers to, is by now.
    is_current: bool,
    /// Its words.
    words: Arc<str>,
}

/// What proxies are bound to refuse of an object, because of what it refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// How many refusals.
    pub count: usize,
    /// Whether it takes effect all the same.
    pub goes_on: bool,
}

impl Fleet {
    /// What the proxies that count say, by their Leases. `is_current` tells whether one that has come so far has read an object
    /// and all that it refers to as they are.
    pub fn of(
        proxies: &BTreeSet<&str>,
        leases: &BTreeMap<Arc<str>, Lease>,
        bound: &BTreeMap<&ObjectRef, Bound>,
        is_current: impl Fn(&ObjectRef, &Revision) -> bool,
    ) -> Self {
        let mut fleet = Self { is_empty: proxies.is_empty(), ..Self::default() };
        let mut applied: Option<Revision> = None;
        let mut all_report = true;
        for proxy in proxies {
            let (report, is_silent) = match leases.get(*proxy) {
                Some(lease) => (lease.report.as_ref(), lease.is_silent),
                None => (None, false),
            };
            if is_silent {
                fleet.silent.get_or_insert_with(|| Arc::from(*proxy));
            }
            match report.and_then(|report| report.revision.as_ref()) {
                Some(revision) => applied = Some(applied.map_or_else(|| revision.clone(), |one| one.least(revision))),
                None => all_report = false,
            }
            if let Some(report) = report {
                fleet.add_refusals(report, bound, &is_current);
            }
        }
        fleet.applied = applied.filter(|_| all_report);
        fleet
    }

    fn add_refusals(
        &mut self,
        report: &Report,
        bound: &BTreeMap<&ObjectRef, Bound>,
        is_current: impl Fn(&ObjectRef, &Revision) -> bool,
    ) {
        let Some(revision) = &report.revision else { return };
        let mut named: BTreeMap<ObjectRef, usize> = BTreeMap::new();
        for refused in &report.refused {
            let Some(object) = object_of(refused) else { continue };
            let (is_missing, has_ended) =
                (refused.reason == Reason::RefNotFound.as_str(), refused.reason == Reason::CrlExpired.as_str());
            // Nothing else is bound to be refused.
            if is_missing || has_ended {
                *named.entry(object.clone()).or_default() += 1;
            }
            // A route goes on without the Services that aren't there, and a TlsSni with a revocation list past its end.
            let goes_on = (is_missing && object.kind == Kind::StreamRoute && bound.contains_key(&object)) || has_ended;
            if !goes_on {
                let refusal = Refusal {
                    at: revision.clone(),
                    is_current: is_current(&object, revision),
                    words: one_line(&refused.message).into(),
                };
                self.refused.entry(object).or_default().push(refusal);
            }
        }
        let unnamed = report.refused_count.saturating_sub(report.refused.len());
        if unnamed == 0 {
            return;
        }
        let accounted =
            |(object, bound): (&&ObjectRef, &Bound)| named.get(*object).map_or(0, |&named| named.min(bound.count));
        let all_bound: usize = bound.values().map(|bound| bound.count).sum();
        self.hides |= unnamed > all_bound.saturating_sub(bound.iter().map(accounted).sum());
        let stopped = bound.iter().filter(|(_, bound)| !bound.goes_on);
        self.unnamed.extend(stopped.map(|(object, _)| (*object).clone()));
    }

    /// What is so of an object, generated as it is to be. `before`: what was so.
    pub fn judge(&self, object: &ObjectRef, progress: &Progress, before: &State) -> State {
        // A refusal from before this generation was there says nothing of it; one from before something that it refers to
        // was as it is changes nothing.
        let is_of_it =
            |refusal: &&Refusal| progress.needed.as_ref().is_some_and(|needed| refusal.at.is_at_least(needed));
        let refusals = || self.refused.get(object).into_iter().flatten().filter(is_of_it);
        let was_refused = matches!(before, State::Refused(_));
        if let Some(refusal) = refusals().find(|refusal| refusal.is_current || was_refused) {
            return State::Refused(Arc::clone(&refusal.words));
        }
        if self.is_empty {
            return State::NoProxies;
        }
        if let Some(proxy) = &self.silent {
            return State::Silent(Arc::clone(proxy));
        }
        let has_applied = |needed: &Revision| self.applied.as_ref().is_some_and(|applied| applied.is_at_least(needed));
        let may_be_refused = self.hides || self.unnamed.contains(object) || refusals().next().is_some();
        let is_applied =
            progress.was_programmed || (!may_be_refused && progress.needed.as_ref().is_some_and(has_applied));
        if is_applied { State::Programmed } else { State::Pending }
    }
}

/// How far a generation of an object has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Up to where a proxy must have applied what is there; `None` before all of it was written. What it referred to and is
    /// gone since counts no more: a proxy that starts anew can't tell of it.
    pub needed: Option<Revision>,
    /// Whether all proxies once had.
    pub was_programmed: bool,
}

/// What is so of an object at the proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// All have applied this generation.
    Programmed,
    /// There is nothing to apply, for it takes no effect.
    NotAccepted,
    /// Not all have applied it yet.
    Pending,
    /// One refuses it, in these words.
    Refused(Arc<str>),
    /// There are no proxies.
    NoProxies,
    /// This one says nothing any more.
    Silent(Arc<str>),
}

impl State {
    /// The condition.
    pub fn said(&self) -> Said {
        let (truth, reason, message) = match self {
            Self::Programmed => {
                (Truth::True, Reason::Programmed, "every proxy that gets traffic has applied this generation".into())
            }
            Self::NotAccepted => {
                (Truth::False, Reason::NotAccepted, "it takes no effect, so that there is nothing to apply".into())
            }
            Self::Pending => (Truth::False, Reason::Pending, "not every proxy has applied this generation yet".into()),
            Self::Refused(words) => (Truth::False, Reason::Refused, format!("a proxy refuses it: {words}").into()),
            Self::NoProxies => (Truth::False, Reason::NoProxies, "the gateway has no proxy that is ready".into()),
            Self::Silent(proxy) => {
                let message = format!("proxy `{proxy}` gets traffic and does not report what it has applied");
                (Truth::Unknown, Reason::ProxySilent, message.into())
            }
        };
        Said { truth, reason, message }
    }
}

fn object_of(refused: &Refused) -> Option<ObjectRef> {
    let kind = [Kind::StreamRoute, Kind::TlsSni].into_iter().find(|kind| kind.as_str() == refused.kind)?;
    Some(ObjectRef { kind, namespace: refused.namespace.clone(), name: refused.name.clone() })
}
