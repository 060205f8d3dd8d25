//! `explain`: where a client would go, and why.

use std::process::ExitCode;

/// The arguments of `explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArguments {}

/// Explains.
pub fn explain(_: &ExplainArguments) -> ExitCode {
    ExitCode::SUCCESS
}
