//! What the proxy must know before it reads its directory: the bootstrap file and its flags.
//!
//! The file is YAML; each of its fields is a flag in kebab-case too, and a flag wins over the field. Given any
//! `--listener`, the flags' listeners are all there are; so with `--denied-upstreams`.

mod listener;
mod merge;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use streamgate_crds::cidr::Cidr;
use streamgate_crds::duration::Duration as DurationWord;
use streamgate_crds::problem::Problem;

pub use self::listener::{Listener, Protocol, deserialize_address};

/// What a proxy starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// The gateway whose objects this proxy serves: those with the same `gateway`. Default `default`.
    pub gateway: String,
    /// The directory of manifests and of what they refer to. Required.
    pub config_dir: PathBuf,
    /// Where `status.json` is written; absent: nowhere.
    pub status_dir: Option<PathBuf>,
    /// Where clients come in: at least one, with distinct names and addresses.
    pub listeners: Vec<Listener>,
    /// Where `/livez`, `/readyz`, `/metrics` and `/config` are answered. Default 127.0.0.1:9901.
    pub admin: SocketAddr,
    /// How many workers serve, at least one. Default: one for each core that the process may use.
    pub workers: usize,
    /// How long a client may take to send its `ClientHello`. Default 10 s.
    pub client_hello_timeout: Duration,
    /// How long the proxy goes on accepting after it was told to stop, so that load balancers can take notice. Default 5 s.
    pub drain_delay: Duration,
    /// Over how long it then hands back its clients. Default 30 s.
    pub drain_time: Duration,
    /// The form of the log. Default `Text`.
    pub log_format: LogFormat,
    /// Addresses to which no upstream is connected, whatever a name resolves to. Default: none.
    pub denied_upstreams: Vec<Cidr>,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
pub enum LogFormat {
    /// Lines for a person.
    #[default]
    #[value(name = "Text")]
    Text,
    /// One JSON object a line.
    #[value(name = "Json")]
    Json,
}

/// The flags of `streamgate-proxy run`: where the bootstrap file is, and its fields.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RunArguments {
    /// A YAML file with the fields below in camelCase; a flag wins over its field
    #[arg(long, value_name = "FILE")]
    pub bootstrap: Option<PathBuf>,
    /// Serve the objects of this gateway [default: default]
    #[arg(long, value_name = "NAME")]
    pub gateway: Option<String>,
    /// The directory of manifests and what they refer to
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// Write status.json into this directory
    #[arg(long, value_name = "DIR")]
    pub status_dir: Option<PathBuf>,
    /// Listen there; may be repeated: name=plain,address=0.0.0.0:1883,protocol=MQTT (or MQTTS)
    #[arg(long = "listener", value_name = "LISTENER")]
    pub listeners: Vec<Listener>,
    /// The address of the admin port [default: 127.0.0.1:9901]
    #[arg(long, value_name = "ADDRESS", value_parser = listener::parse_address)]
    pub admin: Option<SocketAddr>,
    /// How many workers serve [default: one for each core]
    #[arg(long, value_name = "NUMBER")]
    pub workers: Option<usize>,
    /// How long a client may take to send its TLS hello [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub client_hello_timeout: Option<DurationWord>,
    /// How long to go on accepting after being told to stop, for load balancers to take notice [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub drain_delay: Option<DurationWord>,
    /// Over how long to hand back the clients then [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub drain_time: Option<DurationWord>,
    /// The form of the log [default: Text]
    #[arg(long, value_name = "FORMAT", ignore_case = true)]
    pub log_format: Option<LogFormat>,
    /// Never connect to an upstream in these ranges; comma-separated, may be repeated
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub denied_upstreams: Vec<Cidr>,
}

impl Bootstrap {
    /// Reads the bootstrap file, if `arguments` name one, and lays the flags over it.
    ///
    /// # Errors
    ///
    /// Every problem: one in the file with line and column (if its YAML can't be read at all, the first), one of a flag
    /// with the flag's name.
    pub fn load(arguments: RunArguments) -> Result<Self, Vec<Problem>> {
        let Some(path) = &arguments.bootstrap else {
            return Self::merge(arguments, None);
        };
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(yaml) => Self::merge(arguments, Some((&name, &yaml))),
            Err(error) => Err(vec![Problem {
                file: None,
                object: None,
                field: "--bootstrap".to_owned(),
                found: format!("`{name}` ({error})"),
                wanted: "a YAML file that can be read".to_owned(),
                location: None,
            }]),
        }
    }

    /// Lays `arguments` over `file`: the path of a bootstrap file as problems are to name it, and its text.
    ///
    /// # Errors
    ///
    /// As [`Bootstrap::load`].
    pub fn merge(arguments: RunArguments, file: Option<(&str, &str)>) -> Result<Self, Vec<Problem>> {
        merge::merge(arguments, file)
    }
}

#[cfg(test)]
mod tests;
