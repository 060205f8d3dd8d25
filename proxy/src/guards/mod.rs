//! Guards of what each connection costs: how many instructions the hot functions take, as valgrind's callgrind counts them.
//! `make guards` compares with `instructions.txt`; `cargo test` runs the same for what it asserts.
//!
//! - [`connect`]: reading a CONNECT.
//! - [`routes`]: the route of a client.
//! - [`pick`]: its endpoint.
//! - [`relay`]: a message there and back.
//! - [`handshake`]: mutual TLS.
//!
//! Each of them does its work once before it counts, for what is done the first time alone, and then so often that it hardly
//! matters what is random: the seeds of hash tables, the numbers of a handshake.

mod connect;
mod credentials;
mod handshake;
mod pick;
mod relay;
mod routes;

use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;
use streamgate_crds::problem::{Kind, ObjectRef};

use crate::config::snapshot::{Route, label};
use crate::upstream::{Members, Upstream};

/// What is counted: all that runs within this function. `scripts/guards` knows it by its name.
#[inline(never)]
fn guarded<R>(work: impl FnOnce() -> R) -> R {
    black_box(work())
}

/// Tells `scripts/guards` how often the work was done that was counted.
fn tell(times: usize) {
    println!("guarded {times} times");
}

/// Counts `work` with each of these.
fn count<T, R>(with: &[T], work: impl Fn(&T) -> R) {
    with.first().map(&work);
    guarded(|| {
        for one in with {
            black_box(work(black_box(one)));
        }
    });
    tell(with.len());
}

/// A future of which each turn counts while `is_counting`; those of whom it waits for don't.
struct Guarded<F> {
    future: Pin<Box<F>>,
    is_counting: Arc<AtomicBool>,
}

impl<F: Future> Guarded<F> {
    fn new(future: F, is_counting: &Arc<AtomicBool>) -> Self {
        Self { future: Box::pin(future), is_counting: Arc::clone(is_counting) }
    }
}

impl<F: Future> Future for Guarded<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, is_counting } = self.get_mut();
        let mut turn = || future.as_mut().poll(context);
        if is_counting.load(Ordering::Relaxed) { guarded(turn) } else { turn() }
    }
}

/// The `spec` of a manifest.
fn spec<T: DeserializeOwned>(text: serde_json::Value) -> T {
    serde_json::from_value(text).expect("a spec")
}

fn route(name: String, text: serde_json::Value, members: Vec<Members>) -> Arc<Route> {
    let object = ObjectRef { kind: Kind::StreamRoute, namespace: "acme".to_owned(), name };
    let spec: streamgate_crds::StreamRouteSpec = spec(text);
    let upstream = Upstream::new(members, &spec.upstream.load_balancer);
    Arc::new(Route { label: label(&object), object, spec, upstream })
}
