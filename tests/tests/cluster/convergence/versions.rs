//! Every version that an object had, in the order in which it had them.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use streamgate_tests::control_plane::ControlPlane;

use super::administrator::Administrator;

/// The versions of one object; `None`: it was gone.
pub(super) type Versions = Vec<Option<DynamicObject>>;

/// Watches some kinds in some namespaces. Where the API server dies, it misses what was while nobody could be asked.
pub(super) struct Versioner {
    seen: Arc<Mutex<BTreeMap<String, Versions>>>,
    stop: Arc<AtomicBool>,
    watches: Vec<JoinHandle<()>>,
}

impl Versioner {
    /// Watches the generated objects, and the statuses of a tenant. Nothing is missed that comes after this.
    pub(super) fn of(cluster: &ControlPlane, generated: &str, tenant: &str) -> Result<Self> {
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let ours = "streamgate.dev/v1alpha1";
        let kinds = [
            ("v1", "ConfigMap", generated),
            ("v1", "Secret", generated),
            (ours, "StreamRoute", tenant),
            (ours, "TlsSni", tenant),
        ];
        let mut watches = Vec::new();
        for (version, kind, namespace) in kinds {
            let administrator = Administrator::of(cluster)?;
            let (_, since) = administrator.list_of(namespace, &json!({"apiVersion": version, "kind": kind}))?;
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            let namespace = namespace.to_owned();
            watches.push(thread::spawn(move || {
                let Ok(api) = administrator.api(&namespace, &json!({"apiVersion": version, "kind": kind})) else {
                    return;
                };
                administrator.runtime.block_on(watch(kind, api, since, &seen, &stop));
            }));
        }
        Ok(Self { seen, stop, watches })
    }

    /// The versions of an object until now, by its kind and name.
    pub(super) fn of_object(&self, kind: &str, name: &str) -> Versions {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&format!("{kind} {name}")).cloned().unwrap_or_default()
    }
}

impl Drop for Versioner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for watch in self.watches.drain(..) {
            let _ = watch.join();
        }
    }
}

async fn watch(
    kind: &str,
    api: Api<DynamicObject>,
    mut since: String,
    seen: &Mutex<BTreeMap<String, Versions>>,
    stop: &AtomicBool,
) {
    let note = |name: String, object: Option<DynamicObject>| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = seen.entry(format!("{kind} {name}")).or_default();
        let version = |object: &Option<DynamicObject>| object.as_ref().and_then(DynamicObject::resource_version);
        if versions.last().is_none_or(|last| version(last) != version(&object)) {
            versions.push(object);
        }
    };
    while !stop.load(Ordering::Relaxed) {
        let started = api.watch(&WatchParams::default().timeout(280), &since).await;
        if let Ok(events) = started {
            let mut events = pin!(events);
            while !stop.load(Ordering::Relaxed) {
                match tokio::time::timeout(Duration::from_millis(100), events.next()).await {
                    Err(_) | Ok(Some(Ok(WatchEvent::Bookmark(_)))) => {}
                    Ok(Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)))) => {
                        since = object.resource_version().unwrap_or(since);
                        note(object.name_any(), Some(object));
                    }
                    Ok(Some(Ok(WatchEvent::Deleted(object)))) => {
                        since = object.resource_version().unwrap_or(since);
                        note(object.name_any(), None);
                    }
                    Ok(Some(Ok(WatchEvent::Error(_)) | Err(_)) | None) => break,
                }
            }
        }
        if let Ok(Ok(list)) = tokio::time::timeout(Duration::from_secs(5), api.list(&ListParams::default())).await {
            since = list.metadata.resource_version.unwrap_or(since);
            for object in list.items {
                note(object.name_any(), Some(object));
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asserts that each version tells a newer truth than the one before it: none goes back, and none was written for nothing.
pub(super) fn assert_each_is_newer(
    what: &str,
    versions: &Versions,
    truth: impl Fn(&DynamicObject) -> Option<u64>,
) -> Result<()> {
    let truths: Vec<Option<u64>> = versions.iter().flatten().map(truth).collect();
    anyhow::ensure!(truths.iter().all(Option::is_some) && !truths.is_empty(), "{what}: no truth in {truths:?}");
    anyhow::ensure!(truths.is_sorted_by(|one, next| one < next), "{what}: its versions told {truths:?}");
    Ok(())
}

/// Asserts that what is said of an object never comes to be of an older generation, and that of one generation nothing is
/// said again after something else was.
pub(super) fn assert_no_flapping(what: &str, versions: &Versions) -> Result<()> {
    let mut told: Vec<(i64, Value)> = Vec::new();
    for object in versions.iter().flatten() {
        let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let Some(first) = conditions.first() else { continue };
        let generation = first["observedGeneration"].as_i64().context("an observed generation")?;
        let told_now: Vec<Value> = conditions
            .iter()
            .map(|condition| json!([condition["type"], condition["status"], condition["reason"]]))
            .collect();
        let now = (generation, json!(told_now));
        if told.last() != Some(&now) {
            told.push(now);
        }
    }
    anyhow::ensure!(!told.is_empty(), "{what}: nothing was said of it");
    for (index, now) in told.iter().enumerate() {
        let before = &told[..index];
        anyhow::ensure!(
            before.iter().all(|before| before.0 <= now.0 && before != now),
            "{what}: it was said of it, one after another:\n{told:#?}"
        );
    }
    Ok(())
}
