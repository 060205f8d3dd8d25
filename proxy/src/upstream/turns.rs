//! Whose turn it is, for the routes that go `RoundRobin`: a worker's own, carried from one snapshot to the next. For those
//! that leave it to chance, the worker's dice.

use std::collections::HashMap;
use std::sync::Arc;

use crate::balance::{EndpointIndex, Group, RoundRobin};
use crate::config::snapshot::{Route, Snapshot};

/// The turns of one worker.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Which worker this is, from 0: each begins elsewhere.
    worker: usize,
    random: fastrand::Rng,
    /// By the route's label.
    by_route: HashMap<Arc<str>, (Arc<[Group]>, RoundRobin)>,
    /// Of the snapshot whose routes are known to be all that are kept.
    generation: u64,
}

impl Turns {
    pub(crate) fn new(worker: usize) -> Self {
        Self { worker, ..Self::default() }
    }

    /// The endpoint whose turn it is, of a route of this snapshot, without those in `tried`.
    pub(crate) fn pick(
        &mut self,
        snapshot: &Snapshot,
        route: &Route,
        tried: &[EndpointIndex],
    ) -> Option<EndpointIndex> {
        self.forget_what_is_gone(snapshot);
        let groups = &route.upstream.groups;
        let (known, turns) = self.by_route.entry(Arc::clone(&route.label)).or_insert_with(|| {
            let mut turns = RoundRobin::new(Arc::clone(groups));
            turns.advance(self.worker);
            (Arc::clone(groups), turns)
        });
        if !Arc::ptr_eq(known, groups) {
            let mut next = RoundRobin::new(Arc::clone(groups));
            next.carry_over(turns);
            (*known, *turns) = (Arc::clone(groups), next);
        }
        let skip = |index| route.upstream.is_tried(index, tried);
        match tried.last() {
            None => turns.pick(skip),
            Some(&failed) => turns.pick_after(failed, skip),
        }
    }

    /// A number below this one, any as likely as another; 0 for 0.
    pub(crate) fn draw(&mut self, below: u64) -> u64 {
        if below == 0 { 0 } else { self.random.u64(..below) }
    }

    fn forget_what_is_gone(&mut self, snapshot: &Snapshot) {
        if self.generation != snapshot.generation {
            self.generation = snapshot.generation;
            self.by_route.retain(|label, _| snapshot.routes.has(label));
        }
    }
}
