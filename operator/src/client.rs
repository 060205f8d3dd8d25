//! The way to the API server.

use std::time::Duration;

use anyhow::{Context, Result};
use kube::{Client, Config};

/// After which time a watch is begun anew, in seconds. No answer is silent for longer.
pub const WATCH_SECONDS: u32 = 60;

/// A client for the cluster that this process is in or that a KUBECONFIG names.
///
/// # Errors
///
/// It is in none and there is no KUBECONFIG, or that can't be used.
pub async fn client() -> Result<Client> {
    let mut config =
        Config::infer().await.context("no way to the API server: neither in a cluster nor a KUBECONFIG")?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // A connection that has died without a word. A list and the start of a watch have no other limit.
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    Client::try_from(config).context("no way to the API server")
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 15);
