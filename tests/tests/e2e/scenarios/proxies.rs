//! Proxies come and go under their devices.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use streamgate_tests::process::Process;
use streamgate_tests::wait;

use crate::fleet::{Fleet, Happened};
use crate::kube::{condition, name};
use crate::measured::Measured;
use crate::site::{FLEET, PROXIES, SYSTEM, Site};

const DEVICES: usize = 500;
/// Use another server.
const SERVER_SHUTTING_DOWN: u8 = 0x8b;

/// 500 devices, of MQTT 3.1.1 and 5.0, while all proxies are replaced: those of MQTT 5 are told, all are back in the drain
/// time, nobody is refused meanwhile, and they don't all go at once.
pub(crate) fn rolling_restart_of_proxies_hands_devices_over(site: &Site, measured: &mut Measured) -> Result<()> {
    let fleet = site.start_fleet(DEVICES)?;
    let start = Instant::now();
    site.kube.restart(SYSTEM, PROXIES)?;
    wait_until_two_proxies_are_left(site)?;
    fleet.wait_until_whole()?;
    let happened = fleet.since(start);
    ensure_nobody_was_refused(&happened)?;
    ensure!(happened.departed.len() == DEVICES, "{} of {DEVICES} were handed over", happened.departed.len());
    let told = happened.told.get(&SERVER_SHUTTING_DOWN).copied().unwrap_or(0);
    ensure!(told >= DEVICES / 2, "devices of MQTT 5 were not told: {:?}", happened.told);
    ensure!(happened.told.len() == 1, "other reasons were given: {:?}", happened.told);
    ensure!(happened.longest_gap < Duration::from_secs(10), "a device was away for {:?}", happened.longest_gap);
    let spike = happened.largest_share_within_a_second();
    ensure!(spike < 0.35, "{:.0} % of the devices went within one second", spike * 100.0);
    measured.value(
        "rollout of 2 proxies, 500 devices: told by DISCONNECT, closed, refused",
        format!("{told}, {}, 0", happened.lost),
    );
    measured.value("rollout of proxies: the most that went within a second", format!("{:.0} %", spike * 100.0));
    measured.seconds("rollout of proxies: the longest gap of a device", happened.longest_gap);
    Ok(())
}

/// What brokers publish of a device that its proxy hands back: its will with `Publish`, which is the default, and nothing
/// with `Suppress`.
pub(crate) fn wills_are_published_at_a_drain_as_the_route_says(site: &Site, measured: &mut Measured) -> Result<()> {
    const DEVICES: usize = 60;

    for (will, wanted) in [("Publish", DEVICES), ("Suppress", 0)] {
        let patch = format!(r#"{{"spec":{{"onDrain":{{"will":"{will}"}}}}}}"#);
        site.kube
            .kubectl_words(&["patch", "-n", FLEET, "streamroute/devices", "--type=merge", "-p", &patch])?
            .succeeded("kubectl patch")?;
        site.kube.wait_for_condition(FLEET, "streamroute/devices", "Programmed")?;
        let fleet = site.start_fleet_with(DEVICES, true)?;
        let watchers = watch_wills(site)?;
        let start = Instant::now();
        site.kube.restart(SYSTEM, PROXIES)?;
        wait_until_two_proxies_are_left(site)?;
        fleet.wait_until_whole()?;
        let departures = fleet.since(start).departures.len();
        ensure!(departures >= DEVICES, "{departures} of {DEVICES} were handed over");
        let counted = || watchers.iter().map(|watcher| lines(watcher).len()).sum::<usize>();
        // One that was handed over twice leaves two.
        let wanted = if wanted == 0 { 0 } else { departures };
        wait::until("the wills", Duration::from_secs(15), || (counted() >= wanted).then_some(()))
            .with_context(|| format!("{} of {wanted}", counted()))?;
        ensure!(counted() == wanted, "{} wills with {will}, in place of {wanted}", counted());
        measured.value(format!("wills of {DEVICES} devices with onDrain.will {will}"), counted());
    }
    let patch = r#"{"spec":{"onDrain":null}}"#;
    site.kube.kubectl_words(&["patch", "-n", FLEET, "streamroute/devices", "--type=merge", "-p", patch])?;
    Ok(())
}

/// More proxies: no status is written, `Programmed` stays True, and a new one takes devices only once it has the routes.
pub(crate) fn scaling_proxies_writes_no_status_and_refuses_nobody(site: &Site, measured: &mut Measured) -> Result<()> {
    let (fleet, versions) = (site.start_fleet(100)?, site.versions()?);
    let start = Instant::now();
    site.kube.kubectl(&format!("scale -n {SYSTEM} {PROXIES} --replicas=5"))?;
    // Devices go on connecting meanwhile, to whoever takes them.
    let newcomers = connect_all_the_time(site, || Ok(ready(site)? == 5))?;
    measured.seconds("2 to 5 proxies until all are ready", start.elapsed());
    ensure!(newcomers.refused.is_empty() && newcomers.failed.is_empty(), "refused while proxies came: {newcomers:?}");
    measured.value("2 to 5 proxies: connects meanwhile, refused", format!("{}, 0", newcomers.connected));
    site.kube.kubectl(&format!("scale -n {SYSTEM} {PROXIES} --replicas=2"))?;
    wait_until_two_proxies_are_left(site)?;
    fleet.wait_until_whole()?;
    ensure_nobody_was_refused(&fleet.since(start))?;
    ensure!(site.versions()? == versions, "a status was written while proxies came and went");
    let route = site.kube.get(&format!("streamroute -n {FLEET} devices"))?;
    let programmed = condition(&route, "Programmed").context("no condition Programmed")?;
    ensure!(programmed.0 == "True", "{programmed:?}");
    Ok(())
}

#[derive(Debug, Default)]
struct Newcomers {
    connected: usize,
    refused: Vec<u8>,
    failed: Vec<String>,
}

fn connect_all_the_time(site: &Site, mut is_over: impl FnMut() -> Result<bool>) -> Result<Newcomers> {
    let mut newcomers = Newcomers::default();
    while !is_over()? {
        let start = Instant::now();
        let batch = Fleet::start(&crate::fleet::Terms {
            address: site.address()?,
            client: &site.fleet_device("newcomer")?,
            name: crate::site::FLEET_NAME,
            called: "newcomer",
            count: 20,
            have_wills: false,
        })?;
        let happened = batch.since(start);
        newcomers.connected += happened.connected.len();
        newcomers.refused.extend(happened.refused);
        newcomers.failed.extend(happened.failed);
    }
    Ok(newcomers)
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

fn ensure_nobody_was_refused(happened: &Happened) -> Result<()> {
    ensure!(happened.refused.is_empty(), "refused: {:x?}", happened.refused);
    ensure!(happened.failed.is_empty(), "failed: {:?}", happened.failed);
    Ok(())
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

fn lines((_, watcher): (&String, &Process)) -> Vec<String> {
    watcher.lines().into_iter().filter(|line| line.starts_with("wills/")).collect()
}
