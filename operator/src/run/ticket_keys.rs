//! When a gateway's ticket keys are made, put right and moved on.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::Operator;
use super::done::Done;
use crate::election::Leadership;
use crate::generated::{self, TICKET_KEYS};
use crate::report::ResourceVersion;
use crate::store::{Gateway, Store};
use crate::ticket_keys::{ROTATED_ANNOTATION, TicketKeys, rotated};
use crate::write::objects::labels;
use crate::write::{Failure, in_term, in_time, wipe};

/// A Secret of ticket keys as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    version: ResourceVersion,
    /// What the annotation says of when the keys moved on.
    rotated: Option<String>,
    /// Whether it has the keys and labels that it is to have.
    is_whole: bool,
}

impl Seen {
    /// What is kept of the Secret, which is wiped; `None` where it has no resourceVersion.
    pub fn of(mut secret: Secret) -> Option<Self> {
        let version = secret.metadata.resource_version.as_deref()?.parse().ok()?;
        let rotated = secret.metadata.annotations.take().and_then(|mut known| known.remove(ROTATED_ANNOTATION));
        let labels_are = secret.metadata.labels.take().unwrap_or_default();
        let is_labelled = labels(TICKET_KEYS).iter().all(|label| labels_are.get(label.0) == Some(label.1));
        let data = secret.data.take().unwrap_or_default();
        let has_no_others = data.keys().all(|name| TicketKeys::has(name));
        let has_keys = TicketKeys::read(data).is_some();
        wipe(&mut secret);
        Some(Self { version, rotated, is_whole: is_labelled && has_keys && has_no_others })
    }
}

/// What is known of a gateway's ticket keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    seen: Option<Seen>,
    is_busy: bool,
    /// After a failure, when they are tried again.
    again: Option<Instant>,
    due: Option<Instant>,
}

impl Keys {
    /// The Secret as the watch has it; `None`: there is none.
    pub(super) fn seen(&mut self, seen: Option<Seen>) {
        let is_old = |known: &Seen| seen.as_ref().is_some_and(|seen| seen.version < known.version);
        if !self.seen.as_ref().is_some_and(is_old) {
            self.seen = seen;
        }
    }

    /// When they are to be looked at though nothing has changed.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.again.or(self.due)
    }

    /// What is to be done with them.
    fn turn(
        &mut self,
        now: Timestamp,
        interval: Duration,
        have_all: impl Fn(&ResourceVersion) -> bool,
    ) -> Option<Turn> {
        self.due = None;
        let Some(seen) = self.seen.as_ref().filter(|seen| seen.is_whole) else { return Some(Turn::PutRight) };
        let Some(rotated) = rotated(seen.rotated.as_deref(), now) else { return Some(Turn::PutRight) };
        let due = rotated.saturating_add(interval).unwrap_or(Timestamp::MAX);
        if due > now {
            let left = Duration::try_from(due.duration_since(now)).unwrap_or_default();
            self.due = Some(Instant::now() + left.min(LONGEST_WAIT));
            return None;
        }
        have_all(&seen.version).then(|| Turn::MoveOn(seen.version.clone()))
    }
}

/// What is done with ticket keys.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Turn {
    /// They are made, or made what they are to be.
    PutRight,
    /// They move on, if they are of this version.
    MoveOn(ResourceVersion),
}

/// Whether every proxy that counts, and there is one, has read Secrets up to this version.
fn have_all(store: &Store, gateway: &Gateway, version: &ResourceVersion) -> bool {
    let proxies = store.proxies(gateway);
    let leases = store.leases.get(gateway.name.as_str());
    let has_it = |pod: &&str| {
        let report = leases.and_then(|leases| leases.get(*pod)).and_then(|lease| lease.report.as_ref());
        report.and_then(|report| report.revision.as_ref()).is_some_and(|revision| revision.secrets >= *version)
    };
    !proxies.is_empty() && proxies.iter().all(has_it)
}

impl Operator {
    /// Does with the ticket keys what is due.
    pub(super) fn turn_keys(&mut self) {
        let now = Instant::now();
        if !self.leads || !self.leadership.standing().may_write(now) {
            return;
        }
        for gateway in &self.settings.gateways {
            let Some(keys) = self.keys.get_mut(gateway.name.as_str()) else { continue };
            if keys.is_busy || !self.known.has_gateway(gateway) || keys.again.is_some_and(|again| now < again) {
                continue;
            }
            keys.again = None;
            let store = &self.store;
            let interval = self.settings.ticket_key_rotation;
            let Some(turn) = keys.turn(Timestamp::now(), interval, |version| have_all(store, gateway, version)) else {
                continue;
            };
            keys.is_busy = true;
            let name: Arc<str> = gateway.name.as_str().into();
            let (client, leadership, done) = (self.client.clone(), self.leadership.clone(), self.done.clone());
            spawn_local(async move {
                let written = write(client, &leadership, &name, turn).await;
                let _ = done.send(Done::Keys(name, written));
            });
        }
    }

    pub(super) fn finish_keys(&mut self, gateway: &Arc<str>, written: Result<Seen, Failure>) {
        self.metrics.written("ticket keys", written.as_ref().map_or_else(Failure::as_str, |_| "Ok"));
        let Some(keys) = self.keys.get_mut(gateway) else { return };
        keys.is_busy = false;
        match written {
            Ok(seen) => keys.seen(Some(seen)),
            Err(error) => {
                if !matches!(error, Failure::Conflict) {
                    tracing::warn!(%gateway, %error, "the ticket keys can't be written; it is tried again");
                }
                keys.again = Some(Instant::now() + PAUSE);
            }
        }
    }
}

async fn write(client: Client, leadership: &Leadership, gateway: &str, turn: Turn) -> Result<Seen, Failure> {
    let api: Api<Secret> = Api::namespaced(client, &generated::namespace(gateway));
    let found = in_time(api.get_opt(TICKET_KEYS)).await?;
    let version = found.as_ref().and_then(|secret| secret.metadata.resource_version.clone());
    let annotations = found.as_ref().and_then(|secret| secret.metadata.annotations.as_ref());
    let now = Timestamp::now();
    let before = rotated(annotations.and_then(|known| known.get(ROTATED_ANNOTATION)).map(String::as_str), now);
    let keys = found.and_then(|secret| TicketKeys::read(secret.data.unwrap_or_default()));
    let (keys, rotated) = match (keys, turn) {
        (Some(_), Turn::MoveOn(of)) if version.as_deref() != Some(&*of.to_string()) => return Err(Failure::Conflict),
        (Some(keys), Turn::MoveOn(_)) => {
            tracing::info!(gateway, "the ticket keys move on");
            (keys.rotate()?, now)
        }
        (Some(keys), Turn::PutRight) => (keys, before.unwrap_or(now)),
        (None, _) => {
            tracing::info!(gateway, "new ticket keys");
            (TicketKeys::first()?, now)
        }
    };
    let mut secret = Secret {
        metadata: ObjectMeta {
            name: Some(TICKET_KEYS.to_owned()),
            labels: Some(labels(TICKET_KEYS)),
            annotations: Some([(ROTATED_ANNOTATION.to_owned(), rotated.to_string())].into()),
            resource_version: version.clone(),
            ..ObjectMeta::default()
        },
        data: Some(keys.into_data()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    let parameters = PostParams::default();
    let written = match version {
        Some(_) => in_term(leadership, api.replace(TICKET_KEYS, &parameters, &secret)).await,
        None => in_term(leadership, api.create(&parameters, &secret)).await,
    };
    wipe(&mut secret);
    Seen::of(written?).ok_or(Failure::Conflict)
}

/// After a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest that is waited without another look at the clock.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_move_on_an_interval_after_they_last_did_and_a_time_ahead_is_put_right() {
        let turn = |rotated: &str| {
            let (version, rotated) = ("7".parse().unwrap(), Some(rotated.to_owned()));
            let mut keys = Keys { seen: Some(Seen { version, rotated, is_whole: true }), ..Keys::default() };
            keys.turn("2026-01-02T00:00:00Z".parse().unwrap(), Duration::from_hours(24), |_| true)
        };
        assert_eq!(turn("2026-01-01T00:00:00Z"), Some(Turn::MoveOn("7".parse().unwrap())));
        assert_eq!(turn("2026-01-01T00:00:01Z"), None);
        assert_eq!(turn("2026-01-02T00:00:01Z"), Some(Turn::PutRight), "a clock was ahead");
    }
}
