//! `/metrics`: counters of every stage's ways out, in the OpenMetrics text format.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::config::snapshot::Snapshot;
use crate::connection::end::End;
use crate::mqtt::Level;

/// How many panics there were: a hook, of which the process has one, counts them.
pub(crate) static PANICS: AtomicU64 = AtomicU64::new(0);

/// All metrics of a proxy. Their labels are names out of the configuration and words out of closed sets, nothing that a
/// client chooses.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    accepted: Family<ListenerLabels, Counter>,
    active: Family<ListenerLabels, Gauge>,
    accept_errors: Family<ListenerLabels, Counter>,
    ended: Family<EndLabels, Counter>,
    handshakes: Family<HandshakeLabels, Counter>,
    connects: Family<ConnectLabels, Counter>,
    upstream_attempts: Family<AttemptLabels, Counter>,
    received_bytes: Family<RouteLabels, Counter>,
    sent_bytes: Family<RouteLabels, Counter>,
    config_loads: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    listener: String,
    route: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    listener: String,
    version: &'static str,
    resumed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectLabels {
    listener: String,
    route: String,
    level: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    route: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    listener: String,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    kind: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TlsSniLabels {
    tls_sni: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

impl Metrics {
    /// Has a listener's counters from the start, at 0: an alert rule can't tell an absent one from one that never rose.
    pub(crate) fn register_listener(&self, listener: &str) {
        self.accepted(listener);
        self.active(listener);
        self.accept_errors(listener);
    }

    /// Connections that were accepted.
    pub(crate) fn accepted(&self, listener: &str) -> Counter {
        self.accepted.get_or_create_owned(&ListenerLabels { listener: listener.to_owned() })
    }

    /// Connections that are there now.
    pub(crate) fn active(&self, listener: &str) -> Gauge {
        self.active.get_or_create_owned(&ListenerLabels { listener: listener.to_owned() })
    }

    /// Connections that could not be accepted.
    pub(crate) fn accept_errors(&self, listener: &str) -> Counter {
        self.accept_errors.get_or_create_owned(&ListenerLabels { listener: listener.to_owned() })
    }

    /// Connections that ended, by how. `route` is empty where none was found.
    pub(crate) fn ended(&self, listener: &str, route: &str, end: End) -> Counter {
        let (listener, route, reason) = (listener.to_owned(), route.to_owned(), end.as_str());
        self.ended.get_or_create_owned(&EndLabels { listener, route, reason })
    }

    /// Handshakes that were completed.
    pub(crate) fn handshakes(&self, listener: &str, version: &'static str, resumed: bool) -> Counter {
        self.handshakes.get_or_create_owned(&HandshakeLabels { listener: listener.to_owned(), version, resumed })
    }

    /// CONNECTs that a route took.
    pub(crate) fn connects(&self, listener: &str, route: &str, level: Level) -> Counter {
        let (listener, route, level) = (listener.to_owned(), route.to_owned(), level.number());
        self.connects.get_or_create_owned(&ConnectLabels { listener, route, level })
    }

    /// Attempts to reach an endpoint, by how they went.
    pub(crate) fn upstream_attempts(&self, route: &str, reason: &'static str) -> Counter {
        self.upstream_attempts.get_or_create_owned(&AttemptLabels { route: route.to_owned(), reason })
    }

    /// MQTT from clients.
    pub(crate) fn received_bytes(&self, listener: &str, route: &str) -> Counter {
        self.received_bytes.get_or_create_owned(&RouteLabels { listener: listener.to_owned(), route: route.to_owned() })
    }

    /// MQTT to clients.
    pub(crate) fn sent_bytes(&self, listener: &str, route: &str) -> Counter {
        self.sent_bytes.get_or_create_owned(&RouteLabels { listener: listener.to_owned(), route: route.to_owned() })
    }

    /// Times that the configuration was read and a new state of it applied.
    pub(crate) fn config_loads(&self) -> &Counter {
        &self.config_loads
    }

    /// All of it as text, what follows from the snapshot included.
    pub(crate) fn encode(&self, snapshot: &Snapshot) -> String {
        let mut registry = Registry::with_prefix("streamgate");
        self.register_connections(&mut registry);
        self.register_configuration(&mut registry, snapshot);
        let mut page = String::new();
        // A String takes all that is written.
        let _ = text::encode(&mut page, &registry);
        page
    }

    fn register_connections(&self, registry: &mut Registry) {
        registry.register("connections_accepted", "Connections that were accepted", self.accepted.clone());
        registry.register("connections_active", "Connections that are there now", self.active.clone());
        registry.register("connections_ended", "Connections that ended, by how", self.ended.clone());
        registry.register("accept_errors", "Connections that could not be accepted", self.accept_errors.clone());
        registry.register("handshakes", "TLS handshakes that were completed", self.handshakes.clone());
        registry.register("connects", "CONNECTs that a route took, by protocol level", self.connects.clone());
        registry.register(
            "upstream_attempts",
            "Attempts to reach an endpoint, by how they went",
            self.upstream_attempts.clone(),
        );
        registry.register(
            "received_bytes",
            "Bytes of MQTT from clients, counted as a connection ends",
            self.received_bytes.clone(),
        );
        registry.register(
            "sent_bytes",
            "Bytes of MQTT to clients, counted as a connection ends",
            self.sent_bytes.clone(),
        );
    }

    fn register_configuration(&self, registry: &mut Registry, snapshot: &Snapshot) {
        registry.register("config_loads", "States of the configuration that were applied", self.config_loads.clone());
        let generation: Gauge = Gauge::default();
        generation.set(i64::try_from(snapshot.generation).unwrap_or(i64::MAX));
        registry.register("config_generation", "The state of the configuration that is applied", generation);

        let applied = Family::<KindLabels, Gauge>::default();
        let counts = [("StreamRoute", snapshot.routes.routes().len()), ("TlsSni", snapshot.served_tls_snis())];
        for (kind, count) in counts {
            applied.get_or_create(&KindLabels { kind }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        registry.register("config_applied", "Objects that take effect", applied);

        let refused = Family::<RefusedLabels, Gauge>::default();
        for refusal in &snapshot.refused {
            let labels = RefusedLabels { kind: refusal.object.kind.as_str(), reason: refusal.reason.as_str() };
            refused.get_or_create(&labels).inc();
        }
        registry.register("config_refused", "Refusals in status.json", refused);

        let not_after = Family::<TlsSniLabels, Gauge>::default();
        for service in &snapshot.tls_services {
            if let Some(server) = &service.server {
                not_after.get_or_create(&TlsSniLabels { tls_sni: service.label.to_string() }).set(server.not_after);
            }
        }
        registry.register(
            "certificate_not_after_seconds",
            "The end of a TlsSni's first certificate to end, in seconds since the epoch",
            not_after,
        );

        let panics: Counter = Counter::default();
        panics.inc_by(PANICS.load(Ordering::Relaxed));
        registry.register(
            "panics",
            "Panics: each ended a connection, or a reading of the configuration, and nothing else",
            panics,
        );

        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "The version that runs", build);
    }
}
