//! The admin port: `/livez`, `/readyz`, `/metrics`, `/config`.

pub mod config;
pub mod metrics;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::spawn_local;

use self::config::ConfigPage;
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
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                continue;
            };
            let admin = Arc::clone(&self);
            let answer = service_fn(move |request| {
                let response = admin.answer(&request);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), answer);
            spawn_local(async {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "admin connection");
                }
            });
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let response = match request.uri().path() {
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
        };
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return response;
        }
        let mut refusal = self::response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are answered here\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        refusal
    }
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);
