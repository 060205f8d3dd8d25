//! A cluster that does as the API server would: it gives versions, fetches what is asked for, and takes what is written.

#![allow(clippy::needless_pass_by_value, reason = "a test hands over what it writes in place")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service as ApiService};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::ObjectMeta;
use serde_json::{Value, json};
use streamgate_crds::admit::{Listener, Protocol};
use streamgate_crds::manifest::{self, Manifest};
use streamgate_crds::problem::Kind;
use streamgate_crds::{ObjectRef, StreamRoute, TlsSni};
use zeroize::Zeroizing;

use self::objects::*;
use super::*;
use crate::generated::{FOLDER_LABEL, MANAGED_BY};
use crate::report::{Applied, Refused, Report, ResourceVersion, Revision};
use crate::store::*;

mod certificates;
mod generated;
mod objects;
mod programmed;
mod properties;
mod services;
mod statuses;
mod unreadable;
mod validity;

const NOW: &str = "2026-06-01T00:00:00Z";

struct Cluster {
    store: Store,
    outcome: Outcome,
    now: Timestamp,
    version: u64,
    generations: BTreeMap<ObjectRef, i64>,
    contents: BTreeMap<MaterialKey, Files>,
    /// What a reader of the gateways' namespaces sees.
    files: BTreeMap<(String, String), Files>,
    touched: Touched,
    /// Whether it has just begun, and looks at everything.
    is_new: bool,
    /// Whether writes are done one by one in the wrong order.
    backwards: bool,
    /// What was written since the cluster last rested.
    written: Vec<String>,
    told: Vec<ObjectRef>,
}

/// A gateway `default` with a listener of each protocol, whose owner allows everything.
fn open_gateway() -> Gateway {
    let listener = |name: &str, protocol| Listener { name: name.to_owned(), protocol };
    Gateway {
        listeners: vec![listener("mqtts", Protocol::Mqtts), listener("mqtt", Protocol::Mqtt)],
        ..Gateway::new("default", Name::new("streamgate-system", "gateway"))
    }
}

impl Cluster {
    fn new() -> Self {
        Self::with(open_gateway())
    }

    fn with(gateway: Gateway) -> Self {
        Self {
            store: Store::new(vec![gateway]),
            outcome: Outcome::default(),
            now: NOW.parse().unwrap(),
            version: 100,
            generations: BTreeMap::new(),
            contents: BTreeMap::new(),
            files: BTreeMap::new(),
            touched: Touched::everything(),
            is_new: true,
            backwards: false,
            written: Vec::new(),
            told: Vec::new(),
        }
    }

    /// One TlsSni for `x.example` with its certificate, one route, and a Service of one pod.
    fn with_acme() -> Self {
        let mut cluster = Self::new();
        cluster.secret("acme/tls", &credentials(&["x.example"], 2020, 2040));
        cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": [{"secretName": "tls"}]}));
        cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
        cluster.slice(
            "acme/broker-1",
            "broker",
            json!([{"name": "mqtt", "port": 1883}]),
            json!([pod("broker-0", "10.0.0.1")]),
        );
        cluster.route("acme/devices", json!({"match": {"snis": ["x.example"]}, "upstream": to_broker()}));
        cluster.rest();
        cluster
    }

    fn version(&mut self) -> ResourceVersion {
        self.version += 1;
        self.version.to_string().parse().unwrap()
    }

    fn apply(&mut self, change: Change) {
        let touched = self.store.apply(change);
        self.touched.merge(touched);
    }

    fn route(&mut self, object: &str, spec: Value) {
        let watched = self.watched::<StreamRoute>(object, spec);
        self.apply(Change::StreamRoute(name(object), Some(watched)));
    }

    fn tls_sni(&mut self, object: &str, spec: Value) {
        let watched = self.watched::<TlsSni>(object, spec);
        self.apply(Change::TlsSni(name(object), Some(watched)));
    }

    /// The object in its next generation, created when it was first seen.
    fn watched<T: Manifest + serde::Serialize>(&mut self, object: &str, spec: Value) -> Watched<T> {
        let Name { namespace, name } = name(object);
        let kind = T::kind(&());
        let text = json!({"apiVersion": "streamgate.dev/v1alpha1", "kind": kind, "spec": spec}).to_string();
        let mut manifest: T = manifest::read("", &namespace, &name, &text).unwrap();
        let generation = self.generations.entry(manifest.reference()).or_insert(0);
        *generation += 1;
        let second = 1_000 + i64::try_from(self.version).unwrap();
        let before = match T::KIND {
            Kind::StreamRoute => self
                .store
                .stream_routes
                .get(&crate::store::Name::new(&namespace, &name))
                .map(|seen| (seen.object.metadata.creation_timestamp.clone(), seen.status.clone())),
            Kind::TlsSni => self
                .store
                .tls_snis
                .get(&crate::store::Name::new(&namespace, &name))
                .map(|seen| (seen.object.metadata.creation_timestamp.clone(), seen.status.clone())),
        };
        self.version += 1;
        let (created, status) = before.unwrap_or_else(|| {
            let created = Timestamp::from_second(second).unwrap();
            (Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(created)), Status::default())
        });
        let metadata = manifest.meta_mut();
        metadata.creation_timestamp = created;
        metadata.generation = Some(*generation);
        metadata.uid = Some(object.to_owned());
        metadata.managed_fields = Some(vec![]);
        Watched::new(manifest, status)
    }

    fn service(&mut self, object: &str, spec: Value) {
        let service: ApiService = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        self.apply(Change::Service(name(object), Some((&service).into())));
    }

    fn slice(&mut self, object: &str, service: &str, ports: Value, endpoints: Value) {
        let slice = slice(object, service, "IPv4", ports, endpoints);
        self.apply(Change::Slice(name(object), Slice::of(&slice)));
    }

    fn secret(&mut self, object: &str, files: &[(&str, &str)]) {
        self.material(MaterialKind::Secret, object, Some(files));
    }

    fn config_map(&mut self, object: &str, files: &[(&str, &str)]) {
        self.material(MaterialKind::ConfigMap, object, Some(files));
    }

    fn material(&mut self, kind: MaterialKind, object: &str, files: Option<&[(&str, &str)]>) {
        let key = MaterialKey { kind, name: name(object) };
        self.contents.remove(&key);
        let version = files.map(|files| {
            let files = files.iter().map(|(key, text)| ((*key).into(), Zeroizing::new(text.as_bytes().to_vec())));
            self.contents.insert(key.clone(), files.collect());
            self.version()
        });
        self.apply(Change::Material(key, version));
    }

    /// Proxies that are ready, by the names of their pods.
    fn proxies(&mut self, pods: &[&str]) {
        let endpoints: Vec<Value> =
            pods.iter().enumerate().map(|(index, name)| pod(name, &format!("10.9.0.{}", index + 1))).collect();
        self.slice("streamgate-system/gateway-1", "gateway", json!([{"port": 8883}]), endpoints.into());
    }

    fn report(&mut self, pod: &str, report: Option<Report>, is_silent: bool) {
        self.apply(Change::Proxy("default".into(), pod.into(), Some(Lease { report, is_silent })));
    }

    /// A report of a proxy that has applied all that there is.
    fn applied(&self) -> Report {
        let version: ResourceVersion = self.version.to_string().parse().unwrap();
        let revision = Some(Revision { config_maps: version.clone(), secrets: version });
        Report { revision, generation: 1, applied: Applied::default(), refused_count: 0, refused: vec![] }
    }

    /// Does what the operator is to do until there is nothing to do, and forgets what that was before.
    fn rest(&mut self) {
        self.written.clear();
        self.told.clear();
        for _ in 0..20 {
            let touched = std::mem::take(&mut self.touched);
            let changed = self.outcome.update(&self.store, &touched, self.now);
            let is_new = std::mem::take(&mut self.is_new);
            let all = || self.outcome.all_writes(&self.store);
            let mut writes = if is_new { all() } else { self.outcome.writes(&self.store, &changed.objects) };
            if self.backwards {
                writes.reverse();
            }
            for write in writes {
                self.write(write);
                if self.backwards {
                    let touched = std::mem::take(&mut self.touched);
                    let more = self.outcome.update(&self.store, &touched, self.now);
                    self.touched.statuses.extend(more.statuses);
                }
            }
            for object in &changed.statuses {
                if let Some(status) = self.outcome.status(&self.store, object, self.now) {
                    self.told.push(object.clone());
                    self.tell(object, status);
                }
            }
            for material in self.outcome.spent(&self.store) {
                self.store.let_go(&material);
            }
            for reference in self.outcome.missing(&self.store) {
                let contents = self.contents[&reference.key].clone();
                let version = self.store.materials[&reference.key].clone();
                let fetched = Fetched::new(&reference, version, contents);
                self.apply(Change::Fetched(reference.key.clone(), fetched));
            }
            if self.touched.is_empty() {
                assert_eq!(self.outcome.all_writes(&self.store), [], "something is left to write");
                assert_eq!(
                    self.outcome.all_statuses(&self.store, self.now),
                    BTreeMap::new(),
                    "something is left to say"
                );
                assert_eq!(self.outcome.missing(&self.store), [], "something is left to fetch");
                return;
            }
        }
        panic!("it never rests: {:?}", self.touched);
    }

    fn write(&mut self, Write { key, action }: Write) {
        let place = (key.gateway.to_string(), key.name.to_string());
        let version = self.version();
        match action {
            WriteAction::Delete(at) => {
                assert_eq!(at, self.store.generated(&key).unwrap().version);
                self.written.push(format!("delete {}", key.name));
                self.files.remove(&place);
                self.apply(Change::Generated(key, version, None));
            }
            WriteAction::Create(content) => {
                assert!(self.store.generated(&key).is_none());
                self.written.push(format!("create {}", key.name));
                self.put(key, version, content);
            }
            WriteAction::Replace(at, content) => {
                assert_eq!(at, self.store.generated(&key).unwrap().version);
                self.written.push(format!("replace {}", key.name));
                self.put(key, version, content);
            }
        }
    }

    fn put(&mut self, key: GeneratedKey, version: ResourceVersion, content: Content) {
        let place = (key.gateway.to_string(), key.name.to_string());
        let before = self.files.remove(&place).unwrap_or_default();
        let files = content.files.into_iter().map(|(file, content)| match content {
            File::Bytes(bytes) => (file, bytes),
            File::AsItIs => (file.clone(), before[&file].clone()),
        });
        self.files.insert(place, files.collect());
        self.see(&key, version);
    }

    /// Lets the operator see a generated object as it is.
    fn see(&mut self, key: &GeneratedKey, version: ResourceVersion) {
        let files = &self.files[&(key.gateway.to_string(), key.name.to_string())];
        let folder = key.name.split('.').next().unwrap_or_default().to_owned();
        let labels = [(FOLDER_LABEL.to_owned(), folder), (MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())];
        let metadata = ObjectMeta {
            name: Some(key.name.to_string()),
            resource_version: Some(version.to_string()),
            labels: Some(labels.into()),
            ..ObjectMeta::default()
        };
        let data = files.iter().map(|(file, bytes)| (file.to_string(), ByteString(bytes.to_vec())));
        let seen = match key.kind {
            MaterialKind::Secret => {
                Generated::of_secret(&Secret { metadata, data: Some(data.collect()), ..Secret::default() })
            }
            MaterialKind::ConfigMap => Generated::of_config_map(&ConfigMap {
                metadata,
                binary_data: Some(data.collect()),
                ..ConfigMap::default()
            }),
        };
        self.apply(Change::Generated(key.clone(), version, seen));
    }

    /// The status is written, and seen.
    fn tell(&mut self, object: &ObjectRef, status: Status) {
        let name = Name::new(&object.namespace, &object.name);
        match object.kind {
            Kind::StreamRoute => {
                let watched = Watched { status, ..self.store.stream_route(&name).unwrap().clone() };
                self.apply(Change::StreamRoute(name, Some(watched)));
            }
            Kind::TlsSni => {
                let watched = Watched { status, ..self.store.tls_sni(&name).unwrap().clone() };
                self.apply(Change::TlsSni(name, Some(watched)));
            }
        }
    }

    /// The operator starts anew, and sees what is there.
    fn restart(&mut self) {
        self.outcome = Outcome::default();
        for material in self.store.fetched.keys().cloned().collect::<Vec<_>>() {
            self.store.fetched.remove(&material);
        }
        self.touched = Touched::everything();
        self.is_new = true;
        self.rest();
    }

    fn generated(&self) -> Vec<&str> {
        self.files.keys().map(|(_, name)| name.as_str()).collect()
    }

    /// A file of a generated object.
    fn file(&self, object: &str, file: &str) -> Option<&str> {
        let files = self.files.get(&("default".to_owned(), object.to_owned()))?;
        files.get(file).map(|bytes| std::str::from_utf8(bytes).unwrap())
    }

    /// The only file of a generated object.
    fn text(&self, object: &str) -> &str {
        let files = &self.files[&("default".to_owned(), object.to_owned())];
        assert_eq!(files.len(), 1);
        std::str::from_utf8(files.values().next().unwrap()).unwrap()
    }

    /// The conditions of an object, each `Type=Status: Reason`.
    fn conditions(&self, object: &ObjectRef) -> Vec<String> {
        let conditions = self.status(object).conditions.iter();
        conditions.map(|condition| format!("{}={}: {}", condition.type_, condition.status, condition.reason)).collect()
    }

    fn message(&self, object: &ObjectRef, kind: &str) -> &str {
        let condition = self.status(object).conditions.iter().find(|condition| condition.type_ == kind);
        condition.map_or("", |condition| condition.message.as_str())
    }

    fn status(&self, object: &ObjectRef) -> &Status {
        let name = Name::new(&object.namespace, &object.name);
        match object.kind {
            Kind::StreamRoute => &self.store.stream_route(&name).unwrap().status,
            Kind::TlsSni => &self.store.tls_sni(&name).unwrap().status,
        }
    }
}
