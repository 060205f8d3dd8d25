//! Whose the clients are, of several `StreamRoute`s that mean the same.

use std::collections::HashMap;
use std::fmt;

use super::cover::{Gateways, Served};
use super::{Policy, Reason, Refusal, precedence, take_names};
use crate::cidr::Cidr;
use crate::manifest::Manifest;
use crate::sni::Sni;
use crate::stream_route::StreamRoute;

/// Takes from routes the names that an older one has for an equal source range on a common listener, and leaves out those
/// that have none left.
pub(super) fn settle(
    policy: &Policy,
    oldest_first: Vec<StreamRoute>,
    served: &Gateways<'_>,
    refusals: &mut Vec<Refusal>,
) -> Vec<StreamRoute> {
    let mut gateways: HashMap<String, Claims> = HashMap::new();
    let mut kept: Vec<StreamRoute> = Vec::with_capacity(oldest_first.len());
    for mut route in oldest_first {
        let object = route.reference();
        let claims = gateways.entry(route.spec.gateway.clone()).or_default();
        let mut names = names(&route, served.by(&route.spec.gateway));
        let mut lost = Vec::new();
        names.retain(|name| match claims.holder(name, &route).and_then(|holder| kept.get(holder)) {
            Some(holder) => {
                lost.push((Reason::Conflicted, denial(name, &route, holder)));
                false
            }
            None => true,
        });
        let mut any_left = !names.is_empty();
        if matches!(names[..], [Name::AllOf(_)]) {
            lost.extend(take_plaintext(policy, claims, &mut route, &kept));
            any_left = lost.is_empty() || !route.spec.listeners.is_empty();
        }
        if any_left {
            for name in &names {
                claims.add(name, &route, kept.len());
            }
            claims.add_plaintext(policy, &route, kept.len());
        }
        route.spec.r#match.snis = names.into_iter().filter_map(Name::into_sni).collect();
        if take_names(&object, lost, any_left, refusals) {
            kept.push(route);
        }
    }
    kept
}

/// Takes from a route without names the listeners without TLS on which an older one has its clients.
fn take_plaintext(
    policy: &Policy,
    claims: &Claims,
    route: &mut StreamRoute,
    kept: &[StreamRoute],
) -> Vec<(Reason, String)> {
    let mut names = Vec::new();
    let mut lost = Vec::new();
    for listener in policy.plaintext_of(&route.spec.listeners) {
        let claims = ranges(route).filter_map(|range| claims.plaintext.get(listener)?.get(&range)).copied();
        if let Some(holder) = claims.min().and_then(|holder| kept.get(holder)) {
            let from = from_range(route);
            let holder = precedence(holder, route);
            let message = format!(
                "whoever comes to the listener `{listener}`{from}, where clients ask for no name, goes by {holder}; give them \
                 different source ranges or listeners"
            );
            lost.push((Reason::Conflicted, message));
            names.push(listener);
        }
    }
    if !names.is_empty() {
        let left = policy.without(&route.spec.listeners, &names);
        route.spec.listeners = left;
    }
    lost
}

/// What a route claims: its names, or for want of them all of its namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Sni(Sni),
    /// A wildcard, of which other namespaces have more.
    Within(Sni, String),
    AllOf(String),
}

impl Name {
    fn into_sni(self) -> Option<Sni> {
        match self {
            Self::Sni(sni) | Self::Within(sni, _) => Some(sni),
            Self::AllOf(_) => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sni(sni) | Self::Within(sni, _) => write!(f, "`{sni}`"),
            Self::AllOf(namespace) => write!(f, "whatever no route of namespace `{namespace}` names"),
        }
    }
}

fn names(route: &StreamRoute, served: &Served<'_>) -> Vec<Name> {
    let snis = &route.spec.r#match.snis;
    let namespace = route.metadata.namespace.clone().unwrap_or_default();
    if snis.is_empty() {
        return vec![Name::AllOf(namespace)];
    }
    let name = |sni: &Sni| {
        if served.is_open(sni, &namespace) {
            Name::Sni(sni.clone())
        } else {
            Name::Within(sni.clone(), namespace.clone())
        }
    };
    snis.iter().map(name).collect()
}

fn denial(name: &Name, route: &StreamRoute, holder: &StreamRoute) -> String {
    let from = from_range(route);
    let holder = precedence(holder, route);
    format!("{name}{from} goes by {holder}; give them different names, source ranges or listeners")
}

fn from_range(route: &StreamRoute) -> &'static str {
    if route.spec.r#match.source_ranges.is_empty() { "" } else { " from an equal source range" }
}

/// Who has what for which range of one gateway; routes by their index among those that are kept.
#[derive(Default)]
struct Claims {
    names: HashMap<Name, HashMap<Option<Cidr>, Claim>>,
    /// By listener: clients that ask for no name.
    plaintext: HashMap<String, HashMap<Option<Cidr>, usize>>,
}

/// Who has one name for one range.
#[derive(Default)]
struct Claim {
    /// The oldest of all.
    first: Option<usize>,
    /// The one that holds on all listeners.
    everywhere: Option<usize>,
    by_listener: HashMap<String, usize>,
}

impl Claims {
    /// The oldest route that has the name for a range and a listener of this one.
    fn holder(&self, name: &Name, route: &StreamRoute) -> Option<usize> {
        let by_range = self.names.get(name)?;
        let claims = ranges(route).filter_map(|range| by_range.get(&range));
        claims.filter_map(|claim| claim.holder(&route.spec.listeners)).min()
    }

    fn add(&mut self, name: &Name, route: &StreamRoute, index: usize) {
        let by_range = self.names.entry(name.clone()).or_default();
        for range in ranges(route) {
            by_range.entry(range).or_default().add(&route.spec.listeners, index);
        }
    }

    fn add_plaintext(&mut self, policy: &Policy, route: &StreamRoute, index: usize) {
        if route.spec.r#match.snis.is_empty() {
            for listener in policy.plaintext_of(&route.spec.listeners) {
                let by_range = self.plaintext.entry(listener.to_owned()).or_default();
                by_range.extend(ranges(route).map(|range| (range, index)));
            }
        }
    }
}

impl Claim {
    fn holder(&self, listeners: &[String]) -> Option<usize> {
        if listeners.is_empty() {
            return self.first;
        }
        let named = listeners.iter().filter_map(|listener| self.by_listener.get(listener)).copied();
        named.chain(self.everywhere).min()
    }

    fn add(&mut self, listeners: &[String], index: usize) {
        self.first.get_or_insert(index);
        if listeners.is_empty() {
            self.everywhere = Some(index);
        }
        self.by_listener.extend(listeners.iter().map(|listener| (listener.clone(), index)));
    }
}

/// The route's source ranges, or `None` for everywhere.
fn ranges(route: &StreamRoute) -> impl Iterator<Item = Option<Cidr>> {
    let ranges = &route.spec.r#match.source_ranges;
    let everywhere = ranges.is_empty().then_some(None);
    ranges.iter().copied().map(Some).chain(everywhere)
}
