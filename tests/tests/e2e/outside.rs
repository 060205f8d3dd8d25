//! A network outside of the cluster, whose packets reach it by way of the node. It is in the node's network namespace and one of
//! its own, so the tests have to be root there.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use streamgate_tests::{process, wire};

/// The network. It ends on drop.
pub(crate) struct Outside {
    namespace: PathBuf,
}

impl Outside {
    /// One with a single device, and the node as its router.
    pub(crate) fn new() -> Result<Self> {
        ip("netns add outside")?;
        let outside = Self { namespace: "/run/netns/outside".into() };
        ip("link add outside type veth peer name device netns outside")?;
        ip("address add 198.51.100.1/24 dev outside")?;
        ip("link set outside up")?;
        ip("-netns outside address add 198.51.100.2/24 dev device")?;
        ip("-netns outside link set device up")?;
        ip("-netns outside route add default via 198.51.100.1")?;
        Ok(outside)
    }

    /// A connection from there.
    pub(crate) fn connect(&self, address: SocketAddr) -> Result<TcpStream> {
        let namespace = File::open(&self.namespace)?;
        // A socket stays in the network in which its thread was.
        let connects = move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            wire::connect_tcp(address)
        };
        thread::spawn(connects).join().map_err(|_| anyhow!("the thread of the network outside panicked"))?
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // Both ends of the wire go with it.
        if let Err(error) = ip("netns delete outside") {
            eprintln!("{error:#}");
        }
    }
}

fn ip(line: &str) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(line.split_whitespace());
    process::run(command, Duration::from_secs(10))?.succeeded(line).context("ip")?;
    Ok(())
}
