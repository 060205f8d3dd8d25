//! What the platform's people watch.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use streamgate_tests::{chart, wait};

use crate::kube::name;
use crate::measured::Measured;
use crate::scenarios::faults::route_takes_effect;
use crate::site::{SYSTEM, Site};

/// Where devices came and went, pods tell of all that dashboard and alerts ask for, but for what goes wrong by accident alone.
pub(crate) fn dashboard_and_alerts_ask_for_metrics_that_are_told(site: &Site, measured: &mut Measured) -> Result<()> {
    let values = "prometheusRule: {enabled: true}\ndashboard: {enabled: true}\ncrds: {install: false}\n";
    let folder = chart::folder();
    let arguments = ["template", "streamgate", &folder.to_string_lossy(), "--namespace", SYSTEM, "--values", "-"];
    let rendered = chart::helm(None, &arguments, values)?.succeeded("helm template")?.text();
    let wanted = metrics_in(&rendered);
    ensure!(wanted.len() > 15, "dashboard and alerts ask for {wanted:?}");

    // Devices that came and went, and a route.
    drop(site.start_fleet(10)?);
    route_takes_effect(site)?;
    let mut untold = BTreeSet::new();
    let waited = wait::until("all metrics", Duration::from_mins(1), || {
        let told = told(site).ok()?;
        untold =
            wanted.iter().filter(|metric| !told.split(['{', ' ', '\n']).any(|word| word == metric.as_str())).collect();
        untold.iter().all(|metric| NEVER.contains(&metric.as_str())).then_some(())
    });
    waited.with_context(|| format!("nobody tells {untold:?}"))?;
    measured.value(
        "metrics that dashboard and alerts ask for, told by pods",
        format!("{} of {}", wanted.len() - untold.len(), wanted.len()),
    );
    Ok(())
}

/// What all pods of operator and proxies tell.
fn told(site: &Site) -> Result<String> {
    let mut told = String::new();
    let pods = site.kube.list(&format!("pods -n {SYSTEM} -l app.kubernetes.io/name=streamgate"))?;
    for (pod, port) in pods.iter().flat_map(|pod| [(pod, 9901), (pod, 9902), (pod, 9903)]) {
        let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{}:{port}/proxy/metrics", name(pod));
        // Each pod has some of these ports.
        let answer = site.kube.try_kubectl(&format!("get --raw {path}"))?;
        if answer.success() {
            told += &answer.text();
        }
    }
    Ok(told)
}

/// The metrics that stand in these manifests.
fn metrics_in(rendered: &str) -> BTreeSet<String> {
    let is_of_a_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let found = rendered.match_indices("streamgate_").map(|(at, _)| {
        let rest = &rendered[at..];
        rest[..rest.find(|letter| !is_of_a_name(letter)).unwrap_or(rest.len())].to_owned()
    });
    found.collect()
}

/// What is told once it has happened, which it need not have.
const NEVER: &[&str] = &[
    "streamgate_config_refused",
    "streamgate_operator_watch_errors_total",
    "streamgate_sync_objects_passed_over_total",
    "streamgate_sync_watch_errors_total",
];
