//! A node is drained under its proxies.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use streamgate_tests::process::Process;
use streamgate_tests::wait;

use crate::afterwards::Afterwards;
use crate::handover::{Ended, Handover};
use crate::measured::Measured;
use crate::scenarios::proxies::wait_until_two_proxies_are_left;
use crate::site::{FLEET, Site};

const DEVICES: usize = 100;

/// `kubectl drain`: of two proxies the budget lets one go, and the other once that is replaced. Where this is the only node, it
/// takes pods again as soon as the second was refused, so that there is somewhere to go.
pub(crate) fn a_drained_node_lets_its_proxies_go_one_at_a_time(site: &Site, measured: &mut Measured) -> Result<()> {
    let fleet = site.start_fleet(DEVICES)?;
    let proxies = site.proxies()?;
    let node = |proxy: &Value| proxy["spec"]["nodeName"].as_str().map(str::to_owned);
    let drained = proxies.first().and_then(node).context("a proxy without a node")?;
    let its: Vec<_> = proxies.iter().filter(|proxy| node(proxy).as_ref() == Some(&drained)).cloned().collect();
    let handover = Handover::of(site, &its)?;
    let mut cordon = Some(Afterwards::new(|| site.kube.kubectl(&format!("uncordon {drained}")).map(|_| ())));

    let start = Instant::now();
    let line = format!(
        "drain {drained} --pod-selector=app.kubernetes.io/component=proxy --delete-emptydir-data --ignore-daemonsets --timeout=3m"
    );
    let mut drain = Process::start(site.kube.command("kubectl", &line))?;
    let (mut fewest, mut refusals) = (proxies.len(), 0);
    while drain.is_running() {
        fewest = fewest.min(serving(site)?);
        refusals = drain.lines().iter().filter(|line| line.contains("violate the pod's disruption budget")).count();
        if refusals > 0 {
            cordon.take().map_or(Ok(()), Afterwards::now)?;
        }
    }
    let end = drain.wait_for_end(wait::SOON)?;
    ensure!(end.success(), "kubectl drain: {end}: {:?}", drain.lines());
    measured.seconds(format!("a node drained of {} proxies", its.len()), start.elapsed());
    cordon.take().map_or(Ok(()), Afterwards::now)?;

    ensure!(fewest + 1 == proxies.len(), "of {} proxies {fewest} served", proxies.len());
    ensure!(its.len() < 2 || refusals > 0, "no eviction was refused");
    let Ended { longest, happened, .. } = handover.ends_in_time(&fleet)?;
    wait_until_two_proxies_are_left(site)?;
    happened.ensure_nobody_was_refused()?;
    measured.value("a node drained: the fewest of 2 proxies that served", fewest);
    measured.seconds("a node drained: from when a proxy begins to stop until its last device is back", longest);
    measured.seconds("a node drained: the longest gap of a device", happened.longest_gap());
    site.wait_until_all_is_true(&[FLEET])
}

/// How many proxies get new devices, and are to stay.
fn serving(site: &Site) -> Result<usize> {
    let is_ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    let proxies = site.proxies()?;
    Ok(proxies.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null() && is_ready(pod)).count())
}
