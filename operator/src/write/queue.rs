//! What is to be looked at and perhaps written: in which order, how much at once, and when again after a failure.
//!
//! It holds keys and no contents: what is to be written is decided when a key's turn comes, so that many changes of one
//! object are one write.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Keys that wait for their turn.
///
/// Of keys that were pushed together or before, those of a lower rank come first, and those of a higher wait for their end.
/// One that has failed holds up nobody.
#[derive(Debug)]
pub struct Queue<K> {
    most_at_once: usize,
    batch: u64,
    waiting: BTreeMap<Place, BTreeSet<K>>,
    /// Where in `waiting` a key is.
    places: HashMap<K, Place>,
    in_flight: HashMap<K, InFlight>,
    failures: HashMap<K, u32>,
    /// Those that failed, by when they are to be tried again.
    delayed: BTreeMap<(Instant, K), u8>,
    /// When they are.
    delays: HashMap<K, Instant>,
}

/// When and with which rank a key was pushed.
type Place = (u64, u8);

#[derive(Debug)]
struct InFlight {
    place: Place,
    /// The rank with which it was pushed meanwhile.
    again: Option<u8>,
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// An empty queue, of which so many keys are in flight at once.
    pub fn new(most_at_once: usize) -> Self {
        Self {
            most_at_once,
            batch: 0,
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            in_flight: HashMap::new(),
            failures: HashMap::new(),
            delayed: BTreeMap::new(),
            delays: HashMap::new(),
        }
    }

    /// What is pushed from here on is pushed together, and after what was pushed before.
    pub fn start_batch(&mut self) {
        self.batch += 1;
    }

    /// Has a key looked at. One that waits already takes the new place; one that is in flight is looked at again after that,
    /// and one that has failed when its time has come.
    pub fn push(&mut self, key: K, rank: u8) {
        if let Some(in_flight) = self.in_flight.get_mut(&key) {
            in_flight.again = Some(rank);
            return;
        }
        if let Some(time) = self.delays.get(&key) {
            self.delayed.insert((*time, key), rank);
            return;
        }
        self.withdraw(&key);
        let place = (self.batch, rank);
        self.places.insert(key.clone(), place);
        self.waiting.entry(place).or_default().insert(key);
    }

    /// The key whose turn it is, in flight from now on.
    pub fn next(&mut self, now: Instant) -> Option<K> {
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= now
        {
            let ((_, key), rank) = entry.remove_entry();
            self.delays.remove(&key);
            self.push(key, rank);
        }
        if self.in_flight.len() >= self.most_at_once {
            return None;
        }
        let place = self.turn()?;
        let keys = self.waiting.get_mut(&place)?;
        let key = keys.pop_first()?;
        if keys.is_empty() {
            self.waiting.remove(&place);
        }
        self.places.remove(&key);
        self.in_flight.insert(key.clone(), InFlight { place, again: None });
        Some(key)
    }

    /// The place whose keys wait for nobody.
    fn turn(&self) -> Option<Place> {
        let mut lowest = u8::MAX;
        for &(batch, rank) in self.waiting.keys() {
            let before = |in_flight: &&InFlight| in_flight.place.0 <= batch;
            let in_flight = self.in_flight.values().filter(before).map(|in_flight| in_flight.place.1).min();
            lowest = lowest.min(in_flight.unwrap_or(u8::MAX));
            if rank <= lowest {
                return Some((batch, rank));
            }
        }
        None
    }

    /// Says that a key is in flight no more, and needs nothing else unless it was pushed meanwhile.
    pub fn done(&mut self, key: &K) {
        self.failures.remove(key);
        if let Some(InFlight { again: Some(rank), .. }) = self.in_flight.remove(key) {
            self.push(key.clone(), rank);
        }
    }

    /// Says that a key is in flight no more, and is to be tried again: later, the more often it has failed.
    pub fn failed(&mut self, key: &K, now: Instant) {
        let Some(in_flight) = self.in_flight.remove(key) else { return };
        let failures = self.failures.entry(key.clone()).or_default();
        let delay = FIRST_DELAY.saturating_mul(1 << (*failures).min(20)).min(LONGEST_DELAY);
        *failures = failures.saturating_add(1);
        self.delays.insert(key.clone(), now + delay);
        self.delayed.insert((now + delay, key.clone()), in_flight.again.unwrap_or(in_flight.place.1));
    }

    /// When the next of those that failed is to be tried again.
    pub fn next_time(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|((time, _), _)| *time)
    }

    /// Whether a key waits, is in flight or is to be tried again.
    pub fn contains(&self, key: &K) -> bool {
        self.places.contains_key(key) || self.in_flight.contains_key(key) || self.delays.contains_key(key)
    }

    /// Whether a key that is in flight was pushed meanwhile.
    pub fn is_pushed_again(&self, key: &K) -> bool {
        self.in_flight.get(key).is_some_and(|in_flight| in_flight.again.is_some())
    }

    /// How many keys are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether any waits for its turn; those that have failed aside.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether none waits for its turn and none is in flight; those that have failed aside.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    fn withdraw(&mut self, key: &K) {
        if let Some(place) = self.places.remove(key)
            && let Some(keys) = self.waiting.get_mut(&place)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.waiting.remove(&place);
            }
        }
    }
}

const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> (Queue<&'static str>, Instant) {
        (Queue::new(2), Instant::now())
    }

    #[test]
    fn references_are_written_before_what_refers_to_them() {
        let (mut queue, now) = queue();
        queue.push("route", 4);
        queue.push("secret", 0);
        assert_eq!(queue.next(now), Some("secret"));
        assert_eq!(queue.next(now), None, "the secret is not written yet");
        queue.done(&"secret");
        assert_eq!(queue.next(now), Some("route"));
    }

    #[test]
    fn what_comes_later_holds_up_nobody() {
        let (mut queue, now) = queue();
        queue.push("secret", 0);
        queue.push("route", 4);
        assert_eq!(queue.next(now), Some("secret"));
        queue.done(&"secret");
        queue.start_batch();
        queue.push("another secret", 0);
        assert_eq!(queue.next(now), Some("route"));
        assert_eq!(queue.next(now), Some("another secret"));
    }

    #[test]
    fn what_fails_is_tried_again_later_and_holds_up_nobody() {
        let (mut queue, now) = queue();
        queue.push("secret", 0);
        queue.push("route", 4);
        assert_eq!(queue.next(now), Some("secret"));
        queue.failed(&"secret", now);
        assert_eq!(queue.next(now), Some("route"));
        assert_eq!(queue.next(now), None);
        let again = queue.next_time().unwrap();
        assert_eq!(queue.next(again), Some("secret"));
        queue.failed(&"secret", again);
        assert!(queue.next_time().unwrap() - again > again - now, "the second time it waits longer");
    }

    #[test]
    fn what_changes_while_it_is_written_is_looked_at_again() {
        let (mut queue, now) = queue();
        queue.push("secret", 0);
        assert_eq!(queue.next(now), Some("secret"));
        queue.push("secret", 0);
        assert_eq!(queue.next(now), None, "never twice at once");
        queue.done(&"secret");
        assert_eq!(queue.next(now), Some("secret"));
        queue.done(&"secret");
        assert!(queue.is_idle() && !queue.contains(&"secret"));
    }

    #[test]
    fn only_so_many_are_in_flight() {
        let (mut queue, now) = queue();
        for key in ["a", "b", "c"] {
            queue.push(key, 0);
        }
        assert!(queue.next(now).is_some() && queue.next(now).is_some());
        assert_eq!(queue.next(now), None);
    }
}
