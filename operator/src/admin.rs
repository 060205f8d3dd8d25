//! The admin port: `/livez`, `/readyz`, `/metrics`.

pub mod metrics;

use std::rc::Rc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use streamgate_proxy::admin::http::{self, OPEN_METRICS, TEXT, response};
use tokio::net::TcpListener;

use self::metrics::Metrics;

/// Answers for ever. Is to be called within a `LocalSet`.
pub async fn serve(listener: TcpListener, metrics: Rc<Metrics>) {
    http::serve(listener, move |path| answer(path, &metrics)).await;
}

/// Ready is a follower too: one whose caches are filled takes over at once.
fn answer(path: &str, metrics: &Metrics) -> Response<Full<Bytes>> {
    let unlisted = metrics.unlisted();
    match path {
        "/readyz" if !metrics.is_ready() => {
            let page = match &*unlisted {
                "" => "not all that is referred to is known yet\n".to_owned(),
                unlisted => format!("not all that is watched is known yet: {unlisted}\n"),
            };
            response(StatusCode::SERVICE_UNAVAILABLE, TEXT, page)
        }
        "/readyz" if !unlisted.is_empty() => {
            response(StatusCode::OK, TEXT, format!("ok, but for what can't be listed: {unlisted}\n"))
        }
        "/livez" | "/readyz" => response(StatusCode::OK, TEXT, "ok\n"),
        "/metrics" => response(StatusCode::OK, OPEN_METRICS, metrics.encode()),
        _ => response(StatusCode::NOT_FOUND, TEXT, "there are /livez, /readyz and /metrics\n"),
    }
}
