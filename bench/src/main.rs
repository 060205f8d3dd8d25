//! Measures the proxy: the released binary alone on core 0, clients and brokers on core 1. Processor time is the kernel's, to the
//! nanosecond, so that the figures don't depend on how fast the load comes. What is measured of the control plane is in
//! `cluster`.

mod broker;
mod client;
mod cluster;
mod connects;
mod idle;
mod messages;
mod pure;
mod reload;
mod usage;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};

/// Measures what the proxy costs, and prints a table.
#[derive(Parser)]
struct Arguments {
    /// What is measured [default: all of the proxy]
    #[arg(value_enum)]
    what: Vec<What>,
    /// A tenth of the load, to see whether it runs
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Processor time of a connect, plain, mutual TLS in full and resumed
    Connects,
    /// Processor time of a message, and the latency that is added
    Messages,
    /// Memory of an idle connection
    Idle,
    /// Latency of a device while 10,000 routes change
    Reload,
    /// Time of a choice among 1,000 endpoints and of a match among 10,000 routes
    Pure,
    /// Time from a write to the API to the first device that is served, with 1,000 routes
    Apply,
    /// What 10,000 routes and 100,000 endpoints cost the operator, config-sync and the proxy
    Scale,
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
    let wants = |what| arguments.what.is_empty() || arguments.what.contains(&what);
    let scale = if arguments.quick { 10 } else { 1 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("| what | figure |\n|---|---|");
    if wants(What::Pure) {
        pure::measure()?;
    }
    if wants(What::Connects) {
        runtime.block_on(connects::measure(scale))?;
    }
    if wants(What::Messages) {
        runtime.block_on(messages::measure(scale))?;
    }
    if wants(What::Idle) {
        runtime.block_on(idle::measure(scale))?;
    }
    if wants(What::Reload) {
        runtime.block_on(reload::measure(scale))?;
    }
    if is_named(What::Apply) {
        runtime.block_on(cluster::measure_apply(scale))?;
    }
    if is_named(What::Scale) {
        runtime.block_on(cluster::measure_scale(scale))?;
    }
    Ok(())
}

/// Prints a row of the table.
fn row(what: &str, figure: impl std::fmt::Display) {
    println!("| {what} | {figure} |");
}
