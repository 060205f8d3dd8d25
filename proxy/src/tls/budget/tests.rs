use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{LocalSet, spawn_local, yield_now};

use super::{Budget, MOST_PER_TURN};

/// Runs all that `begin` spawns.
async fn run(begin: impl FnOnce()) {
    let tasks = LocalSet::new();
    tasks.run_until(async { begin() }).await;
    tasks.await;
}

fn budget() -> Rc<Budget> {
    Rc::default()
}

fn done() -> Rc<RefCell<Vec<usize>>> {
    Rc::default()
}

/// A piece of work that takes so long, and writes its name down.
fn spawn_work(budget: &Rc<Budget>, took: Duration, done: &Rc<RefCell<Vec<usize>>>, name: usize) {
    let (budget, done) = (Rc::clone(budget), Rc::clone(done));
    spawn_local(async move {
        budget.admit().await;
        done.borrow_mut().push(name);
        budget.charge(took);
    });
}

#[tokio::test]
async fn work_within_the_budget_is_done_at_once() {
    let budget = budget();
    budget.charge(MOST_PER_TURN * 99 / 100);
    let mut admission = std::pin::pin!(budget.admit());
    let is_admitted = std::future::poll_fn(|context| std::task::Poll::Ready(admission.as_mut().poll(context)));
    assert!(is_admitted.await.is_ready());
}

#[tokio::test]
async fn work_beyond_the_budget_lets_all_go_first_that_can_run() {
    let (budget, done) = (budget(), done());
    budget.charge(MOST_PER_TURN);
    run(|| {
        spawn_work(&budget, Duration::ZERO, &done, 1);
        let done = Rc::clone(&done);
        spawn_local(async move { done.borrow_mut().push(2) });
    })
    .await;
    assert_eq!(*done.borrow(), [2, 1]);
}

#[tokio::test]
async fn work_is_done_in_the_order_in_which_it_came() {
    let (budget, done) = (budget(), done());
    run(|| (0..50).for_each(|name| spawn_work(&budget, MOST_PER_TURN, &done, name))).await;
    assert_eq!(*done.borrow(), (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_turn_has_no_more_work_than_the_budget_and_the_piece_that_was_begun() {
    let (budget, turn, turns) = (budget(), Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
    let is_over = Rc::new(Cell::new(false));
    // So that all of them wait, and each turn begins in the same way.
    budget.charge(MOST_PER_TURN);
    run(|| {
        // Counts the turns: it yields as the queue's first does.
        let (counted, end) = (Rc::clone(&turn), Rc::clone(&is_over));
        spawn_local(async move {
            while !end.get() {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        for name in 0..30 {
            let (budget, turn) = (Rc::clone(&budget), Rc::clone(&turn));
            let (turns, end) = (Rc::clone(&turns), Rc::clone(&is_over));
            spawn_local(async move {
                budget.admit().await;
                turns.borrow_mut().push(turn.get());
                budget.charge(MOST_PER_TURN * 2 / 5);
                end.set(name == 29);
            });
        }
    })
    .await;
    let turns = turns.borrow();
    let most = turns.chunk_by(|one, other| one == other).map(<[_]>::len).max();
    assert_eq!((turns.len(), most), (30, Some(3)));
}

#[tokio::test]
async fn who_gives_up_waiting_holds_nobody_up() {
    for given_up in 0..3 {
        let (budget, done) = (budget(), done());
        budget.charge(MOST_PER_TURN);
        let tasks = LocalSet::new();
        tasks
            .run_until(async {
                let waiting: Vec<_> = (0..3)
                    .map(|name| {
                        let (budget, done) = (Rc::clone(&budget), Rc::clone(&done));
                        spawn_local(async move {
                            budget.admit().await;
                            done.borrow_mut().push(name);
                        })
                    })
                    .collect();
                // All wait now, the first for the loop and the others for the first.
                while budget.waiting.borrow().len() < 3 {
                    yield_now().await;
                }
                waiting[given_up].abort();
            })
            .await;
        tasks.await;
        let expected: Vec<usize> = (0..3).filter(|&name| name != given_up).collect();
        assert_eq!(*done.borrow(), expected);
    }
}

#[tokio::test]
async fn nobody_is_in_the_queue_when_all_is_done() {
    let (budget, done) = (budget(), done());
    run(|| (0..10).for_each(|name| spawn_work(&budget, MOST_PER_TURN, &done, name))).await;
    assert!(budget.waiting.borrow().is_empty());
}
