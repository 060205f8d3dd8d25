//! How many connections an endpoint has now, over all workers and all routes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::Target;

/// The connections of one endpoint.
#[derive(Debug, Default)]
pub struct Load {
    connections: AtomicU64,
}

/// A connection that is counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held(Arc<Load>);

/// All endpoints that there are: who is the same in two services, or in two states of the configuration, has one count.
#[derive(Debug, Default)]
pub(crate) struct Loads(HashMap<(String, Target), Weak<Load>>);

impl Load {
    /// How many there are.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts one more.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Held(Arc::clone(self))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Loads {
    /// The count of an endpoint.
    pub(crate) fn of(&mut self, identity: &str, target: &Target) -> Arc<Load> {
        let known = self.0.entry((identity.to_owned(), target.clone())).or_default();
        known.upgrade().unwrap_or_else(|| {
            let load = Arc::default();
            *known = Arc::downgrade(&load);
            load
        })
    }

    /// Forgets the endpoints that are gone.
    pub(crate) fn sweep(&mut self) {
        self.0.retain(|_, load| load.strong_count() > 0);
    }
}
