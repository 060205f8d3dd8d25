//! What the tests and the demo need to drive the whole product: a certificate authority, a configuration directory, the real
//! proxy binary, real brokers and clients, raw MQTT bytes, and waiting for conditions.

pub mod broker;
pub mod chart;
pub mod cluster;
pub mod component;
pub mod config_dir;
pub mod control_plane;
pub mod echo;
pub mod fake_broker;
pub mod gateway;
pub mod image;
pub mod mosquitto;
pub mod openssl;
pub mod operator;
pub mod page;
pub mod pki;
pub mod process;
pub mod proxy;
pub mod schedule;
mod script;
pub mod sync;
pub mod tls_client;
pub mod transcript;
pub mod wait;
pub mod wire;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}
