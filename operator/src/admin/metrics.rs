//! `/metrics`: what the operator has done, in the OpenMetrics text format.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// All metrics of the operator. Their labels are words out of closed sets.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    leader: Gauge,
    writes: Family<WriteLabels, Counter>,
    watch_errors: Family<KindLabels, Counter>,
    objects: Family<KindLabels, Gauge>,
    resolve_seconds: Histogram,
    unlisted_scopes: Gauge,
    unlisted: RefCell<Vec<String>>,
    is_ready: Cell<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("streamgate_operator"),
            leader: Gauge::default(),
            writes: Family::default(),
            watch_errors: Family::default(),
            objects: Family::default(),
            resolve_seconds: Histogram::new(RESOLVE_SECONDS),
            unlisted_scopes: Gauge::default(),
            unlisted: RefCell::default(),
            is_ready: Cell::new(false),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("leader", "Whether this replica leads: 1 or 0", self.leader.clone());
        registry.register("writes", "Writes to the API, by kind and outcome", self.writes.clone());
        registry.register("watch_errors", "Errors of watches, by kind", self.watch_errors.clone());
        registry.register("objects", "Objects that are known, by kind", self.objects.clone());
        registry.register(
            "resolve_seconds",
            "How long it took to resolve what a batch of changes touched",
            self.resolve_seconds.clone(),
        );
        registry.register(
            "unlisted_scopes",
            "Namespaces and gateways that can't be listed, or have not been yet; /readyz names them",
            self.unlisted_scopes.clone(),
        );
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "The version that runs", build);
    }

    /// Says whether this replica leads.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// A write to the API that ended so.
    pub fn written(&self, kind: &'static str, outcome: &'static str) {
        self.writes.get_or_create(&WriteLabels { kind, outcome }).inc();
    }

    /// An error of a watch.
    pub fn watch_failed(&self, kind: &'static str) {
        self.watch_errors.get_or_create(&KindLabels { kind }).inc();
    }

    /// How many objects of a kind are known.
    pub fn set_objects(&self, kind: &'static str, count: usize) {
        self.objects.get_or_create(&KindLabels { kind }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A batch that took so long to resolve.
    pub fn resolved(&self, took: Duration) {
        self.resolve_seconds.observe(took.as_secs_f64());
    }

    /// What has not been listed: namespaces and gateways.
    pub fn set_unlisted(&self, unlisted: Vec<String>) {
        self.unlisted_scopes.set(i64::try_from(unlisted.len()).unwrap_or(i64::MAX));
        self.unlisted.replace(unlisted);
    }

    /// What has not been listed, in words; empty: all has.
    pub fn unlisted(&self) -> String {
        self.unlisted.borrow().join(", ")
    }

    /// Says that all that is needed is known.
    pub fn set_ready(&self) {
        self.is_ready.set(true);
    }

    /// Whether all that is needed is known.
    pub fn is_ready(&self) -> bool {
        self.is_ready.get()
    }

    /// All of it as text.
    pub fn encode(&self) -> String {
        let mut page = String::new();
        // A String takes all that is written.
        let _ = text::encode(&mut page, &self.registry);
        page
    }
}

/// The upper ends of the histogram's buckets.
const RESOLVE_SECONDS: [f64; 9] = [0.000_1, 0.000_5, 0.001, 0.005, 0.02, 0.05, 0.2, 1.0, 5.0];
