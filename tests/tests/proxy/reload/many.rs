//! Many changes at once, and a status that is whole at each moment.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use streamgate_tests::config_dir::manifest;
use streamgate_tests::wait;

use super::route_file;
use crate::routing::place::{MQTTS, PLAIN, Place, by_source};

const ROUTES: usize = 1_000;

#[test]
fn a_thousand_routes_at_once() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &["*.devices.example"], "")?.route("acme/all", "")?;
    let node = super::text_of(&place.config, &route_file("acme/all"))?;
    let node = node.lines().find(|line| line.contains("nodes:")).context("a route has nodes")?.trim().to_owned();
    let proxy = place.start()?;
    for number in 0..ROUTES {
        let spec = format!("{node}\nmatch: {{snis: [d{number}.devices.example]}}");
        let text = manifest("StreamRoute", "acme", &format!("r{number}"), &spec);
        fs::write(place.config.path().join(route_file(&format!("acme/r{number}"))), text)?;
    }
    let all = json!({"streamroutes": ROUTES + 1, "tlssnis": 1});
    proxy.wait_for_status("all routes", |status| status["applied"] == all && status["refused"] == json!([]))?;
    place.config.remove_stream_route("acme", "all")?;
    proxy.wait_for_status("all but one", |status| status["applied"]["streamroutes"] == ROUTES)?;
    for number in [0, ROUTES / 2, ROUTES - 1] {
        let name = format!("d{number}.devices.example");
        assert_eq!(place.by_name(proxy.address(MQTTS), &name)?, "acme/all", "{name}");
    }
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 5");
    Ok(())
}

#[test]
fn the_status_is_whole_at_each_moment() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let proxy = place.start()?;
    let file = place.config.status_dir().join("status.json");
    let done = AtomicBool::new(false);
    let read = thread::scope(|scope| {
        let reader = scope.spawn(|| -> Result<(u64, usize)> {
            let (mut generation, mut seen) = (0, 0);
            while !done.load(Ordering::SeqCst) {
                let bytes = fs::read(&file).context("there is none")?;
                let status: Value =
                    serde_json::from_slice(&bytes).with_context(|| String::from_utf8_lossy(&bytes).into_owned())?;
                let now = status["generation"].as_u64().context("no generation")?;
                anyhow::ensure!(now >= generation, "from {generation} back to {now}");
                seen += usize::from(now > generation);
                generation = now;
            }
            Ok((generation, seen))
        });
        let written = (0..30).try_for_each(|number| {
            let revision = number.to_string();
            place.config.write(&route_file(&format!("acme/broken-{number}")), b"no manifest")?;
            place.config.write("revision", revision.as_bytes())?;
            proxy.wait_for_status("the revision", |status| status["revision"] == revision.as_str()).map(drop)
        });
        done.store(true, Ordering::SeqCst);
        written.and(reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?)
    });
    // How many of the thirty it met is a matter of the machine.
    let (generation, seen) = read?;
    assert!(seen > 5, "{seen} of {generation} generations were seen");
    Ok(())
}

#[test]
fn clients_are_served_while_it_changes() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let proxy = place.start()?;
    let done = AtomicBool::new(false);
    let served = thread::scope(|scope| {
        let client = scope.spawn(|| -> Result<usize> {
            let mut count = 0;
            while !done.load(Ordering::SeqCst) {
                let fate = by_source(proxy.address(PLAIN), "127.0.0.1")?;
                anyhow::ensure!(fate == "acme/all", "after {count}: {fate}");
                count += 1;
            }
            Ok(count)
        });
        let written = (0..20).try_for_each(|number| {
            let before = proxy.generation();
            place.route(&format!("globex/r{number}"), &format!("match: {{sourceRanges: [127.17.{number}.0/24]}}"))?;
            proxy.wait_for_generation_after(before).map(drop)
        });
        done.store(true, Ordering::SeqCst);
        written.and(client.join().map_err(|_| anyhow::anyhow!("the client panicked"))?)
    });
    assert!(served? > 0);
    Ok(())
}

#[test]
fn a_status_directory_that_comes_later_is_written_to() -> Result<()> {
    let place = Place::new()?;
    fs::remove_dir(place.config.status_dir())?;
    let proxy = place.start()?;
    wait::until("status.json", wait::SOON, || (!proxy.status().is_null()).then_some(()))?;
    assert_eq!(proxy.generation(), 1);
    Ok(())
}
