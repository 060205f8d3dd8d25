//! The demo's brokers: mosquitto where it is installed, else the built-in one.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;
use streamgate_tests::broker::Broker as Mosquitto;
use streamgate_tests::process::Process;
use streamgate_tests::{mosquitto, wait};

use crate::embedded;

/// Which broker it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    /// mosquitto, as installed here.
    Mosquitto,
    /// rumqttd, built into the demo.
    Embedded,
}

impl Make {
    /// mosquitto where it is installed, unless the built-in one is wanted.
    pub(crate) fn choose(embedded: bool) -> Self {
        if !embedded && mosquitto::is_installed() { Self::Mosquitto } else { Self::Embedded }
    }

    /// In words.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto, as installed here",
            Self::Embedded => "rumqttd, built into the demo",
        }
    }
}

/// A broker of the demo, in a process of its own.
pub(crate) struct Broker {
    /// The name of the node in the manifests, and what the broker says at `broker/name`.
    pub(crate) name: String,
    address: SocketAddr,
    make: Make,
    running: Option<Running>,
}

impl Broker {
    /// Starts it.
    pub(crate) fn start(make: Make, name: &str, address: SocketAddr) -> Result<Self> {
        let mut broker = Self { name: name.to_owned(), address, make, running: None };
        broker.restart()?;
        Ok(broker)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    /// Starts it where it was.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.running = Some(match self.make {
            Make::Mosquitto => Running::Mosquitto { _broker: Mosquitto::start_at(&self.name, self.address, "")? },
            Make::Embedded => Running::Embedded { _process: start_embedded(&self.name, self.address)? },
        });
        Ok(())
    }
}

enum Running {
    Mosquitto { _broker: Mosquitto },
    Embedded { _process: Process },
}

fn start_embedded(name: &str, address: SocketAddr) -> Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["broker", "--name", name, "--address", &address.to_string()]);
    let mut process = Process::start(command)?;
    process.wait_for_line(&format!("the broker {name}"), wait::SOON, |line| (line == embedded::READY).then_some(()))?;
    Ok(process)
}
