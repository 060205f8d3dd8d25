//! Stage 5: the connection to an endpoint, and to the next one where that fails.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use streamgate_crds::Cidr;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::accept::prepare;
use super::pick::{Seeker, pick};
use super::record::Record;
use crate::config::snapshot::{Route, Snapshot};
use crate::upstream::{Endpoint, Target};
use crate::worker::Worker;

/// How an attempt to reach an endpoint can end: a closed set, in metrics as `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Attempt {
    /// The connection is there.
    Connected,
    /// Nobody listens there.
    Refused,
    /// Nothing came back in time.
    TimedOut,
    /// The host or its network can't be reached, or the connection broke at once.
    Unreachable,
    /// Its name can't be resolved.
    NameNotResolved,
    /// Its addresses are all among those that are never connected to.
    Denied,
}

impl Attempt {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "Connected",
            Self::Refused => "Refused",
            Self::TimedOut => "TimedOut",
            Self::Unreachable => "Unreachable",
            Self::NameNotResolved => "NameNotResolved",
            Self::Denied => "Denied",
        }
    }
}

/// Reaches an endpoint of the route for a client. Gives a sentence for the client where none can be reached; which ones
/// were tried and why in vain is for the log alone.
pub(super) async fn reach(
    worker: &Worker,
    snapshot: &Snapshot,
    route: &Route,
    seeker: &Seeker<'_>,
    record: &mut Record<'_>,
) -> Result<TcpStream, String> {
    let mut tried = Vec::new();
    while tried.len() <= usize::from(route.spec.upstream.retries) {
        let picked = pick(&mut worker.turns.borrow_mut(), snapshot, route, seeker, &tried);
        let Some((index, endpoint)) = picked.and_then(|index| Some((index, route.upstream.endpoint(index)?))) else {
            break;
        };
        record.attempts = Some(tried.len() as u64 + 1);
        record.endpoint = Some(endpoint.identity.clone());
        record.address = None;
        match dial(endpoint, route.spec.upstream.connect_timeout.into(), &worker.shared.denied_upstreams).await {
            Ok((stream, address)) => {
                worker.shared.metrics.upstream_attempts(&route.label, Attempt::Connected.as_str()).inc();
                record.address = Some(address);
                return Ok(stream);
            }
            Err(Failed { attempt, detail }) => {
                worker.shared.metrics.upstream_attempts(&route.label, attempt.as_str()).inc();
                tracing::warn!(
                    route = &*route.label,
                    endpoint = endpoint.identity,
                    target = %endpoint.target,
                    reason = attempt.as_str(),
                    detail,
                    "an endpoint can't be reached"
                );
                tried.push(index);
            }
        }
    }
    record.endpoint = None;
    Err(match tried.len() {
        0 => "the route has no endpoint at the moment".to_owned(),
        1 => "the endpoint that was tried can't be reached".to_owned(),
        count => format!("{count} endpoints were tried, and none can be reached"),
    })
}

/// Why an attempt failed.
struct Failed {
    attempt: Attempt,
    detail: String,
}

impl Failed {
    fn new(attempt: Attempt, detail: impl fmt::Display) -> Self {
        Self { attempt, detail: detail.to_string() }
    }
}

/// Connects to the first address of the endpoint that answers, all within `limit`.
async fn dial(endpoint: &Endpoint, limit: Duration, denied: &[Cidr]) -> Result<(TcpStream, SocketAddr), Failed> {
    let attempt = async {
        let resolved;
        let addresses = match &endpoint.target {
            Target::Addresses(addresses) => addresses.as_slice(),
            Target::Name(host, port) => {
                resolved = resolve(host, *port).await?;
                &resolved
            }
        };
        let mut failed = Failed::new(Attempt::NameNotResolved, "it has no address");
        for (index, &address) in addresses.iter().enumerate() {
            if denied.iter().any(|range| range.contains(address.ip())) {
                failed = Failed::new(Attempt::Denied, format!("{address} is in deniedUpstreams"));
                continue;
            }
            // The last address has all the time that is left, those before it a share each.
            let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            match timeout(limit / left, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    prepare(&stream);
                    return Ok((stream, address));
                }
                Ok(Err(error)) => failed = Failed::new(reason(&error), format!("{address}: {error}")),
                Err(_) => failed = Failed::new(Attempt::TimedOut, format!("{address}: nothing came back in time")),
            }
        }
        Err(failed)
    };
    match timeout(limit, attempt).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failed::new(Attempt::TimedOut, format!("no connection within {limit:?}"))),
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failed> {
    match lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(Failed::new(Attempt::NameNotResolved, error)),
    }
}

fn reason(error: &io::Error) -> Attempt {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Attempt::Refused,
        io::ErrorKind::TimedOut => Attempt::TimedOut,
        _ => Attempt::Unreachable,
    }
}
