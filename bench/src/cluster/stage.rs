//! A control plane with the gateway `default`, and the three programs.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use streamgate_tests::chart::Permissions;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::process::Process;
use streamgate_tests::proxy::{self, Listener, Proxy};
use streamgate_tests::sync::Sync;
use streamgate_tests::{wait, workspace};
use tempfile::TempDir;

use super::objects::{create_all, slice};

/// A control plane that has the custom resources and a gateway.
pub(crate) struct Stage {
    pub(crate) client: Client,
    cluster: ControlPlane,
    operator: PathBuf,
    sync: PathBuf,
    folder: TempDir,
}

impl Stage {
    pub(crate) async fn new() -> Result<Self> {
        let cluster = ControlPlane::start()?;
        for file in ["crds/streamroutes.yaml", "crds/tlssnis.yaml"] {
            cluster.apply(&fs::read_to_string(workspace().join(file))?)?;
        }
        let crds = ["crd/streamroutes.streamgate.dev", "crd/tlssnis.streamgate.dev"];
        let wait = [&["wait", "--for=condition=Established", "--timeout=1m"][..], &crds].concat();
        cluster.kubectl(&wait, None)?.succeeded("kubectl wait")?;
        cluster.kubectl(&["create", "namespace", SYSTEM], None)?.succeeded("create namespace")?;
        let permissions = Permissions { system: SYSTEM, gateway: "default", watched: &[], by_label: false };
        cluster.apply(&permissions.manifests()?.join("\n---\n"))?;
        let operator = cluster.service_account_kubeconfig(SYSTEM, "streamgate-operator")?;
        let sync = cluster.service_account_kubeconfig(SYSTEM, SYNC)?;
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("operator.yaml"), SETTINGS)?;
        let stage = Self { client: Client::try_from(config)?, cluster, operator, sync, folder };
        // The harness is the controller that says who the gateway's proxies are.
        let mut proxies = slice(SYSTEM, "streamgate-default", &[ready_proxy()]);
        proxies["ports"] = json!([{"name": "mqtts", "port": 8883, "protocol": "TCP"}]);
        create_all(&stage.client, [proxies]).await?;
        Ok(stage)
    }

    pub(crate) fn start_operator(&self) -> Result<Operator> {
        let mut command = Command::new(binary("STREAMGATE_OPERATOR")?);
        command.arg("--config").arg(self.folder.path().join("operator.yaml")).args(["--log-format", "Json"]);
        command.env("KUBECONFIG", &self.operator).env_remove("RUST_LOG");
        let mut process = Process::start(command)?;
        let admin = process.wait_for_line("`admin listening` of streamgate-operator", wait::SOON, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["message"] == "admin listening").then(|| event["address"].as_str()?.parse().ok())?
        })?;
        Ok(Operator { process, admin })
    }

    pub(crate) fn start_sync(&self, config: &ConfigDir) -> Result<Sync> {
        Sync::start(&self.sync, "default", POD, config)
    }

    /// Where the audit log ends now.
    pub(crate) fn audit_end(&self) -> Result<u64> {
        Ok(fs::metadata(self.cluster.path().join("audit.log"))?.len())
    }

    /// The operator's writes since then, as `verb resource`; those of its own Lease aside.
    pub(crate) fn operator_writes_since(&self, start: u64) -> Result<Vec<String>> {
        let mut file = fs::File::open(self.cluster.path().join("audit.log"))?;
        file.seek(SeekFrom::Start(start))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut writes = Vec::new();
        for line in text.lines() {
            // The last line may still be in the writing.
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            let (verb, resource) = (event["verb"].as_str(), event["objectRef"]["resource"].as_str());
            let (verb, resource) = (verb.unwrap_or_default(), resource.unwrap_or_default());
            let is_read = ["get", "list", "watch"].contains(&verb);
            if event["user"]["username"] == OPERATOR_USER && !is_read && resource != "leases" {
                writes.push(format!("{verb} {resource}"));
            }
        }
        Ok(writes)
    }
}

/// A proxy with its directory.
pub(crate) fn start_proxy(config: &ConfigDir) -> Result<Proxy> {
    Proxy::start(config, &[Listener::mqtts("mqtts"), Listener::mqtt("mqtt")])
}

/// An operator that runs. Killed on drop.
pub(crate) struct Operator {
    process: Process,
    admin: SocketAddr,
}

impl Operator {
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has looked at everything.
    pub(crate) fn is_ready(&self) -> bool {
        proxy::get(self.admin, "/readyz").is_ok_and(|response| response.status == 200)
    }

    /// The sum of a metric over these labels.
    pub(crate) fn metric(&self, name: &str, label: &str) -> Result<u64> {
        let page = proxy::get(self.admin, "/metrics")?.body;
        let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }

    /// Asks it to stop, and waits for that.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.signal("TERM")?;
        self.process.wait_for_end(Duration::from_secs(15)).map(drop)
    }

    pub(crate) fn log(&self) -> String {
        self.process.lines().join("\n")
    }
}

fn binary(variable: &str) -> Result<PathBuf> {
    let path = PathBuf::from(std::env::var_os(variable).with_context(|| format!("{variable} names no binary"))?);
    if !path.is_file() {
        bail!("there is no {}", path.display());
    }
    Ok(path)
}

fn ready_proxy() -> Value {
    json!({"addresses": ["10.77.0.1"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": POD}})
}

const SYSTEM: &str = "streamgate-system";
const SYNC: &str = "streamgate-default";
const POD: &str = "streamgate-default-0";
const OPERATOR_USER: &str = "system:serviceaccount:streamgate-system:streamgate-operator";
const SETTINGS: &str = "
namespace: streamgate-system
admin: 127.0.0.1:0
gateways:
- name: default
  service: {namespace: streamgate-system, name: streamgate-default}
  listeners: [{name: mqtts, protocol: MQTTS}, {name: mqtt, protocol: MQTT}]
";
