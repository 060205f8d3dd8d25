//! What is measured, each part for one peer at a time.

pub(crate) mod check;
pub(crate) mod connects;
pub(crate) mod idle;
pub(crate) mod messages;
pub(crate) mod reload;
pub(crate) mod saturation;
pub(crate) mod storm;
pub(crate) mod throughput;

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;

/// Runs all that there are, `at_once` of them at a time, and gives what they gave.
async fn in_turn<T, F>(jobs: impl Iterator<Item = F>, at_once: usize) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut done = Vec::new();
    for job in jobs {
        if running.len() >= at_once
            && let Some(result) = running.join_next().await
        {
            done.push(result??);
        }
        running.spawn(job);
    }
    while let Some(result) = running.join_next().await {
        done.push(result??);
    }
    Ok(done)
}

/// The latency that this part of all messages stays within.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "few messages"
)]
pub(crate) fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let place = (sorted.len() as f64 * part) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
