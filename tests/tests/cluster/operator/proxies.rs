//! What the proxies report, and that they report at all.

use std::time::Duration;

use anyhow::Result;
use streamgate_tests::operator::EVENTUALLY;
use streamgate_tests::wait;

use super::stage::{STREAM_ROUTE, Stage, credentials};

#[test]
fn a_route_is_programmed_once_every_proxy_that_counts_has_applied_it() -> Result<()> {
    let stage = Stage::new()?;
    let _operator = stage.operator()?;
    stage.apply_proxies(&["proxy-0", "proxy-1"])?;
    stage.apply_all(&credentials()?)?;
    stage.condition("streamroute/devices", "Programmed", "False", "Pending")?;
    stage.generated("configmap", "streamroutes.TENANT.devices", |_| true)?;
    stage.report("proxy-0")?;
    stage.report("other")?;
    stage.condition("streamroute/devices", "Programmed", "False", "Pending")?;
    stage.report("proxy-1")?;
    stage.condition("streamroute/devices", "Programmed", "True", "Programmed")?;
    stage.condition("tlssni/devices", "Programmed", "True", "Programmed")?;
    let normal = "involvedObject.name=devices,reason=Programmed";
    wait::until("an event", EVENTUALLY, || {
        let events = stage.cluster.json(&["get", "events", "-n", &stage.tenant, "--field-selector", normal]).ok()?;
        (!events["items"].as_array()?.is_empty()).then_some(())
    })
}

#[test]
fn a_proxy_that_falls_silent_makes_it_unknown_until_it_reports_again() -> Result<()> {
    let stage = Stage::new()?;
    let _operator = stage.operator()?;
    stage.apply_proxies(&["proxy-0"])?;
    stage.apply_all(&credentials()?)?;
    stage.condition("streamroute/devices", "Programmed", "False", "Pending")?;
    stage.generated("configmap", "streamroutes.TENANT.devices", |_| true)?;
    stage.report("proxy-0")?;
    stage.condition("streamroute/devices", "Programmed", "True", "Programmed")?;
    stage.condition("streamroute/devices", "Programmed", "Unknown", "ProxySilent")?;
    stage.report("proxy-0")?;
    stage.condition("streamroute/devices", "Programmed", "True", "Programmed")?;

    // A new generation is not what was applied.
    stage.apply(&STREAM_ROUTE.replace("port: mqtt", "port: 1883"))?;
    stage.condition("streamroute/devices", "Programmed", "False", "Pending")?;
    wait::until("what was generated anew", Duration::from_secs(30), || {
        stage.report("proxy-0").ok()?;
        let route = stage.cluster.json(&["get", "streamroute/devices", "-n", &stage.tenant]).ok()?;
        let conditions = route["status"]["conditions"].as_array()?;
        conditions
            .iter()
            .any(|condition| condition["type"] == "Programmed" && condition["status"] == "True")
            .then_some(())
    })
}
