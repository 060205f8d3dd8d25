//! What the owner of a gateway decides, and what follows for an object by itself.

use std::collections::BTreeSet;

use super::{Reason, Refusal, take_names};
use crate::manifest::Manifest;
use crate::problem::ObjectRef;
use crate::sni::Sni;
use crate::stream_route::StreamRoute;
use crate::tls_sni::TlsSni;

/// What the owner of a gateway decides. The default allows everything, of every gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The gateway that is judged for; objects of others are left out without a word. `None`: all of them, each gateway for
    /// itself.
    pub gateway: Option<String>,
    /// The gateway's listeners. `None`: not known, so that any will do and none is in the clear.
    pub listeners: Option<Vec<Listener>>,
    /// The namespaces that may use the gateway. `None`: all.
    pub allowed_namespaces: Option<BTreeSet<String>>,
    /// The names that may be claimed. `None`: any, by anybody.
    pub domains: Option<Vec<Domain>>,
    /// The namespaces that may use a listener without TLS. `None`: all that may use the gateway.
    pub plaintext_namespaces: Option<BTreeSet<String>>,
    /// Whether upstreams may be `nodes`.
    pub allow_external_upstreams: bool,
}

/// A listener of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// What is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// MQTT over TCP, in the clear.
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
}

/// Names that namespaces may claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The namespaces.
    pub namespaces: BTreeSet<String>,
    /// The names: one by one; with `*.` all of one more label, and the wildcard itself; with `*` all.
    pub names: Vec<Sni>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            gateway: None,
            listeners: None,
            allowed_namespaces: None,
            domains: None,
            plaintext_namespaces: None,
            allow_external_upstreams: true,
        }
    }
}

impl Policy {
    /// The gateway's listeners in the clear among these, of which none means all.
    pub(super) fn plaintext_of<'a>(&'a self, listeners: &'a [String]) -> impl Iterator<Item = &'a str> {
        let plaintext = self.listeners.iter().flatten().filter(|listener| listener.protocol == Protocol::Mqtt);
        let names = plaintext.map(|listener| listener.name.as_str());
        names.filter(move |name| listeners.is_empty() || listeners.iter().any(|listener| listener == name))
    }

    /// What is left of these listeners, of which none means all, without some.
    pub(super) fn without(&self, listeners: &[String], lost: &[&str]) -> Vec<String> {
        let all = || self.listeners.iter().flatten().map(|listener| listener.name.clone()).collect();
        let mut left = if listeners.is_empty() { all() } else { listeners.to_vec() };
        left.retain(|listener| !lost.contains(&listener.as_str()));
        left
    }

    /// Why a namespace may not use the gateway, if so.
    fn namespace_denial(&self, namespace: &str, gateway: &str) -> Option<String> {
        let is_allowed = self.allowed_namespaces.as_ref().is_none_or(|allowed| allowed.contains(namespace));
        (!is_allowed).then(|| {
            format!(
                "namespace `{namespace}` may not use gateway `{gateway}`; its owner can allow it, by `allowedNamespaces`"
            )
        })
    }

    /// Why a namespace may not claim a name, if so.
    fn name_denial(&self, sni: &Sni, namespace: &str) -> Option<(Reason, String)> {
        let domains = self.domains.as_ref()?;
        let own = domains.iter().filter(|domain| domain.namespaces.contains(namespace));
        let names: Vec<&Sni> = own.flat_map(|domain| &domain.names).collect();
        if names.iter().any(|domain| holds(domain, sni)) {
            return None;
        }
        let wanted = match names.iter().take(MOST_NAMES).map(|name| format!("`{name}`")).collect::<Vec<_>>() {
            names if names.is_empty() => "none".to_owned(),
            names => names.join(", "),
        };
        let message = format!(
            "`{sni}` is none of the names that namespace `{namespace}` may claim: {wanted}; the gateway's owner can allow it, \
             by `domains`"
        );
        Some((Reason::NameNotAllowed, message))
    }

    /// What is wrong with a route's listeners.
    fn listener_denials(&self, route: &StreamRoute, namespace: &str) -> Vec<(String, (Reason, String))> {
        let Some(known) = &self.listeners else { return Vec::new() };
        let unknown = route.spec.listeners.iter().filter(|name| known.iter().all(|listener| listener.name != **name));
        let mut denials: Vec<_> = unknown.map(|name| (name.clone(), no_listener(name, known))).collect();
        let is_nameless = route.spec.r#match.snis.is_empty();
        let may = self.plaintext_namespaces.as_ref().is_none_or(|allowed| allowed.contains(namespace));
        for name in self.plaintext_of(&route.spec.listeners) {
            if is_nameless && !may {
                let message = format!(
                    "namespace `{namespace}` may not use the listener `{name}`, which is without TLS; the gateway's owner can \
                     allow it, by `plaintextNamespaces`"
                );
                denials.push((name.to_owned(), (Reason::PlaintextNotAllowed, message)));
            } else if !is_nameless && !route.spec.listeners.is_empty() {
                let message = format!(
                    "the listener `{name}` is without TLS, where clients ask for no name; take it out of `listeners`, or \
                     take out `match.snis`"
                );
                denials.push((name.to_owned(), (Reason::NoMatchingListener, message)));
            }
        }
        denials
    }
}

/// Takes from `TlsSni`s the names that their namespaces may not claim, and leaves out those that have none left or whose
/// namespaces may not use the gateway.
pub(super) fn settle_tls_snis(policy: &Policy, tls_snis: &mut Vec<TlsSni>, refusals: &mut Vec<Refusal>) {
    tls_snis.retain_mut(|tls_sni| {
        let object = tls_sni.reference();
        if let Some(message) = policy.namespace_denial(&object.namespace, &tls_sni.spec.gateway) {
            return refuse(object, Reason::NamespaceNotAllowed, message, refusals);
        }
        let lost = take_denied(policy, &object, &mut tls_sni.spec.snis);
        take_names(&object, lost, !tls_sni.spec.snis.is_empty(), refusals)
    });
}

/// The same of routes; and takes from them the listeners that they may not use, and leaves out those that have none left or
/// whose upstream is none that the owner allows.
pub(super) fn settle_routes(policy: &Policy, routes: &mut Vec<StreamRoute>, refusals: &mut Vec<Refusal>) {
    routes.retain_mut(|route| {
        let object = route.reference();
        if let Some(message) = policy.namespace_denial(&object.namespace, &route.spec.gateway) {
            return refuse(object, Reason::NamespaceNotAllowed, message, refusals);
        }
        if !policy.allow_external_upstreams && !route.spec.upstream.nodes.is_empty() {
            let message = "spec.upstream.nodes: found brokers by address, which the gateway's owner does not allow; wanted \
                           `services`, or the owner's `allowExternalUpstreams: true`";
            return refuse(object, Reason::ExternalUpstreamNotAllowed, message.to_owned(), refusals);
        }
        let is_nameless = route.spec.r#match.snis.is_empty();
        let lost_names = take_denied(policy, &object, &mut route.spec.r#match.snis);
        let any_name_left = is_nameless || !route.spec.r#match.snis.is_empty();
        if !take_names(&object, lost_names, any_name_left, refusals) {
            return false;
        }
        let denials = policy.listener_denials(route, &object.namespace);
        if denials.is_empty() {
            return true;
        }
        let (names, lost): (Vec<String>, Vec<_>) = denials.into_iter().unzip();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        route.spec.listeners = policy.without(&route.spec.listeners, &names);
        take_names(&object, lost, !route.spec.listeners.is_empty(), refusals)
    });
}

/// Takes out the names that the object's namespace may not claim, and says why.
fn take_denied(policy: &Policy, object: &ObjectRef, snis: &mut Vec<Sni>) -> Vec<(Reason, String)> {
    let mut lost = Vec::new();
    snis.retain(|sni| {
        let denial = policy.name_denial(sni, &object.namespace);
        let kept = denial.is_none();
        lost.extend(denial);
        kept
    });
    lost
}

fn refuse(object: ObjectRef, reason: Reason, message: String, refusals: &mut Vec<Refusal>) -> bool {
    refusals.push(Refusal { object, reason, message });
    false
}

/// Whether a name lies within a domain.
fn holds(domain: &Sni, sni: &Sni) -> bool {
    domain == sni || matches!(domain, Sni::Any) || matches!(sni, Sni::Exact(name) if domain.matches(name))
}

fn no_listener(name: &str, known: &[Listener]) -> (Reason, String) {
    let known: Vec<_> = known.iter().map(|listener| format!("`{}`", listener.name)).collect();
    let message = format!(
        "`{name}` is none of the gateway's listeners, which are {}; take it out of `listeners`, or leave them out for all",
        known.join(", ")
    );
    (Reason::NoMatchingListener, message)
}

/// How many names a message tells.
const MOST_NAMES: usize = 8;
