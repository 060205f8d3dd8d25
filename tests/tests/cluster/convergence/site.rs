//! A gateway with its tenants, its operators, and a proxy with its sync.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use streamgate_operator::settings::Settings;
use streamgate_operator::store::Namespaces;
use streamgate_tests::chart::Permissions;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::sync::Sync;
use streamgate_tests::wait;
use tempfile::TempDir;

use super::administrator::{Administrator, documents};
use streamgate_tests::operator::{EVENTUALLY, Operator};

/// The pod of the proxy and its sync.
pub(super) const POD: &str = "proxy-0";

static SITES: AtomicU32 = AtomicU32::new(0);

/// What is of one test, or of one history.
pub(super) struct Site<'a> {
    pub(super) cluster: &'a ControlPlane,
    pub(super) administrator: Administrator,
    pub(super) gateway: String,
    /// `streamgate-<gateway>`.
    pub(super) generated: String,
    /// The operator's own namespace, which has the gateway's Service too.
    pub(super) system: String,
    pub(super) tenants: [String; 2],
    pub(super) settings: Settings,
    /// What the sync writes and the proxy reads.
    pub(super) config: ConfigDir,
    /// Of the accounts of the operator and of the sync.
    kubeconfigs: [PathBuf; 2],
    folder: TempDir,
}

impl<'a> Site<'a> {
    /// On a control plane that has the custom resources. `settings` are lines of the operator's file, `gateway` are of its
    /// gateway; ACME and GLOBEX in them are the tenants' namespaces. Where there are `watchNamespaces`, Roles take the place
    /// of the `ClusterRole`.
    pub(super) fn new(cluster: &'a ControlPlane, settings: &str, gateway: &str) -> Result<Self> {
        let number = SITES.fetch_add(1, Ordering::Relaxed);
        let own = |name: &str| format!("{name}-{number}");
        let (name, system, tenants) = (own("site"), own("site-system"), ["acme", "globex"].map(own));
        let generated = format!("streamgate-{name}");
        let administrator = Administrator::of(cluster)?;
        for namespace in [&generated, &system, &tenants[0], &tenants[1]] {
            administrator.create("", &namespace_of(namespace, &json!({"devices": "yes"})))?;
        }
        let for_tenants = |text: &str| text.replace("ACME", &tenants[0]).replace("GLOBEX", &tenants[1]);
        let text = format!(
            "namespace: {system}
admin: 127.0.0.1:0
{}
gateways:
- name: {name}
  service: {{namespace: {system}, name: proxies}}
  listeners: [{{name: mqtts, protocol: MQTTS}}, {{name: mqtt, protocol: MQTT}}]
{}
",
            for_tenants(settings),
            for_tenants(gateway)
        );
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("operator.yaml"), &text)?;
        let settings = Settings::parse("operator.yaml", &text).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        for manifest in permissions(&system, &settings)? {
            administrator.apply(manifest["metadata"]["namespace"].as_str().unwrap_or_default(), &manifest)?;
        }
        // Another may have killed the API server.
        let kubeconfig_of = |account: &str| {
            wait::until("a token", EVENTUALLY, || cluster.service_account_kubeconfig(&system, account).ok())
        };
        let kubeconfigs = [kubeconfig_of("streamgate-operator")?, kubeconfig_of(&generated)?];
        let config = ConfigDir::new()?;
        let site = Self {
            cluster,
            administrator,
            gateway: name,
            generated,
            system,
            tenants,
            settings,
            config,
            kubeconfigs,
            folder,
        };
        site.administrator.apply(&site.system, &proxies(&[POD]))?;
        Ok(site)
    }

    pub(super) fn start_operator(&self) -> Result<Operator> {
        Operator::start(&self.kubeconfigs[0], &self.folder.path().join("operator.yaml"))
    }

    /// An operator that leads.
    pub(super) fn start_leader(&self) -> Result<Operator> {
        let operator = self.start_operator()?;
        operator.wait_until_ready()?;
        operator.wait_until_leading(EVENTUALLY)?;
        Ok(operator)
    }

    pub(super) fn start_sync(&self) -> Result<Sync> {
        Sync::start(&self.kubeconfigs[1], &self.gateway, POD, &self.config)
    }

    pub(super) fn start_proxy(&self) -> Result<Proxy> {
        let listeners = [Listener::mqtts("mqtts"), Listener::mqtt("mqtt")];
        Proxy::start_with(&self.config, &listeners, &["--gateway", &self.gateway])
    }

    /// Applies to the first tenant's namespace.
    pub(super) fn apply(&self, object: &Value) -> Result<()> {
        self.administrator.apply(&self.tenants[0], object).map(drop)
    }
}

/// What operator and sync may do, with such settings of a release in `system`, as the chart has it.
pub(super) fn permissions(system: &str, settings: &Settings) -> Result<Vec<Value>> {
    let watched: Vec<&str> = settings.watch_namespaces.iter().map(String::as_str).collect();
    let gateway = settings.gateways.first().context("a gateway")?;
    let by_label = matches!(gateway.allowed_namespaces, Some(Namespaces::Labelled(_)));
    let permissions = Permissions { system, gateway: &gateway.name, watched: &watched, by_label };
    documents(&permissions.manifests()?.join("\n---\n"))
}

pub(super) fn namespace_of(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// The slice of the gateway's Service: these pods are its proxies.
pub(super) fn proxies(pods: &[&str]) -> Value {
    let endpoint = |(index, pod): (usize, &&str)| {
        json!({
            "addresses": [format!("10.9.0.{}", index + 1)], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": pod},
        })
    };
    let endpoints: Vec<Value> = pods.iter().enumerate().map(endpoint).collect();
    slice("proxies-1", "proxies", &endpoints)
}

/// An EndpointSlice of a Service whose port `mqtt` is 1883.
pub(super) fn slice(name: &str, service: &str, endpoints: &[Value]) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "mqtt", "port": 1883, "protocol": "TCP"}],
    })
}
