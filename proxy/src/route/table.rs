//! Name, source and listener, to the route: an exact name before a wildcard, before no name; then the narrowest source
//! range, then the older route.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use streamgate_crds::{Cidr, Sni};

use super::names::parent;
use super::rank::{listens, prefix_rank};
use super::{Client, ClientTls};
use crate::config::snapshot::Route;

/// The routes of a gateway, by what they are found.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// All of them, the oldest first.
    routes: Vec<Arc<Route>>,
    labels: HashSet<Arc<str>>,
    exact: HashMap<String, Claims>,
    /// By what follows the `*.`.
    wildcard: HashMap<String, Claims>,
    /// Those without names, by their namespace.
    nameless: HashMap<String, Claims>,
    /// Those without names, for clients in the clear.
    plaintext: Claims,
}

/// Routes for one name.
#[derive(Clone, Debug, Default)]
struct Claims(Vec<Claim>);

/// A route for one name and one source range.
#[derive(Clone, Debug)]
struct Claim {
    range: Option<Cidr>,
    /// The route's place among all, the oldest first.
    age: usize,
    route: Arc<Route>,
}

impl RouteTable {
    /// A table of these routes, the oldest first.
    pub fn new(routes: Vec<Arc<Route>>) -> Self {
        let mut table =
            Self { labels: routes.iter().map(|route| Arc::clone(&route.label)).collect(), ..Self::default() };
        for (age, route) in routes.iter().enumerate() {
            for sni in &route.spec.r#match.snis {
                match sni {
                    Sni::Exact(name) => table.exact.entry(name.clone()).or_default().add(age, route),
                    Sni::Wildcard(parent) => table.wildcard.entry(parent.clone()).or_default().add(age, route),
                    // A StreamRoute has none such; it leaves its names out.
                    Sni::Any => {}
                }
            }
            if route.spec.r#match.snis.is_empty() {
                table.nameless.entry(route.object.namespace.clone()).or_default().add(age, route);
                table.plaintext.add(age, route);
            }
        }
        let named = table.exact.values_mut().chain(table.wildcard.values_mut()).chain(table.nameless.values_mut());
        named.chain([&mut table.plaintext]).for_each(Claims::sort);
        table.routes = routes;
        table
    }

    /// The route for a client.
    pub fn find(&self, client: &Client<'_>) -> Option<&Arc<Route>> {
        let Some(ClientTls { sni, service }) = client.tls else {
            return self.plaintext.find(client, |_| true);
        };
        let allowed = |route: &Route| service.allows(&route.object.namespace);
        let exact = || self.exact.get(sni?)?.find(client, allowed);
        let wildcard = || self.wildcard.get(parent(sni?)?)?.find(client, allowed);
        let nameless = || self.nameless.get(&service.object.namespace)?.find(client, |_| true);
        exact().or_else(wildcard).or_else(nameless)
    }

    /// All routes, the oldest first.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Whether there is a route with this label, `namespace/name`.
    pub fn has(&self, label: &str) -> bool {
        self.labels.contains(label)
    }
}

impl Claims {
    fn add(&mut self, age: usize, route: &Arc<Route>) {
        let ranges = &route.spec.r#match.source_ranges;
        let everywhere = ranges.is_empty().then_some(None);
        let claims = ranges.iter().copied().map(Some).chain(everywhere);
        self.0.extend(claims.map(|range| Claim { range, age, route: Arc::clone(route) }));
    }

    fn sort(&mut self) {
        self.0.sort_by_key(|claim| (Reverse(claim.range.as_ref().map_or(0, prefix_rank)), claim.age));
    }

    fn find(&self, client: &Client<'_>, is_allowed: impl Fn(&Route) -> bool) -> Option<&Arc<Route>> {
        let claims = self.0.iter().filter(|claim| claim.range.is_none_or(|range| range.contains(client.source)));
        claims.map(|claim| &claim.route).find(|route| listens(route, client.listener) && is_allowed(route))
    }
}
