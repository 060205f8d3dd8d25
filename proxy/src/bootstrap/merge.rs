//! The bootstrap file under the flags: what counts of both, and whether it holds.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;
use streamgate_crds::cidr::Cidr;
use streamgate_crds::duration::Duration as DurationWord;
use streamgate_crds::problem::{Location, Problem};

use super::listener::deserialize_address;
use super::{Bootstrap, Listener, LogFormat, RunArguments};
use crate::config::yaml;

pub(super) fn merge(flags: RunArguments, file: Option<(&str, &str)>) -> Result<Bootstrap, Vec<Problem>> {
    let fields = match file {
        Some((name, text)) => serde_saphyr::from_str(text).map_err(|error| vec![yaml::problem(name, text, &error)])?,
        None => BootstrapFile::default(),
    };
    let name = file.map(|(name, _)| name);
    let mut problems = Vec::new();

    let gateway = Given::choose(("--gateway", flags.gateway), (name, "gateway", fields.gateway));
    let workers = Given::choose(("--workers", flags.workers), (name, "workers", fields.workers));
    let client_hello_timeout = Given::choose(
        ("--client-hello-timeout", flags.client_hello_timeout),
        (name, "clientHelloTimeout", fields.client_hello_timeout),
    );
    let listeners = Given::choose_list(
        ("--listener", flags.listeners),
        (name, "listeners", fields.listeners.unwrap_or_default()),
    );
    if let Some(gateway) = gateway.as_ref().filter(|gateway| !is_label(&gateway.value)) {
        problems.push(gateway.problem(&format!("`{}`", gateway.value), LABEL));
    }
    if let Some(workers) = workers.as_ref().filter(|workers| workers.value == 0) {
        problems.push(workers.problem("`0`", "at least one worker"));
    }
    if let Some(timeout) = client_hello_timeout.as_ref().filter(|timeout| timeout.value.0.is_zero()) {
        problems.push(timeout.problem("no time at all", "more than that, such as `10s`"));
    }
    check_listeners(&listeners, &mut problems);
    let config_dir = flags.config_dir.or(fields.config_dir);
    if listeners.is_empty() {
        let wanted = "at least one, such as `--listener name=plain,address=0.0.0.0:1883,protocol=MQTT`";
        problems.push(missing(name, "--listener", "listeners", wanted));
    }
    let Some(config_dir) = config_dir.filter(|_| problems.is_empty()) else { 
        return Err(problems)
    };
    todo!()
}
