//! The Kubernetes objects of an endpoints file, slimmed: what says nothing about who serves is passed over.

use std::net::IpAddr;

use serde::Deserialize;
use streamgate_crds::problem::Problem;
use streamgate_crds::yaml::Document;

use super::{Entry, NamedPort, Service, ServiceEndpoints, Slice, State};

/// Reads the text of `file`, which is of the Service `namespace`/`service`.
pub(super) fn read(file: &str, namespace: &str, service: &str, text: &str) -> Result<ServiceEndpoints, Vec<Problem>> {
    let mut reader =
        Reader { namespace, service_name: service, service: None, slices: Vec::new(), problems: Vec::new() };
    let mut problems = Vec::new();
    match Document::parse_all(text) {
        Ok(documents) => {
            for document in documents {
                match document.read_known::<Object>() {
                    Ok(object) => reader.read_object("", &object),
                    Err(wrong) => reader.problems.extend(wrong),
                }
                problems.extend(reader.problems.drain(..).map(|problem| document.place(problem)));
            }
        }
        Err(problem) => problems.push(problem),
    }
    if reader.service.is_none() && reader.slices.is_empty() && problems.is_empty() {
        let wanted = "the Service and its EndpointSlices, or the EndpointSlices alone";
        problems.push(Problem::new("", "neither a Service nor an EndpointSlice", wanted));
    }
    if problems.is_empty() {
        Ok(ServiceEndpoints { service: reader.service, slices: reader.slices })
    } else {
        Err(problems.into_iter().map(|problem| problem.in_file(file)).collect())
    }
}

/// Any of the objects: a Service (`spec`), an `EndpointSlice` (`addressType`, `endpoints`, `ports`), a List (`items`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Option<Metadata>,
    spec: Option<ServiceSpec>,
    address_type: Option<String>,
    #[serde(default)]
    endpoints: Vec<EndpointEntry>,
    #[serde(default)]
    ports: Vec<SlicePort>,
    #[serde(default)]
    items: Vec<Object>,
}

#[derive(Deserialize)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    labels: Option<Labels>,
}

#[derive(Deserialize)]
struct Labels {
    #[serde(rename = "kubernetes.io/service-name")]
    service_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceSpec {
    r#type: Option<String>,
    external_name: Option<String>,
    #[serde(default)]
    ports: Vec<ServicePortSpec>,
}

#[derive(Deserialize)]
struct ServicePortSpec {
    name: Option<String>,
    port: u16,
    protocol: Option<String>,
}

#[derive(Deserialize)]
struct SlicePort {
    name: Option<String>,
    port: Option<u16>,
    protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndpointEntry {
    #[serde(default)]
    addresses: Vec<String>,
    conditions: Option<Conditions>,
    target_ref: Option<TargetRef>,
}

#[derive(Deserialize)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize)]
struct TargetRef {
    kind: Option<String>,
    name: Option<String>,
}

impl Conditions {
    /// `EndpointConditions` of discovery.k8s.io/v1: an absent `ready` is yes, an absent `serving` is what `ready` is, an
    /// absent `terminating` is no.
    fn state(&self) -> State {
        let ready = self.ready.unwrap_or(true);
        match (ready, self.serving.unwrap_or(ready), self.terminating.unwrap_or(false)) {
            (true, _, _) => State::Ready,
            (false, true, true) => State::ServingWhileTerminating,
            (false, _, _) => State::NotReady,
        }
    }
}

/// Takes the objects out of the documents and notes what is wrong with them. `at` is an object's own path in its document:
/// empty, or `items[3].`.
struct Reader<'a> {
    namespace: &'a str,
    service_name: &'a str,
    service: Option<Service>,
    slices: Vec<Slice>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn read_object(&mut self, at: &str, object: &Object) {
        let api_version = match object.kind.as_deref() {
            Some("List" | "Service") => "v1",
            Some("EndpointSlice") => "discovery.k8s.io/v1",
            other => return self.note(format!("{at}kind"), quoted(other), KINDS),
        };
        if object.api_version.as_deref() != Some(api_version) {
            let found = quoted(object.api_version.as_deref());
            return self.note(format!("{at}apiVersion"), found, format!("`{api_version}`"));
        }
        if let Some(metadata) = &object.metadata {
            self.check_word(format!("{at}metadata.namespace"), metadata.namespace.as_deref(), self.namespace);
        }
        match object.kind.as_deref() {
            Some("Service") => self.read_service(at, object),
            Some("EndpointSlice") => self.read_slice(at, object),
            _ => {
                for (index, item) in object.items.iter().enumerate() {
                    self.read_object(&format!("{at}items[{index}]."), item);
                }
            }
        }
    }

    fn read_service(&mut self, at: &str, object: &Object) {
        if let Some(metadata) = &object.metadata {
            self.check_word(format!("{at}metadata.name"), metadata.name.as_deref(), self.service_name);
        }
        if self.service.is_some() {
            return self.note(format!("{at}kind"), "a second Service", "one, after which the file is named");
        }
        let Some(spec) = &object.spec else {
            return self.note(format!("{at}spec"), "nothing", "the Service's `ports`");
        };
        let is_external = spec.r#type.as_deref() == Some("ExternalName");
        let external_name = spec.external_name.clone().filter(|name| is_external && !name.is_empty());
        if is_external && external_name.is_none() {
            self.note(format!("{at}spec.externalName"), "nothing", "the DNS name that the Service stands for");
        }
        let mut ports = Vec::new();
        for (index, ServicePortSpec { name, port, protocol }) in spec.ports.iter().enumerate() {
            self.check_port_number(format!("{at}spec.ports[{index}].port"), *port);
            if is_tcp(protocol.as_deref()) {
                ports.push(NamedPort { name: name.clone().unwrap_or_default(), number: *port });
            }
        }
        self.service = Some(Service { external_name, ports });
    }

    fn read_slice(&mut self, at: &str, object: &Object) {
        let labels = object.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
        if let Some(Labels { service_name }) = labels {
            let field = format!("{at}metadata.labels.{SERVICE_NAME}");
            self.check_word(field, service_name.as_deref(), self.service_name);
        }
        let is_of_family = match object.address_type.as_deref() {
            Some("IPv4") => IpAddr::is_ipv4,
            Some("IPv6") => IpAddr::is_ipv6,
            other => return self.note(format!("{at}addressType"), quoted(other), FAMILIES),
        };
        let mut ports = Vec::new();
        let mut any_port = object.ports.is_empty();
        for (index, SlicePort { name, port, protocol }) in object.ports.iter().enumerate() {
            match port {
                _ if !is_tcp(protocol.as_deref()) => {}
                None => any_port = true,
                Some(port) => {
                    self.check_port_number(format!("{at}ports[{index}].port"), *port);
                    ports.push(NamedPort { name: name.clone().unwrap_or_default(), number: *port });
                }
            }
        }
        let mut entries = Vec::new();
        for (index, entry) in object.endpoints.iter().enumerate() {
            let address = entry.addresses.first();
            let Some(address) = address.and_then(|text| text.parse().ok()).filter(is_of_family) else {
                let field = match address {
                    Some(_) => format!("{at}endpoints[{index}].addresses[0]"),
                    None => format!("{at}endpoints[{index}].addresses"),
                };
                let family = object.address_type.as_deref().unwrap_or_default();
                self.note(field, quoted(address.map(String::as_str)), format!("an {family} address"));
                continue;
            };
            let pod = entry.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            entries.push(Entry {
                address,
                pod: pod.and_then(|pod| pod.name.clone()).filter(|name| !name.is_empty()),
                state: entry.conditions.as_ref().map_or(State::Ready, Conditions::state),
            });
        }
        self.slices.push(Slice { ports, any_port, entries });
    }

    /// What an object says about itself must be what the file's name says; it may leave it out.
    fn check_word(&mut self, field: String, found: Option<&str>, wanted: &str) {
        if found.is_some_and(|found| found != wanted) {
            self.note(field, quoted(found), format!("`{wanted}`, as the name of the file has it"));
        }
    }

    fn check_port_number(&mut self, field: String, number: u16) {
        if number == 0 {
            self.note(field, "the port 0", "a port from 1 to 65535");
        }
    }

    fn note(&mut self, field: String, found: impl Into<String>, wanted: impl Into<String>) {
        self.problems.push(Problem::new(field, found, wanted));
    }
}

fn is_tcp(protocol: Option<&str>) -> bool {
    matches!(protocol, None | Some("TCP"))
}

fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "nothing".to_owned(), |text| format!("`{text}`"))
}

/// The label by which an `EndpointSlice` says whose it is.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What may stand in the file.
const KINDS: &str = "`Service`, `EndpointSlice` or a `List` of them";

/// The address types that kube-proxy knows too.
const FAMILIES: &str = "`IPv4` or `IPv6`; for a DNS name, a Service with `type: ExternalName`";
