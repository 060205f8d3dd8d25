//! A real mosquitto.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::process::Process;
use crate::{mosquitto, wait};

/// The topic of the retained message by which a device learns which broker it reached.
pub const NAME_TOPIC: &str = "broker/name";

/// A mosquitto with a configuration of its own. Killed (by its process id) on drop.
#[derive(Debug)]
pub struct Broker {
    name: String,
    address: SocketAddr,
    settings: String,
    folder: TempDir,
    process: Option<Process>,
}

impl Broker {
    /// On a free port of 127.0.0.1, open to everybody, with its name retained at [`NAME_TOPIC`].
    pub fn start(name: &str) -> Result<Self> {
        Self::start_with(name, "")
    }

    /// The same with further lines of `mosquitto.conf`.
    pub fn start_with(name: &str, settings: &str) -> Result<Self> {
        let mut failed = None;
        // A port that was free a moment ago may be another's by now.
        for _ in 0..5 {
            let address = free_address(IpAddr::V4(Ipv4Addr::LOCALHOST))?;
            match Self::start_at(name, address, settings) {
                Ok(broker) => return Ok(broker),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => bail!("no port for the broker {name}"),
        }
    }

    /// At an address, with further lines of `mosquitto.conf`.
    pub fn start_at(name: &str, address: SocketAddr, settings: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("streamgate-broker-").tempdir()?;
        let mut broker = Self { name: name.to_owned(), address, settings: settings.to_owned(), folder, process: None };
        broker.restart()?;
        Ok(broker)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it logged until now: a line for each connection (`New client connected from … as <client id> (p5, c1, k60)`) and packet.
    pub fn log(&self) -> String {
        self.process.as_ref().map(|process| process.lines().join("\n")).unwrap_or_default()
    }

    /// Waits for a line of its log that holds `text`, and returns it.
    pub fn wait_for_log(&mut self, text: &str, within: Duration) -> Result<String> {
        let what = format!("`{text}` in the log of {}", self.name);
        match &mut self.process {
            Some(process) => process.wait_for_line(&what, within, |line| line.contains(text).then(|| line.to_owned())),
            None => bail!("{} is stopped", self.name),
        }
    }

    /// Stops it: its port refuses connections from then on.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Sends its process a signal: `STOP` makes it hang, `CONT` lets it go on.
    pub fn signal(&self, name: &str) -> Result<()> {
        match &self.process {
            Some(process) => process.signal(name),
            None => bail!("{} is stopped", self.name),
        }
    }

    /// Starts it (again) at its address, and waits until it serves.
    pub fn restart(&mut self) -> Result<()> {
        self.process = None;
        let file = self.folder.path().join("mosquitto.conf");
        let listener = format!("listener {} {}", self.address.port(), self.address.ip());
        fs::write(
            &file,
            format!("{listener}\nallow_anonymous true\npersistence false\nlog_type all\n{}\n", self.settings),
        )?;
        let mut command = Command::new(mosquitto::server_program());
        command.arg("-c").arg(&file);
        let mut process = Process::start(command)?;
        let address = self.address;
        wait::until(&format!("mosquitto at {address}"), wait::SOON, || {
            if !process.is_running() {
                return Some(Err(process.lines().join("\n")));
            }
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok().then_some(Ok(()))
        })?
        .map_err(|log| anyhow::anyhow!("mosquitto ended at once:\n{log}"))?;
        // Another server at this address would have let us in too.
        process.wait_for_line("mosquitto's start", wait::SOON, |line| line.contains("running").then_some(()))?;
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let published = mosquitto::publish(
            &["-h", &host, "-p", &port, "-t", NAME_TOPIC, "-m", &self.name, "-r", "-q", "1"],
            wait::SOON,
        )?;
        if !published.success() {
            bail!("can't publish the name of {}: {}", self.name, published.stderr);
        }
        self.process = Some(process);
        Ok(())
    }
}

/// An address of this host at which nothing listens.
pub fn free_address(host: IpAddr) -> Result<SocketAddr> {
    Ok(TcpListener::bind((host, 0))?.local_addr()?)
}

/// An address of this machine that is none of loopback: what runs there can be an upstream in a cluster.
///
/// # Errors
/// When this machine has no route to anywhere.
pub fn machine_address() -> Result<IpAddr> {
    // Nothing is sent: the kernel alone is asked from where it would be.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9)).context(
        "this machine has no route out, so no address but loopback, and that is no upstream in a cluster; add a default route",
    )?;
    Ok(socket.local_addr()?.ip())
}
