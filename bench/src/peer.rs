//! streamgate, and what it is compared with. How each is set up is in `bench/peers`.

mod envoy;
mod haproxy;
mod nginx;
mod running;
mod streamgate;
mod traefik;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

pub(crate) use self::running::Running;
use crate::stage::Site;

/// A proxy, set up in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
pub(crate) enum Peer {
    Streamgate,
    HaproxyHash,
    HaproxyTable,
    Nginx,
    Envoy,
    Traefik,
}

impl Peer {
    pub(crate) const ALL: [Self; 6] =
        [Self::Streamgate, Self::HaproxyHash, Self::HaproxyTable, Self::Nginx, Self::Envoy, Self::Traefik];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Streamgate => "streamgate",
            Self::HaproxyHash => "HAProxy, hash",
            Self::HaproxyTable => "HAProxy, table",
            Self::Nginx => "nginx",
            Self::Envoy => "Envoy",
            Self::Traefik => "Traefik",
        }
    }

    /// The version of what is installed.
    pub(crate) fn version(self) -> Result<String> {
        match self {
            Self::Streamgate => Ok(env!("CARGO_PKG_VERSION").to_owned()),
            Self::HaproxyHash | Self::HaproxyTable => first_version(Command::new("/usr/sbin/haproxy").arg("-v")),
            Self::Nginx => first_version(nginx::program().arg("-v")),
            Self::Envoy => first_version(Command::new(envoy::binary()?).arg("--version")),
            Self::Traefik => first_version(Command::new(traefik::binary()?).arg("version")),
        }
    }

    /// Writes its whole configuration, as it is after so many changes.
    fn write(self, site: &Site, change: usize) -> Result<()> {
        match self {
            Self::Streamgate => streamgate::write(site, change),
            Self::HaproxyHash => haproxy::write(site, haproxy::HASH, change),
            Self::HaproxyTable => haproxy::write(site, haproxy::TABLE, change),
            Self::Nginx => nginx::write(site, change),
            Self::Envoy => envoy::write(site, change),
            Self::Traefik => traefik::write(site, change),
        }
    }

    /// The command that runs it in the foreground.
    fn command(self, site: &Site, changes: bool) -> Result<Command> {
        match self {
            Self::Streamgate => streamgate::command(site),
            Self::HaproxyHash | Self::HaproxyTable => Ok(haproxy::command(site, changes)),
            Self::Nginx => Ok(nginx::command(site)),
            Self::Envoy => envoy::command(site),
            Self::Traefik => traefik::command(site),
        }
    }

    /// What tells it that its configuration has changed; none for those that watch their files.
    fn signal(self) -> Option<rustix::process::Signal> {
        match self {
            Self::HaproxyHash | Self::HaproxyTable => Some(rustix::process::Signal::USR2),
            Self::Nginx => Some(rustix::process::Signal::HUP),
            Self::Streamgate | Self::Envoy | Self::Traefik => None,
        }
    }
}

/// A program that scripts/install-tools has from `PyPI`, in the directory that it names.
fn from_pypi(name: &str) -> Result<PathBuf> {
    let folder =
        std::env::var_os("STREAMGATE_PEERS").context("STREAMGATE_PEERS says where they are: use make bench")?;
    Ok(PathBuf::from(folder).join("bin").join(name))
}

/// The first word of what a command says that looks like `1.2.3`, without what a distribution adds behind a hyphen.
fn first_version(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("can't run {command:?}: run scripts/install-tools bench"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let is_version = |word: &&str| {
        let numbers: Vec<&str> = word.split('.').collect();
        numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok())
    };
    let mut words = text.split([' ', '/', '\n', '-']);
    Ok(words.find(is_version).with_context(|| format!("no version in {text}"))?.to_owned())
}
