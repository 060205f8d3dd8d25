//! Proxies come and go under their devices.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use streamgate_tests::process::Process;
use streamgate_tests::wait;

use crate::afterwards::Afterwards;
use crate::handover::{Ended, Handover};
use crate::kube::{condition, name};
use crate::measured::Measured;
use crate::newcomers;
use crate::site::{FLEET, PROXIES, SYSTEM, Site};

const DEVICES: usize = 500;
/// The reason code "Server shutting down" of a DISCONNECT (MQTT 5, 3.14.2.1).
const SERVER_SHUTTING_DOWN: u8 = 0x8b;

/// 500 devices, of MQTT 3.1.1 and 5.0, while all proxies are replaced: those of MQTT 5 are told, each proxy's are back in the
/// drain time, nobody is refused meanwhile, be it a device that is new, and they don't all go at once.
pub(crate) fn rolling_restart_of_proxies_hands_devices_over(site: &Site, measured: &mut Measured) -> Result<()> {
    let fleet = site.start_fleet(DEVICES)?;
    let handover = Handover::of(site, &site.proxies()?)?;
    let newcomers = newcomers::meanwhile(site, || {
        site.kube.restart(SYSTEM, PROXIES)?;
        wait_until_two_proxies_are_left(site)
    })?;
    let Ended { longest, spike, happened } = handover.ends_in_time(&fleet)?;
    happened.ensure_nobody_was_refused()?;
    ensure!(happened.departed.len() == DEVICES, "{} of {DEVICES} were handed over", happened.departed.len());
    let told = happened.told.get(&SERVER_SHUTTING_DOWN).cloned().unwrap_or_default();
    ensure!(told == fleet.of_mqtt_5(), "other devices were told than those of MQTT 5: {told:?}");
    ensure!(happened.told.len() == 1, "other reasons were given: {:?}", happened.told);
    // Evenly spread it is a tenth.
    ensure!(spike < 0.15, "{:.0} % of a proxy's devices went within one second", spike * 100.0);
    measured.value(
        format!("rollout of 2 proxies, {DEVICES} devices: told by DISCONNECT, closed without"),
        format!("{}, {}", told.len(), happened.departed.difference(&told).count()),
    );
    measured.value(
        "rollout of proxies: the most of one's devices that went within a second",
        format!("{:.0} %", spike * 100.0),
    );
    measured.value("rollout of proxies: newcomers that were let in meanwhile", newcomers);
    measured.seconds("rollout of proxies: the longest gap of a device", happened.longest_gap());
    measured.seconds("rollout of proxies: from when one begins to stop until its last device is back", longest);
    Ok(())
}

/// What brokers publish of a device that its proxy hands back: its will with `Publish`, which is the default, and nothing
/// with `Suppress`.
pub(crate) fn wills_are_published_at_a_drain_as_the_route_says(site: &Site, measured: &mut Measured) -> Result<()> {
    const DEVICES: usize = 60;

    let as_before = Afterwards::new(|| on_drain(site, "null"));
    for (will, is_published) in [("Publish", true), ("Suppress", false)] {
        on_drain(site, &format!(r#"{{"will":"{will}"}}"#))?;
        site.kube.wait_for_condition(FLEET, "streamroute/devices", "Programmed")?;
        let fleet = site.start_fleet_with(DEVICES, true)?;
        let mut watchers = watch_wills(site)?;
        let start = Instant::now();
        site.kube.restart(SYSTEM, PROXIES)?;
        wait_until_two_proxies_are_left(site)?;
        fleet.wait_until_whole()?;
        let departures = fleet.since(start).departures;
        ensure!(departures >= DEVICES, "{departures} of {DEVICES} were handed over");
        // One that was handed over twice leaves two.
        let wanted = if is_published { departures } else { 0 };
        wait::until("the wills", wait::SOON, || (wills(&watchers) >= wanted).then_some(()))
            .with_context(|| format!("{} of {wanted}", wills(&watchers)))?;
        wait_for_marker(site, &mut watchers)?;
        let published = wills(&watchers);
        ensure!(published == wanted, "{published} wills with {will}, in place of {wanted}");
        measured.value(
            format!("wills of {DEVICES} devices with onDrain.will {will}: handed over, published"),
            format!("{departures}, {published}"),
        );
    }
    as_before.now()
}

fn on_drain(site: &Site, value: &str) -> Result<()> {
    let patch = format!(r#"{{"spec":{{"onDrain":{value}}}}}"#);
    let words = ["patch", "-n", FLEET, "streamroute/devices", "--type=merge", "-p", &patch];
    site.kube.kubectl_words(&words)?.succeeded("kubectl patch")?;
    Ok(())
}

/// More proxies: no status is written, `Programmed` stays True, and a new one takes devices only once it has the routes.
pub(crate) fn scaling_proxies_writes_no_status_and_refuses_nobody(site: &Site, measured: &mut Measured) -> Result<()> {
    let (fleet, versions) = (site.start_fleet(100)?, site.versions()?);
    let two = Afterwards::new(|| {
        site.kube.kubectl(&format!("scale -n {SYSTEM} {PROXIES} --replicas=2"))?;
        wait_until_two_proxies_are_left(site)
    });
    let start = Instant::now();
    site.kube.kubectl(&format!("scale -n {SYSTEM} {PROXIES} --replicas=5"))?;
    // Devices go on connecting meanwhile, to whoever takes them, and until each proxy has had some.
    let mut connected = newcomers::until(site, || Ok(ready(site)? == 5))?;
    measured.seconds("2 to 5 proxies until all are ready", start.elapsed());
    connected += newcomers::until(site, || Ok(site.proxies()?.iter().all(|proxy| has_connected_devices(site, proxy))))?;
    measured.value("2 to 5 proxies: connects until each has had some", connected);
    measured.value("2 to 5 proxies: devices that noticed", fleet.since(start).ensure_nothing()?);
    let back = Instant::now();
    two.now()?;
    fleet.wait_until_whole()?;
    let happened = fleet.since(back);
    happened.ensure_nobody_was_refused()?;
    measured.value(
        "5 to 2 proxies: devices handed over, the longest gap of one",
        format!("{}, {:.1} s", happened.departed.len(), happened.longest_gap().as_secs_f64()),
    );
    ensure!(site.versions()? == versions, "a status was written while proxies came and went");
    let route = site.kube.get(&format!("streamroute -n {FLEET} devices"))?;
    let programmed = condition(&route, "Programmed").context("no condition Programmed")?;
    ensure!(programmed.0 == "True", "{programmed:?}");
    Ok(())
}

/// Whether a CONNECT was taken by the fleet's route in this proxy.
fn has_connected_devices(site: &Site, proxy: &Value) -> bool {
    let route = format!("route=\"{FLEET}/devices\"");
    site.count(proxy, "streamgate_connects_total", &route).is_ok_and(|count| count > 0)
}

fn ready(site: &Site) -> Result<u64> {
    Ok(site.kube.get(&format!("-n {SYSTEM} {PROXIES}"))?["status"]["readyReplicas"].as_u64().unwrap_or(0))
}

/// Those that go are gone too: until then they hand devices back.
pub(crate) fn wait_until_two_proxies_are_left(site: &Site) -> Result<()> {
    wait::until("the old proxies' end", Duration::from_secs(90), || {
        let pods = site.proxies().ok()?;
        (pods.len() == 2 && ready(site).ok()? == 2).then_some(())
    })
}

/// A subscriber at each broker itself, past the proxies.
fn watch_wills(site: &Site) -> Result<BTreeMap<String, Process>> {
    let mut watchers = BTreeMap::new();
    for pod in site.kube.list(&format!("pods -n {FLEET} -l app=broker"))? {
        let line = format!("exec -n {FLEET} {} -- mosquitto_sub -v -t wills/# -t whoami", name(&pod));
        let mut watcher = Process::start(site.kube.command("kubectl", &line))?;
        // The retained message says that it has subscribed.
        watcher.wait_for_line("the subscription", wait::SOON, |line| line.starts_with("whoami").then_some(()))?;
        watchers.insert(name(&pod).to_owned(), watcher);
    }
    Ok(watchers)
}

/// What is published at each broker now is the last that its watcher has to tell: all wills before it have been told.
fn wait_for_marker(site: &Site, watchers: &mut BTreeMap<String, Process>) -> Result<()> {
    for (broker, watcher) in watchers {
        site.kube.kubectl(&format!("exec -n {FLEET} {broker} -- mosquitto_pub -t {MARKER} -m here"))?;
        watcher.wait_for_line("the marker", wait::SOON, |line| line.starts_with(MARKER).then_some(()))?;
    }
    Ok(())
}

fn wills(watchers: &BTreeMap<String, Process>) -> usize {
    let lines = watchers.values().flat_map(Process::lines);
    lines.filter(|line| line.starts_with("wills/") && !line.starts_with(MARKER)).count()
}

const MARKER: &str = "wills/marker";
