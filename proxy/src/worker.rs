//! A worker: one thread with its own runtime and its own sockets. A connection lives and dies on one.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use streamgate_crds::Cidr;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::admin::metrics::Metrics;
use crate::config::snapshot::Snapshot;
use crate::connection::accept::{Entrance, accept};
use crate::upstream::turns::Turns;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What is applied now.
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) client_hello_timeout: Duration,
    pub(crate) denied_upstreams: Vec<Cidr>,
}

/// What one worker has of its own.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    /// Whose turn it is.
    pub(crate) turns: RefCell<Turns>,
}

/// Starts a worker that accepts at these sockets.
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
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let worker = Rc::new(Worker { shared, turns: RefCell::new(Turns::new(index)) });
        let tasks = LocalSet::new();
        let accepting = async {
            for (entrance, socket) in sockets {
                let listener = TcpListener::from_std(socket)?;
                tokio::task::spawn_local(accept(Rc::clone(&worker), Rc::new(entrance), listener));
            }
            io::Result::Ok(())
        };
        tasks.block_on(&runtime, accepting)?;
        runtime.block_on(tasks);
        Ok(())
    })
}
