//! The real config-sync binary, which fills a configuration directory from an API server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::config_dir::ConfigDir;
use crate::process::{self, Process};
use crate::proxy::{self, Response};
use crate::wait;

/// A running config-sync. Killed (by its process id) on drop.
#[derive(Debug)]
pub struct Sync {
    process: Process,
    admin: SocketAddr,
}

impl Sync {
    /// Starts it for a gateway as the sidecar of the pod `pod`, on the directories of `config`, and waits until its admin port
    /// answers.
    ///
    /// # Errors
    /// When the binary was not built, or ends; its log is in the message.
    pub fn start(kubeconfig: &Path, gateway: &str, pod: &str, config: &ConfigDir) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.env("KUBECONFIG", kubeconfig).env("POD_NAME", pod).env_remove("RUST_LOG");
        command.args(["--gateway", gateway, "--admin", "127.0.0.1:0", "--log-format", "Json"]);
        command.arg("--config-dir").arg(config.path()).arg("--status-dir").arg(config.status_dir());
        let mut process = Process::start(command)?;
        let admin = process.wait_for_line("`admin listening` of streamgate-sync", wait::SOON, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["message"] == "admin listening").then(|| event["address"].as_str()?.parse().ok())?
        })?;
        Ok(Self { process, admin })
    }

    /// The same, and waits until a proxy could start, as a kubelet does by the startupProbe.
    pub fn start_ready(kubeconfig: &Path, gateway: &str, pod: &str, config: &ConfigDir) -> Result<Self> {
        let sync = Self::start(kubeconfig, gateway, pod, config)?;
        sync.wait_until_ready(wait::SOON)?;
        Ok(sync)
    }

    /// Waits until `/readyz` says so.
    pub fn wait_until_ready(&self, within: Duration) -> Result<()> {
        wait::until("/readyz of streamgate-sync", within, || self.is_ready().then_some(())).with_context(|| self.log())
    }

    /// Whether `/readyz` says so.
    pub fn is_ready(&self) -> bool {
        self.admin_get("/readyz").is_ok_and(|response| response.status == 200)
    }

    /// GET of a path of the admin port: `/livez`, `/readyz`, `/metrics`.
    pub fn admin_get(&self, path: &str) -> Result<Response> {
        proxy::get(self.admin, path)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// All that it wrote, for a test's failure message.
    pub fn log(&self) -> String {
        self.process.lines().join("\n")
    }

    /// Waits for a log line that is as wanted, among those that were and those that come.
    pub fn wait_for_log(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.process
            .wait_for_line(what, wait::SOON, |line| serde_json::from_str(line).ok().filter(|event| wanted(event)))
    }

    /// Sends a signal by name: `TERM`, `STOP`.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.process.signal(name)
    }

    /// Waits until it has ended by itself.
    pub fn wait_for_end(&mut self, within: Duration) -> Result<ExitStatus> {
        self.process.wait_for_end(within)
    }
}

/// Where config-sync's binary is; see [`process::binary`].
///
/// # Errors
/// When it is not there, with the command that builds it.
pub fn binary() -> Result<PathBuf> {
    process::binary("streamgate-sync")
}
