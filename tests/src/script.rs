//! A script of `tests/cluster/` that keeps something running in a folder, until the drop or the end of its owner.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{self, Output};

/// How long a step may take: a second or two where the machine isn't busy.
pub(crate) const STEP: Duration = Duration::from_mins(3);
/// How long the start may take: it builds the binaries where nobody did before.
const START: Duration = Duration::from_mins(40);

/// What one run of `up` started. It ends on drop, and soon after its owner where that ends without a drop.
#[derive(Debug)]
pub(crate) struct Script {
    name: &'static str,
    folder: TempDir,
}

impl Script {
    /// Runs `up` of the script `name`, for as long as the process `owner`.
    ///
    /// # Errors
    /// When it fails, by what it wrote.
    pub(crate) fn up(name: &'static str, owner: u32) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("streamgate-{name}-")).tempdir()?;
        // Made before the start: where that fails, the drop ends what did start.
        let script = Self { name, folder };
        script.run_within("up", &["--owner", &owner.to_string()], None, START)?.succeeded(&format!("{name} up"))?;
        Ok(script)
    }

    /// The folder with all that it is made of.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The script with this action on its folder, to which arguments can be added.
    pub(crate) fn command(&self, action: &str) -> Command {
        let mut command = Command::new(crate::workspace().join("tests/cluster").join(self.name));
        command.arg(action).arg(self.path());
        command
    }

    /// Runs an action with these arguments and this standard input.
    ///
    /// # Errors
    /// When it can't be started. That it failed is no error.
    pub(crate) fn run(&self, action: &str, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        self.run_within(action, arguments, input, STEP)
    }

    fn run_within(&self, action: &str, arguments: &[&str], input: Option<&str>, within: Duration) -> Result<Output> {
        let mut command = self.command(action);
        command.args(arguments);
        process::run_with_input(command, input.unwrap_or_default().as_bytes(), Some(""), within)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Where it fails, it ends with its owner.
        let _ = self.run("down", &[], None);
    }
}

/// What a command printed as JSON.
///
/// # Errors
/// When it failed, by what it wrote.
pub(crate) fn json(output: Output, arguments: &[&str]) -> Result<Value> {
    let output = output.succeeded(&arguments.join(" "))?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("no JSON from {arguments:?}"))
}
