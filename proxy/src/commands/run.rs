//! `run`: serves until it is told to stop.

use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use streamgate_crds::Refusal;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::admin::Admin;
use crate::admin::metrics::{Metrics, PANICS};
use crate::bootstrap::{Bootstrap, Listener, RunArguments};
use crate::commands::stop;
use crate::config::load::Loader;
use crate::config::snapshot::Snapshot;
use crate::config::status::Status;
use crate::config::watch as directory;
use crate::connection::accept::{Entrance, bind};
use crate::log;
use crate::upstream::names::Names;
use crate::worker::descriptors::{self, Descriptors};
use crate::worker::{self, Phase, Shared};

/// Runs the proxy. What is wrong with its arguments is said line by line, with exit code 2; what keeps it from starting,
/// with 1.
pub fn run(arguments: RunArguments) -> ExitCode {
    let bootstrap = match Bootstrap::load(arguments) {
        Ok(bootstrap) => bootstrap,
        Err(problems) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            return ExitCode::from(2);
        }
    };
    // What is logged last is written when this is dropped.
    let _log = log::start(bootstrap.log_format);
    panic::set_hook(Box::new(tell_of_panic));
    match serve(&bootstrap) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "streamgate-proxy stops");
            ExitCode::FAILURE
        }
    }
}

fn serve(bootstrap: &Bootstrap) -> Result<()> {
    let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::empty()));
    let metrics = Arc::new(Metrics::default());
    let runtime = Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(LocalSet::new().run_until(async {
        let admin_socket = TcpListener::bind(bootstrap.admin)
            .await
            .with_context(|| format!("can't listen at {} (admin)", bootstrap.admin))?;
        let (sockets, listeners) = open(bootstrap)?;
        for listener in &listeners {
            metrics.register_listener(&listener.name);
        }
        let admin = Arc::new(Admin::new(bootstrap, listeners, Arc::clone(&snapshot), Arc::clone(&metrics)));
        let admin_address = admin_socket.local_addr()?;
        tokio::task::spawn_local(Arc::clone(&admin).serve(admin_socket));
        let (names, resolving) = Names::new();
        tokio::task::spawn_local(resolving.run());

        // Elsewhere, so that the admin port answers meanwhile.
        let (of_load, into, counted) = (bootstrap.clone(), Arc::clone(&snapshot), Arc::clone(&metrics));
        tokio::task::spawn_blocking(move || load(&of_load, &into, &counted, names)).await??;
        let (phase, phase_of_workers) = tokio::sync::watch::channel(Phase::Serving);
        let shared = Arc::new(Shared {
            snapshot,
            metrics,
            client_hello_timeout: bootstrap.client_hello_timeout,
            denied_upstreams: bootstrap.denied_upstreams.clone(),
            descriptors: Descriptors::new(descriptors::raise_limit()),
            phase: phase_of_workers,
        });
        let mut workers = Vec::with_capacity(bootstrap.workers);
        for (index, sockets) in sockets.into_iter().enumerate() {
            workers.push(worker::start(index, Arc::clone(&shared), sockets).context("can't start a worker")?);
        }
        let signals = stop::Signals::new().context("signals can't be caught")?;
        tracing::info!(address = %admin_address, "admin listening");
        tracing::info!("ready");
        drop(shared);
        stop::stop(bootstrap, &admin, &phase, workers, signals).await
    }))
}

/// A worker's sockets, each with its listener.
type Sockets = Vec<(Entrance, std::net::TcpListener)>;

/// Binds all listeners. Gives each worker's sockets, and the listeners with the addresses that they are bound to.
fn open(bootstrap: &Bootstrap) -> Result<(Vec<Sockets>, Vec<Listener>)> {
    let mut sockets: Vec<Sockets> = (0..bootstrap.workers).map(|_| Vec::new()).collect();
    let mut bound = Vec::with_capacity(bootstrap.listeners.len());
    for listener in &bootstrap.listeners {
        let of_listener = bind(listener, &bootstrap.listeners, bootstrap.workers)
            .with_context(|| format!("can't listen at {} (listener {})", listener.address, listener.name))?;
        let address = of_listener.first().map_or(Ok(listener.address), std::net::TcpListener::local_addr)?;
        tracing::info!(
            listener = listener.name,
            address = %address,
            protocol = listener.protocol.as_str(),
            "listening"
        );
        bound.push(Listener { address, ..listener.clone() });
        let entrance = Entrance { name: listener.name.as_str().into(), protocol: listener.protocol };
        for (worker, socket) in sockets.iter_mut().zip(of_listener) {
            worker.push((entrance.clone(), socket));
        }
    }
    Ok((sockets, bound))
}

/// Applies what the directory says now, and from now on.
fn load(
    bootstrap: &Bootstrap,
    snapshot: &Arc<ArcSwap<Snapshot>>,
    metrics: &Arc<Metrics>,
    names: Arc<Names>,
) -> Result<()> {
    let listeners = bootstrap.listeners.iter().map(|listener| listener.name.clone()).collect();
    let gateway = Some(bootstrap.gateway.clone());
    let loader = Loader::with_names(&bootstrap.config_dir, gateway, Some(listeners), names);
    let status_dir = bootstrap.status_dir.clone();
    if let Some(status_dir) = &status_dir {
        std::fs::create_dir_all(status_dir).with_context(|| format!("can't write to {}", status_dir.display()))?;
    }
    let metrics = Arc::clone(metrics);
    let applied = move |before: &Snapshot, now: &Snapshot| {
        metrics.config_loads().inc();
        tell(before, now);
        if let Some(status_dir) = &status_dir
            && let Err(error) = Status::of(now).write(status_dir)
        {
            tracing::error!(%error, directory = %status_dir.display(), "status.json can't be written");
        }
    };
    directory::start(loader, &bootstrap.config_dir, Arc::clone(snapshot), applied)
        .with_context(|| format!("can't read the configuration directory {}", bootstrap.config_dir.display()))
}

/// Logs what is applied, and what is refused that was not before.
fn tell(before: &Snapshot, now: &Snapshot) {
    tracing::info!(
        generation = now.generation,
        revision = now.revision,
        streamroutes = now.routes.routes().len(),
        tlssnis = now.served_tls_snis(),
        refused = now.refused.len(),
        "configuration applied"
    );
    for refusal @ Refusal { object, reason, message } in &now.refused {
        if !before.refused.contains(refusal) {
            tracing::warn!(
                kind = object.kind.as_str(),
                namespace = object.namespace,
                name = object.name,
                reason = reason.as_str(),
                detail = message,
                "refused"
            );
        }
    }
}

/// Counts and logs a panic: it ends its connection, or this reading of the configuration, and nothing else.
pub(crate) fn tell_of_panic(panicked: &PanicHookInfo<'_>) {
    PANICS.fetch_add(1, Ordering::Relaxed);
    let place = panicked.location().map(ToString::to_string);
    tracing::error!(place, "{}", panicked.payload_as_str().unwrap_or("a panic without a word"));
}
