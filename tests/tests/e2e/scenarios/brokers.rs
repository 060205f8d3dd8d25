//! Brokers come and go: devices stay with the pod of the same name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use streamgate_tests::wait;

use crate::afterwards::Afterwards;
use crate::fleet::{Fleet, share};
use crate::kube::name;
use crate::measured::Measured;
use crate::site::{FLEET, SYSTEM, Site};

/// A rolling restart: each device comes back to the pod of the same name, which has another address by then, as soon as it
/// connects anew. Those of the broker that is replaced first do so as the others go.
pub(crate) fn rolling_restart_of_brokers_brings_each_device_back_to_its_pod(
    site: &Site,
    measured: &mut Measured,
) -> Result<()> {
    let fleet = site.start_fleet(100)?;
    let (before, addresses) = (fleet.brokers(), addresses(site)?);
    let versions = site.versions()?;
    let start = Instant::now();
    site.kube.restart(FLEET, "statefulset/broker")?;
    fleet.wait_until_whole()?;
    let happened = fleet.since(start);
    let elsewhere = moved(&fleet, &before);
    // The last ordinal is replaced first, and is there again before any other goes.
    let early: Vec<_> = elsewhere.keys().filter(|device| before.get(*device).is_some_and(|own| own == FIRST)).collect();
    ensure!(
        early.is_empty(),
        "{FIRST} was there again before others went, and these didn't come back to it: {early:?}"
    );
    let strayed = strayed(site, &fleet, &before)?;
    ensure!(strayed.is_empty(), "with all brokers there, these came back to another one: {strayed:?}");
    for (pod, address) in self::addresses(site)? {
        ensure!(addresses.get(&pod) != Some(&address), "{pod} has kept its address {address}");
    }
    ensure!(site.versions()? == versions, "a status was written for a rollout of brokers");
    let elsewhere = format!("{} of {}", elsewhere.len(), before.len());
    measured.value("rollout of 3 brokers: devices that are at another until they connect anew", elsewhere);
    measured.seconds("rollout of 3 brokers: the longest gap of a device", happened.longest_gap());
    Ok(())
}

/// The broker that a rollout of three replaces first.
const FIRST: &str = "broker-2";

/// A fourth broker takes a quarter of the devices, and gives them back.
pub(crate) fn scaling_brokers_moves_the_share_that_it_must_and_no_other(
    site: &Site,
    measured: &mut Measured,
) -> Result<()> {
    const DEVICES: usize = 300;

    let fleet = site.start_fleet(DEVICES)?;
    let three = fleet.brokers();
    let three_again = Afterwards::new(|| {
        scale(site, 3)?;
        site.kube.kubectl(&format!("wait -n {FLEET} pod/broker-3 --for=delete --timeout=60s")).map(|_| ())
    });
    scale(site, 4)?;
    ensure!(fleet.brokers() == three, "somebody was moved while connected");
    // Devices that connect from now on go where all four say.
    let moved = strayed(site, &fleet, &three)?;
    ensure!(moved.values().all(|broker| broker == "broker-3"), "moved to another than the fourth: {moved:?}");
    let part = share(moved.len(), DEVICES);
    ensure!((0.18..=0.32).contains(&part), "{} of {DEVICES} moved", moved.len());
    measured.value("3 to 4 brokers: devices that move", format!("{} of {DEVICES}", moved.len()));

    let start = Instant::now();
    three_again.now()?;
    fleet.wait_until_whole()?;
    let happened = fleet.since(start);
    let cut_off: BTreeSet<String> = happened.departed.iter().map(|number| fleet.client_id(*number)).collect();
    let strayed = strayed(site, &fleet, &three)?;
    ensure!(strayed.is_empty(), "with three brokers again, these are at another one than before: {strayed:?}");
    let of_the_fourth: BTreeSet<String> = moved.into_keys().collect();
    ensure!(cut_off == of_the_fourth, "others than those of the fourth broker were cut off: {happened:?}");
    measured.value("4 to 3 brokers: devices that move", format!("{} of {DEVICES}", happened.departed.len()));
    measured.seconds("4 to 3 brokers: the longest gap of a device", happened.longest_gap());
    Ok(())
}

fn scale(site: &Site, brokers: usize) -> Result<()> {
    site.kube.kubectl(&format!("scale -n {FLEET} statefulset/broker --replicas={brokers}"))?;
    site.kube.wait_for_rollout(FLEET, "statefulset/broker")
}

/// The devices that are at another broker than wanted once each has come back by itself: while its broker was away, a device
/// was taken to another one, and stays there for as long as it is connected.
fn strayed(site: &Site, fleet: &Fleet, wanted: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    wait_until_proxies_know_the_brokers(site)?;
    fleet.reconnect()?;
    Ok(moved(fleet, wanted))
}

/// The devices that are at another broker than wanted, each with where it is.
fn moved(fleet: &Fleet, wanted: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    fleet.brokers().into_iter().filter(|(device, broker)| wanted.get(device) != Some(broker)).collect()
}

/// Waits until every proxy takes devices to the pods that there are, and to no other: a rollout's end comes there later.
fn wait_until_proxies_know_the_brokers(site: &Site) -> Result<()> {
    let pods: BTreeSet<String> = addresses(site)?.into_values().map(|address| format!("{address}:1883")).collect();
    for proxy in site.proxies()? {
        let mut seen = BTreeSet::new();
        let knows = || {
            let page: Value =
                serde_json::from_str(&site.kube.ask_pod(SYSTEM, name(&proxy), 9901, "config").ok()?).ok()?;
            seen = targets(&page);
            (seen == pods).then_some(())
        };
        let waited = wait::until("the brokers' addresses", Duration::from_secs(30), knows);
        waited.with_context(|| format!("{} has {seen:?} in place of {pods:?}", name(&proxy)))?;
    }
    Ok(())
}

/// Where the fleet's route leads, by the page `/config`.
fn targets(page: &Value) -> BTreeSet<String> {
    let all = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
    let routes = all(page, "streamroutes").into_iter().filter(|route| route["namespace"] == FLEET);
    let groups = routes.flat_map(|route| all(&route, "upstream"));
    let endpoints = groups.flat_map(|group| all(&group, "endpoints"));
    endpoints.filter_map(|endpoint| endpoint["target"].as_str().map(str::to_owned)).collect()
}

fn addresses(site: &Site) -> Result<BTreeMap<String, String>> {
    let pods = site.kube.list(&format!("pods -n {FLEET} -l app=broker"))?;
    let address = |pod: &Value| pod["status"]["podIP"].as_str().unwrap_or_default().to_owned();
    Ok(pods.iter().map(|pod| (name(pod).to_owned(), address(pod))).collect())
}
