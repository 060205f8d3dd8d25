//! What the owner of a gateway decides, as the settings have it; which namespaces are meant depends on their labels.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::{Selector, SelectorExt};
use streamgate_crds::Cidr;
use streamgate_crds::admit::{Domain, Listener};

use super::Name;

/// A gateway that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its name, as StreamRoutes and TlsSnis have it in `gateway`.
    pub name: String,
    /// The Service whose ready endpoints are its proxies.
    pub service: Name,
    /// Its listeners. Empty: not known, so that any will do and none is in the clear.
    pub listeners: Vec<Listener>,
    /// Which namespaces may use it. `None`: all.
    pub allowed_namespaces: Option<Namespaces>,
    /// Which names which namespaces may claim. `None`: all may claim any.
    pub domains: Option<Vec<Domain>>,
    /// Which namespaces may use listeners without TLS. `None`: all that may use the gateway.
    pub plaintext_namespaces: Option<Namespaces>,
    /// Whether upstreams may lie outside of the cluster: `nodes`, and Services of type `ExternalName`.
    pub allow_external_upstreams: bool,
    /// Addresses that no endpoint may have, besides those that none may have anywhere.
    pub denied_upstreams: Vec<Cidr>,
}

impl Gateway {
    /// A gateway whose owner allows everything.
    pub fn new(name: &str, service: Name) -> Self {
        Self {
            name: name.to_owned(),
            service,
            listeners: Vec::new(),
            allowed_namespaces: None,
            domains: None,
            plaintext_namespaces: None,
            allow_external_upstreams: true,
            denied_upstreams: Vec::new(),
        }
    }
}

/// Namespaces, by name or by label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// These.
    Named(BTreeSet<String>),
    /// Those whose labels match.
    Labelled(Selector),
}

impl Namespaces {
    /// Whether the namespace of this name and these labels is meant.
    pub fn contains(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Named(names) => names.contains(name),
            Self::Labelled(selector) => selector.matches(labels),
        }
    }
}
