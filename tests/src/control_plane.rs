//! A real Kubernetes control plane: etcd, kube-apiserver, kube-controller-manager and kubectl, by `tests/cluster/control-plane`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use crate::component::Component;
use crate::process::Output;
use crate::script::{self, Script};

/// A running control plane of its own etcd and ports, with RBAC and an audit log. It ends on drop, and soon after this
/// process where that ends without a drop.
#[derive(Debug)]
pub struct ControlPlane {
    script: Script,
    kubeconfig: PathBuf,
    names: AtomicU32,
}

impl ControlPlane {
    /// Starts one, and waits until it serves and gives `ServiceAccounts` to new namespaces.
    ///
    /// # Errors
    /// When a process doesn't get ready, or the binaries can't be built; the end of the log is in the message.
    pub fn start() -> Result<Self> {
        Self::start_for(std::process::id())
    }

    /// The same as [`ControlPlane::start`], which ends (and takes its folder with it) soon after the process `owner`.
    pub fn start_for(owner: u32) -> Result<Self> {
        let script = Script::up("control-plane", owner)?;
        let kubeconfig = script.path().join("kubeconfig");
        Ok(Self { script, kubeconfig, names: AtomicU32::new(0) })
    }

    /// The one that the tests of this process share: started by the first that asks, ended after the process. Tests keep out
    /// of each other's way by namespaces ([`ControlPlane::namespace`]), and neither kill nor restart it.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<ControlPlane>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(|error| anyhow!("the shared control plane: {error:#}"))
    }

    /// Where all that it is made of lies: `audit.log`, `logs/`, `pids/`.
    pub fn path(&self) -> &Path {
        self.script.path()
    }

    /// The kubeconfig of a cluster administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs kubectl with these arguments and this standard input, as the administrator where `--kubeconfig` isn't among them.
    /// The `stdout`, `stderr` and `code` say how it went.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        self.script.run("kubectl", arguments, input)
    }

    /// The object or the list that `kubectl` prints for these arguments and `-o json`.
    ///
    /// # Errors
    /// When it fails, by what it wrote.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        script::json(self.kubectl(&[arguments, &["-o", "json"]].concat(), None)?, arguments)
    }

    /// `kubectl apply` of these manifests.
    ///
    /// # Errors
    /// When one of them is refused, by what kubectl wrote.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        self.kubectl(&["apply", "-f", "-"], Some(manifests))?.succeeded("kubectl apply")?;
        Ok(())
    }

    /// Makes a namespace whose name begins like this and that no other test has.
    pub fn namespace(&self, name: &str) -> Result<String> {
        let name = format!("{name}-{}", self.names.fetch_add(1, Ordering::Relaxed));
        self.kubectl(&["create", "namespace", &name], None)?.succeeded("kubectl create namespace")?;
        Ok(name)
    }

    /// The kubeconfig of a `ServiceAccount` that exists, with a token of a day.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let output = self.script.run("kubeconfig", &[namespace, name], None)?.succeeded("control-plane kubeconfig")?;
        let path = self.path().join(format!("{namespace}.{name}.kubeconfig"));
        fs::write(&path, output.stdout)?;
        Ok(path)
    }

    /// Ends a component by SIGKILL, and waits for its end.
    pub fn kill(&self, component: Component) -> Result<()> {
        self.script.run("kill", &[component.name()], None)?.succeeded("control-plane kill")?;
        Ok(())
    }

    /// Starts a component that was killed, with its data and its port, and waits until it serves.
    pub fn restart(&self, component: Component) -> Result<()> {
        self.script.run("start", &[component.name()], None)?.succeeded("control-plane start")?;
        Ok(())
    }

    /// What the API server wrote into its audit log until now: an `audit.k8s.io/v1` Event for each request that was
    /// answered, and for each watch one at its start and one at its end.
    pub fn audit_events(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.path().join("audit.log"))?;
        // The last line may still be in the writing.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))).collect()
    }
}
