//! Brokers come and go: devices stay with the pod of the same name.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::fleet::{Fleet, share};
use crate::kube::name;
use crate::measured::Measured;
use crate::site::{FLEET, Site};

/// A rolling restart: each device comes back to the pod of the same name, which has another address by then.
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
    ensure_at(site, fleet, &before)?;
    for (pod, address) in self::addresses(site)? {
        ensure!(addresses.get(&pod) != Some(&address), "{pod} has kept its address {address}");
    }
    ensure!(site.versions()? == versions, "a status was written for a rollout of brokers");
    measured.value("rollout of 3 brokers: devices that changed their broker", "0 of 100");
    measured.seconds("rollout of 3 brokers: the longest gap of a device", happened.longest_gap);
    Ok(())
}

/// A fourth broker takes a quarter of the devices, and gives them back.
pub(crate) fn scaling_brokers_moves_the_share_that_it_must_and_no_other(
    site: &Site,
    measured: &mut Measured,
) -> Result<()> {
    const DEVICES: usize = 300;

    let fleet = site.start_fleet(DEVICES)?;
    let three = fleet.brokers();
    site.kube.kubectl(&format!("scale -n {FLEET} statefulset/broker --replicas=4"))?;
    site.kube.wait_for_rollout(FLEET, "statefulset/broker")?;
    ensure!(fleet.brokers() == three, "somebody was moved while connected");
    drop(fleet);
    // Devices that connect from now on go where all four say.
    let fleet = site.start_fleet(DEVICES)?;
    let four = fleet.brokers();
    let moved: Vec<_> = four.iter().filter(|(device, broker)| three.get(*device) != Some(*broker)).collect();
    ensure!(moved.iter().all(|(_, broker)| *broker == "broker-3"), "moved to another than the fourth: {moved:?}");
    let part = share(moved.len(), DEVICES);
    ensure!((0.15..=0.35).contains(&part), "{} of {DEVICES} moved", moved.len());
    measured.value("3 to 4 brokers: devices that move", format!("{} of {DEVICES}", moved.len()));

    let start = Instant::now();
    site.kube.kubectl(&format!("scale -n {FLEET} statefulset/broker --replicas=3"))?;
    site.kube.wait_for_rollout(FLEET, "statefulset/broker")?;
    site.kube.kubectl(&format!("wait -n {FLEET} pod/broker-3 --for=delete --timeout=60s"))?;
    fleet.wait_until_whole()?;
    let happened = fleet.since(start);
    ensure_at(site, fleet, &three)?;
    ensure!(
        happened.departed.len() == moved.len(),
        "others than those of the fourth broker were cut off: {happened:?}"
    );
    measured.value("4 to 3 brokers: devices that move", format!("{} of {DEVICES}", happened.departed.len()));
    measured.seconds("4 to 3 brokers: the longest gap of a device", happened.longest_gap);
    Ok(())
}

/// That each is where it was. While its broker was away, a device was taken to another one, and stays there until it connects
/// anew.
fn ensure_at(site: &Site, fleet: Fleet, wanted: &BTreeMap<String, String>) -> Result<()> {
    drop(fleet);
    let fleet = site.start_fleet(wanted.len())?;
    let brokers = fleet.brokers();
    let strayed: Vec<_> = brokers.iter().filter(|(device, broker)| wanted.get(*device) != Some(*broker)).collect();
    ensure!(strayed.is_empty(), "with all brokers there, these are at another one than before: {strayed:?}");
    Ok(())
}

fn addresses(site: &Site) -> Result<BTreeMap<String, String>> {
    let pods = site.kube.list(&format!("pods -n {FLEET} -l app=broker"))?;
    let address = |pod: &serde_json::Value| pod["status"]["podIP"].as_str().unwrap_or_default().to_owned();
    Ok(pods.iter().map(|pod| (name(pod).to_owned(), address(pod))).collect())
}
