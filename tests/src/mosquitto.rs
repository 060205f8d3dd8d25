//! mosquitto's command-line clients.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::{self, Output, Process};
use crate::wait;

/// Runs `mosquitto_pub` with these arguments to its end, or kills it after `within`.
pub fn publish(arguments: &[&str], within: Duration) -> Result<Output> {
    process::run(command("mosquitto_pub", arguments), within)
}

/// Runs `mosquitto_sub` with these arguments to its end (give it `-C COUNT`), or kills it after `within`.
pub fn subscribe(arguments: &[&str], within: Duration) -> Result<Output> {
    process::run(command("mosquitto_sub", arguments), within)
}

/// A `mosquitto_sub` in the background. Killed (by its process id) on drop.
#[derive(Debug)]
pub struct Subscriber {
    process: Process,
}

impl Subscriber {
    /// Starts it and waits until its subscription is confirmed (`-d` is added, so lines of its own are among the messages).
    pub fn start(arguments: &[&str]) -> Result<Self> {
        // Line by line, or its debug lines would stay in its buffer as long as it runs.
        let line_by_line = [&["-oL", "mosquitto_sub"], arguments, &["-d"]].concat();
        let mut process = Process::start(command("stdbuf", &line_by_line))?;
        process.wait_for_line("a SUBACK", wait::SOON, |line| line.starts_with("Subscribed").then_some(()))?;
        Ok(Self { process })
    }

    /// What it wrote until now.
    pub fn lines(&self) -> Vec<String> {
        self.process.lines()
    }

    /// Waits for a line that holds `text`, and returns it.
    pub fn wait_for_line(&mut self, text: &str, within: Duration) -> Result<String> {
        let what = format!("`{text}` at the subscriber");
        self.process.wait_for_line(&what, within, |line| line.contains(text).then(|| line.to_owned()))
    }

    /// Waits for its end.
    pub fn wait_for_end(&mut self, within: Duration) -> Result<std::process::ExitStatus> {
        self.process.wait_for_end(within)
    }

    /// Sends it a signal by name: `KILL` leaves the broker without a DISCONNECT, so that the will is published.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.process.signal(name)
    }
}

/// The `mosquitto` program: Debian has it where a user's PATH does not always lead.
pub fn server_program() -> &'static str {
    ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
        .into_iter()
        .find(|path| Path::new(path).is_file())
        .unwrap_or("mosquitto")
}

/// Whether mosquitto and its clients are installed.
pub fn is_installed() -> bool {
    let runs = |program: &str, argument: &str| {
        Command::new(program).arg(argument).output().is_ok_and(|output| !output.stdout.is_empty())
    };
    runs(server_program(), "-h") && runs("mosquitto_pub", "--help")
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}
