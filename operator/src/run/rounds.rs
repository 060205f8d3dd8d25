//! What is looked at from time to time: proxies that are heard of no more, and whether all is as it should be.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ListParams;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::done::Done;
use super::pulses::{NO_LEASE, Proxy};
use super::{Operator, ROUND};
use crate::generated;
use crate::store::{Change, Touched};
use crate::write::{Failure, in_time, objects};

impl Operator {
    /// Looks at proxies that seem to be silent.
    pub(super) fn watch_over_proxies(&mut self, now: Instant) {
        for change in self.pulses.watch_for(&self.store.all_proxies(), now) {
            self.apply(change);
        }
        for proxy in self.pulses.suspects(self.leadership.standing().in_contact_since, now) {
            if !self.looks.insert(proxy.clone()) {
                continue;
            }
            let (api, done) = (self.leases(&proxy.0), self.done.clone());
            spawn_local(async move {
                // A list of one, for which no further permission is needed.
                let one = ListParams::default().fields(&format!("metadata.name={}", proxy.1));
                let found = in_time(api.list(&one)).await.map(|list| list.items.into_iter().next().map(Box::new));
                let _ = done.send(Done::Look(proxy, found));
            });
        }
    }

    pub(super) fn finish_look(&mut self, proxy: Proxy, found: Result<Option<Box<Lease>>, Failure>) {
        self.looks.remove(&proxy);
        let now = Instant::now();
        match found {
            Ok(Some(lease)) => {
                let version = lease.metadata.resource_version.as_deref().unwrap_or_default();
                let silent = self.pulses.found(&proxy, version);
                let change = silent.or_else(|| self.pulses.seen(proxy.0, &lease, now));
                if let Some(change) = change {
                    self.apply(change);
                }
            }
            Ok(None) => match self.pulses.found(&proxy, NO_LEASE) {
                Some(silent) => self.apply(silent),
                None => {
                    self.pulses.gone(&proxy);
                    self.apply(Change::Proxy(proxy.0, proxy.1, None));
                }
            },
            Err(error) => {
                tracing::warn!(gateway = %proxy.0, proxy = %proxy.1, %error, "a proxy's Lease can't be looked at");
                self.pulses.postpone(&proxy, now);
            }
        }
    }

    /// Now and then looks at everything: a leader puts back what was missed, and sweeps what nobody is there for.
    pub(super) fn make_rounds(&mut self, now: Instant) {
        if now < self.next_round {
            return;
        }
        self.next_round = now + ROUND;
        self.rounds += 1;
        self.store.sweep();
        if !self.leadership.standing().may_write(now) {
            return;
        }
        if self.rounds.is_multiple_of(ROUNDS_TO_ALL) {
            self.outcome.forget();
            self.touched.merge(Touched::everything());
            self.settle();
            // Of what is wanted no more nothing was worked out.
            self.push_everything();
        }
        for (proxy, version) in self.pulses.abandoned(now) {
            let gateway = self.settings.gateways.iter().find(|gateway| *gateway.name == *proxy.0);
            if gateway.is_none_or(|gateway| {
                !self.known.has_gateway(gateway) || self.store.proxies(gateway).contains(&*proxy.1)
            }) {
                continue;
            }
            let (api, leadership) = (self.leases(&proxy.0), self.leadership.clone());
            tracing::info!(gateway = %proxy.0, proxy = %proxy.1, "sweeping the Lease of a proxy that is gone");
            spawn_local(async move {
                if let Err(error) = objects::delete(&leadership, &api, &proxy.1, &version).await {
                    tracing::warn!(gateway = %proxy.0, proxy = %proxy.1, %error, "a proxy's Lease can't be swept");
                }
            });
        }
    }

    fn leases(&self, gateway: &Arc<str>) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &generated::namespace(gateway))
    }
}

/// How many rounds there are to one in which everything is worked out anew and looked at; lost copies are looked for again too.
const ROUNDS_TO_ALL: u32 = 10;
