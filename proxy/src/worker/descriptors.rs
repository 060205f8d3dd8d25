//! The open files of the process: a connection takes one, its broker another, and some are left for everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many open files connections may take, and how many they have.
#[derive(Debug)]
pub(crate) struct Descriptors {
    taken: AtomicUsize,
    /// For clients; beyond, nobody is accepted.
    most: usize,
    /// Up to this many, a client may have a broker too. Those between are accepted and told that the proxy is overloaded.
    most_with_broker: usize,
}

/// An open file that is counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Descriptor(Arc<Descriptors>);

impl Descriptors {
    /// Of a process that may have `limit` open files.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let most = limit.saturating_sub(FOR_ALL_ELSE).max(1);
        Arc::new(Self { taken: AtomicUsize::new(0), most, most_with_broker: most - (most / 16).min(MOST_FOR_REFUSALS) })
    }

    /// Whether there is room for another client.
    pub(crate) fn has_room(&self) -> bool {
        self.taken.load(Ordering::Relaxed) < self.most
    }

    /// Room for the broker of a client, if there is some.
    pub(crate) fn take_for_broker(self: &Arc<Self>) -> Option<Descriptor> {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let descriptor = Descriptor(Arc::clone(self));
        (taken < self.most_with_broker).then_some(descriptor)
    }

    /// Counts one that there is already.
    pub(crate) fn count(self: &Arc<Self>) -> Descriptor {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Descriptor(Arc::clone(self))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Raises the limit of open files to what the system allows, and says what it is.
pub(crate) fn raise_limit() -> u64 {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limits.maximum } else { limits.current };
    current.unwrap_or(u64::MAX)
}

/// Listeners, the admin port, files of the configuration, the resolver.
const FOR_ALL_ELSE: usize = 100;
/// So many clients at least can be told at once that there is no room.
const MOST_FOR_REFUSALS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_before_there_is_no_room_for_them() {
        let descriptors = Descriptors::new(260);
        let clients: Vec<_> = (0..150).map(|_| descriptors.count()).collect();
        assert!(descriptors.take_for_broker().is_none());
        let refused: Vec<_> = (0..100).map_while(|_| descriptors.has_room().then(|| descriptors.count())).collect();
        assert_eq!(refused.len(), 10);
        drop(clients);
        assert!(descriptors.take_for_broker().is_some());
    }

    #[test]
    fn a_limit_below_all_that_is_needed_still_serves_one() {
        assert!(Descriptors::new(10).has_room());
    }
}
