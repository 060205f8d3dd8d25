//! The way out of `run`: readiness fails, load balancers take notice, and the clients are handed back.

use std::io;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::admin::Admin;
use crate::bootstrap::Bootstrap;
use crate::worker::Phase;

type Workers = Vec<JoinHandle<io::Result<()>>>;

/// Waits for SIGTERM or SIGINT, then goes the way out. A second signal ends it at once.
///
/// # Errors
///
/// A worker has ended by itself.
pub(super) async fn stop(
    bootstrap: &Bootstrap,
    admin: &Admin,
    phase: &watch::Sender<Phase>,
    workers: Workers,
    mut signals: Signals,
) -> Result<()> {
    tokio::select! {
        signal = signals.next() => tracing::info!(signal, "stopping"),
        () = until_ended(&workers, |ended, _| ended > 0) => bail!("a worker has ended by itself"),
    }
    admin.is_stopping.store(true, Ordering::Relaxed);
    let (delay, time) = (bootstrap.drain_delay, bootstrap.drain_time);
    let draining = async {
        sleep(delay).await;
        tracing::info!(time = ?time, "handing clients back");
        phase.send_replace(Phase::HandingBack(time));
        tokio::select! {
            () = until_ended(&workers, |ended, all| ended == all) => tracing::info!("all clients are handed back"),
            () = sleep(time + LEAVE_TAKING) => tracing::warn!("some clients have not left in time"),
        }
    };
    tokio::select! {
        () = draining => {}
        signal = signals.next() => tracing::warn!(signal, "stopping at once"),
    }
    // What is left ends with the process.
    Ok(())
}

/// The signals that tell the proxy to stop. From when it is there, they don't end the process by themselves.
pub(super) struct Signals {
    /// Caught and passed over: whoever sends it wants the configuration read again, which goes by itself.
    _hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            _hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Returns when of all workers so many have ended.
async fn until_ended(workers: &Workers, is_enough: impl Fn(usize, usize) -> bool) {
    loop {
        let ended = workers.iter().filter(|worker| worker.is_finished()).count();
        if is_enough(ended, workers.len()) {
            return;
        }
        sleep(LOOK_FOR_THE_END).await;
    }
}

/// How often the workers are looked at.
const LOOK_FOR_THE_END: Duration = Duration::from_millis(20);
/// How long clients may take to go after the last was handed back.
const LEAVE_TAKING: Duration = Duration::from_secs(5);
