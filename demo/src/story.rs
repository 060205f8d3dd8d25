//! What the demo says: numbered steps, each with its checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};

/// The steps so far, and what was not as it should be.
pub(crate) struct Story {
    number: u32,
    checks: u32,
    failed: Vec<String>,
    interrupted: Arc<AtomicBool>,
}

impl Story {
    /// Without a step yet. Once `interrupted` is set there is no next one.
    pub(crate) fn new(interrupted: Arc<AtomicBool>) -> Self {
        Self { number: 0, checks: 0, failed: Vec::new(), interrupted }
    }

    /// Begins the next step.
    ///
    /// # Errors
    /// When somebody wants the demo to end.
    pub(crate) fn step(&mut self, title: &str) -> Result<()> {
        if self.interrupted.load(Ordering::SeqCst) {
            bail!("interrupted");
        }
        self.number += 1;
        println!("\n{:2}. {title}", self.number);
        Ok(())
    }

    /// Claims something, and says whether it is so.
    pub(crate) fn check(&mut self, good: bool, claim: &str) {
        self.checks += 1;
        println!("    {} {claim}", if good { '✓' } else { '✗' });
        if !good {
            self.failed.push(format!("step {}: {claim}", self.number));
        }
    }

    /// Says how it went over all: whether every claim was so.
    pub(crate) fn summary(&self) -> bool {
        if self.failed.is_empty() {
            println!("\nAll {} checks are as they should be.", self.checks);
        } else {
            println!("\n{} of {} checks are not as they should be:", self.failed.len(), self.checks);
            for claim in &self.failed {
                println!("  ✗ {claim}");
            }
        }
        self.failed.is_empty()
    }
}

/// Says something that nothing hangs on.
pub(crate) fn say(text: &str) {
    for line in text.lines() {
        println!("      {line}");
    }
}
