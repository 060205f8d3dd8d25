//! The real proxy binary, on a configuration directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::config_dir::ConfigDir;
use crate::process::{self, Process};
use crate::wait;

/// A listener that the proxy is to have.
#[derive(Clone, Debug)]
pub struct Listener {
    name: String,
    address: String,
    protocol: &'static str,
}

impl Listener {
    /// Mutual TLS on a free port of 127.0.0.1.
    pub fn mqtts(name: &str) -> Self {
        Self { name: name.to_owned(), address: "127.0.0.1:0".to_owned(), protocol: "MQTTS" }
    }

    /// Plaintext on a free port of 127.0.0.1.
    pub fn mqtt(name: &str) -> Self {
        Self { protocol: "MQTT", ..Self::mqtts(name) }
    }

    /// At this address in place of a free port: `[::1]:0`, `127.0.0.1:8883`.
    #[must_use]
    pub fn at(mut self, address: &str) -> Self {
        address.clone_into(&mut self.address);
        self
    }

    fn flag(&self) -> String {
        format!("name={},address={},protocol={}", self.name, self.address, self.protocol)
    }
}

/// How long the start may take: it reads all that is in the directory.
const START: Duration = Duration::from_mins(1);

/// The variable by which the log tells more or less.
const LOG_LEVEL: &str = "RUST_LOG";

/// A running proxy. Killed (by its process id) on drop.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    status_file: PathBuf,
    listeners: BTreeMap<String, SocketAddr>,
    admin: SocketAddr,
}

impl Proxy {
    /// Starts it with two workers and these listeners, and waits until it is ready.
    ///
    /// # Errors
    /// When the binary was not built, or doesn't get ready; its log is in the message.
    pub fn start(config: &ConfigDir, listeners: &[Listener]) -> Result<Self> {
        Self::start_with(config, listeners, &[])
    }

    /// The same with further flags, such as `["--client-hello-timeout", "1s"]`.
    pub fn start_with(config: &ConfigDir, listeners: &[Listener], flags: &[&str]) -> Result<Self> {
        Self::start_by(Command::new(binary()?), config, listeners, flags)
    }

    /// The same as [`Proxy::start`], with a limit of open files that it can't raise.
    pub fn start_with_open_files(config: &ConfigDir, listeners: &[Listener], files: u32) -> Result<Self> {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={files}:{files}")).arg(binary()?);
        Self::start_by(command, config, listeners, &[])
    }

    /// The same as [`Proxy::start`], with a log of this level: `debug`, `trace`.
    pub fn start_with_log(config: &ConfigDir, listeners: &[Listener], level: &str) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.env(LOG_LEVEL, level);
        Self::start_by(command, config, listeners, &[])
    }

    /// The same as [`Proxy::start_with`], by a command to which the proxy's own arguments are added.
    pub fn start_by(mut command: Command, config: &ConfigDir, listeners: &[Listener], flags: &[&str]) -> Result<Self> {
        command.arg("run").arg("--config-dir").arg(config.path()).arg("--status-dir").arg(config.status_dir());
        for listener in listeners {
            command.arg("--listener").arg(listener.flag());
        }
        for (flag, value) in [("--admin", "127.0.0.1:0"), ("--workers", "2"), ("--log-format", "Json")] {
            if !flags.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command.args(flags);
        if command.get_envs().all(|(name, _)| name != LOG_LEVEL) {
            command.env_remove(LOG_LEVEL);
        }
        let mut process = Process::start(command)?;
        process.wait_for_line("`ready` of streamgate-proxy", START, |line| {
            (event(line)?["message"] == "ready").then_some(())
        })?;
        let events: Vec<Value> = process.lines().iter().filter_map(|line| event(line)).collect();
        let listening = |message: &'static str| events.iter().filter(move |event| event["message"] == message);
        let mut bound = BTreeMap::new();
        for event in listening("listening") {
            bound.insert(event["listener"].as_str().context("a listener has a name")?.to_owned(), address(event)?);
        }
        let admin = address(listening("admin listening").next().context("no `admin listening` before `ready`")?)?;
        Ok(Self { process, status_file: config.status_dir().join("status.json"), listeners: bound, admin })
    }

    /// Where a listener is bound.
    ///
    /// # Panics
    /// If the proxy was not started with it.
    pub fn address(&self, listener: &str) -> SocketAddr {
        *self.listeners.get(listener).unwrap_or_else(|| panic!("no listener {listener} in {:?}", self.listeners))
    }

    /// Where the admin port is bound.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it logged until now; lines that are no JSON are left out.
    pub fn events(&self) -> Vec<Value> {
        self.process.lines().iter().filter_map(|line| event(line)).collect()
    }

    /// All that it wrote, for a test's failure message.
    pub fn log(&self) -> String {
        self.process.lines().join("\n")
    }

    /// Waits for a log line that is as wanted, among those that were and those that come.
    pub fn wait_for_log(&mut self, what: &str, within: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.process.wait_for_line(what, within, |line| event(line).filter(|event| wanted(event)))
    }

    /// Waits for the access line (`"message":"connection"`) that is as wanted: by `client_id`, `end` and so on.
    pub fn wait_for_connection(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.wait_for_log(what, wait::SOON, |event| event["message"] == "connection" && wanted(event))
    }

    /// `status.json` as it is now; `Null` where there is none.
    pub fn status(&self) -> Value {
        fs::read(&self.status_file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null)
    }

    /// Waits until `status.json` is as wanted.
    pub fn wait_for_status(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(what, wait::SOON, || Some(self.status()).filter(|status| wanted(status)))
            .with_context(|| format!("status.json is {}\n{}", self.status(), self.log()))
    }

    /// Waits until what was written to the directory since `generation` (of an earlier [`Proxy::status`]) is applied.
    pub fn wait_for_generation_after(&self, generation: u64) -> Result<Value> {
        self.wait_for_status(&format!("a generation after {generation}"), |status| {
            status["generation"].as_u64().is_some_and(|now| now > generation)
        })
    }

    /// The generation that is applied now; 0 before the first.
    pub fn generation(&self) -> u64 {
        self.status()["generation"].as_u64().unwrap_or(0)
    }

    /// GET of a path of the admin port: `/livez`, `/readyz`, `/metrics`, `/config`.
    pub fn admin_get(&self, path: &str) -> Result<Response> {
        get(self.admin, path)
    }

    /// Sends a signal by name: `TERM`, `HUP`.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.process.signal(name)
    }

    /// Waits until it has ended by itself.
    pub fn wait_for_end(&mut self, within: Duration) -> Result<ExitStatus> {
        self.process.wait_for_end(within)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }
}

/// An HTTP response of the admin port.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header lines, as they came.
    pub headers: String,
    /// The body.
    pub body: String,
}

/// Where the proxy's binary is; see [`process::binary`].
///
/// # Errors
/// When it is not there, with the command that builds it.
pub fn binary() -> Result<PathBuf> {
    process::binary("streamgate-proxy")
}

/// GET of a path at an admin port.
pub fn get(address: SocketAddr, path: &str) -> Result<Response> {
    let mut stream = TcpStream::connect_timeout(&address, wait::SOON)?;
    stream.set_read_timeout(Some(wait::SOON))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).with_context(|| format!("GET {path}"))?;
    let text = String::from_utf8_lossy(&bytes);
    let (headers, body) = text.split_once("\r\n\r\n").with_context(|| format!("no HTTP response: {text}"))?;
    let status = headers.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status code")?;
    let chunked = headers.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { without_chunks(body) } else { body.to_owned() };
    Ok(Response { status, headers: headers.to_owned(), body })
}

fn without_chunks(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let Some(chunk) = usize::from_str_radix(length.trim(), 16).ok().and_then(|length| after.get(..length)) else {
            break;
        };
        body.push_str(chunk);
        rest = after[chunk.len()..].trim_start_matches("\r\n");
    }
    body
}

fn event(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

fn address(event: &Value) -> Result<SocketAddr> {
    let text = event["address"].as_str().with_context(|| format!("no address in {event}"))?;
    text.parse().with_context(|| format!("no address: {text}"))
}
