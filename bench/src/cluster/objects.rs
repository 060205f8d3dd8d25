//! Tenants' objects, and how many of them are made at once.

use std::sync::Arc;

use anyhow::{Context, Result};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use streamgate_tests::pki::CertificateAuthority;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::device::BROKER_PORT;

/// How much there is.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) namespaces: usize,
    pub(crate) services: usize,
    pub(crate) endpoints_each: usize,
    pub(crate) routes: usize,
}

/// The API of this object's kind and namespace.
pub(crate) fn api(client: &Client, object: &Value) -> Result<Api<DynamicObject>> {
    let (version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
    let (group, version) = version.map(|word| word.split_once('/').unwrap_or(("", word))).context("no apiVersion")?;
    let kind = kind.context("no kind")?;
    // No kind of those that are used here has another plural.
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Ok(match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

/// Creates an object. Gives its resourceVersion.
pub(crate) async fn create(client: &Client, object: Value) -> Result<String> {
    let api = api(client, &object)?;
    let created = api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    created.metadata.resource_version.context("no resourceVersion")
}

/// Creates all of them, many at once.
pub(crate) async fn create_all(client: &Client, objects: impl IntoIterator<Item = Value>) -> Result<usize> {
    let (room, mut all, mut count) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new(), 0);
    for object in objects {
        let place = Arc::clone(&room).acquire_owned().await?;
        let client = client.clone();
        all.spawn(async move {
            let created = create(&client, object).await;
            drop(place);
            created
        });
        while let Some(created) = all.try_join_next() {
            created??;
            count += 1;
        }
    }
    while let Some(created) = all.join_next().await {
        created??;
        count += 1;
    }
    Ok(count)
}

impl Size {
    /// What is to be there before the rest.
    pub(crate) fn namespaces(self) -> impl Iterator<Item = Value> {
        let namespace = |name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        (0..self.namespaces).map(move |number| namespace(format!("t{number}")))
    }

    /// Each namespace has a name of its own with a wildcard, a certificate for it, and the authority of its devices.
    pub(crate) fn tls(self, authority: &CertificateAuthority) -> Result<Vec<Value>> {
        let mut objects = Vec::new();
        for number in 0..self.namespaces {
            let namespace = format!("t{number}");
            let name = format!("*.{namespace}.example");
            let credentials = authority.server(&[&name])?;
            objects.extend([
                json!({
                    "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": "tls"},
                    "type": "kubernetes.io/tls",
                    "stringData": {"tls.crt": credentials.chain_pem, "tls.key": credentials.key_pem},
                }),
                json!({
                    "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": "devices"},
                    "data": {"ca.crt": authority.certificate_pem()},
                }),
                json!({
                    "apiVersion": "streamgate.dev/v1alpha1", "kind": "TlsSni",
                    "metadata": {"namespace": namespace, "name": "devices"},
                    "spec": {
                        "snis": [name], "certificates": [{"secretName": "tls"}],
                        "clientAuth": {"ca": {"configMapName": "devices"}},
                    },
                }),
            ]);
        }
        Ok(objects)
    }

    /// The Services, with their EndpointSlices.
    pub(crate) fn services(self) -> impl Iterator<Item = Value> {
        (0..self.services).flat_map(move |number| {
            let (namespace, name) = (self.namespace(number), format!("s{number}"));
            let service = json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"namespace": namespace, "name": name, "labels": {"app.kubernetes.io/name": "broker"}},
                "spec": {"clusterIP": "None", "ports": [{"name": "mqtt", "port": BROKER_PORT, "protocol": "TCP"}]},
            });
            [service, self.slice(number, 0)]
        })
    }

    /// The EndpointSlice of a Service, as the controller writes them; the first pod's name ends in `turn`.
    pub(crate) fn slice(self, service: usize, turn: usize) -> Value {
        let (namespace, name) = (self.namespace(service), format!("s{service}"));
        let endpoints: Vec<Value> = (0..self.endpoints_each)
            .map(|each| {
                let pod = format!("{name}-6d4cf56db6-{:05}", if each == 0 { 10_000 + turn } else { each });
                let uid = format!("{service:08x}-9f1c-4d5e-8a7b-{:012x}", 1000 * turn + each);
                endpoint(&address(service, each), &namespace, &pod, &uid, each)
            })
            .collect();
        slice(&namespace, &name, &endpoints)
    }

    /// The routes, each of a name of its own.
    pub(crate) fn routes(self) -> impl Iterator<Item = Value> {
        (0..self.routes).map(move |number| {
            let service = number % self.services;
            let namespace = self.namespace(service);
            route(&namespace, &format!("r{number}"), &format!("s{service}"))
        })
    }

    fn namespace(self, service: usize) -> String {
        format!("t{}", service % self.namespaces)
    }
}

/// A route of the name `<name>.<namespace>.example`.
pub(crate) fn route(namespace: &str, name: &str, service: &str) -> Value {
    json!({
        "apiVersion": "streamgate.dev/v1alpha1", "kind": "StreamRoute",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "match": {"snis": [format!("{name}.{namespace}.example")]},
            "upstream": {
                "services": [{"name": service, "port": "mqtt"}],
                "loadBalancer": {"type": "ConsistentHash", "key": "ClientId"},
            },
        },
    })
}

/// An endpoint as the controller writes it.
pub(crate) fn endpoint(address: &str, namespace: &str, pod: &str, uid: &str, node: usize) -> Value {
    json!({
        "addresses": [address],
        "conditions": {"ready": true, "serving": true, "terminating": false},
        "nodeName": format!("ip-10-0-{}-{}.eu-central-1.compute.internal", node / 250, node % 250),
        "zone": format!("eu-central-1{}", ["a", "b", "c"][node % 3]),
        "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod, "uid": uid},
    })
}

/// An EndpointSlice of a Service.
pub(crate) fn slice(namespace: &str, service: &str, endpoints: &[Value]) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace, "name": format!("{service}-x7k2p"),
            "labels": {
                "kubernetes.io/service-name": service, "app.kubernetes.io/name": "broker",
                "endpointslice.kubernetes.io/managed-by": "bench",
            },
        },
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "mqtt", "port": BROKER_PORT, "protocol": "TCP"}],
    })
}

fn address(service: usize, each: usize) -> String {
    format!("10.{}.{}.{}", 100 + service / 250, service % 250, each + 1)
}

const AT_ONCE: usize = 64;
