//! The Kubernetes objects of an endpoints file, slimmed: fields that say nothing about who serves are not looked at.

use std::net::IpAddr;

use serde::Deserialize;
use serde_saphyr::{Spanned, budget, options};
use streamgate_crds::problem::Problem;

use super::{Entry, NamedPort, Service, ServiceEndpoints, Slice, State};
use crate::config::yaml;

pub(super) fn read(file: &str, namespace: &str, service: &str, text: &str) -> Result<ServiceEndpoints, Vec<Problem>> {
    // Room for the endpoints of a very large Service, which pass the reader's own bounds.
    let options = options! {
        budget: budget! { max_nodes: MAX_NODES, max_events: 2 * MAX_NODES },
        with_snippet: false,
    };
    let documents: Vec<Spanned<Document>> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| vec![yaml::problem(file, text, &error)])?;
    let mut reader = Reader {
        file,
        namespace,
        service_name: service,
        service: None,
        slices: Vec::new(),
        problems: Vec::new(),
    };
    for document in &documents {
        reader.read_document(document);
    }
    reader.finish()
}

/// Any of the objects: a Service (`spec`), an EndpointSlice (`addressType`, `endpoints`, `ports`), a List (`items`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: Option<Spanned<String>>,
    kind: Option<Spanned<String>>,
    metadata: Option<Metadata>,
    spec: Option<ServiceSpec>,
    address_type: Option<Spanned<String>>,
    endpoints: Option<Vec<Spanned<EndpointEntry>>>,
    ports: Option<Vec<SlicePort>>,
    items: Option<Vec<Spanned<Document>>>,
}

#[derive(Deserialize)]
struct Metadata {
    name: Option<Spanned<String>>,
    namespace: Option<Spanned<String>>,
    labels: Option<Labels>,
}

#[derive(Deserialize)]
struct Labels {
    #[serde(rename = "kubernetes.io/service-name")]
    service_name: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceSpec {
    r#type: Option<String>,
    external_name: Option<Spanned<String>>,
    ports: Option<Vec<PortSpec>>,
}

#[derive(Deserialize)]
struct PortSpec {
    name: Option<String>,
    port: Spanned<u16>,
    protocol: Option<String>,
}

#[derive(Deserialize)]
struct SlicePort {
    name: Option<String>,
    port: Option<Spanned<u16>>,
    protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndpointEntry {
    addresses: Option<Vec<Spanned<String>>>,
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
    /// discovery.k8s.io/v1, EndpointConditions: absent is ready, absent `serving` is as `ready`, absent `terminating` is
    /// no.
    fn state(&self) -> State {
        let ready = self.ready.unwrap_or(true);
        match (ready, self.serving.unwrap_or(ready), self.terminating.unwrap_or(false)) {
            (true, _, _) => State::Ready,
            (false, true, true) => State::ServingWhileTerminating,
            (false, _, _) => State::NotReady,
        }
    }
}

/// Takes the objects out of the documents and notes what is wrong with them.
struct Reader<'a> {
    file: &'a str,
    namespace: &'a str,
    service_name: &'a str,
    service: Option<Service>,
    slices: Vec<Slice>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn read_document(&mut self, document: &Spanned<Document>) {
        let Document { api_version, kind, .. } = &document.value;
        let Some(kind) = kind else {
            return self.note(document, "kind", "nothing", KINDS);
        };
        let wanted_version = match kind.value.as_str() {
            "List" | "Service" => "v1",
            "EndpointSlice" => "discovery.k8s.io/v1",
            other => return self.note(kind, "kind", &quoted(other), KINDS),
        };
        match api_version {
            None => return self.note(document, "apiVersion", "nothing", &quoted(wanted_version)),
            Some(version) if version.value != wanted_version => {
                return self.note(version, "apiVersion", &quoted(&version.value), &quoted(wanted_version));
            }
            Some(_) => {}
        }
        match kind.value.as_str() {
            "List" => document.value.items.iter().flatten().for_each(|item| self.read_document(item)),
            "Service" => self.read_service(document),
            _ => self.read_slice(document),
        }
    }

    fn read_service(&mut self, document: &Spanned<Document>) {
        let Document { metadata, spec, .. } = &document.value;
        if let Some(Metadata { name, namespace, .. }) = metadata {
            self.check_word("metadata.name", name.as_ref(), self.service_name);
            self.check_word("metadata.namespace", namespace.as_ref(), self.namespace);
        }
        if self.service.is_some() {
            return self.note(document, "", "a second Service", "one, the one that the file is named after");
        }
        let Some(spec) = spec else {
            return self.note(document, "spec", "nothing", "the Service's `type` and `ports`");
        };
        let is_external = spec.r#type.as_deref() == Some("ExternalName");
        let external_name = spec.external_name.as_ref().filter(|name| !name.value.is_empty());
        if is_external && external_name.is_none() {
            self.note(document, "spec.externalName", "nothing", "the name that `type: ExternalName` stands for");
        }
        let mut ports = Vec::new();
        for PortSpec { name, port, protocol } in spec.ports.iter().flatten() {
            self.check_number("spec.ports[].port", port);
            if is_tcp(protocol.as_deref()) {
                ports.push(NamedPort {
                    name: name.clone().unwrap_or_default(),
                    number: port.value,
                });
            }
        }
        self.service = Some(Service {
            external_name: external_name.filter(|_| is_external).map(|name| name.value.clone()),
            ports,
        });
    }

    fn read_slice(&mut self, document: &Spanned<Document>) {
        let slice = &document.value;
        if let Some(Metadata { namespace, labels, .. }) = &slice.metadata {
            let service_name = labels.as_ref().and_then(|labels| labels.service_name.as_ref());
            self.check_word("metadata.labels[kubernetes.io/service-name]", service_name, self.service_name);
            self.check_word("metadata.namespace", namespace.as_ref(), self.namespace);
        }
        let is_right_family: fn(&IpAddr) -> bool = match &slice.address_type {
            Some(family) if family.value == "IPv4" => IpAddr::is_ipv4,
            Some(family) if family.value == "IPv6" => IpAddr::is_ipv6,
            Some(family) => return self.note(family, "addressType", &quoted(&family.value), FAMILIES),
            None => return self.note(document, "addressType", "nothing", FAMILIES),
        };
        let mut ports = Vec::new();
        let mut any_port = slice.ports.as_ref().is_none_or(Vec::is_empty);
        for SlicePort { name, port, protocol } in slice.ports.iter().flatten() {
            match port {
                _ if !is_tcp(protocol.as_deref()) => {}
                None => any_port = true,
                Some(port) => {
                    self.check_number("ports[].port", port);
                    ports.push(NamedPort {
                        name: name.clone().unwrap_or_default(),
                        number: port.value,
                    });
                }
            }
        }
        let entries = slice.endpoints.iter().flatten();
        let entries = entries.filter_map(|entry| self.read_entry(entry, is_right_family)).collect();
        self.slices.push(Slice {
            ports,
            any_port,
            entries,
        });
    }

    fn read_entry(&mut self, entry: &Spanned<EndpointEntry>, is_right_family: fn(&IpAddr) -> bool) -> Option<Entry> {
        let EndpointEntry { addresses, conditions, target_ref } = &entry.value;
        let Some(text) = addresses.iter().flatten().next() else {
            self.note(entry, "endpoints[].addresses", "nothing", "an address");
            return None;
        };
        let Some(address) = text.value.parse().ok().filter(is_right_family) else {
            let wanted = "an IP address of the slice's `addressType`";
            self.note(text, "endpoints[].addresses", &quoted(&text.value), wanted);
            return None;
        };
        let pod = target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
        Some(Entry {
            address,
            pod: pod.and_then(|pod| pod.name.clone()).filter(|name| !name.is_empty()),
            state: conditions.as_ref().map_or(State::Ready, Conditions::state),
        })
    }

    /// What an object says about itself must be what the file's name says; it may leave it out.
    fn check_word(&mut self, field: &str, found: Option<&Spanned<String>>, wanted: &str) {
        if let Some(found) = found.filter(|found| found.value != wanted) {
            let wanted = format!("{}, as the file's name has it", quoted(wanted));
            self.note(found, field, &quoted(&found.value), &wanted);
        }
    }

    fn check_number(&mut self, field: &str, port: &Spanned<u16>) {
        if port.value == 0 {
            self.note(port, field, "`0`", "a port from 1 to 65535");
        }
    }

    fn note<T>(&mut self, place: &Spanned<T>, field: &str, found: &str, wanted: &str) {
        self.problems.push(Problem {
            file: Some(self.file.to_owned()),
            object: None,
            field: field.to_owned(),
            found: found.to_owned(),
            wanted: wanted.to_owned(),
            location: Some(yaml::location_of(place)),
        });
    }

    fn finish(mut self) -> Result<ServiceEndpoints, Vec<Problem>> {
        if self.service.is_none() && self.slices.is_empty() && self.problems.is_empty() {
            self.problems.push(Problem {
                file: Some(self.file.to_owned()),
                object: None,
                field: String::new(),
                found: "neither a Service nor an EndpointSlice".to_owned(),
                wanted: "the Service and its EndpointSlices, or the EndpointSlices alone".to_owned(),
                location: None,
            });
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        Ok(ServiceEndpoints {
            file: self.file.to_owned(),
            service: self.service,
            slices: self.slices,
        })
    }
}

fn is_tcp(protocol: Option<&str>) -> bool {
    matches!(protocol, None | Some("TCP"))
}

fn quoted(word: &str) -> String {
    format!("`{word}`")
}

/// What may stand in the file.
const KINDS: &str = "`Service`, `EndpointSlice` or a `List` of them";

/// The address types that can be connected to; kube-proxy knows no other either.
const FAMILIES: &str = "`IPv4` or `IPv6` (for a DNS name, a Service of `type: ExternalName`)";

/// Some 100,000 endpoints as Kubernetes writes them.
const MAX_NODES: usize = 5_000_000;
