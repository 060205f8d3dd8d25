//! Waiting for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a test waits for what should be there in a moment: long, since a machine may be busy; it costs time only where a
/// test fails.
pub const SOON: Duration = Duration::from_secs(15);

/// Asks `condition` again and again until it gives something, and returns that.
///
/// # Errors
/// After `within`: a sentence with `what` was waited for.
pub fn until<T>(what: &str, within: Duration, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = condition() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {within:?} in vain for {what}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}
