//! Whatever dies, devices that are connected stay, but for those of a proxy that was killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use streamgate_tests::wait;

use crate::fleet::{Fleet, Terms};
use crate::kube::{condition, container_id, container_status, name};
use crate::machine::Component;
use crate::measured::Measured;
use crate::site::{FLEET, FLEET_NAME, SYSTEM, Site};

const DEVICES: usize = 100;

/// The operator, both replicas at once.
pub(crate) fn killed_operators_leave_devices_alone(site: &Site, measured: &mut Measured) -> Result<()> {
    unharmed(site, || {
        let start = Instant::now();
        site.kube.kubectl(&format!(
            "delete pods -n {SYSTEM} -l app.kubernetes.io/component=operator --grace-period=0 --force"
        ))?;
        site.kube.wait_for_rollout(SYSTEM, "deployment/streamgate-operator")?;
        route_takes_effect(site)?;
        measured.seconds("both operators killed: until a new route is in effect", start.elapsed());
        Ok(())
    })
}

/// The sidecar: kubelet starts it again, and it goes on.
pub(crate) fn a_killed_sync_comes_back(site: &Site, measured: &mut Measured) -> Result<()> {
    unharmed(site, || {
        let pod = site.proxies()?.first().map(|pod| name(pod).to_owned()).context("no proxy")?;
        let start = Instant::now();
        kill_container(site, &pod, "config-sync")?;
        wait::until("the sidecar's next start", MINUTE, || {
            (restarts(site, &pod, "config-sync").ok()? > 0).then_some(())
        })?;
        route_takes_effect(site)?;
        measured.seconds("sync killed: until a new route is in effect", start.elapsed());
        Ok(())
    })
}

/// A proxy: its devices come back at once, by the other or by the one that kubelet starts.
pub(crate) fn devices_of_a_killed_proxy_come_back(site: &Site, measured: &mut Measured) -> Result<()> {
    let fleet = site.start_fleet(DEVICES)?;
    let pod = site.proxies()?.first().map(|pod| name(pod).to_owned()).context("no proxy")?;
    let start = Instant::now();
    kill_container(site, &pod, "proxy")?;
    wait::until("the proxy's next start", MINUTE, || (restarts(site, &pod, "proxy").ok()? > 0).then_some(()))?;
    fleet.wait_until_whole()?;
    let happened = fleet.since(start);
    ensure!(!happened.departed.is_empty() && happened.departed.len() < DEVICES, "{happened:?}");
    measured
        .value("a proxy of two killed: devices that were cut off", format!("{} of {DEVICES}", happened.departed.len()));
    measured.seconds("a proxy of two killed: the longest gap of a device", happened.longest_gap);
    site.kube.wait_for_rollout(SYSTEM, "deployment/streamgate-default")?;
    site.wait_until_all_is_true(&[FLEET])
}

/// kubelet and containerd.
pub(crate) fn a_node_whose_kubelet_and_containerd_restart_keeps_its_devices(
    site: &Site,
    measured: &mut Measured,
) -> Result<()> {
    unharmed(site, || {
        let start = Instant::now();
        site.machine.restart(Component::Kubelet)?;
        site.machine.restart(Component::Containerd)?;
        site.kube.wait_for_condition("default", "nodes --all", "Ready")?;
        route_takes_effect(site)?;
        measured.seconds("kubelet and containerd restarted: until a new route is in effect", start.elapsed());
        Ok(())
    })
}

/// The API server, for a minute: devices stay, and further ones get in.
pub(crate) fn devices_connect_while_the_api_server_is_away(site: &Site, measured: &mut Measured) -> Result<()> {
    unharmed(site, || {
        let address = site.address()?;
        site.machine.stop(Component::ApiServer)?;
        let start = Instant::now();
        let mut connects = 0;
        while start.elapsed() < MINUTE {
            let client = site.fleet_device("newcomer")?;
            let newcomers = Fleet::start(&Terms {
                address,
                client: &client,
                name: FLEET_NAME,
                called: "newcomer",
                count: 20,
                have_wills: false,
            })?;
            let happened = newcomers.since(start);
            ensure!(happened.refused.is_empty() && happened.failed.is_empty(), "{happened:?}");
            connects += 20;
            std::thread::sleep(Duration::from_secs(5));
        }
        site.machine.start(Component::ApiServer)?;
        measured.value("API server away for a minute: connects meanwhile, refused", format!("{connects}, 0"));
        let start = Instant::now();
        wait::until("the API server", MINUTE, || {
            site.kube.try_kubectl("get --raw /readyz").ok()?.success().then_some(())
        })?;
        route_takes_effect(site)?;
        measured.seconds("API server back: until a new route is in effect", start.elapsed());
        Ok(())
    })
}

/// A proxy whose sidecar can't reach the API server: its devices stay, what it can't have is Unknown, and all is well after.
pub(crate) fn a_pod_that_is_cut_off_from_the_api_keeps_its_devices(site: &Site, measured: &mut Measured) -> Result<()> {
    unharmed(site, || {
        let proxies = site.proxies()?;
        let pod = proxies.first().context("no proxy")?;
        let address = pod["status"]["podIP"].as_str().context("a pod without an address")?;
        let start = Instant::now();
        site.machine.cut_off(address)?;
        let unknown = wait::until("Programmed=Unknown", MINUTE, || {
            let (status, reason, message) = programmed(site)?;
            (status == "Unknown").then_some((reason, message))
        });
        let took = start.elapsed();
        site.machine.let_through()?;
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
fn unharmed(site: &Site, does: impl FnOnce() -> Result<()>) -> Result<()> {
    let fleet = site.start_fleet(DEVICES)?;
    let start = Instant::now();
    does()?;
    site.wait_until_all_is_true(&[FLEET])?;
    let happened = fleet.since(start);
    ensure!(happened.is_nothing(), "devices noticed it: {happened:?}");
    Ok(())
}

/// Applies a route that nothing had before, waits for it, and takes it away.
fn route_takes_effect(site: &Site) -> Result<()> {
    let route = "{apiVersion: streamgate.dev/v1alpha1, kind: StreamRoute, metadata: {namespace: fleet, name: later}, spec: \
                 {match: {snis: [devices.fleet.example], sourceRanges: [192.0.2.0/24]}, upstream: {services: [{name: broker, port: mqtt}]}}}";
    site.kube.apply(route)?;
    site.kube.wait_for_condition(FLEET, "streamroute/later", "Programmed")?;
    site.kube.kubectl(&format!("delete -n {FLEET} streamroute/later"))?;
    Ok(())
}

/// Ends a container's process by SIGKILL, from outside, for there is nothing in it to do so by.
fn kill_container(site: &Site, pod: &str, container: &str) -> Result<()> {
    site.machine.kill_container(container_id(&site.kube.get(&format!("pod -n {SYSTEM} {pod}"))?, container)?)
}

/// How often it was started again, if it runs.
fn restarts(site: &Site, pod: &str, container: &str) -> Result<u64> {
    let pod = site.kube.get(&format!("pod -n {SYSTEM} {pod}"))?;
    let status = container_status(&pod, container).filter(|status| !status["state"]["running"].is_null());
    Ok(status.map_or(0, |status| status["restartCount"].as_u64().unwrap_or(0)))
}

fn programmed(site: &Site) -> Option<(String, String, String)> {
    condition(&site.kube.get(&format!("streamroute -n {FLEET} devices")).ok()?, "Programmed")
}

const MINUTE: Duration = Duration::from_mins(1);
