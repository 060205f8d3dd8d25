//! What the kernel's scheduler tells of a thread: how long it had a processor, and how long it waited for one. So a test can
//! tell a program that is slow from a machine that is busy.

use std::fs;
use std::ops::Sub;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

/// A thread of this process or of another.
#[derive(Clone, Debug)]
pub struct Thread(PathBuf);

/// How long a thread ran, and how long it waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// It had a processor.
    pub ran: Duration,
    /// It could have run, and another did.
    pub waited: Duration,
}

impl Thread {
    /// The one that asks.
    pub fn current() -> Result<Self> {
        Ok(Self(PathBuf::from("/proc").join(fs::read_link("/proc/thread-self")?)))
    }

    /// The thread of this name in a process.
    ///
    /// # Errors
    /// There is none.
    pub fn named(process: u32, name: &str) -> Result<Self> {
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let path = task?.path();
            if fs::read_to_string(path.join("comm")).is_ok_and(|found| found.trim_end() == name) {
                return Ok(Self(path));
            }
        }
        anyhow::bail!("process {process} has no thread {name}")
    }

    /// Its times since it began.
    ///
    /// # Errors
    /// It has ended, or the kernel does not tell (it is built without `CONFIG_SCHED_INFO`).
    pub fn times(&self) -> Result<Times> {
        let file = self.0.join("schedstat");
        let text = fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
        let mut numbers = text.split_whitespace().map(|number| number.parse().map(Duration::from_nanos));
        let mut next = || anyhow::Ok(numbers.next().with_context(|| format!("no times: {text}"))??);
        Ok(Times { ran: next()?, waited: next()? })
    }
}

impl Sub for Times {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { ran: self.ran.saturating_sub(earlier.ran), waited: self.waited.saturating_sub(earlier.waited) }
    }
}
