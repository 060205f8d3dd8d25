//! The text of the operator's file into [`Settings`], or what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use kube::core::Expression;
use serde::Deserialize;
use streamgate_crds::admit::{Domain, Listener, Protocol};
use streamgate_crds::cidr::Cidr;
use streamgate_crds::duration::Duration as DurationWord;
use streamgate_crds::name;
use streamgate_crds::problem::{Problem, WordError};
use streamgate_crds::sni::Sni;
use streamgate_crds::yaml::Document;
use streamgate_proxy::bootstrap::{Protocol as ListenerProtocol, deserialize_address};

use super::Settings;
use crate::generated;
use crate::store::{Gateway, Name, Namespaces};

pub(super) fn read(text: &str) -> Result<Settings, Vec<Problem>> {
    let document = Document::parse(text).map_err(|problem| vec![problem])?;
    let place =
        |problems: Vec<Problem>| problems.into_iter().map(|problem| document.place(problem)).collect::<Vec<_>>();
    let file: File = document.read().map_err(place)?;
    let mut checks = Checks::default();
    let settings = checks.settings(file);
    if checks.problems.is_empty() { Ok(settings) } else { Err(place(checks.problems)) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    namespace: String,
    #[serde(default)]
    watch_namespaces: Vec<String>,
    lease_name: Option<String>,
    lease_duration: Option<DurationWord>,
    ticket_key_rotation: Option<DurationWord>,
    admin: Option<Address>,
    gateways: Vec<GatewayFields>,
}

#[derive(Deserialize)]
struct Address(#[serde(deserialize_with = "deserialize_address")] SocketAddr);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GatewayFields {
    name: String,
    service: ServiceFields,
    listeners: Vec<ListenerFields>,
    allowed_namespaces: Option<NamespacesFields>,
    domains: Option<Vec<DomainFields>>,
    plaintext_namespaces: Option<NamespacesFields>,
    #[serde(default)]
    allow_external_upstreams: bool,
    #[serde(default)]
    denied_upstreams: Vec<Cidr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceFields {
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerFields {
    name: String,
    protocol: ListenerProtocol,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainFields {
    namespaces: Vec<String>,
    names: Vec<Sni>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NamespacesFields {
    names: Option<Vec<String>>,
    match_labels: Option<BTreeMap<String, String>>,
    match_expressions: Option<Vec<RequirementFields>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequirementFields {
    key: String,
    operator: Operator,
    values: Option<Vec<String>>,
}

/// What a requirement asks of a label, in Kubernetes' words.
#[derive(Clone, Copy, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl From<ListenerFields> for Listener {
    fn from(ListenerFields { name, protocol }: ListenerFields) -> Self {
        let protocol = match protocol {
            ListenerProtocol::Mqtt => Protocol::Mqtt,
            ListenerProtocol::Mqtts => Protocol::Mqtts,
        };
        Self { name, protocol }
    }
}

/// Checks what is given, puts the default where nothing is, and notes what is wrong.
#[derive(Default)]
struct Checks {
    problems: Vec<Problem>,
}

impl Checks {
    fn settings(&mut self, file: File) -> Settings {
        self.word("namespace", name::label(&file.namespace));
        for (index, namespace) in file.watch_namespaces.iter().enumerate() {
            self.word(format!("watchNamespaces[{index}]"), name::label(namespace));
        }
        let lease_name = file.lease_name.unwrap_or_else(|| LEASE_NAME.to_owned());
        self.word("leaseName", name::label(&lease_name));
        if file.gateways.is_empty() {
            self.note("gateways", "none", "one or more, such as the one named `default`");
        }
        let lease_duration = self.at_least("leaseDuration", file.lease_duration, LEASE_DURATION, LEAST_LEASE_DURATION);
        let ticket_key_rotation = self.at_least(
            "ticketKeyRotation",
            file.ticket_key_rotation,
            TICKET_KEY_ROTATION,
            LEAST_TICKET_KEY_ROTATION,
        );
        let mut names = BTreeSet::new();
        let mut gateways = Vec::with_capacity(file.gateways.len());
        for (index, fields) in file.gateways.into_iter().enumerate() {
            let at = format!("gateways[{index}]");
            if !names.insert(fields.name.clone()) {
                let found = format!("`{}` a second time", fields.name);
                self.note(format!("{at}.name"), found, "a name of its own for each gateway");
            }
            gateways.push(self.gateway(&at, fields));
        }
        self.keep_apart(&file.namespace, &file.watch_namespaces, &gateways);
        Settings {
            namespace: file.namespace,
            watch_namespaces: file.watch_namespaces.into_iter().collect(),
            lease_name,
            lease_duration,
            ticket_key_rotation,
            admin: file.admin.map_or(ADMIN, |admin| admin.0),
            gateways,
        }
    }

    fn gateway(&mut self, at: &str, fields: GatewayFields) -> Gateway {
        self.word(format!("{at}.name"), name::gateway(&fields.name));
        self.word(format!("{at}.service.namespace"), name::label(&fields.service.namespace));
        self.word(format!("{at}.service.name"), name::label(&fields.service.name));
        if fields.listeners.is_empty() {
            self.note(format!("{at}.listeners"), "none", "one or more, such as {name: mqtts, protocol: MQTTS}");
        }
        let mut names = BTreeSet::new();
        for (index, listener) in fields.listeners.iter().enumerate() {
            let at = format!("{at}.listeners[{index}].name");
            self.word(at.as_str(), name::label(&listener.name));
            if !names.insert(&listener.name) {
                let found = format!("`{}` a second time", listener.name);
                self.note(at, found, "a name of its own for each listener");
            }
        }
        let allowed_namespaces = self.namespaces(&format!("{at}.allowedNamespaces"), fields.allowed_namespaces);
        let plaintext_namespaces = self.namespaces(&format!("{at}.plaintextNamespaces"), fields.plaintext_namespaces);
        let domains = fields.domains.map(|domains| self.domains(at, domains));
        Gateway {
            name: fields.name,
            service: Name::new(&fields.service.namespace, &fields.service.name),
            listeners: fields.listeners.into_iter().map(Listener::from).collect(),
            allowed_namespaces,
            domains,
            plaintext_namespaces,
            allow_external_upstreams: fields.allow_external_upstreams,
            denied_upstreams: fields.denied_upstreams,
        }
    }

    /// A gateway's own namespace is nobody else's: its proxies may read all Secrets there.
    fn keep_apart(&mut self, own: &str, watched: &[String], gateways: &[Gateway]) {
        let of_services = gateways.iter().map(|gateway| &*gateway.service.namespace);
        let others: BTreeSet<&str> = watched.iter().map(String::as_str).chain(of_services).chain([own]).collect();
        for (index, gateway) in gateways.iter().enumerate() {
            let namespace = generated::namespace(&gateway.name);
            if others.contains(&*namespace) {
                let found = format!("`{}`", gateway.name);
                let wanted =
                    format!("another name, for `{namespace}` is to hold nothing but what the gateway's proxies read");
                self.note(format!("gateways[{index}].name"), found, wanted);
            }
        }
    }

    fn domains(&mut self, at: &str, domains: Vec<DomainFields>) -> Vec<Domain> {
        for (index, domain) in domains.iter().enumerate() {
            for (namespace_index, namespace) in domain.namespaces.iter().enumerate() {
                self.word(format!("{at}.domains[{index}].namespaces[{namespace_index}]"), name::label(namespace));
            }
        }
        let domain =
            |fields: DomainFields| Domain { namespaces: fields.namespaces.into_iter().collect(), names: fields.names };
        domains.into_iter().map(domain).collect()
    }

    fn namespaces(&mut self, at: &str, fields: Option<NamespacesFields>) -> Option<Namespaces> {
        let NamespacesFields { names, match_labels, match_expressions } = fields?;
        match names {
            Some(names) => {
                if match_labels.is_some() || match_expressions.is_some() {
                    let wanted = "either `names`, or `matchLabels` and `matchExpressions`";
                    self.note(at, "names and labels", wanted);
                }
                for (index, namespace) in names.iter().enumerate() {
                    self.word(format!("{at}.names[{index}]"), name::label(namespace));
                }
                Some(Namespaces::Named(names.into_iter().collect()))
            }
            None => {
                let mut expressions: Vec<Expression> = match_labels
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(key, value)| Expression::Equal(key, value))
                    .collect();
                for (index, requirement) in match_expressions.unwrap_or_default().into_iter().enumerate() {
                    expressions.extend(self.requirement(&format!("{at}.matchExpressions[{index}]"), requirement));
                }
                Some(Namespaces::Labelled(expressions.into_iter().collect()))
            }
        }
    }

    fn requirement(&mut self, at: &str, fields: RequirementFields) -> Option<Expression> {
        let RequirementFields { key, operator, values } = fields;
        let values: BTreeSet<String> = values.unwrap_or_default().into_iter().collect();
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                self.note(format!("{at}.values"), "none", "one value or more");
                None
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                self.note(format!("{at}.values"), "values", "none of them, for the operator looks at the key alone");
                None
            }
            Operator::In => Some(Expression::In(key, values)),
            Operator::NotIn => Some(Expression::NotIn(key, values)),
            Operator::Exists => Some(Expression::Exists(key)),
            Operator::DoesNotExist => Some(Expression::DoesNotExist(key)),
        }
    }

    fn at_least(&mut self, field: &str, given: Option<DurationWord>, default: Duration, least: Duration) -> Duration {
        let Some(given) = given else { return default };
        if given.0 < least {
            self.note(field, format!("`{given}`"), format!("at least `{}`", DurationWord(least)));
        }
        given.0
    }

    fn word(&mut self, field: impl Into<String>, checked: Result<(), WordError>) {
        if let Err(error) = checked {
            self.problems.push(error.problem(field));
        }
    }

    fn note(&mut self, field: impl Into<String>, found: impl Into<String>, wanted: impl Into<String>) {
        self.problems.push(Problem::new(field, found, wanted));
    }
}

const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9902);
const LEASE_NAME: &str = "streamgate-operator";
const LEASE_DURATION: Duration = Duration::from_secs(4);
const LEAST_LEASE_DURATION: Duration = Duration::from_secs(1);
const TICKET_KEY_ROTATION: Duration = Duration::from_hours(24);
const LEAST_TICKET_KEY_ROTATION: Duration = Duration::from_mins(1);
