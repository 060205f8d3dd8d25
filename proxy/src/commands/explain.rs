//! `explain`: where a client would go, and why.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use streamgate_crds::Sni;
use streamgate_crds::name;
use streamgate_crds::stream_route::{ClientIdPolicy, HashKey};

use crate::balance::EndpointIndex;
use crate::bootstrap::Protocol;
use crate::config::load::Loader;
use crate::config::snapshot::{Route, Snapshot, TlsService};
use crate::connection::pick::{Seeker, by_hash};
use crate::route::rank::{NameRank, rank};
use crate::route::{Client, ClientTls};
use crate::upstream::Choice;

/// The arguments of `explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArguments {
    /// The configuration directory
    #[arg(long, value_name = "DIR")]
    pub config: PathBuf,
    /// The name of the listener that the client comes by
    #[arg(long, value_name = "NAME")]
    pub listener: String,
    /// The server name that it asks for
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,
    /// Its client id [default: empty]
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub client_id: String,
    /// Its address [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), hide_default_value = true)]
    pub source: IpAddr,
    /// Its user name
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// The subject of its certificate, as the access line has it: CN=sensor-1,O=Acme
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
    /// What is spoken on the listener [default: MQTTS where a server name is given, else MQTT]
    #[arg(long, value_name = "PROTOCOL")]
    pub protocol: Option<Protocol>,
    /// Serve the objects of this gateway [default: default]
    #[arg(long, value_name = "NAME")]
    pub gateway: Option<String>,
}

/// Says on standard output which TlsSni, StreamRoute and endpoint are for the client, and why the others aren't. Exit code 0
/// if it would reach an endpoint, 1 if it would be refused, 2 where the directory can't be read.
pub fn explain(arguments: &ExplainArguments) -> ExitCode {
    let gateway = arguments.gateway.clone().unwrap_or_else(name::default_gateway);
    match Loader::new(&arguments.config, Some(gateway), None).load() {
        Ok(snapshot) => {
            let snapshot = snapshot.unwrap_or_else(|| Arc::new(Snapshot::empty()));
            let Explanation { text, is_reached } = Explanation::of(arguments, &snapshot);
            print!("{text}");
            if is_reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            let directory = arguments.config.display();
            eprintln!("{directory}: found a directory that can't be read ({error}); wanted a configuration directory");
            ExitCode::from(2)
        }
    }
}

/// What is said of a client.
#[derive(Debug, Default)]
struct Explanation {
    text: String,
    is_reached: bool,
}

impl Explanation {
    fn of(arguments: &ExplainArguments, snapshot: &Snapshot) -> Self {
        let mut explanation = Self::default();
        explanation.is_reached = explanation.tell(arguments, snapshot);
        for refusal in &snapshot.refused {
            explanation.line("refused", format_args!("{}: {}: {}", refusal.object, refusal.reason, refusal.message));
        }
        explanation
    }

    /// Goes the client's way, and tells whether it arrives.
    fn tell(&mut self, arguments: &ExplainArguments, snapshot: &Snapshot) -> bool {
        let sni = arguments.sni.as_ref().map(|name| name.to_ascii_lowercase());
        let sni = sni.as_deref().map(|name| name.strip_suffix('.').unwrap_or(name));
        let default = if sni.is_some() { Protocol::Mqtts } else { Protocol::Mqtt };
        let tls = match arguments.protocol.unwrap_or(default) {
            Protocol::Mqtt => {
                self.line(
                    "TlsSni",
                    format_args!("none: the listener {} is taken as one without TLS", arguments.listener),
                );
                None
            }
            Protocol::Mqtts => match self.tell_tls_sni(snapshot, sni) {
                Some(service) => Some(ClientTls { sni, service }),
                None => return false,
            },
        };
        let client = Client { listener: &arguments.listener, source: arguments.source, tls };
        let Some(route) = self.tell_route(snapshot, &client) else {
            return false;
        };
        let seeker = Seeker {
            client_id: &arguments.client_id,
            username: arguments.username.as_deref(),
            subject: arguments.subject.as_deref(),
            sni,
            source: arguments.source,
        };
        self.tell_client_id(route, &arguments.client_id) && self.tell_endpoint(route, &seeker)
    }

    fn tell_tls_sni<'a>(&mut self, snapshot: &'a Snapshot, sni: Option<&str>) -> Option<&'a TlsService> {
        let asked = sni.map_or_else(|| "no name".to_owned(), |name| format!("the name {name}"));
        let chosen = snapshot.names.find(sni);
        match chosen {
            None => {
                self.line(
                    "TlsSni",
                    format_args!("none serves {asked}: refused with the alert unrecognized_name (112)"),
                );
            }
            Some(service) if service.server.is_none() => self.line(
                "TlsSni",
                format_args!(
                    "{}, of which no certificate can be used: refused with the alert unrecognized_name (112)",
                    service.label
                ),
            ),
            Some(service) => self.line("TlsSni", format_args!("{}, for {asked}", service.label)),
        }
        for other in &snapshot.tls_services {
            if chosen.is_none_or(|chosen| !Arc::ptr_eq(chosen, other)) {
                let snis = list(&other.spec.snis);
                let why = if other.spec.snis.iter().any(|own| own.matches(sni.unwrap_or_default())) {
                    format!("its names ({snis}) are less specific")
                } else {
                    format!("it serves {snis}")
                };
                self.line("", format_args!("not {}: {why}", other.label));
            }
        }
        chosen.filter(|service| service.server.is_some()).map(|service| &**service)
    }

    fn tell_route<'a>(&mut self, snapshot: &'a Snapshot, client: &Client<'_>) -> Option<&'a Route> {
        let chosen = snapshot.routes.find(client).map(|route| &**route);
        let fit = chosen.and_then(|route| Some((route, rank(route, client).ok()?)));
        match fit {
            None => self.line(
                "StreamRoute",
                format_args!("none: refused with CONNACK 0x05 (MQTT 3.1, 3.1.1) or 0x87 (MQTT 5.0), not authorized"),
            ),
            Some((route, fit)) => {
                let by = match fit.name {
                    NameRank::Exact => "by its exact name",
                    NameRank::Wildcard => "by its wildcard name",
                    NameRank::None => "by no name, so for all of its namespace",
                };
                let range = if fit.range == 0 { "" } else { " and its source range" };
                self.line("StreamRoute", format_args!("{}, {by}{range}", route.label));
            }
        }
        for other in snapshot.routes.routes() {
            let why = match (rank(other, client), fit) {
                (Err(miss), _) => miss.to_string(),
                (Ok(_), Some((route, _))) if route.object == other.object => continue,
                (Ok(its), Some((route, fit))) if its < fit => format!("{} is more specific", route.label),
                (Ok(_), Some((route, _))) => format!("{} is older", route.label),
                (Ok(_), None) => continue,
            };
            self.line("", format_args!("not {}: {why}", other.label));
        }
        chosen
    }

    /// Whether the client id may take the route, as far as can be told without a certificate.
    fn tell_client_id(&mut self, route: &Route, client_id: &str) -> bool {
        let rule = &route.spec.mqtt.client_id;
        match rule.policy {
            ClientIdPolicy::NonEmpty | ClientIdPolicy::MatchesCertificate if client_id.is_empty() => {
                let what =
                    "empty: refused with CONNACK 0x02 (MQTT 3.1, 3.1.1) or 0x85 (MQTT 5.0), for the route asks for one";
                self.line("client id", format_args!("{what}"));
                return false;
            }
            ClientIdPolicy::MatchesCertificate => {
                self.line(
                    "client id",
                    format_args!("must be the {:?} of the client's certificate", rule.certificate_field),
                );
            }
            ClientIdPolicy::Any | ClientIdPolicy::NonEmpty => {}
        }
        true
    }

    fn tell_endpoint(&mut self, route: &Route, seeker: &Seeker<'_>) -> bool {
        let upstream = &route.upstream;
        if upstream.available() == 0 {
            let what = "none takes clients: refused with CONNACK 0x03 (MQTT 3.1, 3.1.1) or 0x88 (MQTT 5.0)";
            self.line("endpoint", format_args!("{what}"));
            return false;
        }
        match &upstream.choice {
            choice @ (Choice::RoundRobin | Choice::LeastConnections | Choice::Random2) => {
                let how = match choice {
                    Choice::LeastConnections => "the one with the fewest connections for its weight",
                    Choice::Random2 => "of two that are drawn by weight, the one with fewer connections",
                    _ => "each in turn, by weight",
                };
                self.line("endpoint", format_args!("{how}"));
                for (group, endpoints) in upstream.groups.iter().zip(upstream.endpoints()) {
                    for endpoint in endpoints {
                        let share = format_args!("{} (weight {})", group.identity, group.weight);
                        self.line("", format_args!("{} at {}, of {share}", endpoint.identity, endpoint.target));
                    }
                }
            }
            Choice::ConsistentHash(key, rendezvous) => {
                let value = seeker.hash_key(*key);
                let tries = usize::from(route.spec.upstream.retries) + 1;
                for (place, index) in by_hash(upstream, rendezvous, &value, tries).into_iter().enumerate() {
                    self.tell_choice(route, place, index, *key, &value);
                }
            }
        }
        true
    }

    fn tell_choice(&mut self, route: &Route, place: usize, index: EndpointIndex, key: HashKey, value: &str) {
        let Some(endpoint) = route.upstream.endpoint(index) else { return };
        let where_to = format!("{} at {}", endpoint.identity, endpoint.target);
        if place == 0 {
            self.line("endpoint", format_args!("{where_to}, by the hash of {value:?} ({key:?})"));
        } else {
            self.line("", format_args!("then {where_to}, where that can't be reached"));
        }
    }

    fn line(&mut self, head: &str, text: fmt::Arguments<'_>) {
        // A String takes all that is written.
        let _ = writeln!(self.text, "{head:<12} {text}");
    }
}

fn list(snis: &[Sni]) -> String {
    snis.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
