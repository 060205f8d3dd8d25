//! `streamgate-proxy`: arguments, and the command that they name.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use streamgate_proxy::bootstrap::RunArguments;
use streamgate_proxy::commands::check::CheckArguments;
use streamgate_proxy::commands::explain::ExplainArguments;
use streamgate_proxy::commands::{check, explain, run};

/// MQTT ingress: mutual TLS by SNI, routing and balancing by the CONNECT.
#[derive(Parser)]
#[command(name = "streamgate-proxy", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves what a configuration directory says
    Run(Box<RunArguments>),
    /// Says everything that is wrong with a configuration directory; exit code 1 if anything is
    Check(CheckArguments),
    /// Says where a client would go, and why
    Explain(ExplainArguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => run::run(*arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
    }
}
