//! Which of the operator's replicas leads: the one that holds a Lease.
//!
//! No clocks are compared: a Lease has run out for a follower that has seen it unchanged, by its own clock, for as long as the
//! Lease says; after a request that failed the leader too gets the time for another. A leader counts from before it sent its last renewal, and so stops first. While
//! its lease does not hold a leader writes nothing; it goes on once it has renewed it, if nobody else held it in between,
//! and else is done for, for what it knows may be older than what another has written.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::reason::reason;
use crate::settings::Settings;

/// What a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Until when it holds the lease; `None` for a follower.
    pub leads_until: Option<Instant>,
    /// Since when the API has answered whenever it was asked about the lease.
    pub in_contact_since: Instant,
}

impl Standing {
    /// Whether it may write at this time.
    pub fn may_write(self, now: Instant) -> bool {
        self.leads_until.is_some_and(|until| now < until)
    }
}

/// What this replica is, for whoever wants to write.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Standing>);

impl Leadership {
    /// A leadership that is what the sender says, from this on.
    #[cfg(test)]
    pub(crate) fn with(standing: Standing) -> (watch::Sender<Standing>, Self) {
        let (sender, receiver) = watch::channel(standing);
        (sender, Self(receiver))
    }

    /// What it is now.
    pub fn standing(&self) -> Standing {
        *self.0.borrow()
    }

    /// Returns when that has changed, as it does with each renewal.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The election is over, and soon the process.
            std::future::pending::<()>().await;
        }
    }
}

/// Another replica has taken the lease, so that what this one knows may be old.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease `{lease}` is lost to {to}")]
pub struct Lost {
    lease: String,
    to: String,
}

/// A replica that stands for leader.
pub struct Candidate {
    leases: Api<Lease>,
    /// The name of the Lease.
    lease: String,
    /// Unlike that of any other process, of the same pod too.
    identity: String,
    duration: Duration,
    standing: watch::Sender<Standing>,
    /// The Lease as it is ours.
    held: Option<Lease>,
}

impl fmt::Debug for Candidate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Candidate").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Candidate {
    /// A follower, which stands for election when it is run. `identity` is not that of any other process.
    pub fn new(client: Client, settings: &Settings, identity: String) -> (Self, Leadership) {
        let (standing, seen_by_others) =
            watch::channel(Standing { leads_until: None, in_contact_since: Instant::now() });
        let leases = Api::namespaced(client, &settings.namespace);
        let lease = settings.lease_name.clone();
        let candidate = Self { leases, lease, identity, duration: settings.lease_duration, standing, held: None };
        (candidate, Leadership(seen_by_others))
    }

    /// Follows until it can lead, and leads until another does.
    pub async fn run(&mut self) -> Lost {
        let mut observed = Observed::default();
        let mut sent = Instant::now();
        while self.held.is_none() {
            match self.stand(&mut observed).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    observed.wait_until(Instant::now() + self.duration / 2);
                    self.standing.send_modify(|standing| standing.in_contact_since = Instant::now());
                    tracing::warn!(%error, lease = self.lease, "the lease can't be read or written");
                }
            }
            sleep(self.duration / 16).await;
            sent = Instant::now();
        }
        tracing::info!(identity = self.identity, lease = self.lease, "leading");
        self.standing.send_modify(|standing| standing.leads_until = Some(sent + self.duration));
        loop {
            sleep(self.duration / 4).await;
            let sent = Instant::now();
            match self.renew().await {
                Ok(Renewal::Done) => {
                    self.standing.send_modify(|standing| standing.leads_until = Some(sent + self.duration));
                }
                Ok(Renewal::Lost(lost)) => {
                    self.held = None;
                    self.standing.send_modify(|standing| standing.leads_until = None);
                    return lost;
                }
                Err(error) => {
                    tracing::warn!(%error, lease = self.lease, "the lease can't be renewed");
                    self.standing.send_modify(|standing| standing.in_contact_since = Instant::now());
                }
            }
        }
    }

    /// Takes the Lease if nobody holds it, and says whether it is taken.
    async fn stand(&mut self, observed: &mut Observed) -> Result<bool, Failed> {
        let Some(lease) = self.ask(self.leases.get_opt(&self.lease)).await? else {
            let metadata = ObjectMeta { name: Some(self.lease.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.spec(None, 0)) };
            let created = self.ask(self.leases.create(&PostParams::default(), &lease)).await;
            return self.take(created);
        };
        if let Some(holder) = observed.holder_if_new(&lease) {
            tracing::info!(lease = self.lease, holder, "following");
        }
        if !observed.has_run_out(&lease, Instant::now()) {
            return Ok(false);
        }
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
        let lease = Lease { spec: Some(self.spec(None, transitions.saturating_add(1))), ..lease };
        let replaced = self.ask(self.leases.replace(&self.lease, &PostParams::default(), &lease)).await;
        self.take(replaced)
    }

    fn take(&mut self, written: Result<Lease, Failed>) -> Result<bool, Failed> {
        match written {
            Ok(lease) => {
                self.held = Some(lease);
                Ok(true)
            }
            // Another was faster.
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn renew(&mut self) -> Result<Renewal, Failed> {
        let Some(held) = &self.held else { return Ok(self.lost("nobody")) };
        let lease = Lease { metadata: held.metadata.clone(), spec: Some(self.spec(held.spec.as_ref(), 0)) };
        match self.ask(self.leases.replace(&self.lease, &PostParams::default(), &lease)).await {
            Ok(lease) => {
                self.held = Some(lease);
                Ok(Renewal::Done)
            }
            Err(error) if error.is_conflict() || error.is_not_found() => self.look_again().await,
            Err(error) => Err(error),
        }
    }

    /// A conflict is no loss if what changed the Lease was a renewal whose answer did not come in time.
    async fn look_again(&mut self) -> Result<Renewal, Failed> {
        let Some(found) = self.ask(self.leases.get_opt(&self.lease)).await? else {
            return Ok(self.lost("somebody who deleted it"));
        };
        let term = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        let holder = found.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        if holder != self.identity || self.held.as_ref().and_then(term) != term(&found) {
            return Ok(self.lost(&format!("`{holder}`")));
        }
        self.held = Some(found);
        // Not renewed yet: the next attempt does that.
        Err(Failed::Late)
    }

    fn lost(&self, to: &str) -> Renewal {
        Renewal::Lost(Lost { lease: self.lease.clone(), to: to.to_owned() })
    }

    /// Gives the Lease back, so that another can take it at once.
    pub async fn release(mut self) {
        self.standing.send_modify(|standing| standing.leads_until = None);
        for _ in 0..2 {
            let Some(held) = self.held.take() else { return };
            let spec = held.spec.map(|spec| LeaseSpec {
                holder_identity: Some(String::new()),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..spec
            });
            let lease = Lease { metadata: held.metadata, spec };
            match self.ask(self.leases.replace(&self.lease, &PostParams::default(), &lease)).await {
                Ok(_) => tracing::info!("lease given back"),
                Err(error) if error.is_conflict() => {
                    let found = self.ask(self.leases.get_opt(&self.lease)).await.ok().flatten();
                    self.held = found.filter(|lease| {
                        lease.spec.as_ref().is_some_and(|spec| spec.holder_identity.as_deref() == Some(&*self.identity))
                    });
                }
                Err(error) => tracing::warn!(%error, "the lease can't be given back"),
            }
        }
    }

    /// The Lease as it is ours from now on: taken anew, as the term of this number, or renewed.
    fn spec(&self, renewed: Option<&LeaseSpec>, term: i32) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let seconds = self.duration.as_secs() + u64::from(self.duration.subsec_nanos() > 0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
            acquire_time: renewed.and_then(|spec| spec.acquire_time.clone()).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: renewed.map_or(Some(term), |spec| spec.lease_transitions),
            ..LeaseSpec::default()
        }
    }

    async fn ask<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failed> {
        match timeout(self.duration / 4, request).await {
            Ok(answer) => answer.map_err(Failed::Refused),
            Err(_) => Err(Failed::Late),
        }
    }
}

enum Renewal {
    Done,
    Lost(Lost),
}

/// Why a request has no answer that counts.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{}", reason(.0))]
    Refused(kube::Error),
    #[error("the API did not answer in time")]
    Late,
}

impl Failed {
    fn has_code(&self, wanted: u16) -> bool {
        matches!(self, Self::Refused(kube::Error::Api(status)) if status.code == wanted)
    }

    fn is_conflict(&self) -> bool {
        self.has_code(409)
    }

    fn is_not_found(&self) -> bool {
        self.has_code(404)
    }
}

/// What a follower has seen of the Lease.
#[derive(Debug, Default)]
struct Observed {
    holder: Option<String>,
    /// Its version, and since when it is that.
    seen: Option<(String, Instant)>,
    not_before: Option<Instant>,
}

impl Observed {
    /// Who holds the Lease, if that is another than before.
    fn holder_if_new(&mut self, lease: &Lease) -> Option<&str> {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
        let is_new = self.holder != holder;
        self.holder = holder;
        self.holder.as_deref().filter(|holder| is_new && !holder.is_empty())
    }

    /// A Lease that is held has not run out before this time: the leader may have been kept from renewing it.
    fn wait_until(&mut self, time: Instant) {
        self.not_before = Some(time);
    }

    /// Whether nobody holds the Lease: it says so, or was seen unchanged for as long as it lasts.
    fn has_run_out(&mut self, lease: &Lease, now: Instant) -> bool {
        let spec = lease.spec.clone().unwrap_or_default();
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let is_held = spec.holder_identity.is_some_and(|holder| !holder.is_empty());
        let lasts =
            Duration::from_secs(spec.lease_duration_seconds.and_then(|seconds| seconds.try_into().ok()).unwrap_or(0));
        match &self.seen {
            _ if !is_held => true,
            Some((seen, since)) if *seen == version => {
                now.duration_since(*since) >= lasts && self.not_before.is_none_or(|time| now >= time)
            }
            _ => {
                self.seen = Some((version, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(version: &str, holder: &str, seconds: i32) -> Lease {
        Lease {
            metadata: ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(seconds),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_lease_runs_out_when_it_was_seen_unchanged_for_its_duration() {
        let start = Instant::now();
        let mut observed = Observed::default();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!observed.has_run_out(&lease("1", "a", 4), after(0)));
        assert!(!observed.has_run_out(&lease("1", "a", 4), after(3)));
        assert!(!observed.has_run_out(&lease("2", "a", 4), after(4)), "renewed meanwhile");
        assert!(!observed.has_run_out(&lease("2", "a", 4), after(7)));
        assert!(observed.has_run_out(&lease("2", "a", 4), after(8)));
    }

    #[test]
    fn a_request_that_failed_delays_a_takeover_by_no_more_than_another_renewal_takes() {
        let start = Instant::now();
        let mut observed = Observed::default();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!observed.has_run_out(&lease("1", "a", 4), after(0)));
        observed.wait_until(after(5));
        assert!(!observed.has_run_out(&lease("1", "a", 4), after(4)));
        assert!(observed.has_run_out(&lease("1", "a", 4), after(5)));
        assert!(observed.has_run_out(&lease("2", "", 4), after(3)), "given back");
    }

    #[test]
    fn a_lease_that_was_given_back_can_be_taken_at_once() {
        assert!(Observed::default().has_run_out(&lease("1", "", 4), Instant::now()));
    }

    #[test]
    fn who_leads_is_told_once() {
        let mut observed = Observed::default();
        assert_eq!(observed.holder_if_new(&lease("1", "a", 4)), Some("a"));
        assert_eq!(observed.holder_if_new(&lease("2", "a", 4)), None);
        assert_eq!(observed.holder_if_new(&lease("3", "b", 4)), Some("b"));
        assert_eq!(observed.holder_if_new(&lease("4", "", 4)), None);
    }

    #[test]
    fn a_leader_writes_only_while_its_lease_holds() {
        let now = Instant::now();
        let standing = |leads_until| Standing { leads_until, in_contact_since: now };
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(standing(Some(after(4))).may_write(after(3)));
        assert!(!standing(Some(after(4))).may_write(after(4)));
        assert!(!standing(None).may_write(now));
    }
}
