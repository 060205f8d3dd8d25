//! `check`: everything that is wrong with a configuration directory.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::load::Loader;

/// The arguments of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArguments {
    /// The configuration directory
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Check the objects of this gateway alone [default: those of all]
    #[arg(long, value_name = "NAME")]
    pub gateway: Option<String>,
}

/// Says on standard error, a line each, what is wrong: exit code 1. If nothing is, says what there is: exit code 0. Code 2
/// where the directory can't be read.
pub fn check(arguments: &CheckArguments) -> ExitCode {
    let directory = arguments.directory.display();
    let mut loader = Loader::new(&arguments.directory, arguments.gateway.clone(), None);
    let snapshot = match loader.load() {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{directory}: found a directory that can't be read ({error}); wanted a configuration directory");
            return ExitCode::from(2);
        }
    };
    let problems = loader.problems();
    for problem in &problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() {
        let routes = counted(snapshot.routes.routes().len(), "StreamRoute");
        let tls_snis = counted(snapshot.tls_services.len(), "TlsSni");
        println!("{directory}: ok, {routes}, {tls_snis}");
        return ExitCode::SUCCESS;
    }
    eprintln!("{directory}: {}", counted(problems.len(), "problem"));
    ExitCode::FAILURE
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
