//! Ticket keys that several proxies share: a device comes back to any of them.

use std::fs;
use std::os::unix::fs::symlink;

use super::{CLIENT_AUTH, Device, NAME, Proxy, Result, Site, is_served, known_devices, site_with};
use crate::balancing::change;
use crate::resumption::reload::assert_refused;

/// A key with a text in it that is found again wherever it is told.
fn key(of: u8) -> [u8; 64] {
    let mut key = *b"ticket-key ? ticket-key ? ticket-key ? ticket-key ? ticket-key ?";
    for byte in &mut key {
        if *byte == b'?' {
            *byte = of;
        }
    }
    key
}

/// The files of `current`, `next` and `previous`.
pub(super) fn set(site: &Site, keys: [Option<u8>; 3]) -> Result<()> {
    let keys = keys.map(|of| of.map(key));
    let named = ["current", "next", "previous"].into_iter().zip(&keys);
    let files: Vec<(&str, &[u8])> = named.filter_map(|(name, key)| Some((name, &key.as_ref()?[..]))).collect();
    site.config.ticket_keys(&files)?;
    Ok(())
}

/// Asserts that the devices are served, with or without a full handshake.
fn assert_come_back(known: &[Device], proxy: &Proxy, resumed: bool) -> Result<()> {
    for device in known {
        let session = device.come_back(proxy, NAME)?;
        assert!(is_served(&session) && session.reused == resumed, "{:?}: {session:?}", device.tls);
    }
    Ok(())
}

#[test]
fn a_session_goes_on_at_another_proxy_with_the_same_keys() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    set(&site, [Some(b'1'), None, None])?;
    let (one, other) = (site.start()?, site.start()?);
    let known = known_devices(&site, &one, Some(&devices.device("sensor-1")?))?;
    assert_come_back(&known, &other, true)
}

#[test]
fn a_session_is_a_full_handshake_at_another_proxy_with_keys_of_its_own() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let (one, other) = (site.start()?, site.start()?);
    let known = known_devices(&site, &one, Some(&devices.device("sensor-1")?))?;
    assert_come_back(&known, &other, false)
}

#[test]
fn a_session_is_a_full_handshake_at_another_proxy_with_other_keys() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    set(&site, [Some(b'1'), None, None])?;
    let one = site.start()?;
    let known = known_devices(&site, &one, Some(&devices.device("sensor-1")?))?;
    set(&site, [Some(b'2'), None, None])?;
    assert_come_back(&known, &site.start()?, false)
}

#[test]
fn a_session_of_another_proxy_is_judged_by_this_one() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    set(&site, [Some(b'1'), None, None])?;
    let one = site.start()?;
    let known = known_devices(&site, &one, Some(&devices.device("sensor-1")?))?;
    site.trust("acme", "device-ca", &[&super::CertificateAuthority::new("Other CA")?])?;
    assert_refused(&known, &site.start()?, [48; 2])
}

#[test]
fn a_session_goes_on_after_one_rotation_and_is_a_full_handshake_after_two() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    set(&site, [Some(b'1'), Some(b'2'), Some(b'0')])?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    change(&proxy, || set(&site, [Some(b'2'), Some(b'3'), Some(b'1')]))?;
    assert_come_back(&known, &proxy, true)?;
    change(&proxy, || set(&site, [Some(b'3'), Some(b'4'), Some(b'2')]))?;
    assert_come_back(&known, &proxy, false)
}

#[test]
fn a_session_of_a_proxy_that_has_rotated_already_goes_on_at_one_that_has_not() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    set(&site, [Some(b'2'), Some(b'3'), Some(b'1')])?;
    let ahead = site.start()?;
    let known = known_devices(&site, &ahead, Some(&devices.device("sensor-1")?))?;
    set(&site, [Some(b'1'), Some(b'2'), None])?;
    assert_come_back(&known, &site.start()?, true)
}

#[test]
fn a_folder_that_is_swapped_by_a_symlink_in_its_place_counts_as_a_whole() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let scratch = site.config.scratch();
    let link = |version: &str, keys: [(&str, u8); 2]| -> Result<()> {
        fs::create_dir(scratch.join(version))?;
        for (name, of) in keys {
            fs::write(scratch.join(version).join(name), key(of))?;
        }
        symlink(scratch.join(version), scratch.join("new"))?;
        Ok(fs::rename(scratch.join("new"), site.config.path().join("ticket-keys"))?)
    };
    link("first", [("current", b'1'), ("next", b'2')])?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    change(&proxy, || link("second", [("current", b'2'), ("previous", b'1')]))?;
    assert_come_back(&known, &proxy, true)?;
    change(&proxy, || link("third", [("current", b'3'), ("previous", b'2')]))?;
    assert_come_back(&known, &proxy, false)
}

#[test]
fn keys_of_another_length_are_named_and_the_last_good_ones_go_on() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    set(&site, [Some(b'1'), None, None])?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    change(&proxy, || site.config.ticket_keys(&[("current", &key(b'2')), ("next", &key(b'3')[..63])]).map(drop))?;
    let refused = &proxy.status()["refused"][0];
    let told = ["kind", "name", "reason", "message"].map(|field| refused[field].as_str().unwrap_or("-"));
    let message = "ticket-keys/next: found 63 bytes; wanted 64 random bytes";
    assert_eq!(told, ["TlsSni", "ticket-keys/next", "Invalid", message]);
    assert_come_back(&known, &proxy, true)
}

#[test]
fn keys_that_were_never_good_leave_the_proxy_with_its_own() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    site.config.ticket_keys(&[("next", &key(b'1'))])?;
    let proxy = site.start()?;
    assert_eq!(proxy.status()["refused"][0]["name"], "ticket-keys/current");
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    assert_come_back(&known, &proxy, true)
}

#[test]
fn without_its_folder_the_keys_are_the_process_s_own_again() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    set(&site, [Some(b'1'), None, None])?;
    let proxy = site.start()?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    change(&proxy, || site.config.remove("ticket-keys").map(drop))?;
    assert_come_back(&known, &proxy, false)?;
    assert_eq!(proxy.status()["refused"], serde_json::json!([]));
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    assert_come_back(&known, &proxy, true)
}

#[test]
fn no_key_is_told_anywhere() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    set(&site, [Some(b'1'), Some(b'2'), Some(b'0')])?;
    let listeners = [streamgate_tests::proxy::Listener::mqtts(super::LISTENER)];
    let proxy = Proxy::start_with_log(&site.config, &listeners, "trace")?;
    let known = known_devices(&site, &proxy, Some(&devices.device("sensor-1")?))?;
    assert_come_back(&known, &proxy, true)?;
    change(&proxy, || site.config.ticket_keys(&[("current", &key(b'2')[1..])]).map(drop))?;
    let told = [proxy.log(), proxy.admin_get("/config")?.body, proxy.status().to_string()].concat();
    assert!(told.contains("ticket-keys/current"), "{told}");
    // As text, as hexadecimal digits, and as a list of numbers.
    for secret in ["ticket-key 2", "7469636b65742d6b6579", "116, 105, 99, 107"] {
        assert!(!told.to_lowercase().contains(secret), "{secret} is in {told}");
    }
    Ok(())
}
