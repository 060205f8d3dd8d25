//! The texts of generated objects. Equal contents are equal texts.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use streamgate_crds::manifest::Manifest;

use crate::store::service::{Entry, Port, Readiness, SERVICE_NAME};
use crate::store::{Name, Service, Slice};

/// A StreamRoute or TlsSni as the proxy reads it: JSON, which is YAML.
pub(super) fn manifest<T: Manifest>(object: &T, spec: &impl Serialize) -> String {
    let manifest = json!({
        "apiVersion": T::api_version(&()),
        "kind": T::kind(&()),
        "metadata": object.meta(),
        "spec": spec,
    });
    format!("{manifest:#}\n")
}

/// A Service and its EndpointSlices, as the proxy reads them.
pub(super) fn endpoints<'a>(
    name: &Name,
    service: &Service,
    slices: impl Iterator<Item = (&'a Arc<str>, &'a Slice)>,
    is_denied: impl Fn(IpAddr) -> bool,
) -> String {
    let mut text = String::new();
    // Without ports of its own, its endpoints' are meant, which is what the proxy reads where there is no Service.
    let is_told = service.external_name.is_some() || !service.any_port;
    if is_told {
        push_service(&mut text, name, service);
    }
    if service.external_name.is_none() {
        for (slice_name, slice) in slices {
            let mut entries = serving(slice, &is_denied).peekable();
            if entries.peek().is_some() {
                push_slice(&mut text, name, slice_name, slice, entries);
            }
        }
    }
    if text.is_empty() {
        let nobody =
            Slice { service: name.clone(), is_ipv6: false, ports: [].into(), any_port: true, entries: [].into() };
        push_slice(&mut text, name, &name.name, &nobody, std::iter::empty());
    }
    text
}

/// Who of a slice takes clients. Who terminates is left out where somebody of the same slice is ready, and would not be asked.
pub(super) fn serving(slice: &Slice, is_denied: impl Fn(IpAddr) -> bool) -> impl Iterator<Item = &Entry> {
    let allowed = move |entry: &&Entry| !is_denied(entry.address);
    let best = slice.entries.iter().filter(&allowed).map(|entry| entry.readiness).min();
    let best = best.filter(|best| *best != Readiness::NotReady);
    slice.entries.iter().filter(allowed).filter(move |entry| Some(entry.readiness) == best)
}

fn push_service(text: &mut String, name: &Name, service: &Service) {
    text.push_str("---\napiVersion: v1\nkind: Service\nmetadata: {namespace: ");
    push_quoted(text, &name.namespace);
    text.push_str(", name: ");
    push_quoted(text, &name.name);
    text.push_str("}\nspec:\n");
    match &service.external_name {
        Some(host) => {
            text.push_str("  type: ExternalName\n  externalName: ");
            push_quoted(text, host);
            text.push('\n');
        }
        None => text.push_str("  type: ClusterIP\n"),
    }
    push_ports(text, "  ", &service.ports);
}

fn push_slice<'a>(
    text: &mut String,
    service: &Name,
    name: &str,
    slice: &Slice,
    entries: impl Iterator<Item = &'a Entry>,
) {
    text.push_str("---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: ");
    push_quoted(text, name);
    text.push_str("\n  labels: {");
    text.push_str(SERVICE_NAME);
    text.push_str(": ");
    push_quoted(text, &service.name);
    text.push_str("}\naddressType: ");
    text.push_str(if slice.is_ipv6 { "IPv6\n" } else { "IPv4\n" });
    if !slice.any_port && slice.ports.is_empty() {
        // Ports of other protocols alone: none that counts, which is not the same as none at all.
        text.push_str("ports: [{port: 1, protocol: UDP}]\n");
    } else {
        push_ports(text, "", &slice.ports);
    }
    let mut is_first = true;
    for entry in entries {
        if is_first {
            text.push_str("endpoints:\n");
            is_first = false;
        }
        push_entry(text, entry);
    }
    if is_first {
        text.push_str("endpoints: []\n");
    }
}

fn push_ports(text: &mut String, indent: &str, ports: &[Port]) {
    if ports.is_empty() {
        let _ = writeln!(text, "{indent}ports: []");
        return;
    }
    let _ = writeln!(text, "{indent}ports:");
    for Port { name, number } in ports {
        let _ = write!(text, "{indent}- {{name: ");
        push_quoted(text, name);
        if let Some(number) = number {
            let _ = write!(text, ", port: {number}");
        }
        text.push_str("}\n");
    }
}

fn push_entry(text: &mut String, entry: &Entry) {
    let _ = write!(text, "- {{addresses: [\"{}\"]", entry.address);
    if let Some(pod) = &entry.pod {
        text.push_str(", targetRef: {kind: Pod, name: ");
        push_quoted(text, pod);
        text.push('}');
    }
    if entry.readiness != Readiness::Ready {
        text.push_str(", conditions: {ready: false, serving: true, terminating: true}");
    }
    text.push_str("}\n");
}

/// A text in double quotes, as JSON has it and YAML too.
fn push_quoted(text: &mut String, word: &str) {
    text.push('"');
    for character in word.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            ' '..='~' => text.push(character),
            _ => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text.push('"');
}
