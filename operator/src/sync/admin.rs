//! The admin port: `/livez`, `/readyz`, `/metrics`.

use std::cell::Cell;
use std::rc::Rc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use streamgate_proxy::admin::http::{self, OPEN_METRICS, TEXT, response};
use tokio::net::TcpListener;

use super::metrics::Metrics;

/// What the admin port tells of.
#[derive(Debug, Default)]
pub(super) struct Admin {
    pub(super) metrics: Rc<Metrics>,
    /// Whether the directory is one that a proxy can start with.
    pub(super) is_ready: Cell<bool>,
}

impl Admin {
    /// Answers for ever. Is to be called within a `LocalSet`.
    pub(super) async fn serve(self: Rc<Self>, listener: TcpListener) {
        http::serve(listener, move |path| self.answer(path)).await;
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        match path {
            "/readyz" if !self.is_ready.get() => {
                response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the directory is not whole yet\n")
            }
            "/livez" | "/readyz" => response(StatusCode::OK, TEXT, "ok\n"),
            "/metrics" => response(StatusCode::OK, OPEN_METRICS, self.metrics.encode()),
            _ => response(StatusCode::NOT_FOUND, TEXT, "there are /livez, /readyz and /metrics\n"),
        }
    }
}
