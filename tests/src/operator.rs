//! The real operator binary, on an API server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::{self, Process};
use crate::{proxy, wait};

/// For what takes a moment on an idle machine.
pub const EVENTUALLY: Duration = Duration::from_mins(1);

/// A running operator. Killed (by its process id) on drop.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    admin: SocketAddr,
}

impl Operator {
    /// Starts it with the permissions of a kubeconfig and with a file of settings, and waits until its admin port answers.
    ///
    /// # Errors
    /// When the binary was not built, or ends; its log is in the message.
    pub fn start(kubeconfig: &Path, settings: &Path) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.arg("--config").arg(settings).args(["--log-format", "Json"]);
        command.env("KUBECONFIG", kubeconfig).env_remove("RUST_LOG");
        let mut process = Process::start(command)?;
        let admin = process.wait_for_line("`admin listening` of streamgate-operator", wait::SOON, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["message"] == "admin listening").then(|| event["address"].as_str()?.parse().ok())?
        })?;
        Ok(Self { process, admin })
    }

    /// Waits until `/readyz` says so.
    pub fn wait_until_ready(&self) -> Result<()> {
        let ready = wait::until("an operator that is ready", EVENTUALLY, || {
            self.get("/readyz").ok().filter(|answer| answer.starts_with("ok"))
        });
        ready.map(drop).with_context(|| self.log())
    }

    /// Waits until it leads.
    pub fn wait_until_leading(&self, within: Duration) -> Result<()> {
        wait::until("an operator that leads", within, || self.leads().then_some(())).with_context(|| self.log())
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.get("/metrics").is_ok_and(|page| page.contains("streamgate_operator_leader 1"))
    }

    /// The body of a path of its admin port: `/livez`, `/readyz`, `/metrics`.
    pub fn get(&self, path: &str) -> Result<String> {
        Ok(proxy::get(self.admin, path)?.body)
    }

    /// How many writes of generated objects and statuses it has done.
    pub fn writes(&self) -> Result<u64> {
        let page = self.get("/metrics")?;
        let counts = page.lines().filter(|line| line.starts_with("streamgate_operator_writes_total"));
        Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }

    /// All that it wrote, for a test's failure message.
    pub fn log(&self) -> String {
        self.process.lines().join("\n")
    }

    /// Waits for a line of its log that holds `text`.
    pub fn wait_for_log(&mut self, text: &str) -> Result<()> {
        let what = format!("`{text}` in the operator's log");
        self.process.wait_for_line(&what, EVENTUALLY, |line| line.contains(text).then_some(()))
    }

    /// Sends a signal by name: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.process.signal(name)
    }

    /// Waits until it has ended by itself.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus> {
        self.process.wait_for_end(EVENTUALLY)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Asks it to stop, and waits for that.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.signal("TERM")?;
        self.wait_for_end()
    }
}

/// Where the operator's binary is; see [`process::binary`].
///
/// # Errors
/// When it is not there, with the command that builds it.
pub fn binary() -> Result<PathBuf> {
    process::binary("streamgate-operator")
}
