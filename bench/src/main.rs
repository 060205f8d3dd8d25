//! Measures the proxy beside its peers: one alone on core 0, clients and brokers on core 1. Processor time is the kernel's, so
//! that the figures don't depend on how fast the load comes. What is measured of the control plane is in `cluster`.

mod broker;
mod cluster;
mod comparison;
mod device;
mod figure;
mod machine;
mod part;
mod peer;
mod pure;
mod routes;
mod stage;
mod usage;

use std::future::Future;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::comparison::{Part, Plan};
use crate::machine::Machine;
use crate::peer::Peer;
use crate::stage::Stage;

/// Measures what the proxy costs, and prints a table.
#[derive(Parser)]
struct Arguments {
    /// What is measured [default: all that is compared]
    #[arg(value_enum)]
    what: Vec<What>,
    /// Compares with this peer alone; may be repeated [default: all]
    #[arg(long, value_enum)]
    peer: Vec<Peer>,
    /// A tenth of the load and one round, to see whether it runs
    #[arg(long)]
    quick: bool,
    /// Measures although others are at work on the machine
    #[arg(long)]
    busy: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Compared: processor time of a connect, plain, mutual TLS in full and resumed
    Connects,
    /// Compared: processor time of a message, and the latency that is added
    Messages,
    /// Compared: messages as fast as they go
    Saturation,
    /// Compared: processor time of large messages
    Throughput,
    /// Compared: memory of an idle connection
    Idle,
    /// Compared: all devices come back at once
    Storm,
    /// Compared: certificates and routes change under connections
    Reload,
    /// What each peer does as it is set up: names, stickiness, resumption
    Check,
    /// Time of a choice among 1,000 endpoints and of a match among 10,000 routes
    Pure,
    /// Latency of a device while 10,000 routes change
    Routes,
    /// Time from a write to the API to the first device that is served, with 1,000 routes
    Apply,
    /// What 10,000 routes and 100,000 endpoints cost the operator, config-sync and the proxy
    Scale,
}

impl What {
    /// Where it is a part of what is compared.
    fn part(self) -> Option<Part> {
        match self {
            Self::Connects => Some(Part::Connects),
            Self::Messages => Some(Part::Messages),
            Self::Saturation => Some(Part::Saturation),
            Self::Throughput => Some(Part::Throughput),
            Self::Idle => Some(Part::Idle),
            Self::Storm => Some(Part::Storm),
            Self::Reload => Some(Part::Reload),
            Self::Check | Self::Pure | Self::Routes | Self::Apply | Self::Scale => None,
        }
    }
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    let is_named = |what| arguments.what.contains(&what);
    if is_named(What::Apply) || is_named(What::Scale) {
        cluster::enter_network()?;
    }
    let scale = if arguments.quick { 10 } else { 1 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let named: Vec<Part> = arguments.what.iter().filter_map(|what| what.part()).collect();
    let peers = if arguments.peer.is_empty() { Peer::ALL.to_vec() } else { arguments.peer.clone() };
    if is_named(What::Check) {
        runtime.block_on(until_told_to_stop(check(&peers)))?;
    }
    if !named.is_empty() || arguments.what.is_empty() {
        let parts = if named.is_empty() { Part::ALL.to_vec() } else { named };
        let plan = Plan { parts, peers, is_quick: arguments.quick, is_busy: arguments.busy };
        runtime.block_on(until_told_to_stop(comparison::run(&plan)))?;
    }
    if [What::Pure, What::Routes, What::Apply, What::Scale].into_iter().any(is_named) {
        println!("| what | figure |\n|---|---|");
    }
    if is_named(What::Pure) {
        pure::measure()?;
    }
    if is_named(What::Routes) {
        runtime.block_on(until_told_to_stop(routes::measure(scale)))?;
    }
    if is_named(What::Apply) {
        runtime.block_on(cluster::measure_apply(scale))?;
    }
    if is_named(What::Scale) {
        runtime.block_on(cluster::measure_scale(scale))?;
    }
    Ok(())
}

async fn check(peers: &[Peer]) -> Result<()> {
    let _machine = Machine::prepare()?;
    part::check::print(&Stage::new()?, peers).await
}

/// What was started ends with `work`, which a signal ends as well.
async fn until_told_to_stop(work: impl Future<Output = Result<()>>) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("told to stop"),
    }
}

/// Prints a row of the table.
fn row(what: &str, figure: impl std::fmt::Display) {
    println!("| {what} | {figure} |");
}
