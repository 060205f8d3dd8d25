//! The command line: what each command says, and by which code it ends.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use streamgate_tests::process::{self, Output, Process};
use streamgate_tests::proxy::binary;
use streamgate_tests::wait;

mod bootstrap;
mod check;
mod explain;
mod run;

/// How long a command may take that ends by itself.
const SOON_ENDED: Duration = Duration::from_secs(30);

/// Runs `streamgate-proxy` to its end.
fn proxy(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    command.args(arguments).env_remove("RUST_LOG");
    process::run(command, SOON_ENDED)
}

/// A `streamgate-proxy run` with a text log.
pub(crate) struct Running {
    pub(crate) process: Process,
}

impl Running {
    /// Starts it with these arguments (and this `RUST_LOG`), and waits until it is ready.
    pub(crate) fn start(arguments: &[&str], level: &str) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.arg("run").args(arguments).env("RUST_LOG", level);
        let mut process = Process::start(command)?;
        process.wait_for_line("`ready`", wait::SOON, |line| line.ends_with(" ready").then_some(()))?;
        Ok(Self { process })
    }

    /// The address in the line that holds `text`.
    pub(crate) fn address(&self, text: &str) -> Result<SocketAddr> {
        let lines = self.process.lines();
        let line = lines.iter().find(|line| line.contains(text)).with_context(|| format!("no line with {text}"))?;
        let address = line.split_once("address=").map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
        Ok(address.with_context(|| format!("no address in {line}"))?.parse()?)
    }

    /// Waits for a line that holds all of these, and gives it.
    pub(crate) fn wait_for_line(&mut self, parts: &[&str]) -> Result<String> {
        self.process.wait_for_line(&format!("{parts:?}"), wait::SOON, |line| {
            parts.iter().all(|part| line.contains(part)).then(|| line.to_owned())
        })
    }
}
