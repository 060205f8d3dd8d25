//! The directory itself: swapped as a whole, gone, back again; and what is echoed of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use streamgate_tests::wait;

use super::{route_file, text_of};
use crate::balancing::change;
use crate::routing::place::{PLAIN, Place, by_source};

/// What takes the place of a folder, and is watched from then on.
#[derive(Clone, Copy, Debug)]
enum Swap {
    /// The configuration directory is a symlink, and leads elsewhere.
    Link,
    /// Another directory gets its name.
    Directory,
    /// The folder of the routes is a symlink, and leads elsewhere.
    Folder,
}

/// The proxy looks from time to time anyhow, so it must be sooner that it finds the swap, and each change after it.
#[test]
fn what_takes_the_place_of_a_folder_counts_at_once_and_so_does_what_changes_there() -> Result<()> {
    for swap in [Swap::Link, Swap::Directory, Swap::Folder] {
        let place = Place::new()?;
        place.route("acme/all", "")?;
        let text = text_of(&place.config, &route_file("acme/all"))?;
        let (path, scratch) = (place.config.path(), place.config.scratch().to_owned());
        let swapped = if matches!(swap, Swap::Folder) { path.join("streamroutes") } else { path.clone() };
        if !matches!(swap, Swap::Directory) {
            fs::rename(&swapped, scratch.join("one"))?;
            symlink(scratch.join("one"), &swapped)?;
        }
        let proxy = place.start()?;
        let address = proxy.address(PLAIN);
        assert_eq!(by_source(address, "127.0.0.1")?, "acme/all");

        let [mut told, mut told_after] = [false; 2];
        // A machine that is busy may be too late, but not each time.
        for attempt in 0..5 {
            let next = scratch.join(format!("next-{attempt}"));
            let is_of_routes = matches!(swap, Swap::Folder);
            let routes = |of: &Path| if is_of_routes { of.to_owned() } else { of.join("streamroutes") };
            fs::create_dir_all(routes(&next))?;
            let changed = text.replace("spec:", "spec:\n  mqtt: {protocolLevels: [5]}");
            fs::write(routes(&next).join("acme.all.yaml"), changed)?;
            // After this the time up to the next look begins anew.
            let another = text.replace("name: all", "name: another").replace("spec:", "spec:\n  listeners: [mqtts]");
            change(&proxy, || Ok(fs::write(routes(&swapped).join("acme.another.yaml"), another)?))?;

            let begin = Instant::now();
            change(&proxy, || {
                if matches!(swap, Swap::Directory) {
                    fs::rename(&swapped, scratch.join(format!("before-{attempt}")))?;
                    fs::rename(&next, &swapped)?;
                } else {
                    symlink(&next, scratch.join("swap"))?;
                    fs::rename(scratch.join("swap"), &swapped)?;
                }
                Ok(())
            })?;
            wait::until("the swap", wait::SOON, || {
                by_source(address, "127.0.0.1").ok().filter(|found| found == "CONNACK 1")
            })?;
            told |= begin.elapsed() < POLL_INTERVAL / 2;

            let begin = Instant::now();
            change(&proxy, || Ok(fs::write(routes(&swapped).join("acme.all.yaml"), &text)?))?;
            assert_eq!(by_source(address, "127.0.0.1")?, "acme/all", "{swap:?}");
            told_after |= begin.elapsed() < POLL_INTERVAL / 2;
            if told && told_after {
                break;
            }
        }
        assert!(told && told_after, "{swap:?}: found at the swap {told}, after it {told_after}");
    }
    Ok(())
}

/// How often the proxy looks though it is told nothing.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

#[test]
fn a_directory_that_is_gone_changes_nothing_until_it_is_back() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let mut proxy = place.start()?;
    let (path, away) = (place.config.path(), place.config.scratch().join("away"));
    fs::rename(&path, &away)?;
    proxy.wait_for_log("that it is told", wait::SOON, |event| {
        event["level"] == "ERROR" && event["message"].as_str().is_some_and(|text| text.contains("can't be read"))
    })?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");
    fs::rename(&away, &path)?;
    change(&proxy, || place.config.remove_stream_route("acme", "all").map(drop))?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 5");
    Ok(())
}

#[test]
fn folders_that_come_later_are_seen() -> Result<()> {
    let place = Place::new()?;
    for folder in ["streamroutes", "tlssnis", "endpoints", "secrets", "configmaps"] {
        place.config.remove(folder)?;
    }
    let proxy = place.start()?;
    fs::create_dir(place.config.path().join("streamroutes"))?;
    change(&proxy, || place.route("acme/all", "").map(drop))?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");
    Ok(())
}

#[test]
fn a_mounted_config_map_of_routes_is_swapped() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let text = text_of(&place.config, &route_file("acme/all"))?;
    let folder = place.config.path().join("streamroutes");
    fs::remove_file(folder.join("acme.all.yaml"))?;
    fs::create_dir(folder.join("..one"))?;
    fs::write(folder.join("..one/acme.all.yaml"), &text)?;
    symlink("..one", folder.join("..data"))?;
    symlink("..data/acme.all.yaml", folder.join("acme.all.yaml"))?;
    let proxy = place.start()?;
    assert_eq!(proxy.status()["refused"], json!([]));
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");

    change(&proxy, || {
        fs::create_dir(folder.join("..two"))?;
        let changed = text.replace("spec:", "spec:\n  mqtt: {protocolLevels: [5]}");
        fs::write(folder.join("..two/acme.all.yaml"), changed)?;
        symlink("..two", folder.join("..data_tmp"))?;
        fs::rename(folder.join("..data_tmp"), folder.join("..data"))?;
        Ok(())
    })?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 1");
    Ok(())
}

#[test]
fn without_a_revision_none_is_echoed() -> Result<()> {
    let place = Place::new()?;
    let proxy = place.start()?;
    assert_eq!(proxy.status()["revision"], json!(null));
    Ok(())
}

#[test]
fn the_revision_is_echoed() -> Result<()> {
    let place = Place::new()?;
    place.config.write("revision", b"configmaps=17,secrets=23\n")?;
    let proxy = place.start()?;
    assert_eq!(proxy.status()["revision"], "configmaps=17,secrets=23");
    place.config.write("revision", b"configmaps=18,secrets=23\n")?;
    let status =
        proxy.wait_for_status("the next revision", |status| status["revision"] == "configmaps=18,secrets=23")?;
    let page: serde_json::Value = serde_json::from_str(&proxy.admin_get("/config")?.body)?;
    assert_eq!((&page["revision"], &page["generation"]), (&status["revision"], &status["generation"]));
    Ok(())
}

#[test]
fn a_revision_that_is_no_text_harms_nothing() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    place.config.write("revision", b"\xff\0\x1b[2J")?;
    let proxy = place.start()?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");
    Ok(())
}

#[test]
fn the_status_says_when_it_was_applied() -> Result<()> {
    let place = Place::new()?;
    let proxy = place.start()?;
    let status = proxy.status();
    let applied_at = status["appliedAt"].as_str().unwrap_or_default();
    // RFC 3339, in UTC.
    let form: String = applied_at.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    assert!(form.starts_with("0000-00-00T00:00:00") && form.ends_with('Z'), "{applied_at}");
    Ok(())
}
