//! What the proxy says, on the Lease of its pod: at once when it changes, and again and again while nothing does.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, Patch, PatchParams, PostParams};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::metrics::Metrics;
use super::status;
use crate::reason::reason;
use crate::report::{LEASE_SECONDS, PROXY_LABEL, Report, STATUS_ANNOTATION};

/// The way back of one proxy.
pub(super) struct WayBack {
    pub(super) leases: Api<Lease>,
    /// The pod's name, which is the Lease's.
    pub(super) pod: String,
    pub(super) gateway: String,
    pub(super) status_dir: PathBuf,
    pub(super) metrics: Rc<Metrics>,
}

impl WayBack {
    /// Reports for ever. Where the Lease can't be written, the next time will do.
    pub(super) async fn run(self) {
        let changed = Arc::new(Notify::new());
        let _watcher = self
            .watch(&changed)
            .inspect_err(
                |error| tracing::warn!(%error, "changes of the status are not told; it is looked at now and then"),
            )
            .ok();
        let mut reader = Reader { path: self.status_dir.join(STATUS_FILE), problem: None };
        let mut is_failing = false;
        // What the Lease says, and from when on it is to be written anyway.
        let mut said = None;
        let mut due = Instant::now();
        loop {
            let report = reader.read(&self.metrics);
            if said != report || Instant::now() >= due {
                let written = match timeout(LONGEST_WRITE, self.write(report.as_ref())).await {
                    Ok(written) => written,
                    Err(_) => Err(anyhow::anyhow!("no answer within {LONGEST_WRITE:?}")),
                };
                self.metrics.lease_written(written.is_ok());
                match written {
                    Ok(()) => {
                        if is_failing {
                            tracing::info!("the Lease can be written again");
                        }
                        (said, is_failing, due) = (report, false, Instant::now() + RENEW_INTERVAL);
                    }
                    Err(error) => {
                        if !is_failing {
                            tracing::warn!(
                                error = format!("{error:#}"),
                                "the Lease can't be written; it is tried again"
                            );
                        }
                        (is_failing, due) = (true, Instant::now() + RETRY_INTERVAL);
                        sleep_until(due).await;
                        continue;
                    }
                }
                // However often the status changes, the API server is asked no oftener.
                sleep(SHORTEST_INTERVAL).await;
            }
            tokio::select! {
                () = changed.notified() => {}
                () = sleep_until(due) => {}
            }
        }
    }

    async fn write(&self, report: Option<&Report>) -> Result<()> {
        let status = report.map(serde_json::to_string).transpose().context("a report that is no JSON")?;
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(self.lease(Some(status.as_deref().into())));
        match self.leases.patch_metadata(&self.pod, &parameters, &patch).await {
            Err(kube::Error::Api(refusal)) if refusal.is_not_found() => {}
            patched => return patched.map(drop).map_err(|error| anyhow::anyhow!(reason(&error))),
        }
        let lease = serde_json::from_value(self.lease(status.map(Value::from))).context("a Lease that is none")?;
        let created_by = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let created = self.leases.create(&created_by, &lease).await;
        created.map(drop).map_err(|error| anyhow::anyhow!(reason(&error)))
    }

    /// `status`: `Null` takes the annotation away, and `None` has none.
    fn lease(&self, status: Option<Value>) -> Value {
        let annotations: serde_json::Map<String, Value> =
            status.into_iter().map(|status| (STATUS_ANNOTATION.to_owned(), status)).collect();
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.pod, "labels": {PROXY_LABEL: self.gateway}, "annotations": annotations},
            "spec": {
                "holderIdentity": self.pod,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": MicroTime(Timestamp::now()),
            },
        })
    }

    fn watch(&self, changed: &Arc<Notify>) -> notify::Result<RecommendedWatcher> {
        let changed = Arc::clone(changed);
        let tell = move |event: notify::Result<notify::Event>| {
            let is_status = |path: &PathBuf| path.file_name().is_some_and(|name| name == STATUS_FILE);
            // Our own reading is no change. A queue that overflowed tells of no path.
            let is_change = event.map_or(true, |event| {
                !event.kind.is_access() && (event.paths.is_empty() || event.paths.iter().any(is_status))
            });
            if is_change {
                changed.notify_one();
            }
        };
        let mut watcher = notify::recommended_watcher(tell)?;
        watcher.watch(&self.status_dir, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    }
}

/// Reads the status, and says once what is wrong with it.
struct Reader {
    path: PathBuf,
    problem: Option<String>,
}

impl Reader {
    /// `None`: there is no status, or none that is a proxy's.
    fn read(&mut self, metrics: &Metrics) -> Option<Report> {
        match read(&self.path) {
            Ok(report) => {
                self.problem = None;
                report
            }
            Err(error) => {
                let problem = format!("{error:#}");
                if self.problem.as_ref() != Some(&problem) {
                    metrics.status_rejected();
                    tracing::warn!(problem, "status.json is not reported");
                    self.problem = Some(problem);
                }
                None
            }
        }
    }
}

fn read(path: &Path) -> Result<Option<Report>> {
    let file = status::open(path)?;
    Ok(file.map(status::read).transpose()?)
}

const FIELD_MANAGER: &str = "streamgate-sync";
const STATUS_FILE: &str = "status.json";

/// A third of what a Lease holds.
const RENEW_INTERVAL: Duration = Duration::from_secs(5);
/// After a write that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Between one write and the next.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);
/// For how long an answer is waited for.
const LONGEST_WRITE: Duration = Duration::from_secs(4);
