//! The API as its administrator uses it: a request takes a millisecond, and is repeated while the API server is away.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, NamespaceResourceScope};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;
use serde_json::Value;
use streamgate_tests::control_plane::ControlPlane;
use tokio::runtime::{Builder, Runtime};

/// For how long a request is repeated while the API server is away.
const AWAY: Duration = Duration::from_mins(3);

pub(super) struct Administrator {
    pub(super) runtime: Runtime,
    pub(super) client: Client,
}

impl Administrator {
    pub(super) fn of(cluster: &ControlPlane) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig())?;
        let client = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            anyhow::Ok(Client::try_from(config)?)
        })?;
        Ok(Self { runtime, client })
    }

    /// Server-side apply; `namespace` is for what is in one. Another object takes the place of one that can't be changed so.
    pub(super) fn apply(&self, namespace: &str, object: &Value) -> Result<DynamicObject> {
        let api = self.api(namespace, object)?;
        let name = object["metadata"]["name"].as_str().context("an object has a name")?;
        let (parameters, patch) = (PatchParams::apply("administrator").force(), Patch::Apply(object));
        let applied = self.ask(|| api.patch(name, &parameters, &patch));
        match applied {
            Err(kube::Error::Api(refusal)) if refusal.code == 422 => {
                self.remove(&api, name)?;
                Ok(self.ask(|| api.patch(name, &parameters, &patch))?)
            }
            applied => applied.with_context(|| format!("can't apply {object}")),
        }
    }

    /// A merge patch; `None` where there is no such object.
    pub(super) fn merge(
        &self,
        namespace: &str,
        kind: &Value,
        name: &str,
        patch: &Value,
    ) -> Result<Option<DynamicObject>> {
        let api = self.api(namespace, kind)?;
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(patch));
        match self.ask(|| api.patch(name, &parameters, &patch)) {
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(None),
            patched => Ok(Some(patched?)),
        }
    }

    /// Creates an object that may be there already.
    pub(super) fn create(&self, namespace: &str, object: &Value) -> Result<()> {
        let (api, typed) = (self.api(namespace, object)?, serde_json::from_value(object.clone())?);
        let parameters = PostParams::default();
        match self.ask(|| api.create(&parameters, &typed)) {
            Err(kube::Error::Api(refusal)) if refusal.code == 409 => Ok(()),
            created => created.map(drop).with_context(|| format!("can't create {object}")),
        }
    }

    /// Deletes what may not be there.
    pub(super) fn delete(&self, namespace: &str, kind: &Value, name: &str) -> Result<()> {
        self.remove(&self.api(namespace, kind)?, name)
    }

    fn remove(&self, api: &Api<DynamicObject>, name: &str) -> Result<()> {
        let parameters = DeleteParams::default();
        match self.ask(|| api.delete(name, &parameters)) {
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(()),
            deleted => deleted.map(drop).with_context(|| format!("can't delete {name}")),
        }
    }

    /// All objects of a kind in a namespace.
    pub(super) fn list<K>(&self, namespace: &str) -> Result<Vec<K>>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let all = ListParams::default();
        Ok(self.ask(|| api.list(&all))?.items)
    }

    /// The same of a kind that is known by its name alone, with the time of the list.
    pub(super) fn list_of(&self, namespace: &str, kind: &Value) -> Result<(Vec<DynamicObject>, String)> {
        let api = self.api(namespace, kind)?;
        let all = ListParams::default();
        let list = self.ask(|| api.list(&all))?;
        Ok((list.items, list.metadata.resource_version.context("a list has a version")?))
    }

    /// The API of the kind of an object, or of `{apiVersion, kind}`.
    pub(super) fn api(&self, namespace: &str, object: &Value) -> Result<Api<DynamicObject>> {
        let word = |name: &str| object[name].as_str().with_context(|| format!("no {name} in {object}"));
        let (version, kind) = (word("apiVersion")?, word("kind")?);
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let is_in_none = ["Namespace", "ClusterRole", "ClusterRoleBinding"].contains(&kind);
        Ok(if is_in_none {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        })
    }

    fn ask<T, F: Future<Output = kube::Result<T>>>(&self, request: impl Fn() -> F) -> kube::Result<T> {
        let start = Instant::now();
        loop {
            let answer = self.runtime.block_on(async {
                // A request that was under way when the API server was killed has no answer.
                match tokio::time::timeout(Duration::from_secs(20), request()).await {
                    Ok(answer) => answer.map_err(Some),
                    Err(_) => Err(None),
                }
            });
            match answer {
                Ok(answer) => return Ok(answer),
                Err(Some(error @ kube::Error::Api(_))) if is_said(&error) => return Err(error),
                Err(Some(error)) if start.elapsed() > AWAY => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

/// Whether it is what the API server has to say, and not that it is starting.
fn is_said(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(refusal) if (400..500).contains(&refusal.code) && refusal.code != 429)
}

/// Documents of a manifest.
pub(super) fn documents(text: &str) -> Result<Vec<Value>> {
    Ok(serde_saphyr::from_multiple(text)?)
}
