//! Files as people's tools leave them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::json;

use super::{route_file, text_of, wait_for_no_refusal};
use crate::balancing::change;
use crate::routing::place::{PLAIN, Place, by_source};

/// The manifest of the route, changed so that clients of MQTT 3.1.1 are told 1.
fn changed(place: &Place) -> Result<String> {
    Ok(text_of(&place.config, &route_file("acme/all"))?.replace("spec:", "spec:\n  mqtt: {protocolLevels: [5]}"))
}

fn started() -> Result<(Place, streamgate_tests::proxy::Proxy)> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let proxy = place.start()?;
    Ok((place, proxy))
}

#[test]
fn a_file_that_is_edited_in_place() -> Result<()> {
    let (place, proxy) = started()?;
    let text = changed(&place)?;
    change(&proxy, || Ok(fs::write(place.config.path().join(route_file("acme/all")), text)?))?;
    wait_for_no_refusal(&proxy)?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 1");
    Ok(())
}

#[test]
fn a_file_that_is_written_piece_by_piece() -> Result<()> {
    let (place, proxy) = started()?;
    let text = changed(&place)?;
    let mut file =
        OpenOptions::new().write(true).truncate(true).open(place.config.path().join(route_file("acme/all")))?;
    for piece in text.as_bytes().chunks(7) {
        file.write_all(piece)?;
        // Its last good version serves on, whatever is there of the next one.
        let fate = by_source(proxy.address(PLAIN), "127.0.0.1")?;
        ensure!(fate == "acme/all" || fate == "CONNACK 1" || fate == "CONNACK 3", "{fate}");
    }
    drop(file);
    let only_5 = |status: &serde_json::Value| status["refused"] == json!([]);
    proxy.wait_for_status("no refusal", only_5)?;
    streamgate_tests::wait::until("the new version", streamgate_tests::wait::SOON, || {
        by_source(proxy.address(PLAIN), "127.0.0.1").ok().filter(|fate| fate == "CONNACK 1")
    })?;
    Ok(())
}

#[test]
fn a_file_that_sed_edits() -> Result<()> {
    let (place, proxy) = started()?;
    change(&proxy, || {
        let status = Command::new("sed")
            .args(["-i", "s/^spec:/spec:\\n  mqtt: {protocolLevels: [5]}/"])
            .arg(place.config.path().join(route_file("acme/all")))
            .status()?;
        ensure!(status.success(), "sed failed");
        Ok(())
    })?;
    wait_for_no_refusal(&proxy)?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 1");
    Ok(())
}

#[test]
fn what_editors_leave_is_passed_over() -> Result<()> {
    let (place, proxy) = started()?;
    let text = text_of(&place.config, &route_file("acme/all"))?;
    for name in [".acme.all.yaml.swp", "acme.all.yaml~", ".#acme.all.yaml", "#acme.all.yaml#", ".goutputstream-X"] {
        place.config.write(&format!("streamroutes/{name}"), text.as_bytes())?;
    }
    // What is written after that, is read after that.
    place.route("acme/other", "match: {sourceRanges: [127.17.0.0/16]}")?;
    let status = proxy.wait_for_status("two routes", |status| status["applied"]["streamroutes"] == 2)?;
    assert_eq!(status["refused"], json!([]));
    Ok(())
}

#[test]
fn a_file_whose_name_says_of_no_object_is_named() -> Result<()> {
    let (place, proxy) = started()?;
    change(&proxy, || place.config.write("streamroutes/all.yml", b"").map(drop))?;
    let status = proxy.status();
    let message = status["refused"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("streamroutes/all.yml") && message.contains("<namespace>.<name>.yaml"), "{status}");
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");
    Ok(())
}

#[test]
fn what_is_no_file_is_named_and_waited_for_by_nobody() -> Result<()> {
    let (place, proxy) = started()?;
    let folder = place.config.path().join("streamroutes");
    fs::create_dir(folder.join("acme.folder.yaml"))?;
    symlink("nowhere", folder.join("acme.dangling.yaml"))?;
    symlink("acme.loop.yaml", folder.join("acme.loop.yaml"))?;
    let made = Command::new("mkfifo").arg(folder.join("acme.pipe.yaml")).status()?;
    ensure!(made.success(), "mkfifo failed");
    for name in ["folder", "loop", "pipe"] {
        let refusal = super::wait_for_refusal(&proxy, "StreamRoute", &format!("acme/{name}"))?;
        assert_eq!(refusal["reason"], "Invalid", "{refusal}");
    }
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");
    Ok(())
}

#[test]
fn a_file_that_is_moved_to_another_name_is_another_object() -> Result<()> {
    let (place, proxy) = started()?;
    let folder = place.config.path();
    fs::rename(folder.join(route_file("acme/all")), folder.join(route_file("acme/other")))?;
    let refusal = super::wait_for_refusal(&proxy, "StreamRoute", "acme/other")?;
    assert!(refusal["message"].as_str().is_some_and(|message| message.contains("metadata.name")), "{refusal}");
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "CONNACK 5");
    Ok(())
}
