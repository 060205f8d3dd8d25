//! Many objects, and how long one takes.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::wait;

use super::gateway::{Gateway, object, revision};
use super::traffic::broker;

#[test]
fn a_thousand_routes_at_once_are_all_applied() -> Result<()> {
    let gateway = Gateway::new(ControlPlane::shared()?)?;
    let sync = gateway.start_ready_sync()?;
    let proxy = gateway.start_proxy()?;
    let mut manifests = String::new();
    for number in 0..1000 {
        let name = format!("route-{number}");
        let route =
            gateway.route(&name, &format!("match: {{sourceRanges: [10.{}.{}.0/24]}}", number / 200, number % 200));
        let mut object = object("streamroutes", &format!("acme.{name}"), &[(&format!("acme.{name}.yaml"), &route)]);
        object["metadata"]["namespace"] = gateway.namespace.as_str().into();
        writeln!(manifests, "---\n{object}")?;
    }
    gateway.cluster.kubectl(&["create", "-f", "-"], Some(&manifests))?.succeeded("kubectl create")?;
    proxy.wait_for_status("all of them", |status| status["applied"]["streamroutes"] == 1000)?;
    gateway.wait_for_lease("a report of all", |_, report| report["applied"]["streamroutes"] == 1000)?;
    gateway.wait_for_all()?;

    // A sync that finds an empty directory has them all in one batch.
    drop((sync, proxy));
    std::fs::remove_dir_all(gateway.config.path())?;
    let started = Instant::now();
    let sync = gateway.start_sync()?;
    sync.wait_until_ready(wait::SOON)?;
    println!("1,000 objects into an empty directory: {:?}", started.elapsed());
    gateway.wait_for_all()?;
    assert_eq!(sync.log().matches("the directory is what the objects say").count(), 1, "{}", sync.log());
    Ok(())
}

#[test]
fn a_change_is_applied_in_a_moment() -> Result<()> {
    let broker = broker()?;
    let gateway = Gateway::before(ControlPlane::shared()?, broker.address())?;
    let _sync = gateway.start_ready_sync()?;
    let proxy = gateway.start_proxy()?;
    let mut times = Vec::new();
    for number in 0..100 {
        let started = Instant::now();
        let more = format!("match: {{sourceRanges: [10.0.{number}.0/24]}}");
        let version: u64 = gateway.write_route("second", &more)?.parse()?;
        proxy.wait_for_status("the change", |status| {
            let applied = status["revision"].as_str().and_then(|text| revision(text).ok());
            applied.is_some_and(|(config_maps, _)| config_maps >= version)
        })?;
        times.push(started.elapsed());
    }
    times.sort();
    let (median, last) = (times[49], times.get(98).copied().context("99 of them")?);
    println!("from the write of an object to its application: p50 {median:?}, p99 {last:?}");
    // Far above what it takes where nobody else uses the machine.
    assert!(median < Duration::from_secs(1), "{times:?}");
    Ok(())
}
