//! More proxies, and other brokers: nothing that a status tells of.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use streamgate_tests::wait;

use super::stage::Stage;

const ROUTES: [&str; 4] = ["one", "two", "three", "four"];

/// The resourceVersions of the tenant's objects.
fn versions(stage: &Stage<'_>) -> Result<BTreeMap<String, String>> {
    let list = stage.gateway.cluster.json(&["get", "streamroutes,tlssnis", "-n", &stage.tenant])?;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().context("a list")?.iter();
    Ok(items
        .map(|item| {
            let name = format!("{} {}", word(&item["kind"]), word(&item["metadata"]["name"]));
            (name, word(&item["metadata"]["resourceVersion"]))
        })
        .collect())
}

/// How many statuses of the tenant's objects were written until now, as the audit log has it.
fn status_writes(stage: &Stage<'_>) -> Result<usize> {
    let of_status = |event: &&Value| {
        let object = &event["objectRef"];
        object["subresource"] == "status" && object["namespace"] == stage.tenant.as_str()
    };
    Ok(stage.gateway.cluster.audit_events()?.iter().filter(of_status).count())
}

/// Waits until a proxy has applied all that is generated.
fn wait_until_applied(stage: &Stage<'_>, proxy: usize) -> Result<()> {
    let pod = &stage.pods[proxy];
    wait::until("the brokers that there are now", wait::SOON, || {
        let file = pod.config.path().join(format!("endpoints/{}.broker.yaml", stage.tenant));
        let text = std::fs::read_to_string(file).ok()?;
        let current = |broker: &streamgate_tests::fake_broker::FakeBroker| {
            text.contains(&format!("port: {}", broker.address().port()))
        };
        let revision = std::fs::read_to_string(pod.config.path().join("revision")).ok()?;
        (stage.brokers.iter().all(current) && pod.proxy.status()["revision"] == revision.trim()).then_some(())
    })
    .with_context(|| pod.sync.log())
}

#[test]
fn eight_more_proxies_and_a_rollout_of_all_brokers_write_no_status() -> Result<()> {
    let mut stage = Stage::with_proxies(2)?;
    stage.set_brokers(3)?;
    for name in ROUTES {
        stage.program(name)?;
    }
    let (before, writes) = (versions(&stage)?, status_writes(&stage)?);
    ensure!(before.len() == 2 * ROUTES.len() && writes > 0, "{before:?}, {writes}");

    while stage.pods.len() < 10 {
        stage.add_proxy()?;
    }
    for broker in 0..3 {
        stage.replace_broker(broker)?;
    }
    for proxy in 0..10 {
        wait_until_applied(&stage, proxy)?;
        stage.let_in(proxy, ROUTES[proxy % ROUTES.len()], "device")?;
    }
    // A write of the operator's that comes after all of it.
    stage.program("last")?;
    let mut after = versions(&stage)?;
    after.retain(|name, _| !name.ends_with(" last"));
    ensure!(after == before, "{before:?}\n{after:?}\n{}", stage.operator.log());
    let of_last = |event: &&Value| {
        event["objectRef"]["subresource"] == "status"
            && event["objectRef"]["namespace"] == stage.tenant.as_str()
            && event["objectRef"]["name"] == "last"
    };
    let of_last = stage.gateway.cluster.audit_events()?.iter().filter(of_last).count();
    ensure!(status_writes(&stage)? == writes + of_last, "{}", stage.operator.log());
    Ok(())
}
