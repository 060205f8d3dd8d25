//! Whether a `TlsSni` serves the names of a `StreamRoute` and lets it attach.

use std::collections::{HashMap, HashSet};

use super::{Reason, Refusal, take_names};
use crate::manifest::Manifest;
use crate::sni::Sni;
use crate::stream_route::StreamRoute;
use crate::tls_sni::{FromNamespaces, TlsSni};

/// Takes from routes the names that no `TlsSni` serves to them, and leaves out those that have none left. A route without
/// names stays: what it means follows from the `TlsSni`s that there are.
pub(super) fn settle(
    mut routes: Vec<StreamRoute>,
    served: &Gateways<'_>,
    refusals: &mut Vec<Refusal>,
) -> Vec<StreamRoute> {
    routes.retain_mut(|route| {
        if route.spec.r#match.snis.is_empty() {
            return true;
        }
        let object = route.reference();
        let served = served.by(&route.spec.gateway);
        let mut lost = Vec::new();
        route.spec.r#match.snis.retain(|sni| {
            let denial = served.denial(sni, &object.namespace, &route.spec.gateway);
            let kept = denial.is_none();
            lost.extend(denial);
            kept
        });
        take_names(&object, lost, !route.spec.r#match.snis.is_empty(), refusals)
    });
    routes
}

/// What the `TlsSni`s serve, by gateway.
pub(super) struct Gateways<'a> {
    by_name: HashMap<&'a str, Served<'a>>,
    nothing: Served<'a>,
}

impl<'a> Gateways<'a> {
    /// What these serve, none of which has a name of another.
    pub(super) fn of(tls_snis: &'a [TlsSni]) -> Self {
        let mut by_name: HashMap<&str, Served<'_>> = HashMap::new();
        for tls_sni in tls_snis {
            by_name.entry(&tls_sni.spec.gateway).or_default().add(tls_sni);
        }
        Self { by_name, nothing: Served::default() }
    }

    /// What is served by one gateway.
    pub(super) fn by(&self, gateway: &str) -> &Served<'a> {
        self.by_name.get(gateway).unwrap_or(&self.nothing)
    }
}

/// What the `TlsSni`s of one gateway serve. Each name is one's alone.
#[derive(Default)]
pub(super) struct Served<'a> {
    exact: HashMap<&'a str, &'a TlsSni>,
    /// By what follows the `*.`.
    wildcard: HashMap<&'a str, &'a TlsSni>,
    any: Option<&'a TlsSni>,
    /// The exact names by what follows their first label.
    under: HashMap<&'a str, Under<'a>>,
}

/// The exact names under one wildcard.
struct Under<'a> {
    /// The first of those that serve them, to name one.
    first: &'a TlsSni,
    /// Whether one of them allows all namespaces.
    all: bool,
    /// The namespaces of those that allow their own.
    namespaces: HashSet<&'a str>,
}

impl<'a> Served<'a> {
    fn add(&mut self, tls_sni: &'a TlsSni) {
        for sni in &tls_sni.spec.snis {
            match sni {
                Sni::Exact(name) => {
                    self.exact.insert(name, tls_sni);
                    if let Some((_, parent)) = name.split_once('.') {
                        self.add_under(parent, tls_sni);
                    }
                }
                Sni::Wildcard(parent) => {
                    self.wildcard.insert(parent, tls_sni);
                }
                Sni::Any => self.any = Some(tls_sni),
            }
        }
    }

    fn add_under(&mut self, parent: &'a str, tls_sni: &'a TlsSni) {
        let empty = Under { first: tls_sni, all: false, namespaces: HashSet::new() };
        let under = self.under.entry(parent).or_insert(empty);
        match tls_sni.spec.allowed_routes.namespaces {
            FromNamespaces::All => under.all = true,
            FromNamespaces::Same => under.namespaces.extend(tls_sni.metadata.namespace.as_deref()),
        }
    }

    /// Why a route of this namespace may not have this name, if so.
    fn denial(&self, sni: &Sni, namespace: &str, gateway: &str) -> Option<(Reason, String)> {
        if self.is_open(sni, namespace) {
            return None;
        }
        let chosen = self.chosen(sni);
        let under = match sni {
            Sni::Wildcard(parent) => self.under.get(parent.as_str()),
            _ => None,
        };
        if under.is_some_and(|under| under.all || under.namespaces.contains(namespace)) {
            return None;
        }
        Some(match chosen.or(under.map(|under| under.first)) {
            Some(tls_sni) => {
                let server = tls_sni.reference();
                let message = format!(
                    "`{sni}` is served by {server}, which does not allow routes of namespace `{namespace}`; its owner can, by \
                     `allowedRoutes: {{namespaces: All}}`"
                );
                (Reason::NotAllowedByTlsSni, message)
            }
            None => {
                let message =
                    format!("`{sni}` is served by no TlsSni of gateway `{gateway}`; one must have it in its `snis`");
                (Reason::NoMatchingTlsSni, message)
            }
        })
    }

    /// Whether the one that serves the name lets a route of this namespace attach; of a wildcard, to those of its names that
    /// are not served one by one.
    pub(super) fn is_open(&self, sni: &Sni, namespace: &str) -> bool {
        self.chosen(sni).is_some_and(|tls_sni| allows(tls_sni, namespace))
    }

    /// Who serves the name; of a wildcard, those of its names that are not served one by one.
    fn chosen(&self, sni: &Sni) -> Option<&'a TlsSni> {
        let (exact, parent) = match sni {
            Sni::Exact(name) => (self.exact.get(name.as_str()), name.split_once('.').map(|(_, parent)| parent)),
            Sni::Wildcard(parent) => (None, Some(parent.as_str())),
            Sni::Any => (None, None),
        };
        let wildcard = || parent.and_then(|parent| self.wildcard.get(parent));
        exact.or_else(wildcard).copied().or(self.any)
    }
}

fn allows(tls_sni: &TlsSni, namespace: &str) -> bool {
    match tls_sni.spec.allowed_routes.namespaces {
        FromNamespaces::All => true,
        FromNamespaces::Same => tls_sni.metadata.namespace.as_deref() == Some(namespace),
    }
}
