//! `streamgate-sync`: a gateway's generated objects as files for a proxy, and the proxy's status on its Lease.

use std::process::ExitCode;

use clap::Parser;
use streamgate_operator::sync::run::{Arguments, run};

fn main() -> ExitCode {
    run(&Arguments::parse())
}
