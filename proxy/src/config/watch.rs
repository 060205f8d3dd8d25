//! Loads the directory again when something changes there, on a thread of its own, and swaps the snapshot in.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::load::Loader;
use super::snapshot::Snapshot;

/// Loads what is there now, then starts the thread. `applied` is called with each new snapshot after it was swapped in, the
/// first time before this returns; it gets the one before too.
///
/// # Errors
///
/// The directory can't be read, or no thread can be started.
pub fn start(
    mut loader: Loader,
    directory: &Path,
    current: Arc<ArcSwap<Snapshot>>,
    mut applied: impl FnMut(&Snapshot, &Snapshot) + Send + 'static,
) -> io::Result<()> {
    let (sender, changes) = channel();
    // Before the first reading, so that no change falls between the two.
    let watcher = watch(directory, sender);
    apply(&mut loader, &current, &mut applied)?;
    thread::Builder::new().name("config".to_owned()).spawn(move || {
        // It ends when it is dropped.
        let _watcher = watcher;
        let mut was_unreadable = false;
        loop {
            wait_for_changes(&changes);
            match apply(&mut loader, &current, &mut applied) {
                Ok(()) => was_unreadable = false,
                Err(error) if !was_unreadable => {
                    tracing::error!(%error, "the configuration directory can't be read; what was applied goes on");
                    was_unreadable = true;
                }
                Err(_) => {}
            }
        }
    })?;
    Ok(())
}

fn apply(
    loader: &mut Loader,
    current: &ArcSwap<Snapshot>,
    applied: &mut impl FnMut(&Snapshot, &Snapshot),
) -> io::Result<()> {
    if let Some(next) = loader.load()? {
        let before = current.swap(Arc::clone(&next));
        applied(&before, &next);
    }
    Ok(())
}

/// Asks the kernel to tell of changes. Where it won't, the poll finds them.
fn watch(directory: &Path, sender: Sender<()>) -> Option<RecommendedWatcher> {
    let notify = move |event: notify::Result<notify::Event>| {
        // Our own reading is no change.
        if event.is_ok_and(|event| event.kind.is_access()) {
            return;
        }
        // The thread that listens has ended with the process.
        let _ = sender.send(());
    };
    let watcher = notify::recommended_watcher(notify).and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            let seconds = POLL_INTERVAL.as_secs();
            tracing::warn!(%error, "changes of the configuration directory are not told; it is looked at every {seconds} s");
            None
        }
    }
}

/// Returns when something has changed and then nothing more for a moment, or when it is time for a look.
fn wait_for_changes(changes: &Receiver<()>) {
    match changes.recv_timeout(POLL_INTERVAL) {
        Ok(()) => {}
        Err(RecvTimeoutError::Timeout) => return,
        // No one tells of changes.
        Err(RecvTimeoutError::Disconnected) => return thread::sleep(POLL_INTERVAL),
    }
    let first = Instant::now();
    while first.elapsed() < LONGEST_DEBOUNCE && changes.recv_timeout(DEBOUNCE).is_ok() {}
}

/// How often the directory is looked at though nothing was told: not every filesystem tells.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// A change counts once nothing has followed it for so long,
const DEBOUNCE: Duration = Duration::from_millis(20);
/// or after so long, whatever follows.
const LONGEST_DEBOUNCE: Duration = Duration::from_millis(200);
