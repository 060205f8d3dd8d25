//! Which StreamRoutes attach to which TlsSnis, among those that take effect.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use streamgate_crds::{Sni, StreamRoute, TlsSni};

use crate::store::Name;

/// Both ways. A route attaches to the TlsSnis that serve its names; without names to all of its namespace.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    tls_snis: HashMap<Name, Vec<Name>>,
    stream_routes: HashMap<Name, Vec<Name>>,
}

impl Attachments {
    pub(super) fn of(tls_snis: &BTreeMap<Name, Arc<TlsSni>>, stream_routes: &BTreeMap<Name, Arc<StreamRoute>>) -> Self {
        let names = tls_snis.iter().flat_map(|(name, tls_sni)| tls_sni.spec.snis.iter().map(move |sni| (sni, name)));
        let by_sni: HashMap<&Sni, &Name> = names.collect();
        let mut by_namespace: HashMap<&str, Vec<&Name>> = HashMap::new();
        for name in tls_snis.keys() {
            by_namespace.entry(&name.namespace).or_default().push(name);
        }
        let serving = |sni: &Sni| {
            let wildcard = || match sni {
                Sni::Exact(name) => {
                    name.split_once('.').and_then(|(_, parent)| by_sni.get(&Sni::Wildcard(parent.to_owned())))
                }
                Sni::Wildcard(_) | Sni::Any => None,
            };
            by_sni.get(sni).or_else(wildcard).or_else(|| by_sni.get(&Sni::Any)).copied()
        };
        let mut attachments = Self::default();
        for (name, route) in stream_routes {
            let snis = &route.spec.r#match.snis;
            let mut served_by: Vec<&Name> = if snis.is_empty() {
                by_namespace.get(&*name.namespace).cloned().unwrap_or_default()
            } else {
                snis.iter().filter_map(serving).collect()
            };
            served_by.sort_unstable();
            served_by.dedup();
            for tls_sni in &served_by {
                attachments.stream_routes.entry((*tls_sni).clone()).or_default().push(name.clone());
            }
            attachments.tls_snis.insert(name.clone(), served_by.into_iter().cloned().collect());
        }
        attachments
    }

    /// The TlsSnis that a route attaches to.
    pub(super) fn of_route(&self, route: &Name) -> &[Name] {
        self.tls_snis.get(route).map_or(&[], Vec::as_slice)
    }

    /// The routes that attach to a TlsSni.
    pub(super) fn of_tls_sni(&self, tls_sni: &Name) -> &[Name] {
        self.stream_routes.get(tls_sni).map_or(&[], Vec::as_slice)
    }
}
