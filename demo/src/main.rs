//! The demo: three brokers, the real proxy on the manifests of `examples/`, and devices of two tenants that connect to it by
//! mutual TLS, step by step, each step with what it claims and whether that was so. The manifests are files in a folder, or
//! applied to a Kubernetes control plane on which operator and config-sync are at work.

mod brokers;
mod cluster;
mod cluster_steps;
mod devices;
mod embedded;
mod hand;
mod steps;
mod story;
mod world;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;
use clap::{Parser, Subcommand};
use streamgate_tests::control_plane::ControlPlane;

use crate::story::Story;
use crate::world::World;

/// Shows what streamgate does, on this machine alone and without root.
#[derive(Parser)]
struct Arguments {
    /// Ends after the last step, with exit code 1 if anything was not as it says. Else stays up until Ctrl-C.
    #[arg(long)]
    once: bool,
    /// Tells it on a Kubernetes control plane, with `kubectl apply`, the operator and config-sync.
    #[arg(long)]
    cluster: bool,
    /// Uses the built-in broker (rumqttd) even where mosquitto is installed.
    #[arg(long)]
    embedded: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// One built-in broker; the demo starts each in a process of its own, so that it can stop it.
    #[command(hide = true)]
    Broker {
        #[arg(long)]
        name: String,
        #[arg(long)]
        address: SocketAddr,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Some(Command::Broker { name, address }) => embedded::serve(name, *address).map(|()| true),
        None => demo(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nThe demo stops here: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all was as it said.
fn demo(arguments: &Arguments) -> Result<bool> {
    let interrupted = watch_for_interrupts()?;
    let mut story = Story::new(Arc::clone(&interrupted));
    let plane = arguments.cluster.then(ControlPlane::start).transpose()?;
    let mut world = World::start(&mut story, arguments.embedded, plane.as_ref())?;
    let told = steps::tell(&mut story, &mut world);
    if interrupted.load(Ordering::SeqCst) {
        return Ok(!arguments.once);
    }
    told?;
    hand::show(&mut story, &world)?;
    let good = story.summary();
    if !arguments.once {
        println!("\nAll of it stays up. Ctrl-C ends it and takes its folder away.");
        while !interrupted.load(Ordering::SeqCst) {
            thread::park_timeout(std::time::Duration::from_millis(100));
        }
        println!();
        return Ok(true);
    }
    Ok(good)
}

/// A flag that Ctrl-C or SIGTERM sets, so that what was started is ended and the folder is taken away in any case.
fn watch_for_interrupts() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut terminate = {
        let _within = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?
    };
    let mut interrupt = {
        let _within = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        flag.store(true, Ordering::SeqCst);
    });
    Ok(interrupted)
}
