//! `streamgate-operator`: arguments, what starts, and in which order it stops.

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, Result};
use clap::Parser;
use streamgate_operator::admin::{self, metrics::Metrics};
use streamgate_operator::client::client;
use streamgate_operator::election::Candidate;
use streamgate_operator::log;
use streamgate_operator::run::Operator;
use streamgate_operator::settings::Settings;
use streamgate_operator::watch;
use streamgate_proxy::bootstrap::LogFormat;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{LocalSet, spawn_local};

/// Resolves StreamRoutes, TlsSnis and what they refer to into what a gateway's proxies read.
#[derive(Parser)]
#[command(name = "streamgate-operator", version)]
struct Arguments {
    /// The operator's settings, a YAML file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The form of the log
    #[arg(long, value_name = "FORMAT", ignore_case = true, default_value = "Text")]
    log_format: LogFormat,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = match Settings::load(&arguments.config) {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            return ExitCode::from(2);
        }
    };
    // What is logged last is written when this is dropped.
    let _log = log::start(arguments.log_format);
    match serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "streamgate-operator stops");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: Settings) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(LocalSet::new().run_until(work(Rc::new(settings))))
}

async fn work(settings: Rc<Settings>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals can't be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals can't be caught")?;
    let metrics = Rc::new(Metrics::default());
    let admin_socket = TcpListener::bind(settings.admin)
        .await
        .with_context(|| format!("can't listen at {} (admin)", settings.admin))?;
    tracing::info!(address = %admin_socket.local_addr()?, "admin listening");
    spawn_local(admin::serve(admin_socket, Rc::clone(&metrics)));

    let client = client().await?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let identity = format!("{host}_{:016x}", fastrand::u64(..));
    let (mut candidate, leadership) = Candidate::new(client.clone(), &settings, identity);
    let (told, tells) = tokio::sync::mpsc::channel(MOST_TOLD);
    let watches = watch::start(&client, &settings, &told);
    let operator = Operator::new(client, settings, metrics, leadership, watches, host);
    let stop = async move {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal, "stopping");
    };
    tokio::select! {
        lost = candidate.run() => return Err(lost.into()),
        () = operator.run(tells, stop) => {}
    }
    candidate.release().await;
    Ok(())
}

/// How many changes may wait to be taken.
const MOST_TOLD: usize = 1024;
