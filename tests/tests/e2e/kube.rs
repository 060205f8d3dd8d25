//! What a user does: kubectl and helm.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use streamgate_tests::process::{self, Output};
use streamgate_tests::{chart, workspace};

/// A cluster, by its administrator's kubeconfig.
pub(crate) struct Kube {
    kubeconfig: PathBuf,
}

impl Kube {
    pub(crate) fn new(kubeconfig: PathBuf) -> Self {
        Self { kubeconfig }
    }

    /// What kubectl prints for a line of words, which must go well.
    pub(crate) fn kubectl(&self, line: &str) -> Result<String> {
        Ok(self.try_kubectl(line)?.succeeded(line)?.text())
    }

    /// The same; it may fail.
    pub(crate) fn try_kubectl(&self, line: &str) -> Result<Output> {
        process::run(self.command("kubectl", line), LONG)
    }

    /// The same as [`Kube::kubectl`], typed in a folder.
    pub(crate) fn kubectl_in(&self, folder: &Path, line: &str) -> Result<String> {
        let mut command = self.command("kubectl", line);
        command.current_dir(folder);
        Ok(process::run(command, LONG)?.succeeded(line)?.text())
    }

    /// kubectl with words that may have spaces in them.
    pub(crate) fn kubectl_words(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.command("kubectl", "");
        command.args(words);
        process::run(command, LONG)
    }

    /// A program with the cluster's kubeconfig, to be started.
    pub(crate) fn command(&self, program: &str, line: &str) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", &self.kubeconfig).args(line.split_whitespace());
        command
    }

    /// The object or list that `kubectl get` finds.
    pub(crate) fn get(&self, line: &str) -> Result<Value> {
        let text = self.kubectl(&format!("get {line} -o json"))?;
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
    }

    /// The items of a list.
    pub(crate) fn list(&self, line: &str) -> Result<Vec<Value>> {
        let items = self.get(line)?["items"].as_array().cloned();
        items.with_context(|| format!("no list: {line}"))
    }

    /// `kubectl apply -f -`, whose manifests are no argument, for there may be keys among them.
    pub(crate) fn apply(&self, manifests: &str) -> Result<()> {
        self.try_apply(manifests)?.succeeded("kubectl apply")?;
        Ok(())
    }

    /// The same; it may be refused.
    pub(crate) fn try_apply(&self, manifests: &str) -> Result<Output> {
        let command = self.command("kubectl", "apply -f -");
        process::run_with_input(command, manifests.as_bytes(), Some(""), LONG)
    }

    /// `kubectl apply --server-side` by a name: another who applies the object takes nothing of it away.
    pub(crate) fn apply_as(&self, manager: &str, manifests: &str) -> Result<()> {
        let command = self.command("kubectl", &format!("apply --server-side --field-manager={manager} -f -"));
        process::run_with_input(command, manifests.as_bytes(), Some(""), LONG)?.succeeded("kubectl apply")?;
        Ok(())
    }

    /// Waits as a user does, who then goes on at once.
    pub(crate) fn wait_for_condition(&self, namespace: &str, objects: &str, condition: &str) -> Result<()> {
        self.kubectl(&format!("wait -n {namespace} --for=condition={condition} --timeout=120s {objects}"))?;
        Ok(())
    }

    /// Restarts the pods of a workload one after the other, and waits until all are there again.
    pub(crate) fn restart(&self, namespace: &str, workload: &str) -> Result<()> {
        self.kubectl(&format!("rollout restart -n {namespace} {workload}"))?;
        self.wait_for_rollout(namespace, workload)
    }

    /// Waits until a workload is as it is to be.
    pub(crate) fn wait_for_rollout(&self, namespace: &str, workload: &str) -> Result<()> {
        self.kubectl(&format!("rollout status -n {namespace} --timeout=240s {workload}"))?;
        Ok(())
    }

    /// Whether whoever asks may do what a line says, or the account that its `--as` names. That it could not be asked is an
    /// error, and no "no".
    pub(crate) fn can(&self, line: &str) -> Result<bool> {
        let answer = self.try_kubectl(&format!("auth can-i {line}"))?;
        match (answer.text().trim(), answer.code) {
            ("yes", Some(0)) => Ok(true),
            (text, Some(1)) if text == "no" || text.starts_with("no - ") => Ok(false),
            _ => bail!("can-i {line}? {answer:?}"),
        }
    }

    /// What a pod tells at its admin port, by way of the API server.
    pub(crate) fn ask_pod(&self, namespace: &str, pod: &str, port: u16, path: &str) -> Result<String> {
        self.kubectl(&format!("get --raw /api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/{path}"))
    }

    /// What helm prints for a line of words, of which [`CHART`] stands for the chart's folder, and a file of values; it must go
    /// well.
    pub(crate) fn helm(&self, line: &str, values: &str) -> Result<String> {
        Ok(self.try_helm(line, values)?.succeeded(line)?.text())
    }

    /// The same; it may fail.
    pub(crate) fn try_helm(&self, line: &str, values: &str) -> Result<Output> {
        let helm = workspace().join("scripts/helm");
        let chart = chart::folder();
        let mut command = self.command(&helm.to_string_lossy(), "");
        // The folder is a word of its own, for there may be spaces in its path.
        command.args(line.split_whitespace().map(|word| if word == CHART { chart.as_os_str() } else { word.as_ref() }));
        if values.is_empty() {
            return process::run(command, LONG);
        }
        command.args(["--values", "-"]);
        process::run_with_input(command, values.as_bytes(), Some(""), LONG)
    }
}

/// A condition of an object as it is now, and not of a former generation: status, reason and message.
pub(crate) fn condition(object: &Value, of_type: &str) -> Option<(String, String, String)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == of_type)?;
    if condition["observedGeneration"] != object["metadata"]["generation"] {
        return None;
    }
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}

/// The name of an object.
pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The status of a pod's container.
pub(crate) fn container_status<'p>(pod: &'p Value, container: &str) -> Option<&'p Value> {
    let statuses = ["containerStatuses", "initContainerStatuses"].into_iter();
    let mut statuses = statuses.flat_map(|field| pod["status"][field].as_array().into_iter().flatten());
    statuses.find(|status| status["name"] == container)
}

/// The id by which the node's machine knows a pod's container.
pub(crate) fn container_id<'p>(pod: &'p Value, container: &str) -> Result<&'p str> {
    let id = container_status(pod, container).and_then(|status| status["containerID"].as_str());
    id.and_then(|id| id.split("//").nth(1)).with_context(|| format!("no running container {container}"))
}

/// The chart, in a line of helm's.
pub(crate) const CHART: &str = "CHART";

/// How long a command may take; those that wait have deadlines of their own.
const LONG: Duration = Duration::from_mins(6);
