//! What the operator starts with: its configuration file, in YAML.

mod read;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use streamgate_crds::problem::Problem;

use crate::store::Gateway;

/// What the operator starts with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own namespace, where its replicas agree who leads. Required.
    pub namespace: String,
    /// The namespaces whose objects count; empty: all.
    pub watch_namespaces: BTreeSet<String>,
    /// The Lease by which they agree: one for each set of replicas in a namespace. Default `streamgate-operator`.
    pub lease_name: String,
    /// How long a leader that is heard of no more counts as one. From 1 s; default 4 s.
    pub lease_duration: Duration,
    /// How often the shared keys of session tickets change. From 1 minute; default 24 h.
    pub ticket_key_rotation: Duration,
    /// Where `/livez`, `/readyz` and `/metrics` are answered. Default 127.0.0.1:9902.
    pub admin: SocketAddr,
    /// The gateways: at least one, with distinct names and listeners.
    pub gateways: Vec<Gateway>,
}

impl Settings {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// Every problem, with line and column; if its YAML can't be read at all, the first.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&name, &text),
            Err(error) => {
                Err(vec![Problem::new("--config", format!("`{name}` ({error})"), "a YAML file that can be read")])
            }
        }
    }

    /// Reads the text of a file, which problems are to name so.
    ///
    /// # Errors
    ///
    /// As [`Settings::load`].
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        read::read(text).map_err(|problems| problems.into_iter().map(|problem| problem.in_file(file)).collect())
    }

    /// Whether objects of this namespace count.
    pub fn is_watched(&self, namespace: &str) -> bool {
        self.watch_namespaces.is_empty() || self.watch_namespaces.contains(namespace)
    }
}
