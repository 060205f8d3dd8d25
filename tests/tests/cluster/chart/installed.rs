//! What Helm installs on a control plane, upgrades, and takes away again.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use streamgate_tests::chart::helm;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::operator::{EVENTUALLY, Operator};
use streamgate_tests::wait;

use super::on_chart;

pub(super) const SYSTEM: &str = "streamgate-system";

/// A release `streamgate` on a control plane of its own, on which nothing else is.
pub(super) struct Release {
    pub(super) cluster: ControlPlane,
}

impl Release {
    pub(super) fn install(values: &str) -> Result<Self> {
        let cluster = ControlPlane::start()?;
        on_chart(Some(&cluster), &["install", "streamgate", "--create-namespace"], SYSTEM, values)?
            .succeeded("install")?;
        Ok(Self { cluster })
    }

    pub(super) fn upgrade(&self, values: &str) -> Result<()> {
        on_chart(Some(&self.cluster), &["upgrade", "streamgate"], SYSTEM, values)?.succeeded("helm upgrade")?;
        Ok(())
    }

    pub(super) fn uninstall(&self) -> Result<()> {
        let arguments = ["uninstall", "streamgate", "--namespace", SYSTEM, "--wait", "--timeout", "1m"];
        helm(Some(self.cluster.kubeconfig()), &arguments, "")?.succeeded("helm uninstall")?;
        Ok(())
    }

    /// An operator with the settings that were installed, as this account; its admin port is one of this machine.
    pub(super) fn start_operator(&self, account: &str) -> Result<Operator> {
        let account = self.cluster.service_account_kubeconfig(SYSTEM, account)?;
        let map = self.cluster.json(&["get", "configmap", "streamgate-operator", "-n", SYSTEM])?;
        let settings = map["data"]["operator.yaml"].as_str().context("the settings")?;
        let path = self.cluster.path().join("operator.yaml");
        fs::write(&path, settings.replace("0.0.0.0:9902", "127.0.0.1:0"))?;
        let operator = Operator::start(&account, &path)?;
        operator.wait_until_ready()?;
        operator.wait_until_leading(EVENTUALLY)?;
        Ok(operator)
    }

    fn lease(&self) -> Result<Value> {
        self.cluster.json(&["get", "lease", "streamgate-operator", "-n", SYSTEM])
    }

    /// All that the API server has, but what it makes by itself in each namespace.
    fn everything(&self) -> Result<BTreeSet<String>> {
        let kinds = self.cluster.kubectl(&["api-resources", "--verbs=list", "-o", "name"], None)?;
        let kinds = kinds.succeeded("kubectl api-resources")?.text();
        let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
        let format = "-o=custom-columns=:kind,:metadata.namespace,:metadata.name";
        let got = self.cluster.kubectl(&["get", &kinds.join(","), "-A", "--no-headers", format], None)?;
        let text = got.succeeded("kubectl get")?.text();
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        Ok(lines.collect())
    }
}

#[test]
fn a_release_is_installed_and_upgraded_under_a_leader_who_goes_on_and_uninstalled_without_a_trace() -> Result<()> {
    let release = Release::install("crds: {keep: false}")?;
    let operator = release.start_operator("streamgate-operator")?;
    let term = |lease: &Value| [&lease["spec"]["holderIdentity"], &lease["spec"]["leaseTransitions"]].map(Value::clone);
    let before = term(&release.lease()?);
    ensure!(before[0].is_string(), "nobody leads");
    wait::until("the ticket keys in the gateway's namespace", EVENTUALLY, || {
        release.cluster.json(&["get", "secrets", "-n", "streamgate-default"]).ok()?["items"][0]
            .is_object()
            .then_some(())
    })
    .with_context(|| operator.log())?;

    release.upgrade("{crds: {keep: false}, gatewayDefaults: {replicas: 5}, gateways: {other: {replicas: 1}}}")?;
    let deployment = release.cluster.json(&["get", "deployment", "streamgate-default", "-n", SYSTEM])?;
    ensure!(deployment["spec"]["replicas"] == 5);
    release.cluster.json(&["get", "namespace", "streamgate-other"])?;
    let lease = release.lease()?;
    ensure!(term(&lease) == before, "{lease:#}");
    ensure!(operator.leads());
    ensure!(operator.stop()?.success());

    let definition = || release.cluster.json(&["get", "crd", "tlssnis.streamgate.dev"]);
    let description = "/spec/versions/0/schema/openAPIV3Schema/description";
    let mut older = definition()?;
    let own = older.pointer(description).cloned().context("a description")?;
    *older.pointer_mut(description).context("a description")? = "of an older chart".into();
    for field in ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp"] {
        older["metadata"].as_object_mut().context("metadata")?.remove(field);
    }
    // By Helm's name, so that nobody else has a part in it.
    let apply = ["apply", "--server-side", "--field-manager=helm", "-f", "-"];
    release.cluster.kubectl(&apply, Some(&older.to_string()))?.succeeded("kubectl apply")?;
    ensure!(definition()?.pointer(description).is_some_and(|it| it == "of an older chart"));
    release.upgrade("{crds: {keep: false}}")?;
    ensure!(definition()?.pointer(description) == Some(&own), "helm upgrade leaves the definitions as they were");
    let gone = wait::until("the end of the gateway that is left out", EVENTUALLY, || {
        let left = release.cluster.json(&["get", "namespace", "streamgate-other"]);
        left.is_err().then_some(())
    });
    gone?;
    release.uninstall()?;
    // Pods and ReplicaSets go after their Deployment.
    wait::until("nothing of the release", EVENTUALLY, || {
        let left = release.everything().ok()?;
        let of_it =
            left.iter().filter(|line| line.contains("streamgate") && *line != &format!("Namespace <none> {SYSTEM}"));
        let by_itself = [format!("ConfigMap {SYSTEM} kube-root-ca.crt"), format!("ServiceAccount {SYSTEM} default")];
        of_it.filter(|line| !by_itself.contains(line)).count().eq(&0).then_some(())
    })
    .with_context(|| format!("{:#?}", release.everything()))
}

#[test]
fn a_gateway_that_another_release_has_is_refused_and_resources_that_were_kept_are_taken_over() -> Result<()> {
    let release = Release::install("{}")?;
    let install = |values: &str, more: &[&str]| {
        let command = [&["install", "second", "--create-namespace"], more].concat();
        on_chart(Some(&release.cluster), &command, "second-system", values)
    };
    let refused = install("crds: {install: false}", &[])?;
    let words = "gateways.default: found a gateway of this name, of the release streamgate-system/streamgate; wanted another \
                 name, for it is unique in the cluster";
    ensure!(!refused.success() && refused.stderr.contains(words), "{}", refused.stderr);
    let left = release.cluster.json(&["get", "deployments", "-A"])?;
    ensure!(left["items"].as_array().is_some_and(|items| items.len() == 2), "{left:#}");

    install("{crds: {install: false}, gateways: {default: null, second: {}}}", &[])?.succeeded("helm install")?;
    let arguments = ["uninstall", "second", "--namespace", "second-system", "--wait"];
    helm(Some(release.cluster.kubeconfig()), &arguments, "")?.succeeded("helm uninstall")?;

    release.cluster.kubectl(&["create", "namespace", "streamgate-own"], None)?.succeeded("create namespace")?;
    let own = "{crds: {install: false}, gateways: {default: null, own: {}}}";
    let refused = install(own, &[])?;
    ensure!(refused.stderr.contains("found a namespace `streamgate-own` that no release made"), "{}", refused.stderr);
    // As docs/install.md has it of a namespace that was made for the release.
    let (_, wanted) = refused.stderr.split_once("give it the label ").context("what to do")?;
    for (what, command) in
        wanted.split_whitespace().filter(|word| word.contains('=')).zip(["label", "annotate", "annotate"])
    {
        release.cluster.kubectl(&[command, "namespace", "streamgate-own", what], None)?.succeeded(command)?;
    }
    install(own, &[])?.succeeded("helm install into the namespace")?;
    helm(Some(release.cluster.kubeconfig()), &arguments, "")?.succeeded("helm uninstall")?;

    release.uninstall()?;
    release.cluster.json(&["get", "crd", "streamroutes.streamgate.dev"])?;
    install("{}", &["--take-ownership"])?.succeeded("helm install --take-ownership")?;
    Ok(())
}

#[test]
fn proxies_are_as_many_as_before_when_autoscaling_is_switched_on_and_as_the_autoscaler_has_it_from_then_on()
-> Result<()> {
    let release = Release::install("gatewayDefaults: {replicas: 5}")?;
    let replicas = || -> Result<Value> {
        let deployment = release.cluster.json(&["get", "deployment", "streamgate-default", "-n", SYSTEM])?;
        Ok(deployment["spec"]["replicas"].clone())
    };
    let autoscaled = "gatewayDefaults: {autoscaling: {enabled: true, minReplicas: 3}}";
    release.upgrade(autoscaled)?;
    ensure!(replicas()? == 5);
    // As the autoscaler does it.
    let scale = ["scale", "deployment", "streamgate-default", "-n", SYSTEM, "--replicas=7"];
    release.cluster.kubectl(&scale, None)?.succeeded("kubectl scale")?;
    release.upgrade(autoscaled)?;
    ensure!(replicas()? == 7);

    // Helm 4 takes nothing from somebody else unasked.
    let fixed = "gatewayDefaults: {replicas: 4}";
    let refused = on_chart(Some(&release.cluster), &["upgrade", "streamgate"], SYSTEM, fixed)?;
    ensure!(!refused.success() && refused.stderr.contains(".spec.replicas"), "{}", refused.stderr);
    ensure!(replicas()? == 7);
    on_chart(Some(&release.cluster), &["upgrade", "streamgate", "--force-conflicts"], SYSTEM, fixed)?
        .succeeded("helm upgrade --force-conflicts")?;
    ensure!(replicas()? == 4);
    Ok(())
}
