//! Whether the proxies are heard of: each renews its Lease.
//!
//! No clocks are compared. A proxy is silent when its Lease was seen unchanged for as long as it lasts, by the operator's own
//! clock, in time in which the API answered the operator too. The watch may have missed a renewal, so that the Lease is
//! fetched before anything is said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease as ApiLease;
use tokio::time::Instant;

use crate::report::{LEASE_SECONDS, Report, STATUS_ANNOTATION};
use crate::store::{Change, Lease};

/// A proxy: its gateway and its pod.
pub(super) type Proxy = (Arc<str>, Arc<str>);

/// All proxies that have a Lease.
#[derive(Debug, Default)]
pub(super) struct Pulses(BTreeMap<Proxy, Pulse>);

#[derive(Debug)]
struct Pulse {
    version: String,
    changed: Instant,
    lasts: Duration,
    /// Whether it was ever seen to be renewed.
    is_renewed: bool,
    lease: Lease,
}

impl Pulses {
    /// A Lease as it was seen, by the watch or by a look.
    pub(super) fn seen(&mut self, gateway: Arc<str>, lease: &ApiLease, now: Instant) -> Option<Change> {
        let pod: Arc<str> = lease.metadata.name.as_deref()?.into();
        let version = lease.metadata.resource_version.clone()?;
        let proxy = (gateway, pod);
        let known = self.0.get(&proxy);
        if known.is_some_and(|known| known.version == version) {
            return None;
        }
        let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(LEASE_SECONDS);
        let pulse = Pulse {
            version,
            changed: now,
            lasts: Duration::from_secs(u64::try_from(seconds).unwrap_or(0).clamp(1, MOST_SECONDS)),
            is_renewed: known.is_some(),
            lease: Lease { report: report(lease), is_silent: false },
        };
        let change = Change::Proxy(Arc::clone(&proxy.0), Arc::clone(&proxy.1), Some(pulse.lease.clone()));
        self.0.insert(proxy, pulse);
        Some(change)
    }

    /// Waits for the Leases of proxies that count and have none, and no longer for those of proxies that count no more.
    pub(super) fn watch_for(&mut self, counting: &BTreeSet<Proxy>, now: Instant) -> Vec<Change> {
        let is_over = |proxy: &Proxy, pulse: &Pulse| pulse.version == NO_LEASE && !counting.contains(proxy);
        let over: Vec<Proxy> =
            self.0.iter().filter(|(proxy, pulse)| is_over(proxy, pulse)).map(|(proxy, _)| proxy.clone()).collect();
        for proxy in counting {
            self.0.entry(proxy.clone()).or_insert_with(|| Pulse {
                version: NO_LEASE.to_owned(),
                changed: now,
                lasts: Duration::from_secs(LEASE_SECONDS.unsigned_abs().into()),
                is_renewed: false,
                lease: Lease::default(),
            });
        }
        let forget = |proxy: Proxy| {
            self.0.remove(&proxy);
            Change::Proxy(proxy.0, proxy.1, None)
        };
        over.into_iter().map(forget).collect()
    }

    /// The proxy's Lease is gone.
    pub(super) fn gone(&mut self, proxy: &Proxy) {
        self.0.remove(proxy);
    }

    /// Whether each is known to be heard of, or to be silent; after a start that takes as long as a Lease lasts.
    pub(super) fn are_known(&self) -> bool {
        self.0.values().all(|pulse| pulse.is_renewed || pulse.lease.is_silent)
    }

    /// Those that seem to be silent: they are to be looked at.
    pub(super) fn suspects(&self, in_contact_since: Instant, now: Instant) -> Vec<Proxy> {
        let is_suspect = |pulse: &Pulse| !pulse.lease.is_silent && now >= pulse.runs_out(in_contact_since);
        self.0.iter().filter(|(_, pulse)| is_suspect(pulse)).map(|(proxy, _)| proxy.clone()).collect()
    }

    /// When the next of them may seem so.
    pub(super) fn next_look(&self, in_contact_since: Instant) -> Option<Instant> {
        let heard = self.0.values().filter(|pulse| !pulse.lease.is_silent);
        heard.map(|pulse| pulse.runs_out(in_contact_since)).min()
    }

    /// A look has found this version, so that a proxy is silent if that is the one that is known.
    pub(super) fn found(&mut self, proxy: &Proxy, version: &str) -> Option<Change> {
        let pulse = self.0.get_mut(proxy).filter(|pulse| pulse.version == version)?;
        pulse.lease.is_silent = true;
        Some(Change::Proxy(Arc::clone(&proxy.0), Arc::clone(&proxy.1), Some(pulse.lease.clone())))
    }

    /// A look came to nothing: there will be another.
    pub(super) fn postpone(&mut self, proxy: &Proxy, now: Instant) {
        if let Some(pulse) = self.0.get_mut(proxy) {
            pulse.changed = now;
        }
    }

    /// Leases, and their versions, that were not renewed for so long that their pods are gone, if nothing else speaks for
    /// them.
    pub(super) fn abandoned(&self, now: Instant) -> Vec<(Proxy, String)> {
        let is_old = |pulse: &Pulse| pulse.lease.is_silent && now.duration_since(pulse.changed) >= ABANDONED_AFTER;
        let old = self.0.iter().filter(|(_, pulse)| is_old(pulse));
        old.map(|(proxy, pulse)| (proxy.clone(), pulse.version.clone())).collect()
    }
}

impl Pulse {
    fn runs_out(&self, in_contact_since: Instant) -> Instant {
        self.changed.max(in_contact_since) + self.lasts
    }
}

/// What a proxy says, as its Lease carries it.
fn report(lease: &ApiLease) -> Option<Report> {
    let text = lease.metadata.annotations.as_ref()?.get(STATUS_ANNOTATION)?;
    match serde_json::from_str(text) {
        Ok(report) => Some(report),
        Err(error) => {
            tracing::warn!(lease = lease.metadata.name, %error, "what a proxy reports can't be read");
            None
        }
    }
}

/// The version of a Lease that is not there.
pub(super) const NO_LEASE: &str = "";
/// The longest time for which a Lease is believed to last, in seconds.
const MOST_SECONDS: u64 = 300;
/// How long a Lease is left alone after its last renewal.
const ABANDONED_AFTER: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn lease(version: &str) -> ApiLease {
        ApiLease {
            metadata: ObjectMeta {
                name: Some("proxy-0".to_owned()),
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec { lease_duration_seconds: Some(15), ..LeaseSpec::default() }),
        }
    }

    fn proxy() -> Proxy {
        ("default".into(), "proxy-0".into())
    }

    #[test]
    fn a_proxy_whose_lease_stays_unchanged_for_its_duration_is_silent_once_a_look_confirms_it() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pulses = Pulses::default();
        assert!(pulses.seen("default".into(), &lease("1"), start).is_some());
        assert!(pulses.suspects(start, after(14)).is_empty() && !pulses.are_known());
        assert_eq!(pulses.suspects(start, after(15)), [proxy()]);
        assert!(pulses.found(&proxy(), "2").is_none(), "the watch had missed a renewal");
        let silent = pulses.found(&proxy(), "1");
        assert!(matches!(silent, Some(Change::Proxy(_, _, Some(Lease { is_silent: true, .. })))), "{silent:?}");
        assert!(pulses.are_known());
        let heard = pulses.seen("default".into(), &lease("2"), after(20));
        assert!(matches!(heard, Some(Change::Proxy(_, _, Some(Lease { is_silent: false, .. })))), "{heard:?}");
        assert!(pulses.are_known());
    }

    #[test]
    fn a_proxy_that_counts_and_never_has_a_lease_is_silent_until_it_has_one_or_counts_no_more() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let counting = BTreeSet::from([proxy()]);
        let mut pulses = Pulses::default();
        assert!(pulses.watch_for(&counting, start).is_empty() && pulses.watch_for(&counting, after(10)).is_empty());
        assert!(pulses.suspects(start, after(14)).is_empty());
        assert_eq!(pulses.suspects(start, after(15)), [proxy()]);
        let silent = pulses.found(&proxy(), NO_LEASE);
        assert!(matches!(silent, Some(Change::Proxy(_, _, Some(Lease { is_silent: true, .. })))), "{silent:?}");
        assert!(matches!(pulses.watch_for(&BTreeSet::new(), after(16))[..], [Change::Proxy(_, _, None)]));
        pulses.watch_for(&counting, after(20));
        pulses.seen("default".into(), &lease("1"), after(21));
        assert!(pulses.watch_for(&BTreeSet::new(), after(22)).is_empty(), "it has a Lease");
    }

    #[test]
    fn time_without_contact_to_the_api_counts_for_nothing() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pulses = Pulses::default();
        pulses.seen("default".into(), &lease("1"), start);
        assert!(pulses.suspects(after(100), after(114)).is_empty());
        assert_eq!(pulses.suspects(after(100), after(115)), [proxy()]);
    }

    #[test]
    fn a_lease_is_abandoned_long_after_its_proxy_fell_silent() {
        let start = Instant::now();
        let mut pulses = Pulses::default();
        pulses.seen("default".into(), &lease("1"), start);
        pulses.found(&proxy(), "1");
        assert!(pulses.abandoned(start + Duration::from_secs(44)).is_empty());
        assert_eq!(pulses.abandoned(start + Duration::from_secs(45)), [(proxy(), "1".to_owned())]);
    }
}
