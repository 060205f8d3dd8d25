//! Whether a route is for a client, and how well it fits: the rule of the table, said of one route.

use std::fmt;

use streamgate_crds::{Cidr, Sni};

use super::Client;
use crate::config::snapshot::Route;

/// How well a route fits: the greater goes before. Of two equals the older one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// By what name.
    pub name: NameRank,
    /// The length of the narrowest source range's prefix, plus one; 0 without a range.
    pub range: u8,
}

/// By what kind of name a route fits, the best one last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameRank {
    /// It has no names: those of the `TlsSni`s of its namespace, or a plaintext listener.
    None,
    /// By a wildcard.
    Wildcard,
    /// By the name itself.
    Exact,
}

/// Why a route is not for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It holds on other listeners.
    Listener,
    /// It has names, and the client asked for none of them.
    Sni,
    /// It has names, and a client in the clear asks for none.
    Plaintext,
    /// It has no names, so it is for the `TlsSni`s of its own namespace, and the client's is of another.
    Namespace,
    /// The `TlsSni` does not allow its namespace.
    NotAllowed,
    /// The client's address is in none of its ranges.
    Source,
}

/// How well a route fits a client, or why it doesn't.
///
/// # Errors
///
/// The first reason why it doesn't, in the order in which they are looked at: listener, name, source.
pub fn rank(route: &Route, client: &Client<'_>) -> Result<Rank, Miss> {
    if !listens(route, client.listener) {
        return Err(Miss::Listener);
    }
    let name = name_rank(route, client)?;
    let ranges = &route.spec.r#match.source_ranges;
    let narrowest = ranges.iter().filter(|range| range.contains(client.source)).map(prefix_rank).max();
    match (narrowest, ranges.is_empty()) {
        (Some(range), _) => Ok(Rank { name, range }),
        (None, true) => Ok(Rank { name, range: 0 }),
        (None, false) => Err(Miss::Source),
    }
}

fn name_rank(route: &Route, client: &Client<'_>) -> Result<NameRank, Miss> {
    let snis = &route.spec.r#match.snis;
    let Some(tls) = client.tls else {
        return if snis.is_empty() { Ok(NameRank::None) } else { Err(Miss::Plaintext) };
    };
    if snis.is_empty() {
        return if tls.service.object.namespace == route.object.namespace {
            Ok(NameRank::None)
        } else {
            Err(Miss::Namespace)
        };
    }
    let name = tls.sni.ok_or(Miss::Sni)?;
    let best = snis.iter().filter(|sni| sni.matches(name)).map(|sni| match sni {
        Sni::Exact(_) => NameRank::Exact,
        Sni::Wildcard(_) | Sni::Any => NameRank::Wildcard,
    });
    let best = best.max().ok_or(Miss::Sni)?;
    if tls.service.allows(&route.object.namespace) { Ok(best) } else { Err(Miss::NotAllowed) }
}

/// Whether the route holds on a listener.
pub(super) fn listens(route: &Route, listener: &str) -> bool {
    let listeners = &route.spec.listeners;
    listeners.is_empty() || listeners.iter().any(|name| name == listener)
}

/// How narrow a range is: the length of its prefix, plus one.
fn prefix_rank(range: &Cidr) -> u8 {
    range.0.prefix_len() + 1
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listener => "it holds on other listeners (listeners)",
            Self::Sni => "the client asks for none of its names (match.snis)",
            Self::Plaintext => "it has names (match.snis), and a client without TLS asks for none",
            Self::Namespace => "without names (match.snis) it is for the TlsSnis of its own namespace",
            Self::NotAllowed => "the TlsSni does not allow its namespace (allowedRoutes)",
            Self::Source => "the client's address is in none of its ranges (match.sourceRanges)",
        })
    }
}
