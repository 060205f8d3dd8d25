//! The demo's cluster: a control plane of its own, and the gateway `default` in it. No kubelet runs here, so the demo starts
//! what would be pods, and writes the EndpointSlices that follow from them.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::gateway::{Gateway, Pod, Terms, apply_custom_resources, apply_in};
use streamgate_tests::operator::Operator;
use streamgate_tests::process::Output;
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::sync::Sync;

use crate::brokers::Broker;
use crate::story::{Story, say};
use crate::world::{BROKER_HOSTS, BROKER_PORT};

/// The namespace of operator and proxies.
const SYSTEM: &str = "streamgate-system";
/// The one proxy's pod.
const POD: &str = "proxy-0";

/// The operator and config-sync at work on a control plane.
pub(crate) struct Cluster<'a> {
    /// The gateway `default`.
    pub(crate) gateway: Gateway<'a>,
    /// The operator.
    pub(crate) operator: Operator,
    sync: Option<Sync>,
}

impl<'a> Cluster<'a> {
    /// Installs the gateway, and starts the operator.
    pub(crate) fn start(plane: &'a ControlPlane) -> Result<Self> {
        apply_custom_resources(plane)?;
        plane.kubectl(&["create", "namespace", SYSTEM], None)?.succeeded("kubectl create namespace")?;
        // Globex names its brokers by their addresses.
        let terms = Terms { gateway: "allowExternalUpstreams: true", ..Terms::default() };
        let gateway = Gateway::new(plane, "default", SYSTEM, terms)?;
        let operator = gateway.operator()?;
        say(&format!("cluster  Kubernetes {} at loopback, RBAC on", version(plane)?));
        say(&format!("operator settings {}", gateway.settings().display()));
        Ok(Self { gateway, operator, sync: None })
    }

    /// Starts config-sync and the proxy, and has them get traffic.
    pub(crate) fn start_pod(&mut self, listener: Listener) -> Result<(ConfigDir, Proxy)> {
        let Pod { name, config, sync, proxy } = self.gateway.start_pod(POD, &[listener])?;
        self.gateway.set_ready(&[&name])?;
        self.sync = Some(sync);
        Ok((config, proxy))
    }

    /// `kubectl` with these arguments, as it ends.
    pub(crate) fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        self.gateway.cluster.kubectl(arguments, input)
    }

    /// Makes a namespace.
    pub(crate) fn create_namespace(&self, name: &str) -> Result<()> {
        self.kubectl(&["create", "namespace", name], None)?.succeeded("kubectl create namespace")?;
        Ok(())
    }

    /// `kubectl apply` in a namespace.
    pub(crate) fn apply(&self, namespace: &str, manifests: &str) -> Result<()> {
        apply_in(self.gateway.cluster, namespace, manifests)
    }

    /// A Secret of these keys.
    pub(crate) fn apply_secret(&self, namespace: &str, name: &str, keys: &[(&str, &[u8])]) -> Result<()> {
        let is_tls = keys.iter().any(|(key, _)| *key == "tls.key");
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "type": if is_tls { "kubernetes.io/tls" } else { "Opaque" }, "stringData": texts(keys),
        });
        self.apply(namespace, &secret.to_string())
    }

    /// A ConfigMap of these keys.
    pub(crate) fn apply_config_map(&self, namespace: &str, name: &str, keys: &[(&str, &[u8])]) -> Result<()> {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": texts(keys)});
        self.apply(namespace, &object.to_string())
    }

    /// The Service `broker` of a namespace, and an EndpointSlice for each broker, ready where `is_ready` says so.
    pub(crate) fn apply_brokers(
        &self,
        namespace: &str,
        brokers: &[Broker],
        is_ready: impl Fn(&Broker) -> bool,
    ) -> Result<()> {
        let mut manifests =
            "apiVersion: v1\nkind: Service\nmetadata: {name: broker}\nspec: {ports: [{name: mqtt, port: 1883}]}\n"
                .to_owned();
        for broker in brokers {
            let address = broker.address();
            let slice = json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": broker.name, "labels": {"kubernetes.io/service-name": "broker"}},
                "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
                "ports": [{"name": "mqtt", "port": address.port(), "protocol": "TCP"}],
                "endpoints": [{
                    "addresses": [address.ip().to_string()], "conditions": {"ready": is_ready(broker)},
                    "targetRef": {"kind": "Pod", "name": broker.name},
                }],
            });
            write!(manifests, "---\n{slice}\n")?;
        }
        self.apply(namespace, &manifests)
    }

    /// `kubectl wait --for=condition=Programmed` for all objects of a kind, or for one: what it says where it fails.
    pub(crate) fn wait_until_programmed(&self, namespace: &str, objects: &[&str]) -> Result<Output> {
        let wait = ["wait", "--for=condition=Programmed", "--timeout=30s", "-n", namespace];
        self.kubectl(&[&wait[..], objects].concat(), None)
    }

    /// A condition of an object: its status, reason and message.
    pub(crate) fn condition(&self, namespace: &str, object: &str, condition: &str) -> Result<Value> {
        let object = self.gateway.cluster.json(&["get", object, "-n", namespace])?;
        let conditions = object["status"]["conditions"].as_array();
        let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == condition));
        Ok(found.cloned().unwrap_or_default())
    }

    /// Says how things stand and prints what `kubectl get` prints.
    pub(crate) fn show(&self, story: &mut Story) -> Result<()> {
        let get = ["get", "streamroutes,tlssnis", "--all-namespaces"];
        let output = self.kubectl(&get, None)?;
        say(&format!("$ kubectl {}", get.join(" ")));
        say(&output.text());
        let all = self.gateway.cluster.json(&get)?;
        let items = all["items"].as_array().context("a list")?;
        let is_programmed = |object: &&Value| {
            let conditions = object["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Programmed" && one["status"] == "True"))
        };
        let programmed = items.iter().filter(is_programmed).count();
        story.check(
            output.success() && programmed == items.len(),
            &format!("{programmed} of {} objects are programmed: every proxy has applied them", items.len()),
        );
        Ok(())
    }
}

/// The text of an example's manifest, with the brokers where they are here.
pub(crate) fn relocated(path: &Path, brokers: &[Broker]) -> Result<String> {
    let mut text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    for (host, broker) in BROKER_HOSTS.iter().zip(brokers) {
        let (written, address) = (format!("host: {host}\n        port: {BROKER_PORT}"), broker.address());
        text = text.replace(&written, &format!("host: {}\n        port: {}", address.ip(), address.port()));
    }
    Ok(text)
}

fn texts(keys: &[(&str, &[u8])]) -> Value {
    keys.iter().map(|(key, bytes)| ((*key).to_owned(), Value::from(String::from_utf8_lossy(bytes)))).collect()
}

fn version(plane: &ControlPlane) -> Result<String> {
    let version = plane.json(&["version"])?;
    Ok(version["serverVersion"]["gitVersion"].as_str().unwrap_or("of an unknown version").to_owned())
}
