//! A time budget for handshakes: so that the connections that are established keep their latency while thousands come back,
//! handshakes get no more than [`MOST_PER_TURN`] of each turn of a worker's loop. Those that have to wait do so in a queue, in
//! the order in which they came, and go on after the other tasks and the sockets had their turn.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::task::yield_now;

/// Does a piece of work of a handshake when it is due.
pub(super) async fn spend<R>(work: impl FnOnce() -> R) -> R {
    let budget = BUDGET.with(Rc::clone);
    budget.admit().await;
    let spending = Spending { budget: &budget, since: Instant::now() };
    let outcome = work();
    drop(spending);
    outcome
}

thread_local! {
    /// That of the worker.
    static BUDGET: Rc<Budget> = Rc::default();
}

/// A worker's budget.
#[derive(Debug, Default)]
struct Budget {
    /// Since the loop has surely had its turn.
    spent: Cell<Duration>,
    waiting: RefCell<VecDeque<Waiting>>,
    next_number: Cell<u64>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    waker: Option<Waker>,
}

impl Budget {
    /// Waits until it is the caller's turn. What its work has taken is then to be told by [`Budget::charge`].
    async fn admit(&self) {
        if self.waiting.borrow().is_empty() && self.spent.get() < MOST_PER_TURN {
            return;
        }
        let place = Place::at_the_end(self);
        place.until_first().await;
        if self.spent.get() >= MOST_PER_TURN {
            // To the loop: tasks that can run, sockets that are ready, then this one.
            yield_now().await;
            self.spent.set(Duration::ZERO);
        }
    }

    /// So much time was spent. Who is woken meanwhile finds that out before it begins.
    fn charge(&self, took: Duration) {
        self.spent.set(self.spent.get().saturating_add(took));
    }

    fn wake_first(&self) {
        let waker = self.waiting.borrow_mut().front_mut().and_then(|first| first.waker.take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A place in the queue, which is left on drop: when its turn has come, or when its handshake took too long.
struct Place<'a> {
    budget: &'a Budget,
    number: u64,
}

impl<'a> Place<'a> {
    fn at_the_end(budget: &'a Budget) -> Self {
        let number = budget.next_number.get();
        budget.next_number.set(number + 1);
        budget.waiting.borrow_mut().push_back(Waiting { number, waker: None });
        Self { budget, number }
    }

    async fn until_first(&self) {
        poll_fn(|context| {
            let mut waiting = self.budget.waiting.borrow_mut();
            // The queue is in the order of its numbers.
            match waiting.binary_search_by_key(&self.number, |waiting| waiting.number) {
                Ok(0) | Err(_) => Poll::Ready(()),
                Ok(index) => {
                    waiting[index].waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.budget.waiting.borrow_mut();
        if let Ok(index) = waiting.binary_search_by_key(&self.number, |waiting| waiting.number) {
            waiting.remove(index);
        }
        drop(waiting);
        // When it runs, the work of this one is done and charged.
        self.budget.wake_first();
    }
}

/// Work under way, charged on drop.
struct Spending<'a> {
    budget: &'a Budget,
    since: Instant,
}

impl Drop for Spending<'_> {
    fn drop(&mut self) {
        self.budget.charge(self.since.elapsed());
    }
}

/// Of handshakes, in one turn. One piece of work that is begun is done, however long it takes.
const MOST_PER_TURN: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests;
