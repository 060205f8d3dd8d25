//! `status.json`: what the proxy says of the configuration that it applied.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::snapshot::Snapshot;

/// What `status.json` says; `/config` repeats the refusals.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status<'a> {
    revision: Option<&'a str>,
    generation: u64,
    applied_at: String,
    applied: Applied,
    refused: Vec<Refused<'a>>,
}

/// How many objects take effect.
#[derive(Clone, Copy, Debug, Serialize)]
struct Applied {
    streamroutes: usize,
    tlssnis: usize,
}

/// An object, or one of its names, that takes no effect.
#[derive(Debug, Serialize)]
pub struct Refused<'a> {
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    reason: &'static str,
    message: &'a str,
}

impl<'a> Status<'a> {
    /// The status of a snapshot.
    pub fn of(snapshot: &'a Snapshot) -> Self {
        Self {
            revision: snapshot.revision.as_deref(),
            generation: snapshot.generation,
            applied_at: snapshot.applied_at.to_string(),
            applied: Applied { streamroutes: snapshot.routes.routes().len(), tlssnis: snapshot.served_tls_snis() },
            refused: Refused::all(snapshot),
        }
    }

    /// Writes it into a directory, by rename: a reader sees the one before or this one, whole.
    ///
    /// # Errors
    ///
    /// The directory can't be written to.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let staged = directory.join(".status.json.new");
        let mut file = File::create(&staged)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        drop(file);
        fs::rename(&staged, directory.join("status.json"))
    }
}

impl<'a> Refused<'a> {
    /// All refusals of a snapshot.
    pub fn all(snapshot: &'a Snapshot) -> Vec<Self> {
        let refused = snapshot.refused.iter().map(|refusal| Self {
            kind: refusal.object.kind.as_str(),
            namespace: &refusal.object.namespace,
            name: &refusal.object.name,
            reason: refusal.reason.as_str(),
            message: &refusal.message,
        });
        refused.collect()
    }
}
