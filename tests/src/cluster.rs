//! A whole Kubernetes cluster of one node with a real kubelet and real containers, by `tests/cluster/cluster`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::component::Component;
use crate::process::Output;
use crate::script::{self, Script};

/// The image of a broker and its clients that each cluster has: used as `eclipse-mosquitto` is, with a shell.
pub const MOSQUITTO_IMAGE: &str = "streamgate.test/mosquitto:1";
/// The node's address, at which its `NodePort`s are.
pub const NODE_ADDRESS: &str = "10.250.0.1";

/// A running cluster, in a network of its own: what is to reach the API server, a pod or a `NodePort` runs by
/// [`Cluster::exec`]. It needs root. It ends on drop, and soon after its owner where that ends without a drop.
#[derive(Debug)]
pub struct Cluster {
    script: Script,
    kubeconfig: PathBuf,
}

impl Cluster {
    /// Starts one for as long as the process `owner`, and waits until its node is Ready and its names are answered.
    ///
    /// # Errors
    /// When a process doesn't get ready, or something isn't installed; the end of the log is in the message.
    pub fn start_for(owner: u32) -> Result<Self> {
        let script = Script::up("cluster", owner)?;
        let kubeconfig = script.path().join("kubeconfig");
        Ok(Self { script, kubeconfig })
    }

    /// The one that the tests of this process share: started by the first that asks, ended after the process.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Cluster>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Self::start_for(std::process::id()));
        shared.as_ref().map_err(|error| anyhow!("the shared cluster: {error:#}"))
    }

    /// Where all that it is made of lies: `audit.log`, `logs/`, `pids/`.
    pub fn path(&self) -> &Path {
        self.script.path()
    }

    /// The kubeconfig of a cluster administrator, which is of use to what runs by [`Cluster::exec`].
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs kubectl with these arguments and this standard input, as the administrator where `--kubeconfig` isn't among them.
    ///
    /// # Errors
    /// When it can't be started. That it failed is no error.
    pub fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        self.script.run("exec", &[&["kubectl"], arguments].concat(), input)
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

    /// Runs a command to its end in the cluster's network, in the present folder.
    ///
    /// # Errors
    /// When it can't be started. That it failed is no error.
    pub fn exec(&self, command: &[&str]) -> Result<Output> {
        self.script.run("exec", command, None)
    }

    /// The same, to be started: a [`Process`](crate::process::Process), say. It is killed with the one that is started here.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.script.command("exec");
        command.arg(program);
        command
    }

    /// Takes the images of an archive, of Docker's or the OCI's form, into the node's containerd.
    ///
    /// # Errors
    /// When it can't be read, by what containerd said.
    pub fn load(&self, archive: &Path) -> Result<()> {
        self.script.run("load", &[&archive.to_string_lossy()], None)?.succeeded("cluster load")?;
        Ok(())
    }

    /// Ends a component by SIGKILL, and waits for its end.
    pub fn kill(&self, component: Component) -> Result<()> {
        self.script.run("kill", &[component.name()], None)?.succeeded("cluster kill")?;
        Ok(())
    }

    /// Ends a component in order, and waits for its end.
    pub fn stop(&self, component: Component) -> Result<()> {
        self.script.run("stop", &[component.name()], None)?.succeeded("cluster stop")?;
        Ok(())
    }

    /// Starts a component that was stopped or killed, with its data, and waits until it serves.
    pub fn restart(&self, component: Component) -> Result<()> {
        self.script.run("start", &[component.name()], None)?.succeeded("cluster start")?;
        Ok(())
    }

    /// Ends it, which else its drop does, and leaves its folder.
    ///
    /// # Errors
    /// When something can't be removed, by name.
    pub fn down(&self) -> Result<()> {
        self.script.run("down", &[], None)?.succeeded("cluster down")?;
        Ok(())
    }
}
