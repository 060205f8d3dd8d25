//! A peer that runs, alone on its core.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::{sleep, timeout};

use super::Peer;
use crate::device::Kind;
use crate::machine::PROXY_CORE;
use crate::stage::Site;
use crate::usage::{self, Usage};

/// Ended on drop, with all processes that it started.
pub(crate) struct Running<'a> {
    pub(crate) site: Site<'a>,
    pub(crate) peer: Peer,
    child: Child,
}

impl<'a> Running<'a> {
    /// Starts it, and waits until it serves. What it writes goes to a file.
    pub(crate) async fn start(peer: Peer, site: Site<'a>) -> Result<Self> {
        Self::start_by(peer, site, false).await
    }

    /// The same for one whose configuration will change.
    pub(crate) async fn start_to_change(peer: Peer, site: Site<'a>) -> Result<Self> {
        Self::start_by(peer, site, true).await
    }

    async fn start_by(peer: Peer, site: Site<'a>, changes: bool) -> Result<Self> {
        peer.write(&site, 0)?;
        let own = peer.command(&site, changes)?;
        let log = File::create(site.folder().join(LOG))?;
        // It ends with this process, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "taskset", "-c", &PROXY_CORE.to_string()]);
        command.arg(own.get_program()).args(own.get_args());
        command.env_remove("RUST_LOG");
        command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("can't run setpriv (util-linux)")?;
        let mut running = Self { site, peer, child };
        running.wait_until_it_serves().await.with_context(|| running.log())?;
        Ok(running)
    }

    async fn wait_until_it_serves(&mut self) -> Result<()> {
        let (plain, tls) = (self.site.devices(Kind::Plain)?, self.site.devices(Kind::Full)?);
        let start = Instant::now();
        for device in plain.iter().take(1).chain(&tls) {
            loop {
                let error = match timeout(Duration::from_secs(5), device.connect("first")).await {
                    Ok(Ok(_)) => break,
                    Ok(Err(error)) => error,
                    Err(late) => late.into(),
                };
                if let Some(status) = self.child.try_wait()? {
                    bail!("{} ended: {status}", self.peer.name());
                }
                if start.elapsed() > START {
                    return Err(error).with_context(|| format!("{} doesn't let a device in", self.peer.name()));
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Changes its certificates and its brokers, in its own way.
    pub(crate) fn change(&self, number: usize) -> Result<()> {
        self.peer.write(&self.site, number)?;
        if let Some(signal) = self.peer.signal() {
            kill_process(self.id()?, signal)?;
        }
        Ok(())
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id()).with_context(|| self.log())
    }

    pub(crate) fn memory_kib(&self) -> Result<u64> {
        usage::memory_of_group_kib(self.child.id()).with_context(|| self.log())
    }

    /// The end of what it wrote, for a message.
    pub(crate) fn log(&self) -> String {
        let text = fs::read(self.site.folder().join(LOG)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        format!("{} wrote:\n{}", self.peer.name(), lines[lines.len().saturating_sub(20)..].join("\n"))
    }

    fn id(&self) -> Result<Pid> {
        Pid::from_raw(i32::try_from(self.child.id())?).context("no process id")
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Fails where all have ended already, which is as good. Those that outlive a reload are of the group as well.
        if let Ok(id) = self.id() {
            let _ = kill_process_group(id, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

const LOG: &str = "log";
const START: Duration = Duration::from_secs(30);
