//! What is told of a connection: one access line at its close, and its counters.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use super::Ended;
use super::accept::Entrance;
use super::end::End;
use super::seats::Moment;
use crate::mqtt::Level;
use crate::tls::session::Peer;
use crate::worker::Worker;
use crate::worker::descriptors::Descriptor;

/// What has become known of a connection so far.
pub(super) struct Record {
    worker: Rc<Worker>,
    entrance: Rc<Entrance>,
    started: Moment,
    /// Of the client's connection.
    _descriptor: Descriptor,
    pub(super) source: SocketAddr,
    tls: Option<Box<TlsRecord>>,
    pub(super) level: Option<Level>,
    pub(super) client_id: Option<Box<str>>,
    /// The route's label.
    pub(super) route: Option<Arc<str>>,
    /// The identity of the endpoint that was tried last.
    pub(super) endpoint: Option<Arc<str>>,
    pub(super) address: Option<SocketAddr>,
    /// How many endpoints were tried.
    pub(super) attempts: Option<u32>,
    /// MQTT from the client.
    pub(super) received_bytes: u64,
    /// MQTT to the client.
    pub(super) sent_bytes: u64,
    /// Whether its end was told.
    is_told: bool,
}

/// What has become known of its TLS.
#[derive(Debug, Default)]
pub(super) struct TlsRecord {
    pub(super) sni: Option<Box<str>>,
    pub(super) tls_sni: Option<Arc<str>>,
    version: Option<&'static str>,
    resumed: Option<bool>,
    subject: Option<Box<str>>,
}

impl Record {
    /// Of a connection that was accepted just now.
    pub(super) fn begin(
        worker: Rc<Worker>,
        entrance: Rc<Entrance>,
        source: SocketAddr,
        descriptor: Descriptor,
    ) -> Self {
        worker.shared.metrics.accepted(&entrance.name).inc();
        worker.shared.metrics.active(&entrance.name).inc();
        let started = worker.seats.now();
        Self {
            worker,
            entrance,
            started,
            _descriptor: descriptor,
            source,
            tls: None,
            level: None,
            client_id: None,
            route: None,
            endpoint: None,
            address: None,
            attempts: None,
            received_bytes: 0,
            sent_bytes: 0,
            is_told: false,
        }
    }

    /// Its handshake is complete.
    pub(super) fn handshaken(&mut self, peer: &Peer) {
        self.worker.shared.metrics.handshakes(&self.entrance.name, peer.version, peer.is_resumed).inc();
        let tls = self.tls();
        tls.version = Some(peer.version);
        tls.resumed = Some(peer.is_resumed);
        tls.subject = peer.certificate.as_ref().map(|certificate| certificate.subject().into());
    }

    /// For what becomes known of its TLS.
    pub(super) fn tls(&mut self) -> &mut TlsRecord {
        self.tls.get_or_insert_default()
    }

    /// It has ended.
    pub(super) fn finish(mut self, ended: &Ended) {
        self.tell(ended);
    }

    fn tell(&mut self, ended: &Ended) {
        self.is_told = true;
        let route = self.route.as_deref().unwrap_or_default();
        let metrics = &self.worker.shared.metrics;
        metrics.ended(&self.entrance.name, route, ended.end).inc();
        metrics.received_bytes(&self.entrance.name, route).inc_by(self.received_bytes);
        metrics.sent_bytes(&self.entrance.name, route).inc_by(self.sent_bytes);
        let tls = self.tls.as_deref();
        tracing::info!(
            listener = &*self.entrance.name,
            source = %self.source,
            sni = tls.and_then(|tls| tls.sni.as_deref()),
            tls_version = tls.and_then(|tls| tls.version),
            resumed = tls.and_then(|tls| tls.resumed),
            subject = tls.and_then(|tls| tls.subject.as_deref()),
            mqtt_level = self.level.map(Level::number),
            client_id = self.client_id.as_deref(),
            tls_sni = tls.and_then(|tls| tls.tls_sni.as_deref()),
            route = self.route.as_deref(),
            endpoint = self.endpoint.as_deref(),
            address = self.address.map(display),
            attempts = self.attempts,
            received_bytes = self.received_bytes,
            sent_bytes = self.sent_bytes,
            duration_ms = u64::try_from(self.worker.seats.since(self.started).as_millis()).unwrap_or(u64::MAX),
            end = ended.end.as_str(),
            reason = ended.reason,
            "connection"
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if thread::panicking() && !self.is_told {
            self.tell(&Ended::new(End::Panicked, "a fault of the proxy: the log line before this one has its place"));
        }
        self.worker.shared.metrics.active(&self.entrance.name).dec();
    }
}
