//! Which broker a client goes to: in turn, by its hash, and by what is left where brokers fail.

use anyhow::Result;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::proxy::{Listener, Proxy};

mod by_load;
mod failover;
pub(crate) mod fleet;
mod hashing;
mod keys;
mod names;
mod replicas;
mod resolving;
mod services;
mod turns;

use crate::routing::place::PLAIN;

/// The route of these tests.
pub(crate) const ROUTE: &str = "acme/devices";

/// A directory with the route of this spec.
pub(crate) fn directory(spec: &str) -> Result<ConfigDir> {
    let config = ConfigDir::new()?;
    config.stream_route("acme", "devices", spec)?;
    Ok(config)
}

/// A proxy with a plaintext listener, before the route of this spec.
pub(crate) fn started(spec: &str) -> Result<(ConfigDir, Proxy)> {
    let config = directory(spec)?;
    let proxy = Proxy::start(&config, &[Listener::mqtt(PLAIN)])?;
    Ok((config, proxy))
}

/// Makes a change, and waits until it is applied.
pub(crate) fn change(proxy: &Proxy, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = proxy.generation();
    make()?;
    proxy.wait_for_generation_after(before)?;
    Ok(())
}

/// How many attempts of the route ended like this, by the metrics.
fn attempts(proxy: &Proxy, reason: &str) -> Result<u64> {
    let series = format!("streamgate_upstream_attempts_total{{route=\"{ROUTE}\",reason=\"{reason}\"}} ");
    let metrics = proxy.admin_get("/metrics")?.body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
    Ok(value.map_or(Ok(0), str::parse)?)
}
