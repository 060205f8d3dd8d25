//! Loads the directory again when something changes there, on a thread of its own, and swaps the snapshot in.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use notify::event::{EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::load::{Loader, REVISION};
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
    let mut watched = Watched::new(directory, sender);
    apply(&mut loader, &current, &mut applied)?;
    thread::Builder::new().name("config".to_owned()).spawn(move || {
        let mut was_unreadable = false;
        let mut retired = Vec::new();
        loop {
            wait_for_changes(&changes);
            watched.follow();
            // A fault in the reading of one file is no reason to read none any more. The panic's hook has told of it.
            let reading = AssertUnwindSafe(|| apply(&mut loader, &current, &mut applied));
            let Ok(outcome) = panic::catch_unwind(reading) else { continue };
            match outcome {
                Ok(before) => {
                    retired.extend(before);
                    was_unreadable = false;
                }
                Err(error) if !was_unreadable => {
                    tracing::error!(%error, "the configuration directory can't be read; what was applied goes on");
                    was_unreadable = true;
                }
                Err(_) => {}
            }
            // What no worker holds any more is freed here, where nobody waits for it.
            retired.retain(|before| Arc::strong_count(before) > 1);
        }
    })?;
    Ok(())
}

/// Applies what has changed, if anything has. Gives the snapshot before.
fn apply(
    loader: &mut Loader,
    current: &ArcSwap<Snapshot>,
    applied: &mut impl FnMut(&Snapshot, &Snapshot),
) -> io::Result<Option<Arc<Snapshot>>> {
    let Some(next) = loader.load()? else {
        return Ok(None);
    };
    let before = current.swap(Arc::clone(&next));
    applied(&before, &next);
    Ok(Some(before))
}

/// The directory, of whose changes the kernel tells. Where it won't, the poll finds them.
struct Watched {
    /// As it was named.
    directory: PathBuf,
    /// What was there when it was last looked at: any of it may be swapped, by a symlink or by another of its name.
    folders: Folders,
    sender: Sender<Told>,
    /// The watch ends when it is dropped.
    watcher: Option<RecommendedWatcher>,
}

impl Watched {
    fn new(directory: &Path, sender: Sender<Told>) -> Self {
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        let mut watched = Self { directory, folders: Folders::default(), sender, watcher: None };
        watched.watch();
        if watched.watcher.is_none() {
            let seconds = POLL_INTERVAL.as_secs();
            tracing::warn!("changes of the configuration directory are not told; it is looked at every {seconds} s");
        }
        watched
    }

    /// Watches what is there now and was not there before.
    fn follow(&mut self) {
        let folders = Folders::of(&self.directory);
        if folders.root != self.folders.root {
            return self.watch();
        }
        let new = folders.within.iter().filter(|(identity, _)| !self.folders.within.contains_key(identity));
        if let Some(watcher) = &mut self.watcher {
            for (_, path) in new {
                // One that is gone again is a change of what it was in.
                let _ = watcher.watch(path, RecursiveMode::Recursive);
            }
        }
        self.folders = folders;
    }

    fn watch(&mut self) {
        self.folders = Folders::of(&self.directory);
        let target = self.directory.canonicalize().ok();
        let sender = self.sender.clone();
        let roots: Vec<PathBuf> = [Some(self.directory.clone()), target.clone()].into_iter().flatten().collect();
        let notify = move |event: notify::Result<notify::Event>| {
            if let Some(told) = told(&event, &roots) {
                // The thread that listens ends with the process alone.
                let _ = sender.send(told);
            }
        };
        let watcher = notify::recommended_watcher(notify).and_then(|mut watcher| {
            if let Some(parent) = self.directory.parent() {
                // For a swap, and for one that is gone and comes back; where the parent can't be read, the poll finds that.
                let _ = watcher.watch(parent, RecursiveMode::NonRecursive);
            }
            match target {
                Some(target) => watcher.watch(&target, RecursiveMode::Recursive).map(|()| watcher),
                None => Ok(watcher),
            }
        });
        self.watcher = watcher.inspect_err(|error| tracing::debug!(%error, "no watch")).ok();
    }
}

/// A device and an inode.
type Identity = (u64, u64);

/// The directory and the folders in it, two levels deep: that of the Secrets has one for each.
#[derive(Debug, Default)]
struct Folders {
    root: Option<Identity>,
    within: BTreeMap<Identity, PathBuf>,
}

impl Folders {
    fn of(directory: &Path) -> Self {
        let mut folders = Self { root: identity(directory), within: BTreeMap::new() };
        folders.add(directory, 2);
        folders
    }

    fn add(&mut self, folder: &Path, levels: u8) {
        let Some(levels) = levels.checked_sub(1) else { return };
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            // What begins with a dot is whoever writes there's own; what it serves, something else leads to.
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let is_file = entry.file_type().is_ok_and(|file_type| file_type.is_file());
            let path = entry.path();
            if let Some(identity) = (!is_hidden && !is_file).then(|| identity(&path)).flatten() {
                self.add(&path, levels);
                self.within.insert(identity, path);
            }
        }
    }
}

/// Which directory a path leads to.
fn identity(path: &Path) -> Option<Identity> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_dir)?;
    Some((metadata.dev(), metadata.ino()))
}

/// What the kernel told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Something changed; more may belong to it.
    Change,
    /// The `revision`: all that belongs to it is there.
    Revision,
}

/// What an event means; nothing where it is none of what is below these folders.
fn told(event: &notify::Result<notify::Event>, roots: &[PathBuf]) -> Option<Told> {
    // A queue that overflowed tells of no path.
    let Some(event) = event.as_ref().ok().filter(|event| !event.paths.is_empty()) else { return Some(Told::Change) };
    let below = |path: &PathBuf| roots.iter().find_map(|root| path.strip_prefix(root).ok().map(Path::to_owned));
    let paths: Vec<PathBuf> = event.paths.iter().filter_map(below).collect();
    if !is_of_content(event.kind) || paths.is_empty() {
        return None;
    }
    Some(if paths.iter().any(|path| path == Path::new(REVISION)) { Told::Revision } else { Told::Change })
}

/// Whether something may be other than it was: a look changes nothing, and of a rename both ends are told of by themselves.
fn is_of_content(kind: EventKind) -> bool {
    !kind.is_access() && kind != EventKind::Modify(ModifyKind::Name(RenameMode::Both))
}

/// Returns when something has changed and nothing more belongs to it, for a moment has passed or the revision has come, or
/// when it is time for a look.
fn wait_for_changes(changes: &Receiver<Told>) {
    wait_for_the_last(changes);
    // What was told until now is read with it.
    while changes.try_recv().is_ok() {}
}

fn wait_for_the_last(changes: &Receiver<Told>) {
    match changes.recv_timeout(POLL_INTERVAL) {
        Ok(Told::Change) => {}
        Ok(Told::Revision) | Err(RecvTimeoutError::Timeout) => return,
        // No one tells of changes.
        Err(RecvTimeoutError::Disconnected) => return thread::sleep(POLL_INTERVAL),
    }
    let first = Instant::now();
    while first.elapsed() < LONGEST_DEBOUNCE && changes.recv_timeout(DEBOUNCE) == Ok(Told::Change) {}
}

/// How often the directory is looked at though nothing was told: not every filesystem tells.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// A change counts once nothing has followed it for so long,
const DEBOUNCE: Duration = Duration::from_millis(20);
/// or after so long, whatever follows.
const LONGEST_DEBOUNCE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    /// On a busy machine.
    const SOON: Duration = Duration::from_secs(15);

    #[test]
    fn what_the_revision_follows_is_whole_at_once_and_what_was_told_by_then_is_read_once() {
        let (tell, told) = channel();
        let send = || {
            for each in [Told::Change, Told::Revision, Told::Change] {
                assert_eq!(tell.send(each), Ok(()));
            }
        };
        send();
        wait_for_the_last(&told);
        assert_eq!(told.try_recv(), Ok(Told::Change));
        send();
        send();
        wait_for_changes(&told);
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn a_panic_ends_one_reading_and_the_next_change_is_applied() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let loader = Loader::new(folder.path(), None, None);
        let (tell, applied) = channel();
        start(loader, folder.path(), Arc::new(ArcSwap::from_pointee(Snapshot::empty())), move |_, now| {
            // The test may be over.
            let _ = tell.send(now.generation);
            assert!(now.generation != 2, "what should never be");
        })?;
        assert_eq!(applied.recv_timeout(SOON), Ok(1));
        for generation in [2, 3] {
            fs::write(folder.path().join("new"), generation.to_string())?;
            fs::rename(folder.path().join("new"), folder.path().join("revision"))?;
            assert_eq!(applied.recv_timeout(SOON), Ok(generation));
        }
        Ok(())
    }
}
