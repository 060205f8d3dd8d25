//! The directory to a snapshot: files are read, judged together, and resolved.

mod routes;
mod tls;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use streamgate_crds::problem::{Kind, Problem, one_line};
use streamgate_crds::{Admitted, ObjectRef, Objects, Policy, Reason, Refusal, StreamRoute, TlsSni, admit, manifest};

use self::routes::Routes;
use self::tls::TlsServices;
use super::endpoints::ServiceEndpoints;
use super::folder::Folder;
use super::snapshot::Snapshot;
use super::ticket_keys::TicketKeyFiles;
use super::tracked::{Stamp, read_bounded};
use crate::route::names::Names as ServerNames;
use crate::route::table::RouteTable;
use crate::upstream::names::Names;

#[cfg(test)]
mod tests;

/// Reads a configuration directory again and again, and keeps the last good version of each object.
#[derive(Debug)]
pub struct Loader {
    root: PathBuf,
    policy: Policy,
    /// The gateway's listeners by name; `None`: not known, so that any will do.
    listeners: Option<Vec<String>>,
    stream_routes: Folder<StreamRoute>,
    tls_snis: Folder<TlsSni>,
    endpoints: Folder<ServiceEndpoints>,
    ticket_keys: TicketKeyFiles,
    tls_services: TlsServices,
    routes: Routes,
    current: Arc<Snapshot>,
}

impl Loader {
    /// A loader for a directory of which nothing is read yet. It serves the objects of one gateway (`None`: of all), on
    /// `listeners` by name (`None`: on whichever they name).
    ///
    /// The DNS names of upstreams are looked up in `names`.
    pub(crate) fn with_names(
        root: &Path,
        gateway: Option<String>,
        listeners: Option<Vec<String>>,
        names: Arc<Names>,
    ) -> Self {
        Self {
            root: root.to_owned(),
            policy: Policy { gateway, ..Policy::default() },
            listeners,
            stream_routes: Folder::new(root, "streamroutes", manifest::read),
            tls_snis: Folder::new(root, "tlssnis", manifest::read),
            endpoints: Folder::new(root, "endpoints", ServiceEndpoints::read),
            ticket_keys: TicketKeyFiles::new(root),
            tls_services: TlsServices::new(root),
            routes: Routes::new(names),
            current: Arc::new(Snapshot::empty()),
        }
    }

    /// The same, for who only looks and resolves no DNS names.
    pub fn new(root: &Path, gateway: Option<String>, listeners: Option<Vec<String>>) -> Self {
        Self::with_names(root, gateway, listeners, Names::new().0)
    }

    /// Reads what changed. Gives the snapshot that is new, or `None` where all is as it was.
    ///
    /// # Errors
    ///
    /// The directory itself can't be read, or there are no random numbers for ticket keys; then all stays as it was.
    pub fn load(&mut self) -> io::Result<Option<Arc<Snapshot>>> {
        std::fs::read_dir(&self.root)?;
        // Before anything else, so that what is echoed is never newer than what is applied.
        let revision = read_revision(&self.root);
        self.stream_routes.refresh();
        self.tls_snis.refresh();
        self.endpoints.refresh();
        let ticket_keys = self.ticket_keys.refresh()?;

        let mut refused = self.file_refusals();
        let objects = Objects {
            tls_snis: self.tls_snis.effective().map(|object| (**object).clone()).collect(),
            stream_routes: self.stream_routes.effective().map(|object| (**object).clone()).collect(),
        };
        let Admitted { objects, refusals } = admit(&self.policy, objects);
        refused.extend(refusals);
        let tls_services = self.tls_services.resolve(objects.tls_snis, &ticket_keys, &mut refused);
        let routes =
            self.routes.resolve(objects.stream_routes, self.listeners.as_deref(), &self.endpoints, &mut refused);
        refused.sort();
        refused.dedup();

        let is_same = self.current.generation > 0
            && self.current.revision == revision
            && self.current.refused == refused
            && self.current.tls_services == tls_services
            && self.current.routes.routes() == routes;
        if is_same {
            return Ok(None);
        }
        let mut names = ServerNames::default();
        for service in &tls_services {
            for sni in &service.spec.snis {
                names.add(sni, Arc::clone(service));
            }
        }
        self.current = Arc::new(Snapshot {
            generation: self.current.generation + 1,
            revision,
            applied_at: Timestamp::now(),
            names,
            tls_services,
            routes: RouteTable::new(routes),
            refused,
        });
        Ok(Some(Arc::clone(&self.current)))
    }

    /// Everything that is wrong with the directory as it was last read, a line each.
    pub fn problems(&self) -> Vec<String> {
        let strays =
            [self.stream_routes.strays(), self.tls_snis.strays(), self.endpoints.strays(), self.ticket_keys.problems()];
        let mut lines: Vec<String> = strays.concat().iter().map(Problem::to_string).collect();
        lines.extend(self.stream_routes.problems().flat_map(|(_, problems)| problems).map(Problem::to_string));
        lines.extend(self.tls_snis.problems().flat_map(|(_, problems)| problems).map(Problem::to_string));
        lines.extend(self.endpoints.problems().flat_map(|(_, problems)| problems).map(Problem::to_string));
        let of_files = self.file_refusals();
        let of_endpoints: Vec<String> = self.endpoints.problems().map(|(_, problems)| sentences(problems)).collect();
        let is_told = |refusal: &&Refusal| of_files.contains(refusal) || of_endpoints.contains(&refusal.message);
        let judged = self.current.refused.iter().filter(|refusal| !is_told(refusal));
        lines.extend(judged.map(|Refusal { object, reason, message }| format!("{object}: {reason}: {message}")));
        lines
    }

    /// What of the files can't be read as what it should be.
    fn file_refusals(&self) -> Vec<Refusal> {
        let routes = self.stream_routes.problems().map(|found| (Kind::StreamRoute, found));
        let tls_snis = self.tls_snis.problems().map(|found| (Kind::TlsSni, found));
        let invalid = routes.chain(tls_snis).map(|(kind, ((namespace, name), problems))| Refusal {
            object: ObjectRef { kind, namespace: namespace.clone(), name: name.clone() },
            reason: Reason::Invalid,
            message: sentences(problems),
        });
        let routes = self.stream_routes.strays().iter().map(|problem| (Kind::StreamRoute, problem));
        let tls_snis = self.tls_snis.strays().iter().chain(self.ticket_keys.problems());
        let tls_snis = tls_snis.map(|problem| (Kind::TlsSni, problem));
        let strays = routes.chain(tls_snis).map(|(kind, problem)| Refusal {
            object: ObjectRef {
                kind,
                namespace: String::new(),
                name: one_line(problem.file.as_deref().unwrap_or_default()),
            },
            reason: Reason::Invalid,
            message: problem.to_string(),
        });
        invalid.chain(strays).collect()
    }
}

/// Problems as one text, without the object, which is named beside it.
fn sentences(problems: &[Problem]) -> String {
    let without_object = |problem: &Problem| Problem { object: None, ..problem.clone() }.to_string();
    problems.iter().map(without_object).collect::<Vec<_>>().join("; ")
}

/// The revision that config-sync wrote last; `None` where the directory is edited by hand.
fn read_revision(root: &Path) -> Option<String> {
    let path = root.join(REVISION);
    // A pipe would never end.
    let bytes = Stamp::of(&path).and_then(|_| read_bounded(&path, MOST_REVISION_BYTES)).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}

/// The file that config-sync writes last.
pub(super) const REVISION: &str = "revision";
const MOST_REVISION_BYTES: u64 = 4096;
