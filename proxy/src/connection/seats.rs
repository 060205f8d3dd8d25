//! The relays of a worker, each on a seat: what wakes them when nothing moves. One timer serves them all.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU64;
use std::ops::Add;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// The seats of one worker.
#[derive(Debug)]
pub(crate) struct Seats {
    slots: RefCell<Slab<Slot>>,
    start: Instant,
    /// The time as of the last tick: exact enough for limits of seconds, and free.
    clock: Cell<Moment>,
    /// While the worker hands its clients back: until when.
    handing_back: Cell<Option<(Moment, Moment)>>,
    /// Told when that begins, so that no tick is waited for.
    begun: Notify,
}

/// What a relay is to be woken by.
#[derive(Debug, Default)]
struct Slot {
    waker: Option<Waker>,
    /// When it wants to look at the clock.
    due: Option<Moment>,
    /// When it is to hand its client back.
    hand_back: Option<Moment>,
}

/// A time of a worker, in microseconds from its start, which is 1: half of an [`Instant`]'s size, for an idle connection has
/// several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(NonZeroU64);

impl Moment {
    fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// One relay's seat, given up when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Rc<Seats>,
    key: usize,
}

impl Seats {
    pub(crate) fn new() -> Self {
        Self {
            slots: RefCell::default(),
            start: Instant::now(),
            clock: Cell::new(Moment(NonZeroU64::MIN)),
            handing_back: Cell::new(None),
            begun: Notify::new(),
        }
    }

    /// Takes a seat.
    pub(super) fn take(self: &Rc<Self>) -> Seat {
        let hand_back = self.handing_back.get().map(|(start, end)| self.draw(start, end));
        let slot = Slot { hand_back, ..Slot::default() };
        Seat { seats: Rc::clone(self), key: self.slots.borrow_mut().insert(slot) }
    }

    #[cfg(test)]
    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Has all relays, those that are there and those that come, hand their clients back: spread evenly over `time`, in an order
    /// that nobody can tell.
    pub(crate) fn hand_back(&self, time: Duration) {
        let start = self.now();
        self.handing_back.set(Some((start, start + time)));
        self.begun.notify_one();
        let mut slots = self.slots.borrow_mut();
        let mut order: Vec<usize> = slots.iter().map(|(key, _)| key).collect();
        fastrand::shuffle(&mut order);
        let count = u32::try_from(order.len()).unwrap_or(u32::MAX).max(1);
        for (place, key) in (0_u32..).zip(order) {
            if let Some(slot) = slots.get_mut(key) {
                slot.hand_back = Some(start + time.mul_f64((f64::from(place) + 0.5) / f64::from(count)));
            }
        }
    }

    /// The time.
    pub(super) fn now(&self) -> Moment {
        Moment(NonZeroU64::MIN) + self.start.elapsed()
    }

    /// How long ago that was.
    pub(super) fn since(&self, moment: Moment) -> Duration {
        self.now().since(moment)
    }

    /// Some time from now, or from `start`, to `end`.
    fn draw(&self, start: Moment, end: Moment) -> Moment {
        let start = start.max(self.now());
        start + end.since(start).mul_f64(fastrand::f64())
    }

    /// Sets the clock, and wakes whose time has come.
    pub(crate) fn tick(&self) {
        let now = self.now();
        self.clock.set(now);
        for (_, slot) in self.slots.borrow_mut().iter_mut() {
            let is_over = |at: Option<Moment>| at.is_some_and(|at| at <= now);
            if (is_over(slot.due) || is_over(slot.hand_back))
                && let Some(waker) = slot.waker.take()
            {
                waker.wake();
            }
        }
    }

    /// Ticks for ever, more often while clients are handed back.
    pub(crate) async fn keep_ticking(&self) {
        loop {
            let pause = if self.handing_back.get().is_some() { TICK_WHILE_HANDING_BACK } else { TICK };
            // Either way it is time to look.
            let _ = timeout(pause, self.begun.notified()).await;
            self.tick();
        }
    }
}

impl Seat {
    /// The time as of the last tick.
    pub(super) fn clock(&self) -> Moment {
        self.seats.clock.get()
    }

    /// Has this task woken from now on.
    pub(super) fn register(&self, context: &Context<'_>) {
        if let Some(slot) = self.seats.slots.borrow_mut().get_mut(self.key) {
            match &slot.waker {
                Some(waker) if waker.will_wake(context.waker()) => {}
                _ => slot.waker = Some(context.waker().clone()),
            }
        }
    }

    /// Asks to be woken at the first tick after `due`.
    pub(super) fn wake_at(&self, due: Option<Moment>) {
        if let Some(slot) = self.seats.slots.borrow_mut().get_mut(self.key) {
            slot.due = due;
        }
    }

    /// Whether it is time to hand the client back.
    pub(super) fn is_to_hand_back(&self) -> bool {
        let slots = self.seats.slots.borrow();
        let hand_back = slots.get(self.key).and_then(|slot| slot.hand_back);
        hand_back.is_some_and(|at| at <= self.seats.clock.get())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.slots.borrow_mut().try_remove(self.key);
    }
}

const TICK: Duration = Duration::from_millis(500);
const TICK_WHILE_HANDING_BACK: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A seat whose wake-ups are counted.
    fn seat(seats: &Rc<Seats>) -> (Seat, Arc<Count>) {
        let count = Arc::new(Count::default());
        let seat = seats.take();
        let waker = Waker::from(Arc::clone(&count));
        seat.register(&Context::from_waker(&waker));
        (seat, count)
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_due_is_woken_once() {
        let seats = Rc::new(Seats::new());
        let (due, woken) = seat(&seats);
        let (_idle, not_woken) = seat(&seats);
        due.wake_at(Some(seats.now() + Duration::from_secs(1)));
        seats.tick();
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        seats.tick();
        seats.tick();
        assert_eq!((woken.0.load(Ordering::Relaxed), not_woken.0.load(Ordering::Relaxed)), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_handed_back_evenly_over_the_time() {
        let seats = Rc::new(Seats::new());
        let all: Vec<_> = (0..100).map(|_| seat(&seats)).collect();
        seats.hand_back(Duration::from_secs(10));
        for tenth in 1..=10 {
            tokio::time::advance(Duration::from_secs(1)).await;
            seats.tick();
            let handed_back = all.iter().filter(|(seat, _)| seat.is_to_hand_back()).count();
            assert_eq!(handed_back, tenth * 10);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_late_is_handed_back_within_the_time_too() {
        let seats = Rc::new(Seats::new());
        seats.hand_back(Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(9)).await;
        let (late, _) = seat(&seats);
        tokio::time::advance(Duration::from_secs(1)).await;
        seats.tick();
        assert!(late.is_to_hand_back());
    }

    #[tokio::test]
    async fn a_seat_is_given_up_with_its_relay() {
        let seats = Rc::new(Seats::new());
        let (one, _) = seat(&seats);
        assert_eq!(seats.taken(), 1);
        drop(one);
        assert_eq!(seats.taken(), 0);
    }
}
