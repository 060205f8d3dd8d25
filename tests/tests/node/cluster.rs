//! The cluster itself: that it is a real one, and that nothing of it stays behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use streamgate_tests::cluster::{Cluster, MOSQUITTO_IMAGE, NODE_ADDRESS};
use streamgate_tests::component::Component;
use streamgate_tests::process::Process;
use streamgate_tests::wait;

/// For what a cluster does, on a machine that is busy.
const EVENTUALLY: Duration = Duration::from_mins(2);

/// Brokers as their users run them. `kubectl wait` and `rollout status` know when they serve.
const BROKERS: &str = r"apiVersion: v1
kind: Service
metadata: {name: broker}
spec:
  clusterIP: None
  selector: {app: broker}
  ports: [{name: mqtt, port: 1883}]
---
apiVersion: v1
kind: Service
metadata: {name: outside}
spec:
  type: NodePort
  selector: {app: broker}
  ports: [{port: 1883}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: broker}
data:
  mosquitto.conf: |
    listener 1883
    allow_anonymous true
    log_type all
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: broker}
spec:
  serviceName: broker
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: broker}}
  template:
    metadata: {labels: {app: broker}}
    spec:
      terminationGracePeriodSeconds: 5
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: mosquitto
          image: IMAGE
          ports: [{name: mqtt, containerPort: 1883}]
          readinessProbe: {tcpSocket: {port: mqtt}, periodSeconds: 1}
          securityContext:
            readOnlyRootFilesystem: true
            allowPrivilegeEscalation: false
            capabilities: {drop: [ALL]}
          volumeMounts: [{name: config, mountPath: /mosquitto/config}]
      volumes:
        - name: config
          configMap: {name: broker}
";

#[test]
fn a_restricted_pod_runs_and_its_log_is_read() -> Result<()> {
    let cluster = Cluster::shared()?;
    restricted_namespace(cluster, "restricted")?;
    let refused = cluster.kubectl(&["run", "root", "-n", "restricted", "--image", MOSQUITTO_IMAGE], None)?;
    assert!(refused.stderr.contains("violates PodSecurity"), "{refused:?}");

    brokers(cluster, "restricted")?;
    let log = cluster.kubectl(&["logs", "-n", "restricted", "broker-0"], None)?.succeeded("kubectl logs")?.text();
    assert!(log.contains("mosquitto version") && log.contains("running"), "{log}");
    let inside = |command: &[&str]| {
        let output = cluster.kubectl(&[&["exec", "-n", "restricted", "broker-0", "--"], command].concat(), None)?;
        anyhow::Ok(output.succeeded("kubectl exec")?.text())
    };
    assert_eq!(inside(&["id", "-u"])?.trim(), "65532");
    let capabilities = inside(&["grep", "CapEff", "/proc/self/status"])?;
    assert_eq!(capabilities.split_whitespace().last(), Some("0000000000000000"));
    assert_eq!(inside(&["sh", "-c", "touch /anything || echo read-only"])?.trim(), "read-only");
    Ok(())
}

#[test]
fn brokers_are_reached_by_name_from_pods_and_at_the_node_from_outside() -> Result<()> {
    let cluster = Cluster::shared()?;
    restricted_namespace(cluster, "names")?;
    brokers(cluster, "names")?;

    let publish = ["mosquitto_pub", "-h", "outside.names.svc", "-t", "greeting", "-m", "within", "-q", "1"];
    let command = [&["exec", "-n", "names", "broker-0", "--"][..], &publish].concat();
    cluster.kubectl(&command, None)?.succeeded("mosquitto_pub in a pod")?;

    let service = cluster.json(&["get", "service", "outside", "-n", "names"])?;
    let port = service["spec"]["ports"][0]["nodePort"].to_string();
    let publish = ["mosquitto_pub", "-h", NODE_ADDRESS, "-p", &port, "-t", "greeting", "-m", "outside", "-q", "1"];
    cluster.exec(&publish)?.succeeded("mosquitto_pub at the node")?;
    Ok(())
}

#[test]
fn a_pod_of_a_stateful_set_returns_under_its_name_with_a_new_address() -> Result<()> {
    let cluster = Cluster::shared()?;
    restricted_namespace(cluster, "stateful")?;
    brokers(cluster, "stateful")?;
    let before = pod(cluster, "stateful", "broker-0")?;
    cluster.kubectl(&["delete", "pod", "-n", "stateful", "broker-0"], None)?.succeeded("kubectl delete")?;
    rolled_out(cluster, "stateful")?;
    let after = pod(cluster, "stateful", "broker-0")?;
    assert_ne!(before.uid, after.uid);
    assert_ne!(before.address, after.address);

    // Its name, as its peers ask for it.
    let name = "broker-0.broker.stateful.svc.cluster.local";
    let lookup = ["exec", "-n", "stateful", "broker-1", "--", "nslookup", name];
    wait::until("the name to have the new address", EVENTUALLY, || {
        cluster.kubectl(&lookup, None).ok().filter(|output| output.text().contains(&format!(": {}\n", after.address)))
    })?;
    Ok(())
}

#[test]
fn pods_go_on_while_kubelet_and_containerd_restart() -> Result<()> {
    // Its own, for to the others' pods it would be a disturbance.
    let cluster = Cluster::start_for(std::process::id())?;
    restricted_namespace(&cluster, "lasting")?;
    brokers(&cluster, "lasting")?;
    let before = pod(&cluster, "lasting", "broker-0")?;
    let mut command = cluster.command("mosquitto_sub");
    command.args(["-h", &before.address, "-i", "witness", "-k", "5", "-t", "greeting", "-C", "1"]);
    let mut witness = Process::start(command)?;
    let log = || anyhow::Ok(cluster.kubectl(&["logs", "-n", "lasting", "broker-0"], None)?.text());
    wait::until("a subscription", EVENTUALLY, || log().ok()?.contains("Sending SUBACK to witness").then_some(()))?;

    cluster.stop(Component::Kubelet)?;
    cluster.stop(Component::Containerd)?;
    cluster.restart(Component::Containerd)?;
    cluster.restart(Component::Kubelet)?;
    cluster.kill(Component::Containerd)?;
    cluster.kill(Component::Kubelet)?;
    cluster.restart(Component::Containerd)?;
    cluster.restart(Component::Kubelet)?;

    // Started after the restarts, so kubelet has taken the old ones over too.
    cluster.kubectl(&["scale", "-n", "lasting", "statefulset/broker", "--replicas=3"], None)?.succeeded("scale")?;
    rolled_out(&cluster, "lasting")?;
    assert_eq!(pod(&cluster, "lasting", "broker-0")?, before);
    let publish = ["mosquitto_pub", "-h", &before.address, "-t", "greeting", "-m", "still here", "-q", "1"];
    cluster.exec(&publish)?.succeeded("mosquitto_pub")?;
    witness.wait_for_line("the message", EVENTUALLY, |line| (line == "still here").then_some(()))?;
    assert_eq!(log()?.matches("Sending CONNACK to witness").count(), 1);
    Ok(())
}

#[test]
fn nothing_stays_behind() -> Result<()> {
    let mounts_before = fs::read_to_string("/proc/self/mountinfo")?;
    let (links_before, kubepods_before) = (links(), kubepods());
    let (settings_before, controllers_before) = (settings(), controllers());
    let cluster = Cluster::start_for(std::process::id())?;
    restricted_namespace(&cluster, "transient")?;
    brokers(&cluster, "transient")?;
    let namespace = fs::read_to_string(cluster.path().join("namespace"))?.trim().to_owned();
    let cgroup = format!("streamgate-{}", namespace.trim_matches(|letter: char| !letter.is_ascii_digit()));
    assert!(processes_of(cluster.path(), &namespace)?.iter().any(|line| line.contains("kubelet")));
    assert!(cgroups(&cgroup)? > 0);

    cluster.down()?;
    // Killed with the namespace that they were in; on a busy machine the kernel takes a moment.
    let mut left = Vec::new();
    wait::until("the end of all processes", EVENTUALLY, || {
        left = processes_of(cluster.path(), &namespace).ok()?;
        left.is_empty().then_some(())
    })
    .with_context(|| format!("{left:?}"))?;
    assert_eq!(cgroups(&cgroup)?, 0);
    assert_eq!(kubepods(), kubepods_before);
    let mounts_after = fs::read_to_string("/proc/self/mountinfo")?;
    assert_eq!(mounts(&mounts_after, cluster.path()), mounts(&mounts_before, cluster.path()));
    assert_eq!(links(), links_before);
    for (name, value) in settings_before {
        assert_eq!(settings().get(name), Some(&value), "{name}");
    }
    // Another cluster may come or go meanwhile.
    wait::until("the controllers that were given before", EVENTUALLY, || {
        let are_noted_for_nobody = !noted_controllers().is_empty() && !is_there_a_cluster();
        (controllers() == controllers_before && !are_noted_for_nobody).then_some(())
    })?;
    Ok(())
}

#[test]
fn a_cluster_ends_with_its_owner() -> Result<()> {
    let mut command = Command::new("sleep");
    command.arg("infinity");
    let owner = Process::start(command)?;
    let cluster = Cluster::start_for(owner.id())?;
    let namespace = fs::read_to_string(cluster.path().join("namespace"))?.trim().to_owned();
    drop(owner);
    wait::until("all of it to go", EVENTUALLY, || {
        let processes = processes_of(cluster.path(), &namespace).ok()?;
        (processes.is_empty() && !cluster.path().exists()).then_some(())
    })?;
    Ok(())
}

fn restricted_namespace(cluster: &Cluster, name: &str) -> Result<()> {
    cluster.apply(&format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {name}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}
"
    ))
}

/// Two brokers, ready.
fn brokers(cluster: &Cluster, namespace: &str) -> Result<()> {
    let manifests = BROKERS.replace("IMAGE", MOSQUITTO_IMAGE);
    let apply = ["apply", "-n", namespace, "-f", "-"];
    cluster.kubectl(&apply, Some(&manifests))?.succeeded("kubectl apply")?;
    rolled_out(cluster, namespace)
}

fn rolled_out(cluster: &Cluster, namespace: &str) -> Result<()> {
    let status = ["rollout", "status", "-n", namespace, "statefulset/broker", "--timeout=2m"];
    cluster.kubectl(&status, None)?.succeeded("kubectl rollout status")?;
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Pod {
    uid: String,
    address: String,
    container: String,
}

fn pod(cluster: &Cluster, namespace: &str, name: &str) -> Result<Pod> {
    let pod = cluster.json(&["get", "pod", "-n", namespace, name])?;
    let word = |pointer: &str| {
        let found = pod.pointer(pointer).and_then(|value| value.as_str());
        found.map(str::to_owned).with_context(|| format!("no {pointer} in {pod}"))
    };
    Ok(Pod {
        uid: word("/metadata/uid")?,
        address: word("/status/podIP")?,
        container: word("/status/containerStatuses/0/containerID")?,
    })
}

/// The command lines of the processes in that namespace, or with that folder among their arguments.
fn processes_of(folder: &Path, namespace: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        // What ends meanwhile, and what isn't a process, has neither.
        let Ok(command_line) = fs::read(process.join("cmdline")) else { continue };
        let command_line = String::from_utf8_lossy(&command_line).replace('\0', " ");
        let is_inside = fs::read_link(process.join("ns/pid")).is_ok_and(|name| name == Path::new(namespace));
        if is_inside || command_line.contains(&*folder.to_string_lossy()) {
            found.push(command_line);
        }
    }
    Ok(found)
}

/// How many of them have that name, in all hierarchies.
fn cgroups(name: &str) -> Result<usize> {
    let mut count = usize::from(Path::new(CGROUPS).join(name).exists());
    for hierarchy in fs::read_dir(CGROUPS)? {
        count += usize::from(hierarchy?.path().join(name).exists());
    }
    Ok(count)
}

/// Those that a kubelet makes which has no root of its own.
fn kubepods() -> Vec<PathBuf> {
    let places = ["kubepods", "kubepods.slice", "memory/kubepods", "memory/kubepods.slice"];
    places.iter().map(|place| Path::new(CGROUPS).join(place)).filter(|path| path.exists()).collect()
}

/// Which the root of cgroups of version 2 gives out, but for those that it does only for clusters. None with version 1.
fn controllers() -> BTreeSet<String> {
    words(&Path::new(CGROUPS).join("cgroup.subtree_control")).difference(&noted_controllers()).cloned().collect()
}

fn noted_controllers() -> BTreeSet<String> {
    words(Path::new("/run/streamgate-controllers"))
}

fn words(path: &Path) -> BTreeSet<String> {
    fs::read_to_string(path).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn is_there_a_cluster() -> bool {
    let mut cgroups = fs::read_dir(CGROUPS).into_iter().flatten().flatten();
    cgroups.any(|cgroup| cgroup.file_name().to_string_lossy().starts_with("streamgate-"))
}

/// The lines about a cluster's folder, or about what a cluster mounts over, which is the machine's. Other mounts come and go.
fn mounts<'a>(mountinfo: &'a str, folder: &Path) -> Vec<&'a str> {
    // As the kernel writes a blank.
    let folder = folder.to_string_lossy().replace(' ', "\\040");
    let is_of_a_cluster = |line: &&str| {
        let place = line.split(' ').nth(4).unwrap_or_default();
        line.contains(&folder)
            || ["/run", "/var/log", "/var/lib"].contains(&place)
            || ["/proc/sys/vm/", "/proc/sys/kernel/"].iter().any(|start| place.starts_with(start))
    };
    mountinfo.lines().filter(is_of_a_cluster).collect()
}

/// The bridges of a cluster that are in the machine's own network.
fn links() -> Vec<&'static str> {
    ["node", "pods"].into_iter().filter(|name| Path::new("/sys/class/net").join(name).exists()).collect()
}

/// The settings of the whole machine that Kubernetes changes. One that isn't there may come with a module of the kernel.
fn settings() -> BTreeMap<&'static str, String> {
    let names = [
        "kernel/keys/root_maxbytes",
        "kernel/keys/root_maxkeys",
        "kernel/panic",
        "kernel/panic_on_oops",
        "net/ipv4/ip_forward",
        "net/netfilter/nf_conntrack_max",
        "vm/overcommit_memory",
    ];
    names
        .into_iter()
        .filter_map(|name| Some((name, fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?)))
        .collect()
}

const CGROUPS: &str = "/sys/fs/cgroup";
