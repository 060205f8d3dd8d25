//! Every manifest of `examples/` that is for a cluster applies as it is, becomes programmed, and serves.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::fake_broker::FakeBroker;
use streamgate_tests::gateway::{Gateway, Terms, apply_custom_resources, apply_in};
use streamgate_tests::pki::{CertificateAuthority, Leaf};
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wire::{self, Connect, Packet, Version};
use streamgate_tests::workspace;

use super::stage::{config_map, service, slice, start_broker, tls_secret};

/// The gateway `default`, which the examples mean as they don't say another, and what they refer to.
struct World<'a> {
    cluster: &'a ControlPlane,
    proxy: &'a Proxy,
    servers: CertificateAuthority,
    devices: CertificateAuthority,
    broker: FakeBroker,
}

#[test]
fn every_example_for_a_cluster_applies_and_serves() -> Result<()> {
    let cluster = ControlPlane::start()?;
    apply_custom_resources(&cluster)?;
    let system = "streamgate-system";
    cluster.kubectl(&["create", "namespace", system], None)?.succeeded("create namespace")?;
    let terms = Terms { gateway: "allowExternalUpstreams: true", ..Terms::default() };
    let gateway = Gateway::new(&cluster, "default", system, terms)?;
    let operator = gateway.operator()?;
    let pod = gateway.start_pod("proxy-0", &[Listener::mqtts("mqtts"), Listener::mqtt("plain")])?;
    gateway.set_ready(&[&pod.name])?;
    let world = World {
        cluster: &cluster,
        proxy: &pod.proxy,
        servers: CertificateAuthority::new("Servers")?,
        devices: CertificateAuthority::new("Devices")?,
        broker: start_broker()?,
    };
    for namespace in ["acme", "platform"] {
        cluster.kubectl(&["create", "namespace", namespace], None)?.succeeded("create namespace")?;
    }
    let mut count = 0;
    for folder in ["routes", "tlssnis"] {
        for entry in fs::read_dir(workspace().join("examples").join(folder))? {
            let path = entry?.path();
            world.try_out(&path).with_context(|| path.display().to_string()).with_context(|| operator.log())?;
            count += 1;
        }
    }
    ensure!(count >= 30, "{count} examples");
    Ok(())
}

impl World<'_> {
    /// Applies a file, provides what it refers to, has a device come by each of its names, and deletes all of it.
    fn try_out(&self, path: &Path) -> Result<()> {
        let manifests = fs::read_to_string(path)?;
        self.cluster.apply(&manifests)?;
        let mut objects = self.ours()?;
        let tls_snis =
            |objects: &[Value]| objects.iter().filter(|object| object["kind"] == "TlsSni").cloned().collect::<Vec<_>>();
        let namespace =
            objects.first().context("no object")?["metadata"]["namespace"].as_str().context("a namespace")?;
        let namespace = namespace.to_owned();
        if tls_snis(&objects).is_empty() {
            let snis =
                objects.iter().flat_map(|route| list(&route["spec"]["match"]["snis"])).cloned().collect::<Vec<_>>();
            let snis = if snis.is_empty() { vec![json!("*")] } else { snis };
            let spec = json!({
                "snis": snis, "certificates": [{"secretName": "stage"}], "clientAuth": {"ca": {"configMapName": "stage"}},
            });
            self.add(&namespace, "TlsSni", &spec)?;
        } else if objects.iter().all(|object| object["kind"] == "TlsSni") {
            let spec = json!({"upstream": {"services": [{"name": "broker", "port": "mqtt"}]}});
            self.add(&namespace, "StreamRoute", &spec)?;
        }
        objects = self.ours()?;
        for object in &objects {
            self.provide(&namespace, object)?;
        }
        let names: Vec<String> = objects.iter().map(name_of).collect();
        let wait = ["wait", "--for=condition=Programmed", "--timeout=1m", "-n", &namespace];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.cluster.kubectl(&[&wait[..], &names].concat(), None)?.succeeded("kubectl wait")?;
        for object in self.ours()? {
            let conditions = list(&object["status"]["conditions"]).collect::<Vec<_>>();
            ensure!(conditions.len() == 3 && conditions.iter().all(|one| one["status"] == "True"), "{object:#}");
        }
        let routes: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "StreamRoute").collect();
        for route in routes {
            let snis: BTreeSet<&str> = tls_snis_of(&objects)
                .flat_map(|tls_sni| list(&tls_sni["spec"]["snis"]))
                .filter_map(Value::as_str)
                .collect();
            for sni in snis {
                let connack = self.visit(route, sni).with_context(|| self.proxy.log())?;
                ensure!(connack.code() == Some(0), "{sni}: {connack:?}\n{}", self.proxy.log());
            }
        }
        let delete = [&["delete", "-n", &namespace][..], &names].concat();
        self.cluster.kubectl(&delete, None)?.succeeded("kubectl delete")?;
        self.proxy.wait_for_status("nothing", |status| {
            status["applied"]["streamroutes"] == 0 && status["applied"]["tlssnis"] == 0
        })?;
        Ok(())
    }

    /// All objects of our kinds, as the API server has them, with the defaults.
    fn ours(&self) -> Result<Vec<Value>> {
        let all = self.cluster.json(&["get", "streamroutes,tlssnis", "--all-namespaces"])?;
        Ok(list(&all["items"]).cloned().collect())
    }

    fn add(&self, namespace: &str, kind: &str, spec: &Value) -> Result<()> {
        let metadata = json!({"name": "stage", "namespace": namespace});
        let object = json!({"apiVersion": "streamgate.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec});
        self.cluster.apply(&object.to_string())
    }

    /// Applies what an object refers to, and leads its nodes to the broker.
    fn provide(&self, namespace: &str, object: &Value) -> Result<()> {
        let spec = &object["spec"];
        let mut manifests = String::new();
        let snis: Vec<String> = list(&spec["snis"]).filter_map(Value::as_str).map(server_name).collect();
        let leaf = Leaf::server(&snis.iter().map(String::as_str).collect::<Vec<_>>());
        for (index, certificate) in list(&spec["certificates"]).enumerate() {
            let leaf = if index == 1 { leaf.clone().rsa() } else { leaf.clone() };
            let name = certificate["secretName"].as_str().context("a name")?;
            writeln!(manifests, "---\n{}", tls_secret(name, &self.servers.issue(&leaf)?))?;
        }
        for (field, text) in [("ca", self.devices.certificate_pem()), ("crl", self.revocation_list()?)] {
            let reference = &spec["clientAuth"][field];
            let key = reference["key"]
                .as_str()
                .map_or_else(|| format!("ca.{}", if field == "ca" { "crt" } else { "crl" }), str::to_owned);
            if let Some(name) = reference["configMapName"].as_str() {
                writeln!(manifests, "---\n{}", config_map(name, &key, &text))?;
            }
            if let Some(name) = reference["secretName"].as_str() {
                let secret = json!({
                    "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: text},
                });
                writeln!(manifests, "---\n{secret}")?;
            }
        }
        for reference in list(&spec["upstream"]["services"]) {
            let name = reference["name"].as_str().context("a name")?;
            writeln!(manifests, "---\n{}---\n{}", service(name), slice(name, 0, &self.broker))?;
        }
        if !manifests.is_empty() {
            apply_in(self.cluster, namespace, &manifests)?;
        }
        let changes = changes(spec, &self.broker);
        if !changes.is_empty() {
            let changes = Value::Array(changes).to_string();
            let patch = ["patch", &name_of(object), "-n", namespace, "--type=json", "-p", &changes];
            self.cluster.kubectl(&patch, None)?.succeeded("kubectl patch")?;
        }
        Ok(())
    }

    fn revocation_list(&self) -> Result<String> {
        self.devices.revocation_list(&[], SystemTime::now() + Duration::from_hours(24))
    }

    /// A device that a route is for connects.
    fn visit(&self, route: &Value, sni: &str) -> Result<Packet> {
        let client_id = "sensor-1.acme.example";
        let leaf = Leaf::device(client_id).organization("Acme").dns_san(client_id);
        let version = match list(&route["spec"]["mqtt"]["protocolLevels"]).next().and_then(Value::as_u64) {
            Some(3) => Version::V31,
            _ => Version::V311,
        };
        let connect = Connect::new(version, client_id);
        if list(&route["spec"]["listeners"]).any(|listener| listener == "plain") {
            return wire::connack(&mut wire::connect_tcp(self.proxy.address("plain"))?, &connect);
        }
        let client = TlsClient::with_certificate(&self.servers, &server_name(sni), &self.devices.issue(&leaf)?)?;
        wire::connack(&mut client.connect(self.proxy.address("mqtts"))?, &connect)
    }
}

/// What of a route can't be had here: other hosts, and clients with other addresses than loopback.
fn changes(spec: &Value, broker: &FakeBroker) -> Vec<Value> {
    let replace = |path: String, value: Value| json!({"op": "replace", "path": path, "value": value});
    let mut changes = Vec::new();
    for index in 0..list(&spec["upstream"]["nodes"]).count() {
        let node = format!("/spec/upstream/nodes/{index}");
        changes.push(replace(format!("{node}/host"), broker.address().ip().to_string().into()));
        // Nodes differ by their addresses: of the others nobody takes anything.
        let port = if index == 0 { broker.address().port() } else { u16::try_from(index).unwrap_or(1) };
        changes.push(replace(format!("{node}/port"), port.into()));
    }
    if list(&spec["match"]["sourceRanges"]).all(|range| range != "127.0.0.0/8")
        && !spec["match"]["sourceRanges"].is_null()
    {
        changes.push(replace("/spec/match/sourceRanges/0".to_owned(), "127.0.0.0/8".into()));
    }
    changes
}

fn tls_snis_of(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|object| object["kind"] == "TlsSni")
}

fn name_of(object: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    format!("{}/{}", word(&object["kind"]), word(&object["metadata"]["name"]))
}

/// A server name that a name of a TlsSni means.
fn server_name(sni: &str) -> String {
    match sni.strip_prefix("*") {
        Some("") => "fallback.example".to_owned(),
        Some(domain) => format!("devices{domain}"),
        None => sni.to_owned(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
