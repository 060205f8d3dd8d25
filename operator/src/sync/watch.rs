//! What the API server tells of the generated objects of a namespace.

use std::rc::Rc;
use std::time::Duration;

use futures::stream::{LocalBoxStream, Stream, StreamExt, select};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::metrics::Metrics;
use super::object::Object;
use super::place::Kind;
use crate::client::WATCH_SECONDS;
use crate::generated::FOLDER_LABEL;
use crate::reason::watch_reason;

/// What is told of both kinds, for ever; `None`: nothing, for a while. Errors are logged and tried again after a pause.
pub(super) fn events(
    client: &Client,
    namespace: &str,
    metrics: &Rc<Metrics>,
) -> impl Stream<Item = (Kind, Option<Event<Object>>)> + use<> {
    let config_maps = of_kind::<ConfigMap>(Kind::ConfigMaps, client, namespace, metrics);
    let secrets = of_kind::<Secret>(Kind::Secrets, client, namespace, metrics);
    select(config_maps, secrets)
}

fn of_kind<K>(
    kind: Kind,
    client: &Client,
    namespace: &str,
    metrics: &Rc<Metrics>,
) -> LocalBoxStream<'static, (Kind, Option<Event<Object>>)>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Into<Object>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let objects: Api<K> = Api::namespaced(client.clone(), namespace);
    let config = Config::default().labels(FOLDER_LABEL).page_size(PAGE).timeout(WATCH_SECONDS);
    let metrics = Rc::clone(metrics);
    let mut is_failing = false;
    let told = watcher(objects, config).backoff(Pauses::default()).map(move |event| {
        let told = match event {
            Ok(event) => {
                // What begins a list says of no answer.
                if is_failing && !matches!(event, Event::Init) {
                    tracing::info!(kind = kind.as_str(), "the API server tells of changes again");
                    is_failing = false;
                }
                metrics.watching(kind, !is_failing);
                Some(taken(event))
            }
            Err(error) => {
                metrics.watch_failed(kind);
                // A watch that was too old is listed again, as it should be.
                if !is_failing {
                    tracing::warn!(
                        kind = kind.as_str(),
                        error = watch_reason(&error),
                        "changes are not told; the directory stays"
                    );
                }
                is_failing = true;
                metrics.watching(kind, false);
                None
            }
        };
        (kind, told)
    });
    told.boxed_local()
}

/// The event with an object of our own.
fn taken<K: Into<Object>>(event: Event<K>) -> Event<Object> {
    match event {
        Event::Apply(object) => Event::Apply(object.into()),
        Event::Delete(object) => Event::Delete(object.into()),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(object.into()),
        Event::InitDone => Event::InitDone,
    }
}

/// How long to wait after an error: doubled each time, with some chance so that a fleet of proxies doesn't ask all at once.
#[derive(Default)]
struct Pauses {
    errors: u32,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let longest = FIRST_PAUSE.saturating_mul(1 << self.errors.min(16)).min(LONGEST_PAUSE);
        self.errors = self.errors.saturating_add(1);
        Some(longest.mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.errors = 0;
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How many objects of a list are in memory at once: they may have a megabyte each.
const PAGE: u32 = 100;
