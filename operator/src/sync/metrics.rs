//! `/metrics` of config-sync, in the OpenMetrics text format.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::place::Kind;

/// All metrics of a config-sync. Their labels are words out of closed sets.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    written: Family<FolderLabels, Counter>,
    removed: Family<FolderLabels, Counter>,
    odd: Family<KindLabels, Counter>,
    watching: Family<KindLabels, Gauge>,
    watch_errors: Family<KindLabels, Counter>,
    directory_errors: Counter,
    lease_writes: Family<OutcomeLabels, Counter>,
    status_rejected: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FolderLabels {
    folder: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

impl Metrics {
    /// An object was written as its file or folder.
    pub(super) fn written(&self, folder: &'static str) {
        self.written.get_or_create(&FolderLabels { folder }).inc();
    }

    /// A file or folder was taken away.
    pub(super) fn removed(&self, folder: &'static str) {
        self.removed.get_or_create(&FolderLabels { folder }).inc();
    }

    /// An object was passed over.
    pub(super) fn odd(&self, kind: Kind) {
        self.odd.get_or_create(&KindLabels { kind: kind.as_str() }).inc();
    }

    /// Whether the API server tells of changes.
    pub(super) fn watching(&self, kind: Kind, is_watching: bool) {
        self.watching.get_or_create(&KindLabels { kind: kind.as_str() }).set(i64::from(is_watching));
    }

    /// The API server could not be asked.
    pub(super) fn watch_failed(&self, kind: Kind) {
        self.watch_errors.get_or_create(&KindLabels { kind: kind.as_str() }).inc();
    }

    /// The directory could not be read or written.
    pub(super) fn directory_failed(&self) {
        self.directory_errors.inc();
    }

    /// The Lease was written, or could not be.
    pub(super) fn lease_written(&self, is_written: bool) {
        let outcome = if is_written { "Ok" } else { "Error" };
        self.lease_writes.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// What the proxy wrote as its status was none.
    pub(super) fn status_rejected(&self) {
        self.status_rejected.inc();
    }

    /// All of it as text.
    pub(super) fn encode(&self) -> String {
        let mut registry = Registry::with_prefix("streamgate_sync");
        registry.register("written", "Objects that were written as files or folders", self.written.clone());
        registry.register("removed", "Files and folders that were taken away", self.removed.clone());
        registry.register("objects_passed_over", "Objects that are not the operator's", self.odd.clone());
        registry.register("watching", "Whether the API server tells of changes", self.watching.clone());
        registry.register("watch_errors", "Lists and watches that failed", self.watch_errors.clone());
        registry.register(
            "directory_errors",
            "Times that the configuration directory could not be read or written",
            self.directory_errors.clone(),
        );
        registry.register("lease_writes", "Writes of the proxy's Lease, by how they went", self.lease_writes.clone());
        registry.register(
            "status_rejected",
            "Times that status.json was not what a proxy writes",
            self.status_rejected.clone(),
        );
        let mut page = String::new();
        // A String takes all that is written.
        let _ = text::encode(&mut page, &registry);
        page
    }
}
