//! Name, source and listener, to the route: an exact name before a wildcard, before no name; then the narrowest source
//! range, then the older route.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use streamgate_crds::{Cidr, Sni};

use super::names::parent;
use super::rank::listens;
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

/// Routes for one name, by their source ranges; of each range the oldest first.
#[derive(Clone, Debug, Default)]
struct Claims {
    by_range: HashMap<IpNet, Vec<Arc<Route>>>,
    /// The lengths that prefixes of ranges have, the longest first: IPv4's and IPv6's.
    prefixes: [Vec<u8>; 2],
    everywhere: Vec<Arc<Route>>,
}

impl RouteTable {
    /// A table of these routes, the oldest first.
    pub fn new(routes: Vec<Arc<Route>>) -> Self {
        let mut table =
            Self { labels: routes.iter().map(|route| Arc::clone(&route.label)).collect(), ..Self::default() };
        for route in &routes {
            for sni in &route.spec.r#match.snis {
                match sni {
                    Sni::Exact(name) => table.exact.entry(name.clone()).or_default().add(route),
                    Sni::Wildcard(parent) => table.wildcard.entry(parent.clone()).or_default().add(route),
                    // A StreamRoute has none such; it leaves its names out.
                    Sni::Any => {}
                }
            }
            if route.spec.r#match.snis.is_empty() {
                table.nameless.entry(route.object.namespace.clone()).or_default().add(route);
                table.plaintext.add(route);
            }
        }
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
    /// Adds a route that is younger than those before.
    fn add(&mut self, route: &Arc<Route>) {
        let ranges = &route.spec.r#match.source_ranges;
        if ranges.is_empty() {
            self.everywhere.push(Arc::clone(route));
        }
        for &Cidr(range) in ranges {
            self.by_range.entry(range).or_default().push(Arc::clone(route));
            let prefixes = &mut self.prefixes[family(range.addr())];
            if let Err(place) = prefixes.binary_search_by(|prefix| range.prefix_len().cmp(prefix)) {
                prefixes.insert(place, range.prefix_len());
            }
        }
    }

    fn find(&self, client: &Client<'_>, is_allowed: impl Fn(&Route) -> bool) -> Option<&Arc<Route>> {
        let is_for = |route: &&Arc<Route>| listens(route, client.listener) && is_allowed(route);
        let source = client.source.to_canonical();
        let ranges = self.prefixes[family(source)].iter().filter_map(|&prefix| IpNet::new(source, prefix).ok());
        let claims = ranges.filter_map(|range| self.by_range.get(&range.trunc()));
        claims.chain([&self.everywhere]).find_map(|routes| routes.iter().find(is_for))
    }
}

fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}
