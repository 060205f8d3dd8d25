//! A gateway in a cluster, as its owner installs it: its namespaces, the accounts with the roles of the chart, the operator's
//! settings, and its proxies, each with its config-sync. Where no kubelet runs, the processes are of this machine.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chart::Permissions;
use crate::config_dir::ConfigDir;
use crate::control_plane::ControlPlane;
use crate::operator::{EVENTUALLY, Operator};
use crate::proxy::{Listener, Proxy};
use crate::sync::Sync;
use crate::{wait, workspace};

/// What a gateway's owner decides, as lines of the operator's settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'t> {
    /// Lines of the file itself.
    pub operator: &'t str,
    /// Lines of the gateway, without indentation.
    pub gateway: &'t str,
    /// The namespaces that are watched; none: all.
    pub watched: &'t [&'t str],
}

/// A gateway.
#[derive(Debug)]
pub struct Gateway<'a> {
    /// Where it is.
    pub cluster: &'a ControlPlane,
    /// Its name.
    pub name: String,
    /// The namespace of generated objects and Leases: `streamgate-<name>`.
    pub namespace: String,
    /// The operator's own namespace, that of the proxies' pods too.
    pub system: String,
    operator_account: PathBuf,
    sync_account: PathBuf,
    folder: TempDir,
}

impl<'a> Gateway<'a> {
    /// Installs it in a cluster that has the custom resources, with `system` as an existing namespace for operator and proxies.
    /// Its listeners are `mqtts` and `plain`, its Service is `streamgate-<name>`.
    pub fn new(cluster: &'a ControlPlane, name: &str, system: &str, terms: Terms<'_>) -> Result<Self> {
        let namespace = format!("streamgate-{name}");
        let permissions = Permissions { system, gateway: name, watched: terms.watched, by_label: false };
        cluster.apply(&permissions.manifests()?.join("\n---\n"))?;
        let operator_account = cluster.service_account_kubeconfig(system, "streamgate-operator")?;
        let sync_account = cluster.service_account_kubeconfig(system, &namespace)?;
        let folder = tempfile::tempdir()?;
        let watched = format!("watchNamespaces: [{}]", terms.watched.join(", "));
        let settings = format!(
            "namespace: {system}
admin: 127.0.0.1:0
{watched}
{}
gateways:
- name: {name}
  service: {{namespace: {system}, name: {namespace}}}
  listeners: [{{name: mqtts, protocol: MQTTS}}, {{name: plain, protocol: MQTT}}]
  {}
",
            terms.operator,
            terms.gateway.trim().replace('\n', "\n  ")
        );
        fs::write(folder.path().join("operator.yaml"), settings)?;
        let (name, system) = (name.to_owned(), system.to_owned());
        Ok(Self { cluster, name, namespace, system, operator_account, sync_account, folder })
    }

    /// Lets the operator watch a namespace.
    pub fn allow_in(&self, namespace: &str) -> Result<()> {
        let watched = &[namespace];
        let permissions = Permissions { system: &self.system, gateway: &self.name, watched, by_label: false };
        self.cluster.apply(&permissions.manifests_in(namespace)?)
    }

    /// The operator's settings.
    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("operator.yaml")
    }

    /// Starts an operator, and waits until it is ready.
    pub fn operator(&self) -> Result<Operator> {
        let operator = self.start_operator()?;
        operator.wait_until_ready()?;
        Ok(operator)
    }

    /// Starts an operator.
    pub fn start_operator(&self) -> Result<Operator> {
        Operator::start(&self.operator_account, &self.settings())
    }

    /// Starts a pod, in the order of a kubelet: config-sync until it is ready, then the proxy with these listeners, until it is.
    pub fn start_pod(&self, name: &str, listeners: &[Listener]) -> Result<Pod> {
        let config = ConfigDir::new()?;
        let sync = self.start_sync(name, &config)?;
        sync.wait_until_ready(EVENTUALLY)?;
        let proxy = self.start_proxy(&config, listeners)?;
        Ok(Pod { name: name.to_owned(), config, sync, proxy })
    }

    /// Starts the config-sync of a pod.
    pub fn start_sync(&self, pod: &str, config: &ConfigDir) -> Result<Sync> {
        Sync::start(&self.sync_account, &self.name, pod, config)
    }

    /// Starts a proxy on what a config-sync has written.
    pub fn start_proxy(&self, config: &ConfigDir, listeners: &[Listener]) -> Result<Proxy> {
        Proxy::start_with(config, listeners, &["--gateway", &self.name, "--workers", "1"])
    }

    /// Has these pods be the ready endpoints of the gateway's Service, as their readiness would.
    pub fn set_ready(&self, pods: &[&str]) -> Result<()> {
        let endpoints = pods.iter().enumerate().map(|(index, pod)| {
            json!({
                "addresses": [format!("10.9.0.{}", index + 1)], "conditions": {"ready": true},
                "targetRef": {"kind": "Pod", "name": pod},
            })
        });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{}-1", self.namespace), "labels": {"kubernetes.io/service-name": self.namespace},
            },
            "addressType": "IPv4", "endpoints": endpoints.collect::<Vec<_>>(), "ports": [{"port": 8883, "protocol": "TCP"}],
        });
        apply_in(self.cluster, &self.system, &slice.to_string())
    }

    /// The operator's user, as the audit log has it.
    pub fn operator_user(&self) -> String {
        format!("system:serviceaccount:{}:streamgate-operator", self.system)
    }
}

/// What would be a pod: a config-sync and a proxy on the same directory.
#[derive(Debug)]
pub struct Pod {
    /// Its name, and that of its Lease.
    pub name: String,
    /// Its directories.
    pub config: ConfigDir,
    /// Its sidecar.
    pub sync: Sync,
    /// Its proxy.
    pub proxy: Proxy,
}

/// Applies the custom resources, and waits until the API server serves them.
pub fn apply_custom_resources(cluster: &ControlPlane) -> Result<()> {
    let folder = workspace().join("crds");
    for name in ["streamroutes.yaml", "tlssnis.yaml"] {
        cluster.apply(&fs::read_to_string(folder.join(name)).with_context(|| format!("no crds/{name}"))?)?;
    }
    let crds = ["crd/streamroutes.streamgate.dev", "crd/tlssnis.streamgate.dev"];
    let wait = [&["wait", "--for=condition=Established", "--timeout=1m"][..], &crds].concat();
    cluster.kubectl(&wait, None)?.succeeded("kubectl wait")?;
    Ok(())
}

/// `kubectl apply` in a namespace.
pub fn apply_in(cluster: &ControlPlane, namespace: &str, manifests: &str) -> Result<()> {
    cluster.kubectl(&["apply", "-n", namespace, "-f", "-"], Some(manifests))?.succeeded("kubectl apply")?;
    Ok(())
}

/// A condition of an object (`streamroute/devices`), once that of its present generation has this status and reason.
pub fn condition(
    cluster: &ControlPlane,
    namespace: &str,
    object: &str,
    [type_, status, reason]: [&str; 3],
) -> Result<Value> {
    let mut last = Value::Null;
    wait::until(&format!("{object} with {type_}={status}, {reason}"), EVENTUALLY, || {
        last = cluster.json(&["get", object, "-n", namespace]).ok()?;
        let generation = &last["metadata"]["generation"];
        let conditions = last["status"]["conditions"].as_array()?;
        let found = conditions.iter().find(|condition| condition["type"] == type_)?;
        (found["status"] == status && found["reason"] == reason && found["observedGeneration"] == *generation)
            .then(|| found.clone())
    })
    .with_context(|| format!("it is {:#}", last["status"]))
}
