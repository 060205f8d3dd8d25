//! What is known: each watch has to list once.
//!
//! A namespace that may not be read any more, or a gateway's that is not there, holds up nothing but what it concerns: what
//! is generated of it stays as it is, and its proxies go on to judge who came first.

use std::collections::BTreeMap;
use std::time::Duration;

use streamgate_crds::manifest::Manifest;
use streamgate_crds::{Kind, ObjectRef, Reason};
use tokio::time::Instant;

use super::Operator;
use crate::generated::{Folder, Source};
use crate::resolve::{Write, WriteAction};
use crate::store::{Gateway, Name};
use crate::watch::Scope;

/// What is known.
#[derive(Debug)]
pub(super) struct Known {
    /// By their number, the watches that have not listed yet.
    unlisted: BTreeMap<usize, Scope>,
    patient_until: Instant,
}

impl Known {
    /// Nothing is.
    pub(super) fn new(watches: Vec<Scope>, now: Instant) -> Self {
        Self { unlisted: watches.into_iter().enumerate().collect(), patient_until: now + PATIENCE }
    }

    /// A watch has listed; whether that is the first time.
    pub(super) fn listed(&mut self, watch: usize) -> bool {
        self.unlisted.remove(&watch).is_some()
    }

    /// Whether it can be begun: all is known, or what is not is of some namespaces and gateways only and has had its time.
    pub(super) fn is_enough(&self, now: Instant) -> bool {
        self.unlisted.is_empty()
            || now >= self.patient_until && self.unlisted.values().all(|scope| *scope != Scope::Cluster)
    }

    /// Whether all is known of a gateway: what is generated, and who its proxies are.
    pub(super) fn has_gateway(&self, gateway: &Gateway) -> bool {
        let is_its = |scope: &Scope| match scope {
            Scope::Cluster => true,
            Scope::Namespace(namespace) => **namespace == *gateway.service.namespace,
            Scope::Gateway(name) => **name == *gateway.name,
        };
        !self.unlisted.values().any(is_its)
    }

    /// Whether all is known of a namespace's objects.
    pub(super) fn has_namespace(&self, wanted: &str) -> bool {
        !self.unlisted.values().any(|scope| matches!(scope, Scope::Namespace(namespace) if **namespace == *wanted))
    }

    /// Whether all is known of all namespaces.
    pub(super) fn has_namespaces(&self) -> bool {
        !self.unlisted.values().any(|scope| matches!(scope, Scope::Namespace(_)))
    }

    /// What is not known, each once.
    pub(super) fn unlisted(&self) -> Vec<String> {
        let mut names: Vec<String> = self.unlisted.values().map(Scope::to_string).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Operator {
    /// Whether enough is known for a write: all of its gateway and its source. Who lost a TlsSni may have lost it to what is
    /// not known, and keeps what it has.
    pub(super) fn is_known_for(&self, write: &Write) -> bool {
        let Some(source) = write.key.source() else { return self.is_gateway_known(&write.key.gateway) };
        let may_be_needed = match (&write.action, source.folder) {
            (WriteAction::Create(_), _) | (_, Folder::TlsSnis) => false,
            (_, Folder::StreamRoutes) => self.has_lost_its_tls_sni(&source),
            (WriteAction::Replace(..), _) => false,
            (WriteAction::Delete(_), _) => true,
        };
        self.is_gateway_known(&write.key.gateway)
            && self.known.has_namespace(&source.namespace)
            && (!may_be_needed || self.known.has_namespaces())
    }

    /// Whether enough is known to say something of an object.
    pub(super) fn is_known_of(&self, object: &ObjectRef) -> bool {
        let name = Name::new(&object.namespace, &object.name);
        let gateway = match object.kind {
            Kind::StreamRoute => self.store.stream_route(&name).map(|watched| watched.object.gateway()),
            Kind::TlsSni => self.store.tls_sni(&name).map(|watched| watched.object.gateway()),
        };
        gateway.is_none_or(|gateway| self.is_gateway_known(gateway)) && self.known.has_namespace(&object.namespace)
    }

    fn is_gateway_known(&self, name: &str) -> bool {
        let gateway = self.settings.gateways.iter().find(|gateway| *gateway.name == *name);
        gateway.is_none_or(|gateway| self.known.has_gateway(gateway))
    }

    fn has_lost_its_tls_sni(&self, route: &Source) -> bool {
        let Source { namespace, name, .. } = route.clone();
        let verdict = self.outcome.verdicts.get(&ObjectRef { kind: Kind::StreamRoute, namespace, name });
        let said = verdict.into_iter().flat_map(|verdict| [&verdict.accepted, &verdict.resolved_refs]);
        said.map(|said| said.reason).any(|reason| reason == Reason::NoMatchingTlsSni)
    }
}

/// How long is waited for what may list yet, before the others go on without it.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_listed_holds_up_after_a_while_only_what_it_concerns() {
        let (start, late) = (Instant::now(), Instant::now() + PATIENCE);
        let gateway = |name: &str| Gateway::new(name, Name::new("system", "proxies"));
        let watches = vec![Scope::Cluster, Scope::Namespace("acme".into()), Scope::Gateway("one".into())];
        let mut known = Known::new(watches, start);
        assert!(!known.is_enough(late), "nothing works without the cluster's own objects");
        assert!(known.listed(0) && !known.listed(0));
        assert!(!known.is_enough(start) && known.is_enough(late));
        assert!(!known.has_namespace("acme") && known.has_namespace("other"));
        assert!(!known.has_gateway(&gateway("one")) && known.has_gateway(&gateway("two")));
        assert_eq!(known.unlisted(), ["gateway `one`", "namespace `acme`"]);
        assert!(known.listed(1) && known.listed(2) && known.is_enough(start));
    }

    #[test]
    fn a_gateway_is_not_known_without_its_service() {
        let known = Known::new(vec![Scope::Namespace("system".into())], Instant::now());
        assert!(!known.has_gateway(&Gateway::new("one", Name::new("system", "proxies"))));
    }
}
