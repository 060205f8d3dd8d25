//! Measures the control plane: operator, config-sync and proxy as processes of their own, on a real API server.

mod apply;
mod device;
mod objects;
mod scale;
mod stage;

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

pub(crate) use self::apply::measure as measure_apply;
pub(crate) use self::scale::measure as measure_scale;

/// Goes on in a network of its own, where all addresses of 10.77.0.0/16 are this machine's: no broker may be at a loopback
/// address.
pub(crate) fn enter_network() -> Result<()> {
    if std::env::var_os(ENTERED).is_some() {
        return Ok(());
    }
    let error = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-ec"])
        .arg("ip link set lo up; ip address add 10.77.0.1/16 dev lo; exec \"$0\" \"$@\"")
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(ENTERED, "1")
        .exec();
    Err(error).context("can't run unshare (util-linux)")
}

const ENTERED: &str = "STREAMGATE_BENCH_NETWORK";
