//! What dies in between.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use streamgate_tests::component::Component;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::wait;

use super::gateway::{Gateway, read, revision};
use super::traffic::broker;

#[test]
fn a_sync_that_starts_again_touches_nothing_and_the_proxy_goes_on() -> Result<()> {
    let broker = broker()?;
    let gateway = Gateway::before(ControlPlane::shared()?, broker.address())?;
    let sync = gateway.start_ready_sync()?;
    let proxy = gateway.start_proxy()?;
    gateway.wait_for_lease("a report", |_, report| report["applied"]["streamroutes"] == 1)?;
    let stamps = || {
        let paths = ["tlssnis/acme.devices.yaml", "secrets/acme.server/tls.key", "configmaps/acme.ca", "revision"];
        paths.map(|path| {
            fs::symlink_metadata(gateway.config.path().join(path)).map(|found| (found.ino(), found.ctime_nsec())).ok()
        })
    };
    let (before, generation) = (stamps(), proxy.generation());
    drop(sync);
    let mut sync = gateway.start_ready_sync()?;
    sync.wait_for_log("its list", |event| event["message"] == "ready")?;
    assert_eq!(stamps(), before);
    assert_eq!(proxy.generation(), generation);
    // And it follows again.
    gateway.write_route("second", "match: {sourceRanges: [10.0.0.0/8]}")?;
    proxy.wait_for_status("two routes", |status| status["applied"]["streamroutes"] == 2)?;
    Ok(())
}

#[test]
fn a_proxy_that_starts_again_has_what_sync_wrote_and_the_lease_says_so() -> Result<()> {
    let broker = broker()?;
    let gateway = Gateway::before(ControlPlane::shared()?, broker.address())?;
    let _sync = gateway.start_ready_sync()?;
    let proxy = gateway.start_proxy()?;
    gateway.wait_for_lease("a report", |_, report| report["applied"]["streamroutes"] == 1)?;
    drop(proxy);
    gateway.write_route("second", "match: {sourceRanges: [10.0.0.0/8]}")?;
    let proxy = gateway.start_proxy()?;
    gateway.wait_for_lease("a report of both", |_, report| report["applied"]["streamroutes"] == 2)?;
    assert_eq!(gateway.connect(&proxy)?.1, 0);
    Ok(())
}

#[test]
fn a_sync_that_is_killed_at_any_time_leaves_a_directory_that_serves() -> Result<()> {
    let broker = broker()?;
    let gateway = Gateway::before(ControlPlane::shared()?, broker.address())?;
    drop(gateway.start_ready_sync()?);
    let proxy = gateway.start_proxy()?;
    for round in 0_u64..12 {
        let sync = gateway.start_sync()?;
        thread::scope(|scope| {
            scope.spawn(|| {
                // Until anywhere in a list, a batch or between two.
                thread::sleep(Duration::from_millis(round * 7 % 80));
                drop(sync);
            });
            for number in 0..20 {
                gateway.write_certificate(&gateway.authority.server(&["localhost"])?)?;
                gateway
                    .write_route(&format!("r-{number}"), &format!("match: {{sourceRanges: [10.{round}.0.0/16]}}"))?;
                gateway.delete("streamroutes", &format!("acme.r-{}", (number + 7) % 20))?;
            }
            anyhow::Ok(())
        })?;
        assert_eq!(gateway.connect(&proxy)?.1, 0, "round {round}");
    }
    let _sync = gateway.start_ready_sync()?;
    gateway.wait_for_all()?;
    assert_eq!(gateway.connect(&proxy)?.1, 0);
    Ok(())
}

#[test]
fn while_the_api_server_is_away_traffic_goes_on_through_every_restart() -> Result<()> {
    let cluster = ControlPlane::start()?;
    let broker = broker()?;
    let gateway = Gateway::before(&cluster, broker.address())?;
    let sync = gateway.start_ready_sync()?;
    let proxy = gateway.start_proxy()?;
    gateway.wait_for_lease("a report", |_, report| report["applied"]["streamroutes"] == 1)?;
    let before = gateway.files_and_objects()?.0;

    cluster.kill(Component::ApiServer)?;
    assert_eq!(gateway.connect(&proxy)?.1, 0);
    drop(proxy);
    let proxy = gateway.start_proxy()?;
    assert_eq!(gateway.connect(&proxy)?.1, 0);
    drop((sync, proxy));
    // Both at once: what an earlier sync has left is enough to start with.
    let sync = gateway.start_sync()?;
    assert!(!sync.is_ready(), "it waits for the API server first");
    sync.wait_until_ready(Duration::from_secs(30))?;
    let proxy = gateway.start_proxy()?;
    assert_eq!(gateway.connect(&proxy)?.1, 0);

    cluster.restart(Component::ApiServer)?;
    assert_eq!(
        before.get("tlssnis/acme.devices.yaml").cloned(),
        read(&gateway.config, "tlssnis/acme.devices.yaml").map(String::into_bytes)
    );
    let version: u64 = wait::until("a write", wait::SOON, || {
        gateway.write_route("second", "match: {sourceRanges: [10.0.0.0/8]}").ok()
    })?
    .parse()?;
    let (_, report) = gateway
        .wait_for_lease("a report of both", |_, report| report["applied"]["streamroutes"] == 2)
        .with_context(|| sync.log())?;
    assert!(revision(report["revision"].as_str().context("a revision")?)?.0 >= version);
    gateway.wait_for_all()
}

#[test]
fn a_new_pod_waits_for_the_api_server() -> Result<()> {
    let cluster = ControlPlane::start()?;
    let gateway = Gateway::new(&cluster)?;
    cluster.kill(Component::ApiServer)?;
    let sync = gateway.start_sync()?;
    // Longer than it would wait if an earlier run had left anything.
    thread::sleep(Duration::from_secs(11));
    assert!(!sync.is_ready(), "{}", sync.log());
    assert_eq!(read(&gateway.config, "revision"), None);
    cluster.restart(Component::ApiServer)?;
    sync.wait_until_ready(wait::SOON)
}
