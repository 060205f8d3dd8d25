//! Devices that stay: each connects by mutual TLS, says where it was brought, publishes message after message, and comes back
//! when it loses its connection, as firmware does.

mod device;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wait;
use streamgate_tests::wire::Version;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use self::device::Device;

/// Devices of one tenant. They end on drop.
pub(crate) struct Fleet {
    journal: Arc<Journal>,
    network_loss: Arc<Notify>,
    called: String,
    count: usize,
    /// Its drop ends them.
    _runtime: Runtime,
}

/// What fleets differ in.
pub(crate) struct Terms<'t> {
    /// Where they connect.
    pub(crate) address: SocketAddr,
    /// Their certificate and the server name that they ask for.
    pub(crate) client: &'t TlsClient,
    pub(crate) name: &'t str,
    /// What their client ids begin with. Two of one id at one broker would drive each other out.
    pub(crate) called: &'t str,
    pub(crate) count: usize,
    /// Whether a will tells of each that was lost, at `wills/<client id>`.
    pub(crate) have_wills: bool,
}

/// What happens to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It was let in, and is at the broker of this name.
    Connected(String),
    /// It was told to go, with this reason code (MQTT 5).
    Disconnected(u8),
    /// Its connection ended without a word.
    Lost,
    /// It was refused by this code of the CONNACK.
    Refused(u8),
    /// It did not get as far as that.
    Failed(String),
}

/// What happened to all of them.
#[derive(Default)]
struct Journal(Mutex<Vec<Entry>>);

#[derive(Clone)]
struct Entry {
    at: Instant,
    device: usize,
    event: Event,
}

impl Fleet {
    /// Starts them, and waits until each is at a broker. Every second one speaks MQTT 5, the others MQTT 3.1.1.
    pub(crate) fn start(terms: &Terms<'_>) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (journal, network_loss) = (Arc::new(Journal::default()), Arc::new(Notify::new()));
        for number in 0..terms.count {
            let device = Device::new(number, terms, Arc::clone(&network_loss))?;
            let journal = Arc::clone(&journal);
            runtime.spawn(async move {
                // A fleet is not switched on in one moment.
                tokio::time::sleep(Duration::from_millis(2) * u32::try_from(number).unwrap_or(u32::MAX)).await;
                device.live(|event| journal.note(number, event)).await;
            });
        }
        let called = terms.called.to_owned();
        let fleet = Self { journal, network_loss, called, count: terms.count, _runtime: runtime };
        fleet.wait_until_whole().context("the fleet's first connections")?;
        Ok(fleet)
    }

    /// Waits until every device is connected.
    pub(crate) fn wait_until_whole(&self) -> Result<()> {
        let mut here = 0;
        let is_whole = || {
            here = self.brokers().len();
            (here == self.count).then_some(())
        };
        let waited = wait::until("all devices of the fleet", LONG, is_whole);
        waited.with_context(|| format!("{here} of {} are connected; last: {:?}", self.count, self.last_troubles()))
    }

    /// Has every device, all of which are connected, lose its network for a moment, and waits until each is back by itself.
    pub(crate) fn reconnect(&self) -> Result<()> {
        let start = Instant::now();
        self.network_loss.notify_waiters();
        wait::until("all devices to come back", LONG, || (self.since(start).gaps.len() == self.count).then_some(()))?;
        self.wait_until_whole()
    }

    /// Where each that is connected is, by its client id.
    pub(crate) fn brokers(&self) -> BTreeMap<String, String> {
        let mut brokers = BTreeMap::new();
        for entry in self.journal.entries() {
            let id = self.client_id(entry.device);
            match entry.event {
                Event::Connected(broker) => brokers.insert(id, broker),
                Event::Disconnected(_) | Event::Lost => brokers.remove(&id),
                Event::Refused(_) | Event::Failed(_) => None,
            };
        }
        brokers
    }

    /// How often each thing happened since then.
    pub(crate) fn since(&self, start: Instant) -> Happened {
        let mut happened = Happened { count: self.count, ..Happened::default() };
        let mut gone: BTreeMap<usize, Instant> = BTreeMap::new();
        for Entry { at, device, event } in self.journal.entries().into_iter().filter(|entry| entry.at >= start) {
            match event {
                Event::Connected(_) => {
                    happened.connected.push(at - start);
                    if let Some(since) = gone.remove(&device) {
                        let gap = happened.gaps.entry(self.client_id(device)).or_default();
                        *gap = at.duration_since(since).max(*gap);
                    }
                }
                Event::Disconnected(code) => {
                    happened.told.entry(code).or_default().insert(device);
                    happened.departures += 1;
                    happened.departed.insert(device);
                    gone.insert(device, at);
                }
                Event::Lost => {
                    happened.lost += 1;
                    happened.departures += 1;
                    happened.departed.insert(device);
                    gone.insert(device, at);
                }
                Event::Refused(code) => happened.refused.push(code),
                Event::Failed(why) => happened.failed.push(why),
            }
        }
        happened
    }

    /// The devices that speak MQTT 5.
    pub(crate) fn of_mqtt_5(&self) -> BTreeSet<usize> {
        (0..self.count).filter(|number| device::version(*number) == Version::V5).collect()
    }

    /// By which id brokers know a device.
    pub(crate) fn client_id(&self, number: usize) -> String {
        device::client_id(&self.called, number)
    }

    /// Whether a device of this fleet has this client id.
    pub(crate) fn has(&self, client_id: &str) -> bool {
        (0..self.count).any(|number| self.client_id(number) == client_id)
    }

    fn last_troubles(&self) -> Vec<Event> {
        let troubles = self.journal.entries().into_iter().rev().map(|entry| entry.event);
        troubles.filter(|event| !matches!(event, Event::Connected(_))).take(3).collect()
    }
}

/// What happened to a fleet in a time.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    count: usize,
    /// How long after its begin each that came was let in.
    pub(crate) connected: Vec<Duration>,
    /// Which were told to go, by reason code.
    pub(crate) told: BTreeMap<u8, BTreeSet<usize>>,
    /// How many lost their connection without a word.
    pub(crate) lost: usize,
    /// How often one that had been connected was no more.
    pub(crate) departures: usize,
    /// Which they were.
    pub(crate) departed: BTreeSet<usize>,
    /// The codes of refused CONNECTs.
    pub(crate) refused: Vec<u8>,
    /// What went wrong before there was a CONNACK.
    pub(crate) failed: Vec<String>,
    /// The longest that each that went and came back was without a connection, by its client id.
    pub(crate) gaps: BTreeMap<String, Duration>,
}

impl Happened {
    /// The longest that a device was without a connection.
    pub(crate) fn longest_gap(&self) -> Duration {
        self.gaps.values().max().copied().unwrap_or_default()
    }

    /// Nobody may have noticed anything: how many did, of how many.
    pub(crate) fn ensure_nothing(&self) -> Result<String> {
        let is_nothing = self.departures == 0 && self.refused.is_empty() && self.failed.is_empty();
        ensure!(is_nothing, "devices noticed it: {self:?}");
        Ok(format!("{} of {}", self.departed.len(), self.count))
    }

    /// None may have been refused, or have failed to connect.
    pub(crate) fn ensure_nobody_was_refused(&self) -> Result<()> {
        ensure!(self.refused.is_empty(), "refused: {:x?}", self.refused);
        ensure!(self.failed.is_empty(), "failed: {:?}", self.failed);
        Ok(())
    }
}

/// A part of a whole, from 0 to 1.
#[allow(clippy::cast_precision_loss, reason = "there are a few hundred of them")]
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Journal {
    fn note(&self, device: usize, event: Event) {
        let entry = Entry { at: Instant::now(), device, event };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How long a fleet may take to be whole again.
const LONG: Duration = Duration::from_mins(2);
