//! The machine below the cluster's node, as far as a test has its hands on it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use streamgate_tests::component::Component;
use streamgate_tests::process::{self, Output};
use streamgate_tests::workspace;

/// Whose node it is.
pub(crate) enum Machine {
    /// One of `tests/cluster/cluster`, which lies in this folder.
    Own(PathBuf),
    /// A container of kind.
    Kind(String),
    /// Somebody's, of whom nothing but the API is known.
    Unknown,
}

impl Machine {
    /// Whether what a test does below Kubernetes can be done.
    pub(crate) fn is_at_hand(&self) -> bool {
        !matches!(self, Self::Unknown)
    }

    /// Whether it is of `tests/cluster/cluster`: the tests run in its network then, as root.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// Kills a component and starts it again.
    pub(crate) fn restart(&self, component: Component) -> Result<()> {
        self.kill(component)?;
        self.start(component)
    }

    /// Kills a component.
    pub(crate) fn kill(&self, component: Component) -> Result<()> {
        match self {
            Self::Own(folder) => Self::own(folder, &["kill", component.name()]),
            Self::Kind(node) => match component {
                Component::ApiServer => Self::inside(node, &["mv", API_SERVER_MANIFEST, MOVED_AWAY]),
                _ => Self::inside(node, &["systemctl", "kill", "--signal=KILL", component.name()]),
            },
            Self::Unknown => bail!("the node's machine is not at hand"),
        }
    }

    /// Starts it again.
    pub(crate) fn start(&self, component: Component) -> Result<()> {
        match self {
            Self::Own(folder) => Self::own(folder, &["start", component.name()]),
            Self::Kind(node) => match component {
                Component::ApiServer => Self::inside(node, &["mv", MOVED_AWAY, API_SERVER_MANIFEST]),
                _ => Self::inside(node, &["systemctl", "start", component.name()]),
            },
            Self::Unknown => bail!("the node's machine is not at hand"),
        }
    }

    /// Ends the processes of a container by SIGKILL.
    pub(crate) fn kill_container(&self, id: &str) -> Result<()> {
        let script = format!("grep -ls {id} /proc/[0-9]*/cgroup | cut -d/ -f3 | xargs kill -KILL");
        match self {
            // The tests see the node's processes.
            Self::Own(_) => succeed(Command::new("sh"), &["-c", &script]),
            Self::Kind(node) => Self::inside(node, &["sh", "-c", &script]),
            Self::Unknown => bail!("the node's machine is not at hand"),
        }
    }

    /// What is in a file as a container sees it; `None` where there is none of this path.
    pub(crate) fn file_in_container(&self, id: &str, path: &str) -> Result<Option<String>> {
        let script = format!(
            "pid=$(grep -ls {id} /proc/[0-9]*/cgroup | cut -d/ -f3 | sort -n | head -n 1); \
             cd /proc/$pid && [ -d root/run ] || exit 1; \
             if ls root{path} >/dev/null 2>&1; then echo there; cat root{path}; else echo not there; fi"
        );
        let mut command = match self {
            Self::Own(_) => Command::new("sh"),
            Self::Kind(node) => {
                let mut command = Command::new("docker");
                command.args(["exec", node, "sh"]);
                command
            }
            Self::Unknown => bail!("the node's machine is not at hand"),
        };
        command.args(["-c", &script]);
        let output = process::run(command, Duration::from_mins(1))?.succeeded("a look into a container")?;
        Ok(output.text().strip_prefix("there\n").map(str::to_owned))
    }

    /// What the API server wrote down of all requests.
    pub(crate) fn audit_log(&self) -> Option<PathBuf> {
        match self {
            Self::Own(folder) => Some(folder.join("audit.log")),
            Self::Kind(_) | Self::Unknown => None,
        }
    }

    /// Has a pod reach the API server no more, until [`Machine::let_through`].
    pub(crate) fn cut_off(&self, pod_address: &str) -> Result<()> {
        let rules = format!(
            "add table inet streamgate_test; \
             add chain inet streamgate_test cut {{ type filter hook prerouting priority raw; }}; \
             add rule inet streamgate_test cut ip saddr {pod_address} tcp dport {{ 443, 6443 }} drop"
        );
        self.nft(&rules)
    }

    /// Takes that back.
    pub(crate) fn let_through(&self) -> Result<()> {
        self.nft("delete table inet streamgate_test")
    }

    fn nft(&self, rules: &str) -> Result<()> {
        match self {
            // The tests run in the node's network.
            Self::Own(_) => succeed(Command::new("nft"), &[rules]),
            Self::Kind(node) => Self::inside(node, &["nft", rules]),
            Self::Unknown => bail!("the node's machine is not at hand"),
        }
    }

    fn own(folder: &std::path::Path, words: &[&str]) -> Result<()> {
        let mut command = Command::new(workspace().join("tests/cluster/cluster"));
        command.arg(words[0]).arg(folder);
        succeed(command, &words[1..])
    }

    fn inside(node: &str, words: &[&str]) -> Result<()> {
        let mut command = Command::new("docker");
        command.args(["exec", node]);
        succeed(command, words)
    }
}

fn succeed(mut command: Command, words: &[&str]) -> Result<()> {
    command.args(words);
    let what = format!("{command:?}");
    process::run(command, Duration::from_mins(2)).and_then(|output: Output| output.succeeded(&what))?;
    Ok(())
}

/// Where kubeadm, by which kind works, has what its kubelet runs of the control plane.
const API_SERVER_MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const MOVED_AWAY: &str = "/etc/kubernetes/kube-apiserver.yaml";
