//! The task that owns the store: changes come in, and in batches what follows from them goes out.

mod done;
mod fetches;
mod known;
mod notices;
mod pulses;
mod rounds;
pub mod ticket_keys;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use streamgate_crds::ObjectRef;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout};

use self::done::Done;
use self::known::Known;
use self::notices::Telling;
use self::pulses::{Proxy, Pulses};
use self::ticket_keys::Keys;
use crate::admin::metrics::Metrics;
use crate::election::Leadership;
use crate::generated::TICKET_KEYS;
use crate::resolve::{Changed, Outcome, Warning};
use crate::settings::Settings;
use crate::store::{Change, GeneratedKey, Listed, MaterialKey, MaterialKind, Reference, Store, Touched};
use crate::watch::{Scope, Told};
use crate::write::queue::Queue;

/// The operator at work.
pub struct Operator {
    client: Client,
    settings: Rc<Settings>,
    metrics: Rc<Metrics>,
    leadership: Leadership,
    /// What events name as their source.
    instance: Rc<str>,
    store: Store,
    outcome: Outcome,
    /// What was touched since the last batch.
    touched: Touched,
    /// When the batch ends that has begun.
    batch_ends: Option<Instant>,
    known: Known,
    /// Whether enough was known to begin.
    has_begun: bool,
    /// Whether this replica was the leader when last looked.
    leads: bool,
    objects: Queue<GeneratedKey>,
    statuses: Queue<ObjectRef>,
    notices: Queue<Telling>,
    fetches: Queue<MaterialKey>,
    /// What is to be fetched for what.
    references: BTreeMap<MaterialKey, Reference>,
    /// Fetched contents that have not been let go of.
    held: BTreeSet<MaterialKey>,
    pulses: Pulses,
    /// Proxies that are being looked at.
    looks: BTreeSet<Proxy>,
    keys: BTreeMap<Arc<str>, Keys>,
    /// What was warned of.
    warned: BTreeMap<ObjectRef, Vec<Warning>>,
    next_round: Instant,
    rounds: u32,
    done: UnboundedSender<Done>,
    dones: UnboundedReceiver<Done>,
}

impl Operator {
    /// An operator that has seen nothing yet, of these watches. `instance` is what its events name as their source.
    pub fn new(
        client: Client,
        settings: Rc<Settings>,
        metrics: Rc<Metrics>,
        leadership: Leadership,
        watches: Vec<Scope>,
        instance: String,
    ) -> Self {
        let (done, dones) = unbounded_channel();
        let known = Known::new(watches, Instant::now());
        metrics.set_unlisted(known.unlisted());
        let keys = settings.gateways.iter().map(|gateway| (gateway.name.as_str().into(), Keys::default())).collect();
        Self {
            instance: instance.into(),
            client,
            store: Store::new(settings.gateways.clone()),
            settings,
            metrics,
            leadership,
            outcome: Outcome::default(),
            touched: Touched::default(),
            batch_ends: None,
            known,
            has_begun: false,
            leads: false,
            objects: Queue::new(MOST_WRITES),
            statuses: Queue::new(MOST_WRITES),
            notices: Queue::new(MOST_NOTICES),
            fetches: Queue::new(MOST_FETCHES),
            references: BTreeMap::new(),
            held: BTreeSet::new(),
            pulses: Pulses::default(),
            looks: BTreeSet::new(),
            keys,
            warned: BTreeMap::new(),
            next_round: Instant::now() + ROUND,
            rounds: 0,
            done,
            dones,
        }
    }

    /// Works until it is told to stop, and then until what is being written is written, or has taken too long.
    pub async fn run(mut self, mut told: Receiver<Told>, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            let wake = self.wake_at();
            tokio::select! {
                () = &mut stop => break,
                Some(tell) = told.recv() => {
                    self.take(tell);
                    for _ in 0..MOST_AT_ONCE {
                        let Ok(tell) = told.try_recv() else { break };
                        self.take(tell);
                    }
                }
                Some(done) = self.dones.recv() => self.finish(done),
                () = self.leadership.changed() => {}
                () = sleep_until(wake) => {}
            }
            self.step();
        }
        let rest = async {
            while self.objects.in_flight() + self.statuses.in_flight() > 0 {
                let Some(done) = self.dones.recv().await else { return };
                self.finish(done);
            }
        };
        if timeout(LONGEST_END, rest).await.is_err() {
            tracing::warn!("some writes have not ended in time");
        }
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Change(change) => {
                if let Change::Proxy(gateway, pod, None) = &change {
                    self.pulses.gone(&(Arc::clone(gateway), Arc::clone(pod)));
                }
                self.apply(change);
            }
            Told::Lease(gateway, lease) => {
                if let Some(change) = self.pulses.seen(gateway, &lease, Instant::now()) {
                    self.apply(change);
                }
            }
            Told::TicketKeys(gateway, seen) => {
                if let Some(keys) = self.keys.get_mut(&gateway) {
                    keys.seen(seen);
                }
            }
            Told::Listed(watch, listed, namespace) => {
                if let Listed::Generated(gateway, MaterialKind::Secret, names) = &listed
                    && !names.contains(TICKET_KEYS)
                    && let Some(keys) = self.keys.get_mut(gateway)
                {
                    keys.seen(None);
                }
                for change in self.store.removals(&listed, namespace.as_deref()) {
                    self.take(Told::Change(change));
                }
                if self.known.listed(watch) {
                    self.metrics.set_unlisted(self.known.unlisted());
                    // What was held up for it is looked at again.
                    self.touched.merge(Touched::everything());
                }
            }
            Told::Failed(kind) => self.metrics.watch_failed(kind),
        }
    }

    fn apply(&mut self, change: Change) {
        let touched = self.store.apply(change);
        self.touched.merge(touched);
    }

    /// All that is due.
    fn step(&mut self) {
        let now = Instant::now();
        if !self.begin(now) {
            return;
        }
        if self.batch_ends.is_none() && !self.touched.is_empty() {
            self.batch_ends = Some(now + BATCH);
        }
        let is_due = self.outcome.next_look().is_some_and(|next| next <= Timestamp::now());
        if self.batch_ends.is_some_and(|end| end <= now) || is_due {
            self.settle();
        }
        self.lead();
        self.watch_over_proxies(now);
        self.make_rounds(now);
        self.turn_keys();
        self.fetch(now);
        self.write(now);
        self.tell(now);
    }

    /// Whether enough is known to begin, and has been since.
    fn begin(&mut self, now: Instant) -> bool {
        if !self.has_begun && self.known.is_enough(now) {
            self.has_begun = true;
            self.touched.merge(Touched::everything());
            let unlisted = self.known.unlisted();
            if !unlisted.is_empty() {
                tracing::error!(
                    unlisted = unlisted.join(", "),
                    "what can't be listed stays as it is; the others go on"
                );
            }
        }
        self.has_begun
    }

    /// When it must go on though nothing has come in.
    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        if !self.has_begun {
            return now + MOST_IGNORANT;
        }
        let next_look = self.outcome.next_look().map(|next| {
            let left = next.duration_since(Timestamp::now());
            now + Duration::try_from(left).unwrap_or_default().min(ROUND)
        });
        let standing = self.leadership.standing();
        let keys = self.keys.values().filter_map(Keys::next_time).min();
        let of_a_leader = [self.objects.next_time(), self.statuses.next_time(), self.notices.next_time(), keys];
        let of_a_leader = of_a_leader.into_iter().flatten().filter(|_| standing.may_write(now)).min();
        let silence = self.pulses.next_look(standing.in_contact_since);
        let times = [next_look, self.fetches.next_time(), silence, of_a_leader];
        let next = times.into_iter().flatten().fold(self.next_round, Instant::min).max(now + MOMENT);
        self.batch_ends.map_or(next, |batch_ends| batch_ends.min(next))
    }

    /// Works out what follows from what was touched.
    fn settle(&mut self) {
        self.batch_ends = None;
        let touched = std::mem::take(&mut self.touched);
        let start = Instant::now();
        let changed = self.outcome.update(&self.store, &touched, Timestamp::now());
        self.fetches.start_batch();
        self.references.clear();
        for reference in self.outcome.missing(&self.store) {
            // What is under way is asked for again only if it then still is missing.
            if !self.fetches.contains(&reference.key) {
                self.fetches.push(reference.key.clone(), 0);
            }
            self.references.insert(reference.key.clone(), reference);
        }
        self.metrics.resolved(start.elapsed());
        self.tell_objects();
        self.look_for_lost(&changed.objects);
        if self.leads {
            self.push(changed);
        }
        self.let_go();
    }

    fn push(&mut self, changed: Changed) {
        self.objects.start_batch();
        self.statuses.start_batch();
        for key in changed.objects {
            self.push_object(key);
        }
        for object in changed.statuses {
            self.statuses.push(object, 0);
        }
        for object in changed.warnings {
            self.warn(object);
        }
    }

    fn push_object(&mut self, key: GeneratedKey) {
        let rank = rank(&key, self.outcome.objects.contains_key(&key));
        self.objects.push(key, rank);
    }

    /// Looks whether it leads. One that has begun to looks at everything.
    fn lead(&mut self) {
        let leads = self.leadership.standing().leads_until.is_some();
        if leads == self.leads {
            return;
        }
        self.leads = leads;
        self.metrics.set_leader(leads);
        if leads {
            self.push_everything();
        }
    }

    fn push_everything(&mut self) {
        self.push(Changed {
            objects: self.outcome.objects.keys().chain(self.store.generated.keys()).cloned().collect(),
            statuses: self.outcome.verdicts.keys().cloned().collect(),
            warnings: self.outcome.warnings.keys().cloned().collect(),
        });
    }

    /// Lets go of contents that nothing is to be written of. A follower too keeps the others: they would be fetched again.
    fn let_go(&mut self) {
        let Self { held, store, outcome, objects, settings, .. } = self;
        held.retain(|key| {
            let mut copies = settings.gateways.iter().map(|gateway| done::copy_of(&gateway.name, key));
            let is_needed = copies
                .any(|copy| objects.contains(&copy) || !outcome.writes(store, &BTreeSet::from([copy])).is_empty());
            if !is_needed {
                store.let_go(key);
            }
            is_needed
        });
    }

    fn tell_objects(&self) {
        let store = &self.store;
        for (kind, count) in [
            ("StreamRoute", store.stream_routes.len()),
            ("TlsSni", store.tls_snis.len()),
            ("Service", store.services.len()),
            ("generated", store.generated.len()),
        ] {
            self.metrics.set_objects(kind, count);
        }
    }
}

/// References before what refers to them, and what is deleted the other way round, after that.
fn rank(key: &GeneratedKey, is_wanted: bool) -> u8 {
    let folder = key.source().map_or(0, |source| source.folder as u8);
    if is_wanted { folder } else { 2 * LAST_FOLDER + 1 - folder }
}

const LAST_FOLDER: u8 = 4;
/// How many writes of a kind are under way at once.
const MOST_WRITES: usize = 16;
/// How many events are.
const MOST_NOTICES: usize = 4;
/// How many fetches are.
const MOST_FETCHES: usize = 16;
/// How long changes are gathered.
const BATCH: Duration = Duration::from_millis(5);
/// How many changes are taken before anything else is looked at.
const MOST_AT_ONCE: usize = 512;
/// How often all is looked at.
const ROUND: Duration = Duration::from_mins(1);
/// How often is looked whether enough is known.
const MOST_IGNORANT: Duration = Duration::from_secs(1);
/// The shortest time that is waited.
const MOMENT: Duration = Duration::from_millis(20);
/// How long what is being written may take when the operator stops.
const LONGEST_END: Duration = Duration::from_secs(2);
