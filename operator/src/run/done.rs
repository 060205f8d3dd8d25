//! What the store's task has done elsewhere: writes, and what comes back from them.

use std::collections::BTreeSet;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use streamgate_crds::{Kind, ObjectRef, Reason};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::Operator;
use super::notices::Telling;
use super::pulses::Proxy;
use super::ticket_keys::Seen;
use crate::election::Leadership;
use crate::generated::{Folder, Source};
use crate::report::ResourceVersion;
use crate::resolve::{Write, WriteAction};
use crate::store::material::Fetched;
use crate::store::{Change, Generated, GeneratedKey, MaterialKey, MaterialKind, Name, Status, Watched};
use crate::write::{Failure, events, objects, status};

/// What has ended.
#[derive(Debug)]
pub(super) enum Done {
    /// A generated object was written, or not.
    Object(GeneratedKey, Attempt),
    /// A status was.
    Status(ObjectRef, Box<Replaced>, Result<ResourceVersion, Failure>),
    /// A Secret or ConfigMap was fetched; `None`: there is none.
    Fetch(MaterialKey, Result<Option<Fetched>, Failure>),
    /// A generated object was looked for.
    Found(GeneratedKey, Generated),
    /// A proxy's Lease was looked at.
    Look(Proxy, Result<Option<Box<Lease>>, Failure>),
    /// Something was told.
    Notice(Telling, Result<(), Failure>),
    /// The ticket keys of a gateway were written.
    Keys(std::sync::Arc<str>, Result<Seen, Failure>),
}

/// A status in place of another.
#[derive(Debug)]
pub(super) struct Replaced {
    before: Vec<Condition>,
    status: Status,
}

impl Replaced {
    /// Whether it is said no more that a proxy is silent.
    fn breaks_silence(&self) -> bool {
        let is_silent = |conditions: &[Condition]| {
            conditions.iter().any(|condition| condition.reason == Reason::ProxySilent.as_str())
        };
        is_silent(&self.before) && !is_silent(&self.status.conditions)
    }
}

/// A try to write a generated object.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Why it came to nothing.
    failure: Option<Failure>,
    /// The version that was to be replaced or deleted.
    version: Option<ResourceVersion>,
    found: Found,
}

/// What is there after that.
#[derive(Debug)]
enum Found {
    Unknown,
    Nothing,
    Object(Generated),
}

impl From<Option<Generated>> for Found {
    fn from(found: Option<Generated>) -> Self {
        found.map_or(Self::Nothing, Self::Object)
    }
}

/// The generated copy of a Secret or ConfigMap.
pub(super) fn copy_of(gateway: &str, key: &MaterialKey) -> GeneratedKey {
    let folder = match key.kind {
        MaterialKind::Secret => Folder::Secrets,
        MaterialKind::ConfigMap => Folder::ConfigMaps,
    };
    let (namespace, name) = (key.name.namespace.to_string(), key.name.name.to_string());
    GeneratedKey::of(&gateway.into(), &Source { folder, namespace, name })
}

async fn attempt(client: Client, leadership: Leadership, write: Write) -> Attempt {
    let key = write.key.clone();
    let version = match &write.action {
        WriteAction::Create(_) => None,
        WriteAction::Replace(version, _) | WriteAction::Delete(version) => Some(version.clone()),
    };
    match objects::write(client.clone(), &leadership, write).await {
        Ok(found) => Attempt { failure: None, version, found: found.into() },
        Err(failure) if matches!(failure, Failure::Conflict) || failure.is_not_found() => Attempt {
            failure: Some(failure),
            version,
            found: objects::look(client, &key).await.map_or(Found::Unknown, Found::from),
        },
        Err(failure) => Attempt { failure: Some(failure), version, found: Found::Unknown },
    }
}

impl Operator {
    /// Starts what is to be written, as many as may be.
    pub(super) fn write(&mut self, now: Instant) {
        if !self.leadership.standing().may_write(now) {
            return;
        }
        while let Some(key) = self.objects.next(now) {
            let Some(write) = self.outcome.writes(&self.store, &BTreeSet::from([key.clone()])).pop() else {
                self.objects.done(&key);
                continue;
            };
            if !self.is_known_for(&write) {
                self.objects.failed(&key, now);
                continue;
            }
            let (client, leadership, done) = (self.client.clone(), self.leadership.clone(), self.done.clone());
            spawn_local(async move {
                let _ = done.send(Done::Object(key, attempt(client, leadership, write).await));
            });
        }
        // What serves clients comes before what is said of it: many of those statuses would soon be others.
        let most = if self.objects.is_waiting() { MOST_STATUSES_MEANWHILE } else { usize::MAX };
        while self.statuses.in_flight() < most
            && let Some(object) = self.statuses.next(now)
        {
            let (status, of) = (self.outcome.status(&self.store, &object, Timestamp::now()), self.version(&object));
            let (Some(status), Some(of)) = (status, of) else {
                self.statuses.done(&object);
                continue;
            };
            if !self.is_known_of(&object) {
                self.statuses.failed(&object, now);
                continue;
            }
            let replaced = Box::new(Replaced { before: self.conditions(&object), status });
            if replaced.breaks_silence() && !self.pulses.are_known() {
                // Another operator had found a proxy silent, which this one can't know yet.
                self.statuses.failed(&object, now);
                continue;
            }
            let (client, leadership, done) = (self.client.clone(), self.leadership.clone(), self.done.clone());
            spawn_local(async move {
                let written = status::write(client, &leadership, &object, &of, &replaced.status).await;
                let _ = done.send(Done::Status(object, replaced, written));
            });
        }
    }

    /// Looks by name for copies that are to stay and are not seen.
    pub(super) fn look_for_lost(&self, keys: &BTreeSet<GeneratedKey>) {
        for key in self.outcome.lost(&self.store, keys) {
            let (client, done) = (self.client.clone(), self.done.clone());
            spawn_local(async move {
                if let Ok(Some(found)) = objects::look(client, &key).await {
                    let _ = done.send(Done::Found(key, found));
                }
            });
        }
    }

    /// Takes what comes back.
    pub(super) fn finish(&mut self, done: Done) {
        match done {
            Done::Object(key, attempt) => self.finish_object(&key, attempt),
            Done::Status(object, replaced, written) => self.finish_status(&object, *replaced, written),
            Done::Fetch(key, fetched) => self.finish_fetch(key, fetched),
            // Meanwhile the watch may have seen it.
            Done::Found(key, found) if self.store.generated(&key).is_none() => {
                self.apply(Change::Found(key, Some(found)));
            }
            Done::Found(..) => {}
            Done::Look(proxy, found) => self.finish_look(proxy, found),
            Done::Notice(telling, told) => self.finish_notice(&telling, told),
            Done::Keys(gateway, written) => self.finish_keys(&gateway, written),
        }
    }

    fn finish_object(&mut self, key: &GeneratedKey, attempt: Attempt) {
        let Attempt { failure, version, found } = attempt;
        self.metrics.written(key.kind.as_str(), failure.as_ref().map_or("Ok", Failure::as_str));
        match found {
            Found::Object(found) => self.apply(Change::Generated(key.clone(), found.version.clone(), Some(found))),
            // What the watch has told of since is another object, and stays.
            Found::Nothing => {
                if let Some(version) = version {
                    self.apply(Change::Generated(key.clone(), version, None));
                }
            }
            Found::Unknown => {}
        }
        if let Some(error) = failure {
            if !matches!(error, Failure::Conflict) {
                tracing::warn!(
                    gateway = %key.gateway, name = %key.name, %error,
                    "a generated object can't be written; it is tried again"
                );
            }
            self.objects.failed(key, Instant::now());
            return;
        }
        let is_other = !self.objects.is_pushed_again(key)
            && !self.outcome.writes(&self.store, &BTreeSet::from([key.clone()])).is_empty();
        if is_other {
            tracing::warn!(gateway = %key.gateway, name = %key.name, "a generated object is other than it was written");
            self.objects.failed(key, Instant::now());
        } else {
            self.objects.done(key);
        }
    }

    fn finish_status(&mut self, object: &ObjectRef, replaced: Replaced, written: Result<ResourceVersion, Failure>) {
        let Replaced { before, status } = replaced;
        let outcome = written.as_ref().map_or_else(Failure::as_str, |_| "Ok");
        self.metrics.written(object.kind.as_str(), outcome);
        match written {
            Ok(version) => {
                for notice in events::of_status(&before, &status.conditions) {
                    self.notices.push((object.clone(), notice), 0);
                }
                self.put_status(object, status, version);
                self.statuses.done(object);
            }
            // It has changed, or another has its name: the watch tells, and then it is looked at again.
            Err(Failure::Conflict) => self.statuses.failed(object, Instant::now()),
            Err(failure) if failure.is_not_found() => self.statuses.done(object),
            Err(error) => {
                tracing::warn!(
                    kind = %object.kind, namespace = object.namespace, name = object.name, %error,
                    "a status can't be written; it is tried again"
                );
                self.statuses.failed(object, Instant::now());
            }
        }
    }

    pub(super) fn uid(&self, object: &ObjectRef) -> Option<Box<str>> {
        self.version(object).map(|(uid, _)| uid)
    }

    fn version(&self, object: &ObjectRef) -> Option<status::Of> {
        let name = Name::new(&object.namespace, &object.name);
        match object.kind {
            Kind::StreamRoute => self.store.stream_route(&name).map(|seen| (seen.uid.clone(), seen.version.clone())),
            Kind::TlsSni => self.store.tls_sni(&name).map(|seen| (seen.uid.clone(), seen.version.clone())),
        }
    }

    fn conditions(&self, object: &ObjectRef) -> Vec<Condition> {
        let name = Name::new(&object.namespace, &object.name);
        let conditions = match object.kind {
            Kind::StreamRoute => self.store.stream_route(&name).map(|watched| watched.status.conditions.clone()),
            Kind::TlsSni => self.store.tls_sni(&name).map(|watched| watched.status.conditions.clone()),
        };
        conditions.unwrap_or_default()
    }

    /// Knows a status that was written, unless the watch has told more: lest it be written again.
    fn put_status(&mut self, object: &ObjectRef, status: Status, version: ResourceVersion) {
        let name = Name::new(&object.namespace, &object.name);
        let change = match object.kind {
            Kind::StreamRoute => {
                let known = self.store.stream_route(&name).filter(|known| known.version <= version).cloned();
                let Some(watched) = known else { return };
                Change::StreamRoute(name, Some(Watched { version, status, ..watched }))
            }
            Kind::TlsSni => {
                let known = self.store.tls_sni(&name).filter(|known| known.version <= version).cloned();
                let Some(watched) = known else { return };
                Change::TlsSni(name, Some(Watched { version, status, ..watched }))
            }
        };
        self.apply(change);
    }
}

/// How many statuses are written at once while generated objects wait for their turn.
const MOST_STATUSES_MEANWHILE: usize = 1;
