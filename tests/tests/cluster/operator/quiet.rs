//! An operator that starts finds nothing to write where nothing has changed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;
use streamgate_tests::operator::EVENTUALLY;
use streamgate_tests::wait;

use super::stage::{Stage, credentials};

/// The resourceVersions of all that an operator may write, Leases aside.
fn versions(stage: &Stage<'_>) -> Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    let lists = [(&stage.generated, "configmaps,secrets"), (&stage.tenant, "streamroutes,tlssnis,events")];
    for (namespace, kinds) in lists {
        let list = stage.cluster.json(&["get", kinds, "-n", namespace])?;
        for item in list["items"].as_array().into_iter().flatten() {
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let name = format!("{} {}", word(&item["kind"]), word(&item["metadata"]["name"]));
            versions.insert(name, word(&item["metadata"]["resourceVersion"]));
        }
    }
    Ok(versions)
}

/// Waits until nothing has changed for a while.
fn settled(stage: &Stage<'_>) -> Result<BTreeMap<String, String>> {
    let mut last = (versions(stage)?, Instant::now());
    wait::until("a steady state", EVENTUALLY, || {
        let now = versions(stage).ok()?;
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_secs(2)).then(|| last.0.clone())
    })
}

#[test]
fn an_operator_that_starts_anew_finds_nothing_to_write() -> Result<()> {
    let stage = Stage::new()?;
    stage.apply_proxies(&["proxy-0"])?;
    let operator = stage.operator()?;
    stage.apply_all(&credentials()?)?;
    stage.condition("streamroute/devices", "Programmed", "False", "Pending")?;
    stage.generated("secret", "secrets.TENANT.tls", |_| true)?;
    stage.generated("configmap", "streamroutes.TENANT.devices", |_| true)?;
    stage.report("proxy-0")?;
    stage.condition("streamroute/devices", "Programmed", "True", "Programmed")?;
    stage.condition("tlssni/devices", "Programmed", "True", "Programmed")?;
    assert!(operator.stop()?.success());
    starts_and_writes_nothing(&stage)
}

#[test]
fn an_operator_that_starts_anew_does_not_take_a_silent_proxy_for_one_that_is_heard() -> Result<()> {
    let stage = Stage::new()?;
    stage.apply_proxies(&["proxy-0"])?;
    let operator = stage.operator()?;
    stage.apply_all(&credentials()?)?;
    stage.generated("configmap", "streamroutes.TENANT.devices", |_| true)?;
    stage.report("proxy-0")?;
    stage.condition("streamroute/devices", "Programmed", "Unknown", "ProxySilent")?;
    stage.condition("tlssni/devices", "Programmed", "Unknown", "ProxySilent")?;
    assert!(operator.stop()?.success());
    starts_and_writes_nothing(&stage)
}

fn starts_and_writes_nothing(stage: &Stage<'_>) -> Result<()> {
    let before = settled(stage)?;
    let operator = stage.operator()?;
    operator.wait_until_leading(EVENTUALLY)?;
    assert_eq!(settled(stage)?, before, "{}", operator.log());
    assert_eq!(operator.writes()?, 0, "{}", operator.log());
    Ok(())
}
