//! A real `HAProxy`.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use streamgate_tests::process::Process;
use streamgate_tests::wait;
use tempfile::TempDir;

/// A `HAProxy` with a master, as an ingress controller runs it. Ended on drop, with all of its processes.
#[derive(Debug)]
pub(super) struct Haproxy {
    folder: TempDir,
    master: Process,
}

/// The process of before a reload: it takes nobody in any more, and keeps who is connected.
#[derive(Debug)]
pub(super) struct Former {
    id: String,
}

impl Haproxy {
    /// Starts it, and waits until it serves.
    pub(super) fn start(configuration: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("streamgate-haproxy-").tempdir()?;
        let file = folder.path().join(CONFIGURATION);
        fs::write(&file, configuration)?;
        let mut command = Command::new(program());
        command.args(["-W", "-db", "-f"]).arg(&file).arg("-S").arg(folder.path().join(SOCKET));
        let mut master = Process::start(command)?;
        master.wait_for_line("HAProxy's start", wait::SOON, |line| line.contains(LOADED).then_some(()))?;
        let haproxy = Self { folder, master };
        haproxy.wait_for_master()?;
        Ok(haproxy)
    }

    /// Has it take another configuration, as an ingress controller does, and waits until the process of before takes nobody
    /// in any more.
    pub(super) fn reload(&mut self, configuration: &str) -> Result<Former> {
        fs::write(self.folder.path().join(CONFIGURATION), configuration)?;
        let former = Former { id: self.worker().context("HAProxy has no worker")? };
        let loads = self.loads();
        self.master.signal("USR2")?;
        let stopped = format!("({}) : Proxy ", former.id);
        wait::until("HAProxy's reload", wait::SOON, || {
            let has_stopped = |line: &String| line.contains(&stopped) && line.contains(" stopped ");
            (self.loads() > loads && self.master.lines().iter().any(has_stopped)).then_some(())
        })
        .with_context(|| self.log())?;
        self.wait_for_master()?;
        Ok(former)
    }

    /// Ends the process of before, and all of its connections, as `hard-stop-after` does.
    pub(super) fn end(&mut self, former: &Former) -> Result<()> {
        let sent = Command::new("kill").arg(&former.id).status()?;
        ensure!(sent.success(), "the process of before has ended already\n{}", self.log());
        let gone = format!("Former worker ({}) exited", former.id);
        self.master.wait_for_line("the former process' end", wait::SOON, |line| line.contains(&gone).then_some(()))
    }

    /// All that it wrote, for a test's failure message.
    pub(super) fn log(&self) -> String {
        self.master.lines().join("\n")
    }

    /// Waits until the master answers at its socket: a signal that comes earlier can be lost.
    fn wait_for_master(&self) -> Result<()> {
        let ask = || -> io::Result<String> {
            let mut socket = UnixStream::connect(self.folder.path().join(SOCKET))?;
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
            socket.write_all(b"show proc\n")?;
            // Else it waits for the next question.
            socket.shutdown(Shutdown::Write)?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let is_whole = |answer: &String| answer.contains("# workers");
        wait::until("HAProxy's master", wait::SOON, || ask().ok().filter(is_whole)).with_context(|| self.log())?;
        Ok(())
    }

    fn loads(&self) -> usize {
        self.master.lines().iter().filter(|line| line.contains(LOADED)).count()
    }

    /// The process that serves, by its id.
    fn worker(&self) -> Option<String> {
        let lines = self.master.lines();
        let started = lines.iter().rev().find_map(|line| line.split_once("New worker ("))?;
        Some(started.1.split_once(')')?.0.to_owned())
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // The master takes the former processes along. Both fail where it has ended already, which is as good.
        let _ = self.master.signal("TERM");
        let _ = self.master.wait_for_end(wait::SOON);
    }
}

/// Debian has it where a user's PATH does not always lead.
fn program() -> &'static str {
    ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"]
        .into_iter()
        .find(|path| Path::new(path).is_file())
        .unwrap_or("haproxy")
}

const CONFIGURATION: &str = "haproxy.cfg";
const SOCKET: &str = "master.sock";
/// What the master writes once a configuration serves.
const LOADED: &str = "Loading success.";
