//! The admin port: `/livez`, `/readyz`, `/metrics`, `/config`.

pub mod config;
pub mod http;
pub mod metrics;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use tokio::net::TcpListener;

use self::config::ConfigPage;
use self::http::{JSON, OPEN_METRICS, TEXT, response};
use self::metrics::Metrics;
use crate::bootstrap::{Bootstrap, Listener};
use crate::config::snapshot::Snapshot;

/// What the admin port tells of.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) gateway: String,
    /// With the addresses that they are bound to.
    pub(crate) listeners: Vec<Listener>,
    /// Whether the proxy was told to stop.
    pub(crate) is_stopping: AtomicBool,
}

impl Admin {
    pub(crate) fn new(
        bootstrap: &Bootstrap,
        listeners: Vec<Listener>,
        snapshot: Arc<ArcSwap<Snapshot>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { snapshot, metrics, gateway: bootstrap.gateway.clone(), listeners, is_stopping: AtomicBool::new(false) }
    }

    /// Answers for ever.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        http::serve(listener, move |path| self.answer(path)).await;
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        match path {
            "/readyz" if self.snapshot.load().generation == 0 => {
                response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "no configuration is applied yet\n")
            }
            "/readyz" if self.is_stopping.load(Ordering::Relaxed) => {
                response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the proxy shuts down\n")
            }
            "/livez" | "/readyz" => response(StatusCode::OK, TEXT, "ok\n"),
            "/metrics" => response(StatusCode::OK, OPEN_METRICS, self.metrics.encode(&self.snapshot.load())),
            "/config" => {
                let snapshot = self.snapshot.load();
                let page = ConfigPage::of(&self.gateway, &self.listeners, &snapshot);
                response(StatusCode::OK, JSON, page.to_json())
            }
            _ => response(StatusCode::NOT_FOUND, TEXT, "there are /livez, /readyz, /metrics and /config\n"),
        }
    }
}
