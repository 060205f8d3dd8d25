//! The bootstrap file under the flags: what counts of both, and whether it holds.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use streamgate_crds::cidr::Cidr;
use streamgate_crds::duration::Duration as DurationWord;
use streamgate_crds::name;
use streamgate_crds::problem::Problem;
use streamgate_crds::yaml::Document;

use super::listener::deserialize_address;
use super::{Bootstrap, Listener, LogFormat, RunArguments};

pub(super) fn merge(flags: RunArguments, file: Option<(&str, &str)>) -> Result<Bootstrap, Vec<Problem>> {
    let Some((name, text)) = file else {
        return overlay(flags, BootstrapFile::default(), false);
    };
    let in_file = |problem: Problem| problem.in_file(name);
    let document = Document::parse(text).map_err(|problem| vec![in_file(problem)])?;
    let fields = document
        .read()
        .map_err(|problems| problems.into_iter().map(|problem| in_file(document.place(problem))).collect::<Vec<_>>())?;
    overlay(flags, fields, true).map_err(|problems| {
        let place = |problem: Problem| {
            if problem.field.starts_with("--") { problem } else { in_file(document.place(problem)) }
        };
        problems.into_iter().map(place).collect()
    })
}

/// The fields of the bootstrap file.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BootstrapFile {
    gateway: Option<String>,
    config_dir: Option<PathBuf>,
    status_dir: Option<PathBuf>,
    listeners: Option<Vec<Listener>>,
    admin: Option<Address>,
    workers: Option<usize>,
    client_hello_timeout: Option<DurationWord>,
    drain_delay: Option<DurationWord>,
    drain_time: Option<DurationWord>,
    log_format: Option<LogFormat>,
    denied_upstreams: Option<Vec<Cidr>>,
}

/// An address and a port, with words of our own for what is wrong with it.
#[derive(Deserialize)]
struct Address(#[serde(deserialize_with = "deserialize_address")] SocketAddr);

/// The flags over the fields. A problem's field is the flag's name or the file's field.
fn overlay(flags: RunArguments, fields: BootstrapFile, has_file: bool) -> Result<Bootstrap, Vec<Problem>> {
    let mut checks = Checks { has_file, problems: Vec::new() };
    let gateway = checks.gateway(Given::either(flags.gateway, fields.gateway));
    let config_dir = checks.config_dir(flags.config_dir.or(fields.config_dir));
    let listeners = checks.listeners(Given::either_list(flags.listeners, fields.listeners));
    let admin = checks.admin(Given::either(flags.admin, fields.admin.map(|admin| admin.0)), &listeners);
    let workers = checks.workers(Given::either(flags.workers, fields.workers));
    let client_hello_timeout =
        checks.client_hello_timeout(Given::either(flags.client_hello_timeout, fields.client_hello_timeout));
    if !checks.problems.is_empty() {
        return Err(checks.problems);
    }
    Ok(Bootstrap {
        gateway,
        config_dir,
        status_dir: flags.status_dir.or(fields.status_dir),
        listeners,
        admin,
        workers,
        client_hello_timeout,
        drain_delay: flags.drain_delay.or(fields.drain_delay).map_or(DEFAULT_DRAIN_DELAY, Duration::from),
        drain_time: flags.drain_time.or(fields.drain_time).map_or(DEFAULT_DRAIN_TIME, Duration::from),
        log_format: flags.log_format.or(fields.log_format).unwrap_or_default(),
        denied_upstreams: Given::either_list(flags.denied_upstreams, fields.denied_upstreams).value,
    })
}

/// A value, and whether it is the flag's or the file's.
#[derive(Clone, Copy)]
struct Given<T> {
    value: T,
    by_flag: bool,
}

impl<T> Given<T> {
    fn either(flag: Option<T>, field: Option<T>) -> Option<Self> {
        let by_flag = flag.is_some();
        Some(Self { value: flag.or(field)?, by_flag })
    }
}

impl<T> Given<Vec<T>> {
    fn either_list(flags: Vec<T>, field: Option<Vec<T>>) -> Self {
        let by_flag = !flags.is_empty();
        Self { value: if by_flag { flags } else { field.unwrap_or_default() }, by_flag }
    }
}

/// Checks what is given, puts the default where nothing is, and notes what is wrong.
struct Checks {
    has_file: bool,
    problems: Vec<Problem>,
}

impl Checks {
    fn gateway(&mut self, given: Option<Given<String>>) -> String {
        let Some(Given { value: gateway, by_flag }) = given else {
            return name::default_gateway();
        };
        if let Err(error) = name::gateway(&gateway) {
            self.note(by_flag, "gateway", error.found, error.wanted);
        }
        gateway
    }

    fn config_dir(&mut self, given: Option<PathBuf>) -> PathBuf {
        given.unwrap_or_else(|| {
            self.note_missing("configDir", "the directory of the manifests");
            PathBuf::new()
        })
    }

    fn listeners(&mut self, given: Given<Vec<Listener>>) -> Vec<Listener> {
        let Given { value: listeners, by_flag } = given;
        if listeners.is_empty() {
            self.note_missing("listeners", "one or more, such as name=plain,address=0.0.0.0:1883,protocol=MQTT");
        }
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for (index, Listener { name, address, .. }) in listeners.iter().enumerate() {
            if let Err(error) = name::label(name) {
                self.note(by_flag, &format!("listeners[{index}].name"), error.found, error.wanted);
            }
            if !names.insert(name) {
                let found = format!("`{name}` a second time");
                self.note(by_flag, &format!("listeners[{index}].name"), found, "a name of its own for each listener");
            }
            // Two of the same would share the connections between them, for a port may have several sockets. Port 0 is
            // whichever is free.
            if address.port() != 0 && !addresses.insert(address) {
                let found = format!("`{address}` a second time");
                let wanted = "an address or a port of its own for each listener";
                self.note(by_flag, &format!("listeners[{index}].address"), found, wanted);
            }
        }
        listeners
    }

    fn admin(&mut self, given: Option<Given<SocketAddr>>, listeners: &[Listener]) -> SocketAddr {
        let given = given.unwrap_or(Given { value: DEFAULT_ADMIN, by_flag: !self.has_file });
        let Given { value: admin, by_flag } = given;
        let is_taken_by = |listener: &&Listener| listener.address == admin && admin.port() != 0;
        if let Some(listener) = listeners.iter().find(is_taken_by) {
            let found = format!("`{admin}`, which is the listener `{}`", listener.name);
            self.note(by_flag, "admin", found, "an address or a port of its own");
        }
        admin
    }

    fn workers(&mut self, given: Option<Given<usize>>) -> usize {
        let Some(Given { value: workers, by_flag }) = given else {
            return std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        };
        if workers == 0 {
            self.note(by_flag, "workers", "0", "1 or more");
        }
        workers
    }

    fn client_hello_timeout(&mut self, given: Option<Given<DurationWord>>) -> Duration {
        let Some(Given { value: timeout, by_flag }) = given else {
            return DEFAULT_CLIENT_HELLO_TIMEOUT;
        };
        if timeout.is_zero() {
            self.note(by_flag, "clientHelloTimeout", format!("`{timeout}`"), "more than that, such as `10s`");
        }
        timeout.into()
    }

    fn note(&mut self, by_flag: bool, field: &str, found: impl Into<String>, wanted: impl Into<String>) {
        let field = if by_flag { flag_of(field) } else { field.to_owned() };
        self.problems.push(Problem::new(field, found, wanted));
    }

    fn note_missing(&mut self, field: &str, wanted: &str) {
        let (flag, by_flag) = (flag_of(field), !self.has_file);
        let other = if by_flag { format!("or `{field}` in the file of --bootstrap") } else { format!("or {flag}") };
        self.note(by_flag, field, "nothing", format!("{wanted}; {other}"));
    }
}

/// The flag of a field: its name in kebab-case, but `--listener` for each of `listeners`.
fn flag_of(field: &str) -> String {
    if field.starts_with("listeners") {
        return "--listener".to_owned();
    }
    let mut flag = "--".to_owned();
    for character in field.chars() {
        if character.is_ascii_uppercase() {
            flag.push('-');
        }
        flag.push(character.to_ascii_lowercase());
    }
    flag
}

const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
const DEFAULT_DRAIN_DELAY: Duration = Duration::from_secs(5);

const DEFAULT_DRAIN_TIME: Duration = Duration::from_secs(30);

const DEFAULT_CLIENT_HELLO_TIMEOUT: Duration = Duration::from_secs(10);
