//! The watches: Kubernetes' objects in, slimmed at once, out to the task that owns the store.
//!
//! Each is kube-runtime's watcher: it lists, watches from there, resumes after an error, and lists again where the API server
//! has forgotten what came in between. What a list does not name any more is gone.

mod sight;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc::Sender;
use tokio::task::spawn_local;
use tokio::time::sleep;

use self::sight::Sight;
use crate::client::WATCH_SECONDS;
use crate::generated::{self, FOLDER_LABEL};
use crate::reason::watch_reason;
use crate::report::PROXY_LABEL;
use crate::run::ticket_keys::Seen;
use crate::settings::Settings;
use crate::store::service::SERVICE_NAME;
use crate::store::{Change, Gateway, Listed, MaterialKind, Namespaces};

/// What a watch tells.
#[derive(Debug)]
pub enum Told {
    /// An object has changed.
    Change(Change),
    /// The Lease of a gateway's proxy has.
    Lease(Arc<str>, Box<Lease>),
    /// The ticket keys of a gateway have; `None`: they are gone.
    TicketKeys(Arc<str>, Option<Seen>),
    /// All is listed: what it does not name is gone. Of which watch, and of which namespace alone.
    Listed(usize, Listed, Option<Arc<str>>),
    /// The API did not answer, or not as it should.
    Failed(&'static str),
}

impl Told {
    /// The same of an object that a list found.
    fn of_list(self) -> Self {
        match self {
            Self::Change(Change::Generated(key, _, seen)) => Self::Change(Change::Found(key, seen)),
            told => told,
        }
    }
}

/// Whose objects a watch is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces', or the namespaces themselves.
    Cluster,
    /// A namespace's.
    Namespace(Arc<str>),
    /// A gateway's.
    Gateway(Arc<str>),
}

impl Scope {
    /// The tenants' namespace that it is.
    fn namespace(&self) -> Option<&str> {
        match self {
            Self::Namespace(namespace) => Some(namespace),
            Self::Cluster | Self::Gateway(_) => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => formatter.write_str("the cluster"),
            Self::Namespace(name) => write!(formatter, "namespace `{name}`"),
            Self::Gateway(name) => write!(formatter, "gateway `{name}`"),
        }
    }
}

/// Starts all watches. Gives what each is of, by its number. Is to be called within a `LocalSet`.
pub fn start(client: &Client, settings: &Settings, told: &Sender<Told>) -> Vec<Scope> {
    let mut watches = Watches { client, told, scopes: Vec::new() };
    if settings.watch_namespaces.is_empty() {
        watches.of_tenants(&Scope::Cluster);
    }
    for namespace in &settings.watch_namespaces {
        watches.of_tenants(&Scope::Namespace(namespace.as_str().into()));
    }
    if settings.gateways.iter().any(chooses_by_label) {
        watches.start(sight::Namespaces, Api::all(client.clone()), watcher::Config::default(), &Scope::Cluster);
    }
    for gateway in &settings.gateways {
        watches.of_gateway(gateway);
    }
    // One watch a namespace, lest one's list take away what another has seen.
    let of_services = settings.gateways.iter().map(|gateway| &*gateway.service.namespace);
    let elsewhere: BTreeSet<&str> = of_services.filter(|namespace| !settings.is_watched(namespace)).collect();
    for namespace in elsewhere {
        watches.of_services(namespace);
    }
    watches.scopes
}

fn chooses_by_label(gateway: &Gateway) -> bool {
    [&gateway.allowed_namespaces, &gateway.plaintext_namespaces]
        .into_iter()
        .any(|namespaces| matches!(namespaces, Some(Namespaces::Labelled(_))))
}

struct Watches<'a> {
    client: &'a Client,
    told: &'a Sender<Told>,
    scopes: Vec<Scope>,
}

impl Watches<'_> {
    /// What tenants write and refer to: in one namespace or in all.
    fn of_tenants(&mut self, scope: &Scope) {
        let namespace = scope.namespace();
        let all = watcher::Config::default;
        self.start(sight::StreamRoutes::default(), sight::StreamRoutes::api(self.client, namespace), all(), scope);
        self.start(sight::TlsSnis::default(), sight::TlsSnis::api(self.client, namespace), all(), scope);
        self.start(sight::Services, api(self.client, namespace), all(), scope);
        self.start(sight::Slices, api(self.client, namespace), all().labels(SERVICE_NAME), scope);
        // Most Secrets of many clusters are these, and nobody refers to one.
        let secrets = all().fields("type!=helm.sh/release.v1");
        let kind = MaterialKind::Secret;
        self.start(sight::Materials::<Secret>::new(kind), api(self.client, namespace), secrets, scope);
        let kind = MaterialKind::ConfigMap;
        self.start(sight::Materials::<ConfigMap>::new(kind), api(self.client, namespace), all(), scope);
    }

    /// What was generated for a gateway, and what its proxies say.
    fn of_gateway(&mut self, gateway: &Gateway) {
        let name: Arc<str> = gateway.name.as_str().into();
        let namespace = generated::namespace(&name);
        let generated = || watcher::Config::default().labels(FOLDER_LABEL);
        let namespaced = Some(namespace.as_str());
        let scope = &Scope::Gateway(Arc::clone(&name));
        self.start(sight::GeneratedConfigMaps(Arc::clone(&name)), api(self.client, namespaced), generated(), scope);
        self.start(sight::GeneratedSecrets(Arc::clone(&name)), api(self.client, namespaced), generated(), scope);
        let proxies = watcher::Config::default().labels(&format!("{PROXY_LABEL}={name}"));
        self.start(sight::Proxies(name), api(self.client, namespaced), proxies, scope);
    }

    /// Who serves in a namespace that is not a tenant's, and how that is reached: gateways' proxies.
    fn of_services(&mut self, namespace: &str) {
        let slices = watcher::Config::default().labels(SERVICE_NAME);
        let scope = &Scope::Namespace(namespace.into());
        self.start(sight::Slices, api(self.client, Some(namespace)), slices, scope);
        self.start(sight::Services, api(self.client, Some(namespace)), watcher::Config::default(), scope);
    }

    fn start<S: Sight>(&mut self, sight: S, api: Api<S::Object>, config: watcher::Config, scope: &Scope) {
        // A connection that died without a word is noticed that soon.
        let config = config.timeout(WATCH_SECONDS).page_size(PAGE);
        let namespace = scope.namespace().map(Arc::from);
        spawn_local(follow(self.scopes.len(), sight, api, config, namespace, self.told.clone()));
        self.scopes.push(scope.clone());
    }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

/// Tells what a watch sees, until nobody listens any more.
async fn follow<S: Sight>(
    number: usize,
    sight: S,
    api: Api<S::Object>,
    config: watcher::Config,
    namespace: Option<Arc<str>>,
    told: Sender<Told>,
) {
    let mut events = pin!(watcher(api, config));
    let mut listed = HashSet::new();
    let mut delay = FIRST_DELAY;
    while let Some(event) = events.next().await {
        let tell = match event {
            Ok(Event::Init) => {
                listed.clear();
                None
            }
            Ok(Event::InitApply(object)) => {
                listed.extend(sight.key(&object));
                sight.put(object).map(Told::of_list)
            }
            Ok(Event::InitDone) => {
                delay = FIRST_DELAY;
                Some(Told::Listed(number, sight.listed(std::mem::take(&mut listed)), namespace.clone()))
            }
            Ok(Event::Apply(object)) => {
                delay = FIRST_DELAY;
                sight.put(object)
            }
            Ok(Event::Delete(object)) => {
                delay = FIRST_DELAY;
                sight.gone(object)
            }
            Err(error) => {
                let error = watch_reason(&error);
                if delay == FIRST_DELAY {
                    tracing::warn!(kind = S::KIND, error, "a watch failed; it is tried again");
                } else {
                    tracing::debug!(kind = S::KIND, error, "a watch failed again");
                }
                if told.send(Told::Failed(S::KIND)).await.is_err() {
                    return;
                }
                sleep(delay).await;
                delay = (delay * 2).min(LONGEST_DELAY);
                None
            }
        };
        if let Some(tell) = tell
            && told.send(tell).await.is_err()
        {
            return;
        }
    }
}

/// How many objects of a list are in memory at once as the API has them: an EndpointSlice takes a hundred times what is kept.
const PAGE: u32 = 50;
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(3);
