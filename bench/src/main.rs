//! Measures the proxy: the released binary alone on core 0, clients and brokers on core 1. Processor time is the kernel's, to the
//! nanosecond, so that the figures don't depend on how fast the load comes.

mod broker;
mod client;
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
    /// What is measured [default: all]
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
    Ok(())
}

/// Prints a row of the table.
fn row(what: &str, figure: impl std::fmt::Display) {
    println!("| {what} | {figure} |");
}
