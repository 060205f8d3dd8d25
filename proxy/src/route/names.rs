//! The server name that a client asks for, to what serves it: exact before wildcard before `*`.

use std::collections::HashMap;

use streamgate_crds::Sni;

/// A table from names to what serves them.
#[derive(Clone, Debug)]
pub struct Names<T> {
    exact: HashMap<String, T>,
    /// By what follows the `*.`.
    wildcard: HashMap<String, T>,
    any: Option<T>,
}

impl<T> Names<T> {
    /// Adds a name. Of two that are the same, the first counts.
    pub fn add(&mut self, sni: &Sni, value: T) {
        match sni {
            Sni::Exact(name) => {
                self.exact.entry(name.clone()).or_insert(value);
            }
            Sni::Wildcard(parent) => {
                self.wildcard.entry(parent.clone()).or_insert(value);
            }
            Sni::Any => {
                self.any.get_or_insert(value);
            }
        }
    }

    /// What serves a client that asks for `name` (lower-case, without a trailing dot), or for none.
    pub fn find(&self, name: Option<&str>) -> Option<&T> {
        let named = name.and_then(|name| self.exact.get(name).or_else(|| self.wildcard.get(parent(name)?)));
        named.or(self.any.as_ref())
    }
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), any: None }
    }
}

/// What a wildcard that matches `name` has after its `*.`.
pub(super) fn parent(name: &str) -> Option<&str> {
    let (label, parent) = name.split_once('.')?;
    (!label.is_empty()).then_some(parent)
}
