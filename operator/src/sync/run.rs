//! Arguments, what starts, and when it ends.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use crate::log;
use anyhow::{Context, Result};
use clap::Parser;
use futures::StreamExt;
use kube::{Api, Client};
use streamgate_proxy::bootstrap::LogFormat;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, interval, sleep, sleep_until};

use super::admin::Admin;
use super::lease::WayBack;
use super::mirror::Mirror;
use super::place::{is_label, is_subdomain};
use super::{metrics::Metrics, watch};
use crate::client::client;
use crate::generated;

/// Brings a gateway's generated objects to a proxy as files, and what the proxy says of them to its Lease
#[derive(Clone, Debug, Parser)]
#[command(name = "streamgate-sync", version)]
pub struct Arguments {
    /// The gateway, whose objects are in the namespace `streamgate-<gateway>`
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = parse_gateway)]
    pub gateway: String,
    /// The directory for the proxy to read; all that is in its folders comes from the objects, and nothing else stays there
    #[arg(long, value_name = "DIR")]
    pub config_dir: PathBuf,
    /// The directory where the proxy writes its status.json
    #[arg(long, value_name = "DIR")]
    pub status_dir: PathBuf,
    /// The name of this pod, and of the Lease
    #[arg(long, value_name = "NAME", env = "POD_NAME", value_parser = parse_pod_name)]
    pub pod_name: String,
    /// Where /livez, /readyz and /metrics are answered
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9903")]
    pub admin: SocketAddr,
    /// The form of the log
    #[arg(long, value_name = "FORMAT", default_value = "Text", ignore_case = true)]
    pub log_format: LogFormat,
}

/// Runs config-sync until it is told to stop. What keeps it from starting is said, with exit code 1.
pub fn run(arguments: &Arguments) -> ExitCode {
    // What is logged last is written when this is dropped.
    let _log = log::start(arguments.log_format);
    let runtime = Builder::new_current_thread().enable_all().build().context("no runtime");
    let served = runtime.and_then(|runtime| runtime.block_on(LocalSet::new().run_until(serve(arguments))));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "streamgate-sync stops");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: &Arguments) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals can't be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals can't be caught")?;
    let admin_socket = TcpListener::bind(arguments.admin)
        .await
        .with_context(|| format!("can't listen at {} (admin)", arguments.admin))?;
    tracing::info!(address = %admin_socket.local_addr()?, "admin listening");
    let client = client().await?;
    std::fs::create_dir_all(&arguments.status_dir)
        .with_context(|| format!("there can be no folder {}", arguments.status_dir.display()))?;

    let metrics = Rc::new(Metrics::default());
    let admin = Rc::new(Admin { metrics: Rc::clone(&metrics), ..Admin::default() });
    spawn_local(Rc::clone(&admin).serve(admin_socket));
    let way_back = WayBack {
        leases: Api::namespaced(client.clone(), &generated::namespace(&arguments.gateway)),
        pod: arguments.pod_name.clone(),
        gateway: arguments.gateway.clone(),
        status_dir: arguments.status_dir.clone(),
        metrics,
    };
    spawn_local(way_back.run());
    // No write to the directory is cut: they wait for nothing.
    let signal = tokio::select! {
        never = mirror(arguments, &client, &admin) => match never {},
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal, "stopping");
    Ok(())
}

/// Keeps the directory as the objects say. Where it can't be written, all is listed and compared anew after a pause.
async fn mirror(arguments: &Arguments, client: &Client, admin: &Admin) -> Infallible {
    loop {
        let Err(error) = follow(arguments, client, admin).await;
        admin.metrics.directory_failed();
        let directory = arguments.config_dir.display();
        tracing::error!(%error, %directory, "the configuration directory can't be written; it is tried again");
        sleep(PAUSE_AFTER_ERROR).await;
    }
}

async fn follow(arguments: &Arguments, client: &Client, admin: &Admin) -> io::Result<Infallible> {
    let mut mirror = Mirror::open(&arguments.config_dir, Rc::clone(&admin.metrics))?;
    let namespace = generated::namespace(&arguments.gateway);
    let mut events = std::pin::pin!(watch::events(client, &namespace, &admin.metrics));
    // While the API server is away, a proxy starts with what an earlier run has left.
    let mut earlier = std::pin::pin!(sleep(EARLIER_RUN_COUNTS_AFTER));
    let mut waits_for_earlier = mirror.has_been_whole() && !admin.is_ready.get();
    let mut sweeps = interval(SWEEP_INTERVAL);
    let mut first: Option<Instant> = None;
    let mut latest = Instant::now();
    loop {
        let commit_at = first.map_or(latest, |first| (latest + QUIET).min(first + LONGEST_BATCH));
        tokio::select! {
            told = events.next() => {
                let Some((kind, event)) = told else { return Err(io::Error::other("the watch has ended")) };
                match event {
                    Some(event) => mirror.take(kind, event)?,
                    None => mirror.lose(kind),
                }
                latest = Instant::now();
                if mirror.is_due() {
                    first.get_or_insert(latest);
                }
            }
            () = sleep_until(commit_at), if first.is_some() => {
                first = None;
                if mirror.is_due() {
                    mirror.commit()?;
                    if mirror.waits() {
                        latest = Instant::now() + NEXT_TRY;
                        first = Some(latest);
                    } else if !admin.is_ready.replace(true) {
                        tracing::info!("ready");
                    }
                }
            }
            _ = sweeps.tick() => mirror.sweep()?,
            () = &mut earlier, if waits_for_earlier => {
                waits_for_earlier = false;
                if !admin.is_ready.replace(true) {
                    tracing::warn!("ready with what an earlier run has left: the API server was not reached");
                }
            }
        }
    }
}

fn parse_gateway(text: &str) -> Result<String, String> {
    if is_label(&generated::namespace(text)) && is_label(text) {
        return Ok(text.to_owned());
    }
    Err("wanted a name of lower-case letters, digits and `-`, of at most 52 characters".to_owned())
}

fn parse_pod_name(text: &str) -> Result<String, String> {
    if is_subdomain(text) { Ok(text.to_owned()) } else { Err("wanted the name of a pod".to_owned()) }
}

/// A batch is what comes until nothing has followed for so long,
const QUIET: Duration = Duration::from_millis(3);
/// or until so long after its first.
const LONGEST_BATCH: Duration = Duration::from_millis(50);
/// When what waits is looked at again.
const NEXT_TRY: Duration = Duration::from_millis(100);
const SWEEP_INTERVAL: Duration = Duration::from_secs(3);
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
/// How long the API server is waited for when the directory was whole before.
const EARLIER_RUN_COUNTS_AFTER: Duration = Duration::from_secs(10);
