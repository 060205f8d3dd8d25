//! A worker: one thread with its own runtime and its own sockets. A connection lives and dies on one.

pub(crate) mod descriptors;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use streamgate_crds::Cidr;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

use self::descriptors::Descriptors;
use crate::admin::metrics::Metrics;
use crate::config::snapshot::Snapshot;
use crate::connection::accept::{Entrance, accept};
use crate::connection::seats::Seats;
use crate::upstream::turns::Turns;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What is applied now.
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) client_hello_timeout: Duration,
    pub(crate) denied_upstreams: Vec<Cidr>,
    pub(crate) descriptors: Arc<Descriptors>,
    /// What the proxy is about.
    pub(crate) phase: watch::Receiver<Phase>,
}

/// What the proxy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It serves.
    Serving,
    /// It takes who is in the queue already, closes the listeners, and hands its clients back over this time.
    HandingBack(Duration),
}

/// What one worker has of its own.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    /// Whose turn it is.
    pub(crate) turns: RefCell<Turns>,
    /// Where its relays sit.
    pub(crate) seats: Rc<Seats>,
}

#[cfg(test)]
impl Worker {
    /// One for a test, with this configuration.
    pub(crate) fn with(snapshot: Arc<Snapshot>, phase: watch::Receiver<Phase>) -> Rc<Self> {
        let shared = Arc::new(Shared {
            snapshot: Arc::new(ArcSwap::new(snapshot)),
            metrics: Arc::default(),
            client_hello_timeout: Duration::from_mins(1),
            denied_upstreams: Vec::new(),
            descriptors: Descriptors::new(1_000),
            phase,
        });
        Rc::new(Self { shared, turns: Turns::new(0).into(), seats: Rc::new(Seats::new()) })
    }
}

/// Starts a worker that accepts at these sockets. It ends when the clients are handed back.
///
/// # Errors
///
/// There can't be another thread.
pub(crate) fn start(
    index: usize,
    shared: Arc<Shared>,
    sockets: Vec<(Entrance, std::net::TcpListener)>,
) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(work(index, shared, sockets))
    })
}

async fn work(index: usize, shared: Arc<Shared>, sockets: Vec<(Entrance, std::net::TcpListener)>) -> io::Result<()> {
    let worker = Rc::new(Worker { shared, turns: RefCell::new(Turns::new(index)), seats: Rc::new(Seats::new()) });
    let seats = Rc::clone(&worker.seats);
    tokio::task::spawn_local(async move { seats.keep_ticking().await });
    let mut accepting = Vec::with_capacity(sockets.len());
    for (entrance, socket) in sockets {
        let listener = TcpListener::from_std(socket)?;
        accepting.push(tokio::task::spawn_local(accept(Rc::clone(&worker), Rc::new(entrance), listener)));
    }
    let mut phase = worker.shared.phase.clone();
    // The sender goes with the process.
    let phase = phase.wait_for(|phase| *phase != Phase::Serving).await.map_or(Phase::Serving, |phase| *phase);
    let told = Instant::now();
    for listener in accepting {
        // One that panicked has told so.
        let _ = listener.await;
    }
    if let Phase::HandingBack(time) = phase {
        worker.seats.hand_back(time.saturating_sub(told.elapsed()));
    }
    // Every connection holds the worker, and so does nobody else.
    while Rc::strong_count(&worker) > 1 {
        tokio::time::sleep(LOOK_FOR_THE_END).await;
    }
    Ok(())
}

/// How often a worker that hands its clients back looks whether all are gone.
const LOOK_FOR_THE_END: Duration = Duration::from_millis(20);
