//! DNS names of endpoints: resolved ahead of the clients, again as their time to live runs out, and kept as they were while no
//! answer comes.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::sleep;

/// A DNS name, and the addresses that it has.
#[derive(Debug)]
pub struct Name {
    host: String,
    /// `None` before the first answer.
    addresses: watch::Sender<Option<Result<Arc<[IpAddr]>, String>>>,
}

/// The names that endpoints have. Who asks for one makes it be resolved, as long as anybody holds it.
#[derive(Debug)]
pub(crate) struct Names {
    known: Mutex<HashMap<String, Weak<Name>>>,
    wanted: mpsc::UnboundedSender<Arc<Name>>,
}

/// Resolves names, until all who could ask are gone.
pub(crate) struct Resolving(mpsc::UnboundedReceiver<Arc<Name>>);

impl Name {
    /// The name itself.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its addresses; waits for the first answer.
    ///
    /// # Errors
    ///
    /// A sentence, where the name could never be resolved so far.
    pub(crate) async fn addresses(&self) -> Result<Arc<[IpAddr]>, String> {
        let mut addresses = self.addresses.subscribe();
        let answer = addresses.wait_for(Option::is_some).await;
        match answer.as_deref() {
            Ok(Some(answer)) => answer.clone(),
            // The sender is this name itself, which is held.
            Ok(None) | Err(_) => Err("it is not resolved".to_owned()),
        }
    }

    /// Takes an answer, or notes that there is none. The last good answer stays.
    fn answer(&self, answer: Result<Arc<[IpAddr]>, String>) {
        self.addresses.send_if_modified(|known| {
            if answer.is_err() && matches!(known, Some(Ok(_))) {
                return false;
            }
            let is_new = known.as_ref() != Some(&answer);
            *known = Some(answer);
            is_new
        });
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.host == other.host
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.host.hash(state);
    }
}

impl Names {
    /// No names yet, and what resolves them.
    pub(crate) fn new() -> (Arc<Self>, Resolving) {
        let (wanted, asked) = mpsc::unbounded_channel();
        (Arc::new(Self { known: Mutex::default(), wanted }), Resolving(asked))
    }

    /// The name of a host.
    pub(crate) fn get(&self, host: &str) -> Arc<Name> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, name| name.strong_count() > 0);
        if let Some(name) = known.get(host).and_then(Weak::upgrade) {
            return name;
        }
        let name = Arc::new(Name { host: host.to_owned(), addresses: watch::channel(None).0 });
        known.insert(host.to_owned(), Arc::downgrade(&name));
        // Where nobody resolves, as for `check`, it stays without an answer.
        let _ = self.wanted.send(Arc::clone(&name));
        name
    }
}

impl Resolving {
    /// Resolves for ever, by what the system is set up with (`/etc/resolv.conf`, `/etc/hosts`).
    pub(crate) async fn run(mut self) {
        while let Some(name) = self.0.recv().await {
            drop(spawn_local(keep_resolved(Arc::downgrade(&name))));
        }
    }
}

/// Resolves a name again and again, until nobody holds it any more.
async fn keep_resolved(name: Weak<Name>) {
    let mut pause;
    let mut failures = 0;
    while let Some(held) = name.upgrade() {
        match resolve(&held.host).await {
            Ok((addresses, valid)) => {
                held.answer(Ok(addresses.into()));
                pause = valid.clamp(LEAST_PAUSE, MOST_PAUSE);
                failures = 0;
            }
            Err(error) => {
                tracing::warn!(host = held.host, error, "a name of an upstream is not resolved; its last answer stays");
                held.answer(Err(error));
                pause = LEAST_PAUSE.saturating_mul(1 << failures).min(MOST_RETRY_PAUSE);
                failures = (failures + 1).min(10);
            }
        }
        drop(held);
        sleep(pause).await;
    }
}

/// The addresses of a host, IPv4 first and else as the answer has them, and how long they are valid. The system's files are
/// read each time, for they change too.
async fn resolve(host: &str) -> Result<(Vec<IpAddr>, Duration), String> {
    let mut builder = TokioResolver::builder_tokio().map_err(|error| error.to_string())?;
    builder.options_mut().cache_size = 0;
    let resolver = builder.build().map_err(|error| error.to_string())?;
    let lookup = resolver.lookup_ip(host).await.map_err(|error| error.to_string())?;
    let mut addresses: Vec<IpAddr> = lookup.iter().collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    Ok((addresses, lookup.valid_until().saturating_duration_since(Instant::now())))
}

/// However short its time to live is, a name is not asked for more often,
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// and however long, not more seldom.
const MOST_PAUSE: Duration = Duration::from_mins(1);
/// While no answer comes.
const MOST_RETRY_PAUSE: Duration = Duration::from_secs(30);
