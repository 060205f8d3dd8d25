//! What a large cluster costs the operator's core: 10,000 StreamRoutes over 1,000 Services with 100,000 endpoints in 100
//! namespaces, each with a TlsSni; in time on the CPU and in memory (the resident size of the process), as Linux tells them.
//!
//!     cargo run --release -p streamgate-operator --example scale

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::ObjectMeta;
use serde_json::{Value, json};
use streamgate_crds::manifest::{self, Manifest};
use streamgate_operator::resolve::{Changed, File, Outcome, Write, WriteAction, resolve};
use streamgate_operator::store::{
    Change, Fetched, Files, Gateway, Generated, MaterialKey, MaterialKind, Name, Slice, Status, Store, Touched, Watched,
};
use zeroize::Zeroizing;

const NAMESPACES: usize = 100;
const SERVICES: usize = 1_000;
const ENDPOINTS_EACH: usize = 100;
const ROUTES: usize = 10_000;

fn main() -> Result<()> {
    let certificate = rcgen::generate_simple_self_signed(["x.example".to_owned()])?;
    let (certificate, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
    println!("{:<52}{:>11}{:>12}", "", "CPU", "resident");
    let mut gauge = Gauge::new()?;
    let mut store = Store::new(vec![Gateway::new("default", Name::new("streamgate-system", "default"))]);
    for service in 0..SERVICES {
        fill_service(&mut store, service, 0)?;
    }
    gauge.tell("100,000 endpoints kept")?;
    for route in 0..ROUTES {
        let namespace = format!("n{}", route % NAMESPACES);
        let spec = json!({
            "match": {"snis": [format!("r{route}.{namespace}.example")]},
            "upstream": {"services": [{"name": format!("s{}", route % SERVICES), "port": "mqtt"}]},
        });
        let watched = watched(&namespace, &format!("r{route}"), &spec)?;
        store.apply(Change::StreamRoute(Name::new(&namespace, &format!("r{route}")), Some(watched)));
    }
    for each in 0..NAMESPACES {
        let namespace = format!("n{each}");
        let spec = json!({"snis": [format!("*.{namespace}.example")], "certificates": [{"secretName": "tls"}]});
        let name = Name::new(&namespace, "all");
        store.apply(Change::TlsSni(name.clone(), Some(watched(&namespace, "all", &spec)?)));
        let secret = MaterialKey { kind: MaterialKind::Secret, name: Name::new(&namespace, "tls") };
        store.apply(Change::Material(secret, Some("1".parse()?)));
    }
    gauge.tell("10,000 StreamRoutes kept")?;
    let mut outcome = resolve(&store, Timestamp::now());
    gauge.tell("all resolved")?;
    let missing = outcome.missing(&store);
    let mut touched = Touched::default();
    for reference in missing {
        let file = |name: &str, text: &str| (name.into(), Zeroizing::new(text.as_bytes().to_vec()));
        let files = Files::from([file("tls.crt", &certificate), file("tls.key", &key)]);
        let fetched = Fetched::new(&reference, "1".parse()?, files);
        touched.merge(store.apply(Change::Fetched(reference.key, fetched)));
    }
    outcome.update(&store, &touched, Timestamp::now());
    gauge.tell("100 Secrets read")?;
    let writes = outcome.all_writes(&store);
    gauge.tell(&format!("{} writes composed, all at once", writes.len()))?;
    let mut version = 100;
    let mut touched = Touched::default();
    for write in writes {
        touched.merge(see(&mut store, write, &mut version)?);
    }
    gauge.tell("writes seen")?;
    outcome.update(&store, &touched, Timestamp::now());
    for secret in outcome.spent(&store) {
        store.let_go(&secret);
    }
    gauge.tell("resolved again after them")?;
    let statuses = outcome.all_statuses(&store, Timestamp::now());
    gauge.tell(&format!("{} statuses composed, all at once", statuses.len()))?;
    for (object, status) in statuses {
        let name = Name::new(&object.namespace, &object.name);
        if let Some(watched) = store.stream_route(&name).cloned() {
            store.apply(Change::StreamRoute(name, Some(Watched { status, ..watched })));
        }
    }
    gauge.tell("statuses kept")?;
    measure_changes(&mut store, &mut outcome, &mut gauge, &mut version)?;
    gauge.reset()?;
    drop(resolve(&store, Timestamp::now()));
    gauge.tell("all resolved once more")?;
    Ok(())
}

/// The changes that come all the time, by themselves.
fn measure_changes(store: &mut Store, outcome: &mut Outcome, gauge: &mut Gauge, version: &mut u64) -> Result<()> {
    const TIMES: usize = 100;

    for turn in 0..TIMES {
        let touched = fill_service(store, turn, turn + 1)?;
        let Changed { objects, .. } = outcome.update(store, &touched, Timestamp::now());
        let writes = outcome.writes(store, &objects);
        anyhow::ensure!(writes.len() == 1, "{} writes for a pod", writes.len());
        let touched = see(store, writes.into_iter().next().context("a write")?, version)?;
        outcome.update(store, &touched, Timestamp::now());
        let _ = outcome.missing(store);
    }
    gauge.tell(&format!("{TIMES} pods changed, one after the other"))?;
    for turn in 0..10 {
        let spec = json!({
            "match": {"snis": ["r0.n0.example"]}, "mqtt": {"connectTimeout": format!("{}s", turn + 1)},
            "upstream": {"services": [{"name": "s0", "port": "mqtt"}]},
        });
        let touched = store.apply(Change::StreamRoute(Name::new("n0", "r0"), Some(watched("n0", "r0", &spec)?)));
        let Changed { objects, .. } = outcome.update(store, &touched, Timestamp::now());
        let writes = outcome.writes(store, &objects);
        anyhow::ensure!(writes.len() == 1, "{} writes for a route", writes.len());
        let touched = see(store, writes.into_iter().next().context("a write")?, version)?;
        outcome.update(store, &touched, Timestamp::now());
    }
    gauge.tell("10 StreamRoutes changed, one after the other")?;
    for _ in 0..10 {
        outcome.update(store, &Touched { reports: true, ..Touched::default() }, Timestamp::now());
    }
    gauge.tell("10 reports of proxies, one after the other")?;
    let writes = outcome.all_writes(store);
    anyhow::ensure!(writes.is_empty(), "{} writes in a steady state", writes.len());
    gauge.tell("looked for what is left to write")
}

fn fill_service(store: &mut Store, service: usize, turn: usize) -> Result<Touched> {
    let namespace = format!("n{}", service % NAMESPACES);
    let name = format!("s{service}");
    let endpoints: Vec<Value> = (0..ENDPOINTS_EACH)
        .map(|each| {
            let pod = if each == 0 { format!("{name}-{turn}") } else { format!("{name}-6d4cf56db6-{each:05}") };
            json!({
                "addresses": [format!("10.{}.{}.{each}", service / 250, service % 250)],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": format!("node-{each}"), "zone": "zone-a",
                "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod, "uid": "9f1c6d5e-0000"},
            })
        })
        .collect();
    let slice_name = format!("{name}-x7k2p");
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": slice_name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "ports": [{"name": "mqtt", "port": 1883}], "endpoints": endpoints,
    }))?;
    let spec = json!({"metadata": {}, "spec": {"ports": [{"name": "mqtt", "port": 1883}]}});
    let service: Service = serde_json::from_value(spec)?;
    let mut touched = store.apply(Change::Service(Name::new(&namespace, &name), Some((&service).into())));
    touched.merge(store.apply(Change::Slice(Name::new(&namespace, &slice_name), Slice::of(&slice))));
    Ok(touched)
}

fn watched<T: Manifest>(namespace: &str, name: &str, spec: &Value) -> Result<Watched<T>> {
    let text = json!({"apiVersion": T::api_version(&()), "kind": T::kind(&()), "spec": spec}).to_string();
    let object: T = manifest::read("", namespace, name, &text).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    Ok(Watched::new(object, Status::default()))
}

/// Does a write, and sees it.
fn see(store: &mut Store, write: Write, version: &mut u64) -> Result<Touched> {
    let (WriteAction::Create(content) | WriteAction::Replace(_, content)) = write.action else {
        anyhow::bail!("{} is deleted", write.key.name);
    };
    *version += 1;
    let files = content.files.into_iter().filter_map(|(file, content)| match content {
        File::Bytes(bytes) => Some((file.to_string(), String::from_utf8(bytes.to_vec()).ok()?)),
        File::AsItIs => None,
    });
    let folder = write.key.name.split('.').next().unwrap_or_default().to_owned();
    let labels = [
        ("streamgate.dev/folder".to_owned(), folder),
        ("app.kubernetes.io/managed-by".to_owned(), "streamgate-operator".to_owned()),
    ];
    let metadata = ObjectMeta {
        name: Some(write.key.name.to_string()),
        resource_version: Some(version.to_string()),
        labels: Some(labels.into()),
        ..ObjectMeta::default()
    };
    // What a Secret holds is known by the same fingerprint.
    let seen = Generated::of_config_map(&ConfigMap { metadata, data: Some(files.collect()), ..ConfigMap::default() });
    Ok(store.apply(Change::Generated(write.key, version.to_string().parse()?, seen)))
}

/// Time on the CPU since the last word, and memory.
struct Gauge {
    since: Duration,
}

impl Gauge {
    fn new() -> Result<Self> {
        Ok(Self { since: on_cpu()? })
    }

    fn reset(&mut self) -> Result<()> {
        self.since = on_cpu()?;
        Ok(())
    }

    fn tell(&mut self, what: &str) -> Result<()> {
        let time = on_cpu()?.saturating_sub(self.since);
        let status = fs::read_to_string("/proc/self/status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown").trim();
        println!("{what:<52}{:>8.1} ms{resident:>12}", time.as_secs_f64() * 1e3);
        self.reset()
    }
}

/// Time that this thread has been on the CPU.
fn on_cpu() -> Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().context("no time on the CPU")?.parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}
