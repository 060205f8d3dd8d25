//! The control plane itself: that it is a real one, and that nothing of it stays behind.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use streamgate_tests::component::Component;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::process::{self, Output, Process};
use streamgate_tests::{wait, workspace};

/// For what a controller does, on a machine that is busy.
const EVENTUALLY: Duration = Duration::from_mins(1);

#[test]
fn a_config_map_is_applied_and_applied_again() -> Result<()> {
    let cluster = ControlPlane::shared()?;
    let namespace = cluster.namespace("apply")?;
    for colour in ["red", "blue"] {
        cluster.apply(&config_map(&namespace, "paint", colour))?;
        let read = cluster.json(&["get", "configmap", "paint", "-n", &namespace])?;
        assert_eq!(read["data"]["colour"], colour);
    }
    Ok(())
}

#[test]
fn binaries_that_are_there_are_taken_in_place_of_building_any() -> Result<()> {
    let kubectl = fs::canonicalize(ControlPlane::shared()?.path().join("bin/kubectl"))?;
    let folder = kubectl.parent().and_then(Path::to_str).context("a path of letters")?;
    let path = format!("{folder}:{}", std::env::var("PATH")?);
    let empty = tempfile::tempdir()?;
    let nothing = empty.path().to_str().context("a path of letters")?.to_owned();
    let build = |variable: &str, value: &str| {
        let mut command = Command::new(workspace().join("tests/cluster/control-plane"));
        command.arg("build").env("XDG_CACHE_HOME", empty.path()).env(variable, value);
        process::run(command, Duration::from_mins(1))
    };
    for (variable, value) in [("KUBEBUILDER_ASSETS", folder), ("PATH", &path)] {
        build(variable, value)?.succeeded(variable)?;
        assert!(fs::read_dir(empty.path())?.next().is_none(), "{variable}: something was built");
    }
    let refused = build("KUBEBUILDER_ASSETS", &nothing)?;
    assert!(!refused.success() && refused.stderr.contains("there is no etcd in KUBEBUILDER_ASSETS"), "{refused:?}");
    Ok(())
}

#[test]
fn a_manifest_that_the_schema_forbids_is_refused_with_its_field() -> Result<()> {
    let cluster = ControlPlane::shared()?;
    let namespace = cluster.namespace("refused")?;
    let manifest = config_map(&namespace, "paint", "red").replace("\ndata:", "\ndota:");
    let output = cluster.kubectl(&["apply", "-f", "-"], Some(&manifest))?;
    assert!(!output.success() && output.stderr.contains(r#"unknown field "dota""#), "{output:?}");
    Ok(())
}

#[test]
fn a_service_account_may_do_what_a_role_grants_and_the_audit_log_tells_both() -> Result<()> {
    let cluster = ControlPlane::shared()?;
    let namespace = cluster.namespace("rbac")?;
    cluster.kubectl(&["create", "serviceaccount", "visitor", "-n", &namespace], None)?.succeeded("create")?;
    let visitor = cluster.service_account_kubeconfig(&namespace, "visitor")?;
    let as_visitor = visitor.to_str().context("a path of letters")?;
    let read = |kind: &str| cluster.kubectl(&["get", kind, "--kubeconfig", as_visitor], None);

    let refused = read("configmaps")?;
    assert!(!refused.success() && refused.stderr.contains("Forbidden"), "{refused:?}");

    let account = format!("--serviceaccount={namespace}:visitor");
    let granted = ["create", "rolebinding", "view", "--clusterrole=view", &account, "-n", &namespace];
    cluster.kubectl(&granted, None)?.succeeded("create rolebinding")?;
    wait::until("the role to count", wait::SOON, || read("configmaps").ok().filter(Output::success))?;
    // The role `view` leaves secrets out.
    assert!(!read("secrets")?.success());

    let user = format!("system:serviceaccount:{namespace}:visitor");
    let events = cluster.audit_events()?;
    let told = |resource: &str, decision: &str| {
        events.iter().any(|event| {
            event["user"]["username"] == user.as_str()
                && event["verb"] == "list"
                && event["objectRef"]["resource"] == resource
                && event["annotations"]["authorization.k8s.io/decision"] == decision
        })
    };
    assert!(told("configmaps", "forbid"));
    assert!(told("configmaps", "allow"));
    assert!(told("secrets", "forbid"));
    assert!(!told("secrets", "allow"));
    Ok(())
}

#[test]
fn a_service_gets_the_slice_of_its_pods_and_a_deleted_namespace_goes_with_all_in_it() -> Result<()> {
    let cluster = ControlPlane::shared()?;
    let namespace = cluster.namespace("controllers")?;
    cluster.apply(&format!(
        "apiVersion: v1
kind: Service
metadata: {{name: broker, namespace: {namespace}}}
spec:
  selector: {{app: broker}}
  ports: [{{port: 1883}}]
---
apiVersion: v1
kind: Node
metadata: {{name: node-of-{namespace}, labels: {{topology.kubernetes.io/zone: north}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: broker-0, namespace: {namespace}, labels: {{app: broker}}}}
spec:
  containers: [{{name: broker, image: broker}}]
"
    ))?;
    // The parts of the scheduler and of the kubelet, which nobody else does here.
    let binding = format!(
        r#"{{"apiVersion": "v1", "kind": "Binding", "metadata": {{"name": "broker-0"}},
            "target": {{"kind": "Node", "name": "node-of-{namespace}"}}}}"#
    );
    let bindings = format!("/api/v1/namespaces/{namespace}/pods/broker-0/binding");
    cluster.kubectl(&["create", "--raw", &bindings, "-f", "-"], Some(&binding))?.succeeded("binding")?;
    let status = r#"{"status": {"phase": "Running", "podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}],
        "conditions": [{"type": "Ready", "status": "True"}]}}"#;
    let patch = ["patch", "pod", "broker-0", "-n", &namespace, "--subresource=status", "--patch", status];
    cluster.kubectl(&patch, None)?.succeeded("kubectl patch")?;

    let selector = "kubernetes.io/service-name=broker";
    wait::until("an endpoint that is ready", EVENTUALLY, || {
        let slices = cluster.json(&["get", "endpointslices", "-n", &namespace, "-l", selector]).ok()?;
        let endpoint = &slices["items"][0]["endpoints"][0];
        let is_there = endpoint["addresses"][0] == "10.0.0.7" && endpoint["zone"] == "north";
        (is_there && endpoint["conditions"]["ready"] == true).then_some(())
    })?;

    cluster.kubectl(&["delete", "pod", "broker-0", "-n", &namespace, "--force"], None)?.succeeded("delete")?;
    cluster.kubectl(&["delete", "namespace", &namespace, "--timeout=1m"], None)?.succeeded("delete")?;
    Ok(())
}

#[test]
fn what_was_applied_outlives_the_kill_of_each_component() -> Result<()> {
    let cluster = ControlPlane::start()?;
    let namespace = cluster.namespace("kill")?;
    cluster.apply(&config_map(&namespace, "paint", "red"))?;
    for component in Component::CONTROL_PLANE {
        cluster.kill(component)?;
        let get = cluster.kubectl(&["get", "configmap", "paint", "-n", &namespace, "--request-timeout=2s"], None)?;
        assert_eq!(get.success(), component == Component::ControllerManager, "{component:?}: {get:?}");
        cluster.restart(component)?;
        let read = cluster.json(&["get", "configmap", "paint", "-n", &namespace])?;
        assert_eq!(read["data"]["colour"], "red", "{component:?}");
    }
    // The controllers are back at work: without them a namespace has no ServiceAccount.
    let namespace = cluster.namespace("after")?;
    wait::until("a ServiceAccount", EVENTUALLY, || {
        cluster.json(&["get", "serviceaccount", "default", "-n", &namespace]).ok()
    })?;
    Ok(())
}

#[test]
fn it_ends_with_its_folder_when_it_is_dropped_and_when_its_owner_is_killed() -> Result<()> {
    let mut command = Command::new("sleep");
    command.arg("3600");
    let owner = Process::start(command)?;
    let cluster = ControlPlane::start_for(owner.id())?;
    let (folder, processes) = (cluster.path().to_owned(), processes(cluster.path())?);
    assert_eq!(processes.len(), Component::CONTROL_PLANE.len() + 1, "the components and the watch: {processes:?}");
    assert!(processes.iter().all(|&id| runs(id)), "{processes:?}");

    drop(owner);
    wait::until("the end of all", EVENTUALLY, || {
        (processes.iter().all(|&id| !runs(id)) && !folder.exists()).then_some(())
    })?;

    let cluster = ControlPlane::start()?;
    let (folder, processes) = (cluster.path().to_owned(), self::processes(cluster.path())?);
    drop(cluster);
    assert!(processes.iter().all(|&id| !runs(id)), "{processes:?}");
    assert!(!folder.exists());
    Ok(())
}

fn config_map(namespace: &str, name: &str, colour: &str) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, namespace: {namespace}}}
data: {{colour: {colour}}}
"
    )
}

/// The ids of all processes of the control plane in this folder.
fn processes(folder: &Path) -> Result<Vec<u32>> {
    let ids = fs::read_dir(folder.join("pids"))?.map(|file| {
        let text = fs::read_to_string(file?.path())?;
        text.split(' ').next().and_then(|id| id.parse().ok()).with_context(|| format!("no process id: {text}"))
    });
    ids.collect()
}

/// Whether that process is there and has not ended. (One that ended may stay listed until its parent asks for it.)
fn runs(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
