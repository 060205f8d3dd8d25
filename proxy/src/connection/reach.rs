//! Stage 5: an endpoint that answers the client's CONNECT. One that can't be reached, hangs, breaks or talks nonsense is
//! replaced by the next choice, with the same CONNECT; until one has answered, nothing is passed back to the client.

use std::cell::Cell;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::dial::{Answered, Attempt, ask, dial};
use super::pick::{Seeker, pick};
use super::record::Record;
use crate::config::snapshot::{Route, Snapshot};
use crate::mqtt::Connect;
use crate::upstream::load::Held;
use crate::worker::Worker;

/// A broker that has answered.
pub(super) struct Reached {
    pub(super) stream: TcpStream,
    pub(super) answered: Answered,
    /// Counts the connection as the endpoint's.
    pub(super) held: Held,
}

/// Reaches an endpoint of the route for a client. Gives a sentence for the client where none answers; which ones were tried and
/// why in vain is for the log alone. For a client that `has_left` none but the first is tried: by the time that another one
/// answered, the client might have come back there, and its session would be ended for this connection.
pub(super) async fn reach(
    worker: &Worker,
    snapshot: &Snapshot,
    route: &Route,
    connect: &Connect<'_>,
    seeker: &Seeker<'_>,
    has_left: &Cell<bool>,
    record: &mut Record,
) -> Result<Reached, String> {
    let upstream = &route.spec.upstream;
    let mut tried = Vec::new();
    while tried.len() <= usize::from(upstream.retries) && (tried.is_empty() || !has_left.get()) {
        let picked = pick(&mut worker.turns.borrow_mut(), snapshot, route, seeker, &tried);
        let Some((index, endpoint)) = picked.and_then(|index| Some((index, route.upstream.endpoint(index)?))) else {
            break;
        };
        let held = endpoint.load.hold();
        record.attempts = u32::try_from(tried.len() + 1).ok();
        record.endpoint = Some(Arc::clone(&endpoint.identity));
        record.address = None;
        let answered = match dial(endpoint, upstream.connect_timeout.into(), &worker.shared.denied_upstreams).await {
            Ok((mut stream, address)) => {
                record.address = Some(address);
                let answered = ask(&mut stream, connect.packet, connect.level, upstream.connack_timeout.into()).await;
                answered.map(|answered| (stream, answered))
            }
            Err(failed) => Err(failed),
        };
        match answered {
            Ok((stream, answered)) => {
                worker.shared.metrics.upstream_attempts(&route.label, Attempt::Answered.as_str()).inc();
                return Ok(Reached { stream, answered, held });
            }
            Err(failed) => {
                worker.shared.metrics.upstream_attempts(&route.label, failed.attempt.as_str()).inc();
                tracing::warn!(
                    route = &*route.label,
                    endpoint = &*endpoint.identity,
                    target = %endpoint.target,
                    reason = failed.attempt.as_str(),
                    detail = failed.detail,
                    "an endpoint does not answer"
                );
                tried.push(index);
            }
        }
    }
    record.endpoint = None;
    record.address = None;
    Err(match tried.len() {
        0 => "the route has no endpoint at the moment".to_owned(),
        1 => "the endpoint that was tried does not answer".to_owned(),
        count => format!("{count} endpoints were tried, and none answers"),
    })
}
