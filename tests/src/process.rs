//! Processes of others: their output as lines, a deadline for each, and none left behind.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait;

/// A process in the background, whose output is read as it comes. Killed (by its id) on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `command`, with nothing on its standard input.
    ///
    /// # Errors
    /// When it can't be started: not installed, not executable.
    pub fn start(mut command: Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("can't start {name}: is it installed?"))?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        if let Some(output) = child.stdout.take() {
            collect_lines(output, &lines);
        }
        if let Some(output) = child.stderr.take() {
            collect_lines(output, &lines);
        }
        Ok(Self { name, child, lines })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote until now, standard output and standard error, line by line.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it wrote a line of which `wanted` makes something, and returns that.
    ///
    /// # Errors
    /// After `within`, or as soon as the process has ended without it; all that it wrote is in the message.
    pub fn wait_for_line<T>(&mut self, what: &str, within: Duration, wanted: impl Fn(&str) -> Option<T>) -> Result<T> {
        let lines = Arc::clone(&self.lines);
        let child = &mut self.child;
        let mut ended = false;
        let found = wait::until(what, within, || {
            let found = lines.lock().unwrap_or_else(PoisonError::into_inner).iter().find_map(|line| wanted(line));
            if found.is_some() || ended {
                return Some(found);
            }
            // One more look after the end: the last lines may come after the exit is known.
            if matches!(child.try_wait(), Ok(Some(_))) {
                ended = true;
                thread::sleep(Duration::from_millis(50));
            }
            None
        });
        match found {
            Ok(Some(found)) => Ok(found),
            Ok(None) => bail!("{} ended before {what}; it wrote:\n{}", self.name, self.lines().join("\n")),
            Err(late) => bail!("{late}; {} wrote:\n{}", self.name, self.lines().join("\n")),
        }
    }

    /// Sends a signal by its name (`TERM`, `HUP`, `STOP`).
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).status()?;
        if !sent.success() {
            bail!("can't send {name} to {} ({})", self.name, self.id());
        }
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// After `within`.
    pub fn wait_for_end(&mut self, within: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        wait::until(&format!("the end of {}", self.name), within, || child.try_wait().ok().flatten())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail where it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command wrote and how it ended.
#[derive(Clone)]
pub struct Output {
    /// Standard output, whatever bytes it had.
    pub stdout: Vec<u8>,
    /// Standard error as text.
    pub stderr: String,
    /// The exit code; none where a signal or the deadline ended it.
    pub code: Option<i32>,
    /// Whether it had to be killed at its deadline.
    pub timed_out: bool,
}

impl Output {
    /// Whether it ended by itself with code 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// This output, where the command ended well.
    ///
    /// # Errors
    /// Else all that it wrote.
    pub fn succeeded(self, what: &str) -> Result<Self> {
        if !self.success() {
            bail!("{what} failed: {self:?}");
        }
        Ok(self)
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, into: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.timed_out { "killed at its deadline".to_owned() } else { format!("code {:?}", self.code) };
        write!(into, "{end}\n--- stdout\n{}\n--- stderr\n{}", self.text(), self.stderr)
    }
}

/// Runs `command` to its end, or to its deadline, with nothing on its standard input.
///
/// # Errors
/// When it can't be started. That it failed is no error: see [`Output`].
pub fn run(command: Command, within: Duration) -> Result<Output> {
    run_with_input(command, &[], None, within)
}

/// Runs `command` with `input` on its standard input, which is closed once the standard output holds `close_after` (at once
/// for `Some("")`; for none only at the deadline, from when on the command has two seconds to end).
///
/// # Errors
/// When it can't be started.
pub fn run_with_input(
    mut command: Command,
    input: &[u8],
    close_after: Option<&str>,
    within: Duration,
) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("can't start {name}: is it installed?"))?;
    let stdout = child.stdout.take().map(collect_bytes);
    let stderr = child.stderr.take().map(collect_bytes);
    let mut stdin = child.stdin.take();
    if input.is_empty() && close_after.is_none_or(str::is_empty) {
        // Nothing to wait for.
        if close_after.is_some() {
            stdin = None;
        }
    } else if let Some(stdin) = &mut stdin {
        // A command that ends without reading its input has said what it had to say elsewhere.
        let _ = stdin.write_all(input).and_then(|()| stdin.flush());
    }
    let mut ended = wait::until(&name, within, || {
        if let (Some(text), Some((seen, _))) = (close_after, &stdout)
            && stdin.is_some()
            && contains(&seen.lock().unwrap_or_else(PoisonError::into_inner), text.as_bytes())
        {
            stdin = None;
        }
        child.try_wait().ok().flatten()
    })
    .ok();
    let held_to_the_deadline = stdin.take().is_some() && ended.is_none();
    if held_to_the_deadline {
        ended = wait::until(&name, Duration::from_secs(2), || child.try_wait().ok().flatten()).ok();
    }
    let timed_out = ended.is_none();
    if timed_out {
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok(Output {
        stdout: stdout.map(finish).unwrap_or_default(),
        stderr: String::from_utf8_lossy(&stderr.map(finish).unwrap_or_default()).into_owned(),
        code: ended.and_then(|status| status.code()),
        timed_out,
    })
}

type Collected = (Arc<Mutex<Vec<u8>>>, thread::JoinHandle<()>);

fn collect_bytes(mut from: impl Read + Send + 'static) -> Collected {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&bytes);
    let reader = thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
        }
    });
    (bytes, reader)
}

fn finish((bytes, reader): Collected) -> Vec<u8> {
    // A reader that panicked left what it had read.
    let _ = reader.join();
    std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner))
}

fn collect_lines(from: impl Read + Send + 'static, into: &Arc<Mutex<Vec<String>>>) {
    let into = Arc::clone(into);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while let Ok(1..) = from.read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            into.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            line.clear();
        }
    });
}

fn contains(all: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || all.windows(wanted.len()).any(|part| part == wanted)
}

/// Where a binary of the workspace is, such as `streamgate-proxy`: what `STREAMGATE_PROXY` says, else in `CARGO_TARGET_DIR` or
/// the workspace's `target`.
///
/// # Errors
/// When it is not there, with the command that builds it.
pub fn binary(name: &str) -> Result<PathBuf> {
    let variable = name.to_uppercase().replace('-', "_");
    let path = match (std::env::var_os(&variable), std::env::var_os("CARGO_TARGET_DIR")) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(target)) => PathBuf::from(target).join("debug").join(name),
        (None, None) => crate::workspace().join("target/debug").join(name),
    };
    if !path.is_file() {
        bail!("there is no {}: build it by `cargo build --workspace`, or name it in {variable}", path.display());
    }
    Ok(path)
}
