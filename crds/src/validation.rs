//! What the validation of both resources is made of.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;

use crate::duration::{Duration, POSITIVE_WANTED};
use crate::manifest::Manifest;
use crate::name;
use crate::problem::{MOST_PROBLEMS, Problem, WordError};

const MOST_WEIGHT: u32 = 65_535;

/// What was found wrong with an object so far, the first of it if it is much.
#[derive(Default)]
pub(crate) struct Findings(Vec<Problem>);

impl Findings {
    pub(crate) fn add(&mut self, field: impl Into<String>, found: impl Into<String>, wanted: impl Into<String>) {
        self.note(Problem::new(field, found, wanted));
    }

    pub(crate) fn word(&mut self, field: impl Into<String>, word: Result<(), WordError>) {
        if let Err(error) = word {
            self.note(error.problem(field));
        }
    }

    fn note(&mut self, problem: Problem) {
        if self.0.len() < MOST_PROBLEMS {
            self.0.push(problem);
        }
    }

    /// Namespace and name: they become labels and the names of files.
    pub(crate) fn metadata<T: Manifest>(&mut self, object: &T) {
        let object = object.reference();
        self.word("metadata.namespace", name::label(&object.namespace));
        self.word("metadata.name", name::subdomain(&object.name, 63));
    }

    /// A list that is longer than a person needs it: what is written has bounds.
    pub(crate) fn most(&mut self, field: &str, length: usize, most: usize) {
        if length > most {
            self.add(field, format!("{length} entries"), format!("at most {most}"));
        }
    }

    /// Entries of a list that an earlier one says already.
    pub(crate) fn twice<T: Eq + Hash + Display>(&mut self, field: &str, entries: &[T]) {
        let mut first = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if let Some(earlier) = first.insert(entry, index) {
                first.insert(entry, earlier);
                let found = format!("`{entry}`, which [{earlier}] is already");
                self.add(format!("{field}[{index}]"), found, "each entry once");
            }
        }
    }

    /// All of them, as the problems of this object.
    pub(crate) fn of<T: Manifest>(self, object: &T) -> Vec<Problem> {
        let object = object.reference();
        self.0.into_iter().map(|problem| problem.of(object.clone())).collect()
    }

    pub(crate) fn positive(&mut self, field: &str, duration: Duration) {
        if duration.is_zero() {
            self.add(field, format!("`{duration}`"), POSITIVE_WANTED);
        }
    }

    pub(crate) fn port(&mut self, field: String, port: u16) {
        if port == 0 {
            self.add(field, "the port 0", "a port from 1 to 65535");
        }
    }

    pub(crate) fn weight(&mut self, field: String, weight: u32) {
        if weight > MOST_WEIGHT {
            self.add(field, format!("the weight {weight}"), format!("0 to {MOST_WEIGHT}"));
        }
    }
}
