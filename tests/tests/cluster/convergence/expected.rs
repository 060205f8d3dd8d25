//! What is to be once all is at rest: what the operator's pure core makes of the objects that the API lists, and nothing else.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease as ApiLease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service as ApiService};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use streamgate_crds::{Kind, ObjectRef, StreamRoute, TlsSni};
use streamgate_operator::generated::{FOLDER_LABEL, Folder, Source, TICKET_KEYS};
use streamgate_operator::report::STATUS_ANNOTATION;
use streamgate_operator::resolve::{File, Outcome, Wanted, resolve};
use streamgate_operator::store::{
    Change, Fetched, Generated, GeneratedKey, Lease, MaterialKey, MaterialKind, Name, Service, Slice, Status, Store,
    Watched,
};

use super::site::Site;

/// Files, or keys of an object, by their names.
type Files = BTreeMap<String, Vec<u8>>;

/// What is, or is to be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The generated objects, ticket keys aside: their labels and what they hold.
    objects: BTreeMap<String, (Value, Files)>,
    /// What the proxy can read, ticket keys among it.
    files: Files,
    /// What is said of each object of the gateway, but for since when.
    statuses: BTreeMap<String, Value>,
}

/// What the API has.
struct Listing {
    routes: Vec<DynamicObject>,
    tls_snis: Vec<DynamicObject>,
    services: Vec<ApiService>,
    slices: Vec<EndpointSlice>,
    secrets: Vec<Secret>,
    config_maps: Vec<ConfigMap>,
    namespaces: Vec<DynamicObject>,
    generated_secrets: Vec<Secret>,
    generated_config_maps: Vec<ConfigMap>,
    leases: Vec<ApiLease>,
}

/// What is to be by what the API lists, and what is. Equal when all is at rest.
pub(super) fn expected_and_found(site: &Site<'_>) -> Result<(State, State)> {
    let listing = Listing::of(site)?;
    let keys = listing.generated_secrets.iter().find(|secret| secret.metadata.name.as_deref() == Some(TICKET_KEYS));
    let keys = keys.context("no ticket keys yet")?;
    let now = Timestamp::now();

    // The objects are to follow from the tenants' alone, whatever was generated of them before.
    let mut store = listing.store(site)?;
    let outcome = listing.resolve(&mut store, now);
    let mut expected = State::default();
    for (key, wanted) in &outcome.objects {
        let source = key.source().context("a generated object has a source")?;
        if *wanted == Wanted::Kept {
            return Err(anyhow!("{} depends on what was before", key.name));
        }
        let content = outcome.content(&store, key).with_context(|| format!("no content of {}", key.name))?;
        let mut files = Files::new();
        for (name, file) in content.files {
            let File::Bytes(bytes) = file else { return Err(anyhow!("{} keeps what was before", key.name)) };
            expected.files.insert(path(&source, &name), bytes.to_vec());
            files.insert(name.into(), bytes.to_vec());
        }
        expected.objects.insert(key.name.to_string(), (labels(source.folder.as_str()), files));
    }
    for (name, bytes) in keys.data.iter().flatten() {
        expected.files.insert(format!("{TICKET_KEYS}/{name}"), bytes.0.clone());
    }
    // The statuses say what the proxies say too, of what was written.
    listing.add_reports(site, &mut store)?;
    let outcome = listing.resolve(&mut store, now);
    for object in outcome.verdicts.keys() {
        let status = outcome.status(&store, object, now).context("a status")?;
        expected.statuses.insert(object.to_string(), said(&status));
    }

    let mut found = State { objects: listing.generated(), files: site.config.files()?, ..State::default() };
    for (kind, objects) in [(Kind::StreamRoute, &listing.routes), (Kind::TlsSni, &listing.tls_snis)] {
        for object in objects.iter().filter(|object| object.data["spec"]["gateway"] == site.gateway.as_str()) {
            let name = name(&object.metadata);
            let reference = ObjectRef { kind, namespace: name.namespace.to_string(), name: name.name.to_string() };
            found.statuses.insert(reference.to_string(), said(&status(object)));
        }
    }
    Ok((expected, found))
}

impl State {
    /// In which places two differ, for a person.
    pub(super) fn difference(&self, other: &Self) -> String {
        let objects = |state: &Self| -> BTreeMap<String, String> {
            let text = |(labels, files): &(Value, Files)| format!("{labels} {}", texts(files));
            state.objects.iter().map(|(name, object)| (name.clone(), text(object))).collect()
        };
        let files = |state: &Self| -> BTreeMap<String, String> {
            state.files.iter().map(|(name, bytes)| (name.clone(), text(bytes))).collect()
        };
        let statuses = |state: &Self| -> BTreeMap<String, String> {
            state.statuses.iter().map(|(name, status)| (name.clone(), status.to_string())).collect()
        };
        let mut lines = differences("object", &objects(self), &objects(other));
        lines.extend(differences("file", &files(self), &files(other)));
        lines.extend(differences("status of", &statuses(self), &statuses(other)));
        lines.join("\n")
    }
}

impl Listing {
    fn of(site: &Site<'_>) -> Result<Self> {
        let administrator = &site.administrator;
        // The later of two lists may have what the earlier hasn't; at rest it doesn't matter.
        let custom = |kind: &str| -> Result<Vec<DynamicObject>> {
            let kind = json!({"apiVersion": "streamgate.dev/v1alpha1", "kind": kind});
            let lists = site.tenants.iter().map(|tenant| Ok(administrator.list_of(tenant, &kind)?.0));
            Ok(lists.collect::<Result<Vec<_>>>()?.concat())
        };
        macro_rules! of_tenants {
            () => {
                site.tenants.iter().map(|tenant| administrator.list(tenant)).collect::<Result<Vec<_>>>()?.concat()
            };
        }
        let mut slices: Vec<EndpointSlice> = of_tenants!();
        slices.extend(administrator.list::<EndpointSlice>(&site.system)?);
        Ok(Self {
            routes: custom("StreamRoute")?,
            tls_snis: custom("TlsSni")?,
            services: of_tenants!(),
            slices,
            secrets: of_tenants!(),
            config_maps: of_tenants!(),
            namespaces: administrator.list_of("", &json!({"apiVersion": "v1", "kind": "Namespace"}))?.0,
            generated_secrets: administrator.list(&site.generated)?,
            generated_config_maps: administrator.list(&site.generated)?,
            leases: administrator.list(&site.generated)?,
        })
    }

    /// What the tenants have, as the operator sees it, but for what is said of it.
    fn store(&self, site: &Site<'_>) -> Result<Store> {
        let mut store = Store::new(site.settings.gateways.clone());
        for route in &self.routes {
            let watched =
                Watched::new(serde_json::from_value::<StreamRoute>(without_status(route)?)?, Status::default());
            store.apply(Change::StreamRoute(name(&route.metadata), Some(watched)));
        }
        for tls_sni in &self.tls_snis {
            let watched = Watched::new(serde_json::from_value::<TlsSni>(without_status(tls_sni)?)?, Status::default());
            store.apply(Change::TlsSni(name(&tls_sni.metadata), Some(watched)));
        }
        for service in &self.services {
            store.apply(Change::Service(name(&service.metadata), Some(Service::from(service))));
        }
        for slice in &self.slices {
            store.apply(Change::Slice(name(&slice.metadata), Slice::of(slice)));
        }
        for namespace in &self.namespaces {
            let labels = namespace.metadata.labels.clone().unwrap_or_default();
            let name = namespace.metadata.name.as_deref().unwrap_or_default();
            store.apply(Change::Namespace(name.into(), Some(labels)));
        }
        let secrets = self.secrets.iter().map(|secret| (MaterialKind::Secret, &secret.metadata));
        let config_maps = self.config_maps.iter().map(|config_map| (MaterialKind::ConfigMap, &config_map.metadata));
        for (kind, metadata) in secrets.chain(config_maps) {
            store.apply(Change::Material(MaterialKey { kind, name: name(metadata) }, Some(version(metadata)?)));
        }
        Ok(store)
    }

    fn add_reports(&self, site: &Site<'_>, store: &mut Store) -> Result<()> {
        let mut add = |kind, metadata: &ObjectMeta, seen: Option<Generated>| -> Result<()> {
            let name = metadata.name.as_deref().unwrap_or_default();
            let key = GeneratedKey { gateway: site.gateway.as_str().into(), kind, name: name.into() };
            if is_labelled(metadata) && Source::parse(name).is_some() {
                store.apply(Change::Generated(key, version(metadata)?, seen));
            }
            Ok(())
        };
        for config_map in &self.generated_config_maps {
            add(MaterialKind::ConfigMap, &config_map.metadata, Generated::of_config_map(config_map))?;
        }
        for secret in &self.generated_secrets {
            add(MaterialKind::Secret, &secret.metadata, Generated::of_secret(secret))?;
        }
        for lease in &self.leases {
            let annotations = lease.metadata.annotations.as_ref();
            let report = annotations.and_then(|annotations| annotations.get(STATUS_ANNOTATION));
            let report = report.map(|text| serde_json::from_str(text)).transpose()?;
            let pod = lease.metadata.name.as_deref().unwrap_or_default();
            let lease = Some(Lease { report, is_silent: false });
            store.apply(Change::Proxy(site.gateway.as_str().into(), pod.into(), lease));
        }
        Ok(())
    }

    /// Resolves, with all that this asks for.
    fn resolve(&self, store: &mut Store, now: Timestamp) -> Outcome {
        loop {
            let outcome = resolve(store, now);
            let missing = outcome.missing(store);
            if missing.is_empty() {
                return outcome;
            }
            for reference in missing {
                let key = &reference.key;
                let is_it = |metadata: &ObjectMeta| name(metadata) == key.name;
                let fetched = match key.kind {
                    MaterialKind::Secret => {
                        let secret = self.secrets.iter().find(|secret| is_it(&secret.metadata));
                        secret.map(|secret| Fetched::of_secret(&reference, secret.clone()))
                    }
                    MaterialKind::ConfigMap => {
                        let config_map = self.config_maps.iter().find(|config_map| is_it(&config_map.metadata));
                        config_map.map(|config_map| Fetched::of_config_map(&reference, config_map.clone()))
                    }
                };
                if let Some(fetched) = fetched {
                    store.apply(Change::Fetched(key.clone(), fetched));
                }
            }
        }
    }

    fn generated(&self) -> BTreeMap<String, (Value, Files)> {
        let mut objects = BTreeMap::new();
        for config_map in &self.generated_config_maps {
            let texts = config_map.data.iter().flatten().map(|(key, text)| (key.clone(), text.clone().into_bytes()));
            let others = config_map.binary_data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone()));
            if is_labelled(&config_map.metadata) {
                let name = name(&config_map.metadata).name.to_string();
                objects.insert(name, (json!(config_map.metadata.labels), texts.chain(others).collect()));
            }
        }
        for secret in &self.generated_secrets {
            let files = secret.data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone()));
            if is_labelled(&secret.metadata) && secret.metadata.name.as_deref() != Some(TICKET_KEYS) {
                let name = name(&secret.metadata).name.to_string();
                objects.insert(name, (json!(secret.metadata.labels), files.collect()));
            }
        }
        objects
    }
}

/// Only these count: an object from which somebody took the label is nobody's.
fn is_labelled(metadata: &ObjectMeta) -> bool {
    metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(FOLDER_LABEL))
}

fn labels(folder: &str) -> Value {
    json!({"streamgate.dev/folder": folder, "app.kubernetes.io/managed-by": "streamgate-operator"})
}

/// Where a file of a source is.
fn path(source: &Source, file: &str) -> String {
    let folder = source.folder.as_str();
    match source.folder {
        Folder::Secrets | Folder::ConfigMaps => format!("{folder}/{}/{file}", source.folder_name()),
        Folder::Endpoints | Folder::TlsSnis | Folder::StreamRoutes => format!("{folder}/{file}"),
    }
}

fn name(metadata: &ObjectMeta) -> Name {
    Name::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

fn version(metadata: &ObjectMeta) -> Result<streamgate_operator::report::ResourceVersion> {
    let version = metadata.resource_version.as_deref().context("a resourceVersion")?;
    version.parse().map_err(|_| anyhow!("the resourceVersion {version}"))
}

fn without_status(object: &DynamicObject) -> Result<Value> {
    let mut value = serde_json::to_value(object)?;
    value.as_object_mut().context("an object")?.remove("status");
    Ok(value)
}

/// The status as an object has it.
fn status(object: &DynamicObject) -> Status {
    let of = &object.data["status"];
    Status {
        conditions: serde_json::from_value(of["conditions"].clone()).unwrap_or_default(),
        upstream: serde_json::from_value(of["upstream"].clone()).unwrap_or_default(),
        not_after: serde_json::from_value(of["notAfter"].clone()).unwrap_or_default(),
        subject_alt_names: serde_json::from_value(of["subjectAltNames"].clone()).unwrap_or_default(),
    }
}

/// What a status says, but for since when.
fn said(status: &Status) -> Value {
    let conditions = status.conditions.iter().map(|condition| {
        let told = json!({
            "status": condition.status, "reason": condition.reason, "message": condition.message,
            "generation": condition.observed_generation,
        });
        (condition.type_.clone(), told)
    });
    json!({
        "conditions": conditions.collect::<BTreeMap<_, _>>(), "notAfter": status.not_after.map(|time| time.to_string()),
        "subjectAltNames": status.subject_alt_names, "upstream": status.upstream,
    })
}

fn differences(what: &str, one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    let of =
        |map: &BTreeMap<String, String>, name: &String| map.get(name).cloned().unwrap_or_else(|| "nothing".to_owned());
    let differ = names.into_iter().filter(|name| one.get(*name) != other.get(*name));
    differ.map(|name| format!("{what} {name}: {}\n    and not {}", of(one, name), of(other, name))).collect()
}

fn texts(files: &Files) -> String {
    files.iter().map(|(name, bytes)| format!("{name}: {}", text(bytes))).collect::<Vec<_>>().join("; ")
}

/// The content, or of a long one the end, where one certificate differs from another.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let end = text.char_indices().rev().nth(400).map_or(0, |(at, _)| at);
    text[end..].to_owned()
}
