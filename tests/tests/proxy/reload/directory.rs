//! The directory itself: swapped as a whole, gone, back again; and what is echoed of it.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::Result;
use serde_json::json;
use streamgate_tests::wait;

use super::{route_file, text_of};
use crate::balancing::change;
use crate::routing::place::{PLAIN, Place, by_source};

#[test]
fn a_directory_that_is_a_symlink_can_be_swapped() -> Result<()> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let (path, scratch) = (place.config.path(), place.config.scratch());
    fs::rename(&path, scratch.join("one"))?;
    symlink("one", &path)?;
    let proxy = place.start()?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");

    fs::create_dir_all(scratch.join("two/streamroutes"))?;
    let text = text_of(&place.config, &route_file("acme/all"))?.replace("name: all", "name: other");
    fs::write(
        scratch.join("two").join(route_file("acme/other")),
        text.replace("spec:", "spec:\n  mqtt: {protocolLevels: [5]}"),
    )?;
    let generation = proxy.generation();
    symlink("two", scratch.join("swap"))?;
    fs::rename(scratch.join("swap"), &path)?;
    // Nothing tells of that; it is found at the next look, within 5 seconds.
    proxy.wait_for_generation_after(generation)?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 1");

    // And what changes there from now on, is found too.
    let generation = proxy.generation();
    fs::remove_file(scratch.join("two").join(route_file("acme/other")))?;
    proxy.wait_for_generation_after(generation)?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 5");
    Ok(())
}

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
