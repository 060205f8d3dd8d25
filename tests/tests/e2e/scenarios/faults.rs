//! Whatever dies, devices that are connected stay, but for those of a proxy that was killed.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use streamgate_tests::component::Component;
use streamgate_tests::wait;

use crate::afterwards::Afterwards;
use crate::kube::{condition, container_id, container_status, name};
use crate::measured::Measured;
use crate::newcomers;
use crate::site::{FLEET, OPERATOR, PROXIES, SYSTEM, Site};

const DEVICES: usize = 100;

/// The operator, both replicas at once, by SIGKILL: neither gives the Lease back, so that it is taken over as it expires.
pub(crate) fn killed_operators_leave_devices_alone(site: &Site, measured: &mut Measured) -> Result<()> {
    unharmed(site, measured, "both operators killed", |measured| {
        let pods = site.kube.list(&format!("pods -n {SYSTEM} -l app.kubernetes.io/component=operator"))?;
        let before: Vec<_> = pods.iter().map(|pod| restarts_in(pod, "operator")).collect();
        let holder = lease_holder(site)?;
        let start = Instant::now();
        for pod in &pods {
            site.machine.kill_container(container_id(pod, "operator")?)?;
        }
        for (pod, before) in pods.iter().zip(before) {
            wait_for_restart(site, name(pod), "operator", before)?;
        }
        site.kube.wait_for_rollout(SYSTEM, OPERATOR)?;
        route_takes_effect(site)?;
        ensure!(lease_holder(site)? != holder, "the Lease is still of one that was killed: {holder}");
        measured.seconds("both operators killed: until a new route is in effect", start.elapsed());
        Ok(())
    })
}

/// The sidecar: kubelet starts it again, and it goes on.
pub(crate) fn a_killed_sync_comes_back(site: &Site, measured: &mut Measured) -> Result<()> {
    unharmed(site, measured, "sync killed", |measured| {
        let pod = site.proxies()?.into_iter().next().context("no proxy")?;
        let start = Instant::now();
        site.machine.kill_container(container_id(&pod, "config-sync")?)?;
        wait_for_restart(site, name(&pod), "config-sync", restarts_in(&pod, "config-sync"))?;
        route_takes_effect(site)?;
        measured.seconds("sync killed: until a new route is in effect", start.elapsed());
        Ok(())
    })
}

/// A proxy: its devices come back at once, by the other or by the one that kubelet starts; the other's notice nothing.
pub(crate) fn devices_of_a_killed_proxy_come_back(site: &Site, measured: &mut Measured) -> Result<()> {
    let fleet = site.start_fleet(DEVICES)?;
    let proxies = site.proxies()?;
    let pod = proxies.first().context("no proxy")?;
    // Those of a fleet from before may still be about to go.
    let (its, others) = wait::until("proxies with no other devices than the fleet's", wait::SOON, || {
        let counts: Vec<_> = proxies
            .iter()
            .map(|proxy| site.count(proxy, "streamgate_connections_active", "").ok())
            .collect::<Option<_>>()?;
        let (its, others) = (counts[0], counts[1..].iter().sum::<usize>());
        (its + others == DEVICES).then_some((its, others))
    })?;
    ensure!(its > 0 && others > 0, "one proxy has all devices: {its} and {others}");
    let start = Instant::now();
    site.machine.kill_container(container_id(pod, "proxy")?)?;
    wait_for_restart(site, name(pod), "proxy", restarts_in(pod, "proxy"))?;
    fleet.wait_until_whole()?;
    let happened = fleet.since(start);
    // All of its own are, so where they are as many they are no other's.
    let cut_off = happened.departed.len();
    ensure!(cut_off == its && happened.departures == its, "of the {its} of that proxy: {happened:?}");
    measured.value(
        "a proxy of two killed: its devices, the other's, those that were cut off",
        format!("{its}, {others}, {cut_off}"),
    );
    measured.seconds("a proxy of two killed: the longest gap of a device", happened.longest_gap());
    site.kube.wait_for_rollout(SYSTEM, PROXIES)?;
    site.wait_until_all_is_true(&[FLEET, "acme", "globex"])
}

/// kubelet and containerd: containers go on, and further ones can be started.
pub(crate) fn a_node_whose_kubelet_and_containerd_restart_keeps_its_devices(
    site: &Site,
    measured: &mut Measured,
) -> Result<()> {
    unharmed(site, measured, "kubelet and containerd restarted", |measured| {
        let before = container_ids(&site.proxies()?)?;
        let start = Instant::now();
        site.machine.restart(Component::Kubelet)?;
        site.machine.restart(Component::Containerd)?;
        wait_until_the_node_serves(site)?;
        route_takes_effect(site)?;
        ensure!(container_ids(&site.proxies()?)? == before, "proxies were started again");
        measured.seconds("kubelet and containerd restarted: until a new route is in effect", start.elapsed());
        Ok(())
    })
}

/// The API server, for a minute: devices stay, and further ones get in.
pub(crate) fn devices_connect_while_the_api_server_is_away(site: &Site, measured: &mut Measured) -> Result<()> {
    unharmed(site, measured, "API server away for a minute", |measured| {
        let address = site.address()?;
        site.machine.kill(Component::ApiServer)?;
        let server = Afterwards::new(|| site.machine.start(Component::ApiServer));
        // kind's kubelet ends it in its own time.
        let is_away = || (!site.kube.try_kubectl("get --raw /readyz").ok()?.success()).then_some(());
        wait::until("the API server's end", MINUTE, is_away)?;
        let start = Instant::now();
        let mut connects = 0;
        while start.elapsed() < MINUTE {
            connects += newcomers::connect(site, address)?;
            std::thread::sleep(Duration::from_secs(5));
        }
        server.now()?;
        measured.value("API server away for a minute: connects meanwhile", connects);
        let start = Instant::now();
        wait::until("the API server", MINUTE, || {
            site.kube.try_kubectl("get --raw /readyz").ok()?.success().then_some(())
        })?;
        route_takes_effect(site)?;
        measured.seconds("API server back: until a new route is in effect", start.elapsed());
        // Kubernetes takes a node for lost whose kubelet could say nothing for so long, and its pods out of all Services, until
        // its parts have heard of each other again: a new connection would be refused meanwhile.
        wait_until_the_node_serves(site)
    })
}

/// A proxy whose sidecar can't reach the API server: its devices stay, what it can't have is Unknown, and all is well after.
pub(crate) fn a_pod_that_is_cut_off_from_the_api_keeps_its_devices(site: &Site, measured: &mut Measured) -> Result<()> {
    unharmed(site, measured, "a pod cut off from the API", |measured| {
        let proxies = site.proxies()?;
        let pod = proxies.first().context("no proxy")?;
        let address = pod["status"]["podIP"].as_str().context("a pod without an address")?;
        let start = Instant::now();
        site.machine.cut_off(address)?;
        let filter = Afterwards::new(|| site.machine.let_through());
        let unknown = wait::until("Programmed=Unknown", MINUTE, || {
            let (status, reason, message) = programmed(site)?;
            (status == "Unknown").then_some((reason, message))
        });
        let took = start.elapsed();
        filter.now()?;
        let (reason, message) = unknown?;
        ensure!(reason == "ProxySilent" && message.contains(name(pod)), "{reason}: {message}");
        measured.seconds("a pod cut off from the API: until Programmed is Unknown", took);
        let start = Instant::now();
        site.wait_until_all_is_true(&[FLEET])?;
        measured.seconds("a pod back at the API: until Programmed is True", start.elapsed());
        route_takes_effect(site)
    })
}

/// Does something under a fleet, of which no device may notice it, and after which all conditions are True.
fn unharmed(
    site: &Site,
    measured: &mut Measured,
    what: &str,
    does: impl FnOnce(&mut Measured) -> Result<()>,
) -> Result<()> {
    let fleet = site.start_fleet(DEVICES)?;
    let start = Instant::now();
    does(measured)?;
    site.wait_until_all_is_true(&[FLEET, "acme", "globex"])?;
    measured.value(format!("{what}: devices that noticed"), fleet.since(start).ensure_nothing()?);
    Ok(())
}

/// Applies a route that nothing had before, waits for it, and takes it away.
pub(crate) fn route_takes_effect(site: &Site) -> Result<()> {
    let route = "{apiVersion: streamgate.dev/v1alpha1, kind: StreamRoute, metadata: {namespace: fleet, name: later}, spec: \
                 {match: {snis: [devices.fleet.example], sourceRanges: [192.0.2.0/24]}, upstream: {services: [{name: broker, port: mqtt}]}}}";
    site.kube.apply(route)?;
    site.kube.wait_for_condition(FLEET, "streamroute/later", "Programmed")?;
    site.kube.kubectl(&format!("delete -n {FLEET} streamroute/later"))?;
    Ok(())
}

/// Waits until all pods are Ready, and a further one can be connected to by its Service: scheduler, kubelet, controllers and
/// kube-proxy have all heard of the present by then.
fn wait_until_the_node_serves(site: &Site) -> Result<()> {
    site.kube.wait_for_condition("default", "nodes --all", "Ready")?;
    for namespace in [SYSTEM, FLEET, "acme", "globex"] {
        site.kube.wait_for_condition(namespace, "pods --all", "Ready")?;
    }
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": FLEET, "name": "newcomer"},
        "spec": {"type": "NodePort", "selector": {"app": "newcomer"}, "ports": [{"name": "mqtt", "port": 1883}]},
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": FLEET, "name": "newcomer", "labels": {"app": "newcomer"}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1883, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "mosquitto", "image": site.images.mosquitto,
                "command": ["mosquitto", "-c", "/etc/broker/mosquitto.conf"],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "settings", "mountPath": "/etc/broker"}],
            }],
            "volumes": [{"name": "settings", "configMap": {"name": "broker"}}],
        },
    });
    site.kube.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [service, pod]}).to_string())?;
    let leave = Afterwards::new(|| {
        site.kube.kubectl(&format!("delete -n {FLEET} pod/newcomer service/newcomer --timeout=60s")).map(|_| ())
    });
    site.kube.wait_for_condition(FLEET, "pod/newcomer", "Ready")?;
    let service = site.kube.get(&format!("service -n {FLEET} newcomer"))?;
    let port = service["spec"]["ports"][0]["nodePort"].as_u64().and_then(|port| u16::try_from(port).ok());
    let address = SocketAddr::new(site.address()?.ip(), port.context("a Service without a NodePort")?);
    wait::until("a connection to the new pod", Duration::from_mins(2), || TcpStream::connect(address).ok())?;
    leave.now()
}

/// Waits until a container runs that was started again since.
fn wait_for_restart(site: &Site, pod: &str, container: &str, before: u64) -> Result<()> {
    let is_again = || {
        let pod = site.kube.get(&format!("pod -n {SYSTEM} {pod}")).ok()?;
        let runs = container_status(&pod, container).is_some_and(|status| !status["state"]["running"].is_null());
        (runs && restarts_in(&pod, container) > before).then_some(())
    };
    wait::until("the container's next start", MINUTE, is_again).with_context(|| format!("{container} of {pod}"))
}

/// How often a container was started again.
fn restarts_in(pod: &Value, container: &str) -> u64 {
    container_status(pod, container).and_then(|status| status["restartCount"].as_u64()).unwrap_or(0)
}

/// The containers of the proxies' pods: one that is started again has another id.
fn container_ids(pods: &[Value]) -> Result<BTreeSet<String>> {
    let containers = pods.iter().flat_map(|pod| [(pod, "proxy"), (pod, "config-sync")]);
    containers.map(|(pod, container)| Ok(container_id(pod, container)?.to_owned())).collect()
}

fn lease_holder(site: &Site) -> Result<String> {
    let lease = site.kube.get(&format!("lease -n {SYSTEM} streamgate-operator"))?;
    Ok(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
}

fn programmed(site: &Site) -> Option<(String, String, String)> {
    condition(&site.kube.get(&format!("streamroute -n {FLEET} devices")).ok()?, "Programmed")
}

const MINUTE: Duration = Duration::from_mins(1);
