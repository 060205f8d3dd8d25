//! More changes at once than the kernel's queue of events holds: what it leaves out counts all the same.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use streamgate_tests::config_dir::manifest;
use streamgate_tests::proxy::Proxy;
use streamgate_tests::wait;

use crate::balancing::change;
use crate::balancing::fleet::NamedBroker;
use crate::routing::place::{PLAIN, Place, by_source};

/// So many routes take the place of
const NEW_ROUTES: usize = 10_000;
/// so many others.
const OLD_ROUTES: usize = 100;

/// Stops the proxy, and has the kernel's queue overflow with what is no change of anything: files that are opened. Then come
/// the changes, of which the queue tells nothing any more, and the proxy goes on.
fn overflow(place: &Place, proxy: &Proxy, change: impl FnOnce() -> Result<()>) -> Result<()> {
    stop(proxy)?;
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")?.trim().parse()?;
    let files = idle_files(place);
    // In turn: an event that is the same as the one before it is queued once.
    for number in 0..=limit {
        File::open(&files[number % 2])?;
    }
    change()?;
    proxy.signal("CONT")
}

/// Two files that mean nothing.
fn idle_files(place: &Place) -> [PathBuf; 2] {
    [".one", ".other"].map(|name| place.config.path().join("streamroutes").join(name))
}

/// An empty place with the idle files.
fn place() -> Result<Place> {
    let place = Place::new()?;
    for file in idle_files(&place) {
        File::create(file)?;
    }
    Ok(place)
}

/// Returns when no thread of the proxy runs any more.
fn stop(proxy: &Proxy) -> Result<()> {
    proxy.signal("STOP")?;
    let is_stopped = |task: &Path| {
        let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
    };
    wait::until("the proxy to be stopped", wait::SOON, || {
        let mut tasks = fs::read_dir(format!("/proc/{}/task", proxy.id())).ok()?;
        tasks.all(|task| task.is_ok_and(|task| is_stopped(&task.path()))).then_some(())
    })
}

/// The file of a route from this address of the host, and the address.
fn numbered(number: usize, broker: &NamedBroker) -> (String, String, String) {
    let (name, source) = (format!("r{number}"), format!("127.20.{}.{}", number / 250, number % 250 + 1));
    let spec = format!("match: {{sourceRanges: [{source}/32]}}\nupstream: {{nodes: [{}]}}", broker.node(""));
    (format!("acme.{name}.yaml"), manifest("StreamRoute", "acme", &name, &spec), source)
}

#[test]
fn ten_thousand_routes_take_the_place_of_others_at_once() -> Result<()> {
    let place = place()?;
    let (old, new) = (NamedBroker::start("old")?, NamedBroker::start("new")?);
    let folder = place.config.path().join("streamroutes");
    let staging = place.config.scratch().join("new-routes");
    fs::create_dir(&staging)?;
    for number in NEW_ROUTES..NEW_ROUTES + OLD_ROUTES {
        let (file, text, _) = numbered(number, &old);
        fs::write(folder.join(file), text)?;
    }
    let mut expected = BTreeSet::new();
    for number in 0..NEW_ROUTES {
        let (file, text, _) = numbered(number, &new);
        fs::write(staging.join(&file), text)?;
        expected.insert(file);
    }
    let proxy = place.start()?;
    let address = proxy.address(PLAIN);
    assert_eq!(by_source(address, &numbered(NEW_ROUTES, &old).2)?, "old");

    overflow(&place, &proxy, || {
        for number in NEW_ROUTES..NEW_ROUTES + OLD_ROUTES {
            fs::remove_file(folder.join(numbered(number, &old).0))?;
        }
        expected.iter().try_for_each(|file| Ok(fs::rename(staging.join(file), folder.join(file))?))
    })?;
    let all = json!({"streamroutes": NEW_ROUTES, "tlssnis": 0});
    wait::until("all new routes and no other", LONG_ENOUGH, || (proxy.status()["applied"] == all).then_some(()))
        .with_context(|| proxy.status().to_string())?;
    assert_eq!(proxy.status()["refused"], json!([]));
    let page: Value = serde_json::from_str(&proxy.admin_get("/config")?.body)?;
    let name = |route: &Value| format!("acme.{}.yaml", route["name"].as_str().unwrap_or("-"));
    let applied: BTreeSet<String> = page["streamroutes"].as_array().context("routes")?.iter().map(name).collect();
    assert!(applied == expected, "other routes are applied than are there");
    for number in [0, 1, NEW_ROUTES / 3, NEW_ROUTES / 2, NEW_ROUTES - 1] {
        assert_eq!(by_source(address, &numbered(number, &new).2)?, "new", "{number}");
    }
    for number in [NEW_ROUTES, NEW_ROUTES + OLD_ROUTES - 1] {
        assert_eq!(by_source(address, &numbered(number, &old).2)?, "CONNACK 5", "{number}");
    }
    Ok(())
}

/// That it overflowed is all that the queue tells of this change. The proxy looks from time to time anyhow: so it must be
/// sooner.
#[test]
fn that_the_queue_overflowed_counts_as_a_change() -> Result<()> {
    let place = place()?;
    let proxy = place.start()?;
    let mut took = Vec::new();
    // A machine that is busy may be too late, but not each time.
    for attempt in 0..5 {
        let begin = Instant::now();
        // After this the time up to the next look begins anew.
        change(&proxy, || place.config.write("revision", format!("before {attempt}").as_bytes()).map(drop))?;
        let after = format!("after {attempt}");
        overflow(&place, &proxy, || place.config.write("revision", after.as_bytes()).map(drop))?;
        proxy.wait_for_status("the change", |status| status["revision"] == after.as_str())?;
        took.push(begin.elapsed());
        if begin.elapsed() < POLL_INTERVAL {
            return Ok(());
        }
    }
    panic!("nothing but the look from time to time finds the change: after {took:?}");
}

/// How often the proxy looks though it is told nothing.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// An unoptimized proxy reads ten thousand routes.
const LONG_ENOUGH: Duration = Duration::from_mins(2);
