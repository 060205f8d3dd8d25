//! The one judge: which objects take effect together, which of their names, and why the others don't.
//!
//! The operator judges with it what is in the cluster, the proxy what is in its directory. What one has let pass, the other
//! lets pass whole.

use std::collections::HashSet;

use serde::Serialize;

pub use crate::condition::Reason;
use crate::manifest::Manifest;
use crate::problem::{ObjectRef, Problem};
use crate::stream_route::StreamRoute;
use crate::tls_sni::TlsSni;

mod cover;
mod names;
mod overlap;
mod policy;

pub use policy::{Domain, Listener, Policy, Protocol};

#[cfg(test)]
mod tests;

/// Judges objects. A pure function, whose outcome does not depend on the order of what goes in, and which lets what it has
/// let pass, pass again (idempotent). Its time grows with the number of names, as good as linearly.
///
/// For each gateway by itself:
///
/// 1. An object that does not hold by itself is refused, and so is one that the gateway's owner does not allow. A name that
///    its namespace may not claim is lost, and so is a listener that it may not use or that is none of the gateway's.
/// 2. A name of a `TlsSni` is the oldest one's; a younger one loses the name.
/// 3. A name of a `StreamRoute` must be served by a `TlsSni`, which must allow the route's namespace: the one that is chosen
///    for a client that asks for it, so exact before wildcard before `*`. A route's wildcard may also attach to names under
///    it that are served one by one.
/// 4. Of two routes with an equal name (or without names, in one namespace), an equal source range (or none) and a listener
///    in common, the younger loses the name. A wildcard by which a route attaches to nothing but names that are served one
///    by one keeps it from no route of another namespace. Where clients ask for no name, at listeners without TLS, all routes
///    without names are equal, whatever their namespaces: the younger loses the listener.
///
/// An object that had names and has none left, or that has no listener left, is left out. The oldest is the one that was created first, without a time the
/// youngest; then by namespace and name.
pub fn admit(policy: &Policy, objects: Objects) -> Admitted {
    let mut refusals = Vec::new();
    let mut tls_snis = valid_by_age(policy, objects.tls_snis, &mut refusals);
    policy::settle_tls_snis(policy, &mut tls_snis, &mut refusals);
    let tls_snis = names::settle(tls_snis, &mut refusals);
    let served = cover::Gateways::of(&tls_snis);
    let mut stream_routes = valid_by_age(policy, objects.stream_routes, &mut refusals);
    policy::settle_routes(policy, &mut stream_routes, &mut refusals);
    let stream_routes = cover::settle(stream_routes, &served, &mut refusals);
    let stream_routes = overlap::settle(policy, stream_routes, &served, &mut refusals);
    refusals.sort();
    Admitted { objects: Objects { tls_snis, stream_routes }, refusals }
}

/// The objects that are judged together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// Which names are served.
    pub tls_snis: Vec<TlsSni>,
    /// Which clients go where.
    pub stream_routes: Vec<StreamRoute>,
}

/// What takes effect, and what doesn't.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admitted {
    /// The objects that take effect, without the names that they lost, the oldest first.
    pub objects: Objects,
    /// What was refused: one for each object that does not hold, one for each name that is lost. Sorted.
    pub refusals: Vec<Refusal>,
}

/// Why an object, or one of its names, takes no effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Which object.
    pub object: ObjectRef,
    /// Why, in a word.
    pub reason: Reason,
    /// Why, in a sentence, which says what to do about it.
    pub message: String,
}

/// The objects of the policy's gateway that hold by themselves, each once, the oldest first.
fn valid_by_age<T: Manifest + Serialize>(policy: &Policy, objects: Vec<T>, refusals: &mut Vec<Refusal>) -> Vec<T> {
    let mut valid = Vec::with_capacity(objects.len());
    for object in objects {
        if policy.gateway.as_ref().is_some_and(|gateway| gateway != object.gateway()) {
            continue;
        }
        let problems = object.validate();
        if problems.is_empty() {
            valid.push(object);
        } else {
            let message = sentences(&problems);
            refusals.push(Refusal { object: object.reference(), reason: Reason::Invalid, message });
        }
    }
    valid.sort_by(|one, other| age(one).cmp(&age(other)).then_with(|| text(one).cmp(&text(other))));
    let mut seen = HashSet::new();
    valid.retain(|object| {
        let object = object.reference();
        let first = seen.insert(object.clone());
        if !first {
            let message = "there is another of this kind, namespace and name; keep one of them".to_owned();
            refusals.push(Refusal { object, reason: Reason::Invalid, message });
        }
        first
    });
    valid
}

/// Problems as one sentence, the first of them if they are many.
fn sentences(problems: &[Problem]) -> String {
    const MOST_SENTENCES: usize = 8;

    let mut sentences: Vec<_> = problems.iter().take(MOST_SENTENCES).map(Problem::sentence).collect();
    if problems.len() > MOST_SENTENCES {
        sentences.push("and more".to_owned());
    }
    sentences.join("; ")
}

/// What objects are ordered by: the oldest first, those without a time last.
fn age<T: Manifest>(object: &T) -> impl Ord {
    let metadata = object.meta();
    let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created.is_none(), created, metadata.namespace.as_deref(), metadata.name.as_deref())
}

/// What two objects of one name and age are told apart by.
fn text<T: Serialize>(object: &T) -> Option<String> {
    serde_json::to_string(object).ok()
}

/// Who has a claim, and why it is not the other's.
fn precedence<T: Manifest>(holder: &T, other: &T) -> String {
    let created = |object: &T| object.meta().creation_timestamp.as_ref().map(|time| time.0);
    let why = match (created(holder), created(other)) {
        (one, another) if one != another => "which is older",
        (Some(_), _) => "which is as old and comes first by its name",
        (None, _) => "which comes first by its name, for neither has a creation time",
    };
    format!("{}, {why}", holder.reference())
}

/// Says of each name or listener that an object lost why, and tells whether the object goes on.
fn take_names(object: &ObjectRef, lost: Vec<(Reason, String)>, any_left: bool, refusals: &mut Vec<Refusal>) -> bool {
    let end = if any_left { String::new() } else { format!("{NOTHING_LEFT}, so the {} has no effect", object.kind) };
    refusals.extend(lost.into_iter().map(|(reason, message)| Refusal {
        object: object.clone(),
        reason,
        message: format!("{message}{end}"),
    }));
    any_left
}

/// How the end of a refusal's message begins, after all else, where the object has lost all that it had.
pub const NOTHING_LEFT: &str = "; nothing is left";
