//! What the tests measured, as one table at their end.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The rows of one test.
#[derive(Default)]
pub(crate) struct Measured(Vec<(String, String)>);

static TABLE: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

impl Measured {
    /// A time.
    pub(crate) fn seconds(&mut self, what: impl Into<String>, time: Duration) {
        self.0.push((what.into(), format!("{:.1} s", time.as_secs_f64())));
    }

    /// A number, or several.
    pub(crate) fn value(&mut self, what: impl Into<String>, value: impl Display) {
        self.0.push((what.into(), value.to_string()));
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        TABLE.lock().unwrap_or_else(PoisonError::into_inner).append(&mut self.0);
    }
}

/// Prints all of it.
pub(crate) fn print() {
    let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let width = table.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
    for (what, value) in table.iter() {
        println!("{what:width$}  {value}");
    }
}
