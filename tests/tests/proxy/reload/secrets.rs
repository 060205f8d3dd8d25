//! Certificates and authorities: a key never meets another's certificate, and what can't be used changes nothing.

use anyhow::Result;
use streamgate_tests::pki::{CertificateAuthority, Credentials};
use streamgate_tests::proxy::Proxy;
use streamgate_tests::tls_client::TlsClient;

use super::{wait_for_no_refusal, wait_for_refusal};
use crate::balancing::change;
use crate::routing::place::{MQTTS, Place, by_client, refusals};

const A: &str = "a.devices.example";

/// A place whose certificate comes from its authority, and what is to come in its place, from another authority.
struct Rotation {
    place: Place,
    proxy: Proxy,
    new_authority: CertificateAuthority,
    new: Credentials,
}

impl Rotation {
    fn start() -> Result<Self> {
        let place = Place::new()?;
        place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
        let new_authority = CertificateAuthority::new("New CA")?;
        let new = new_authority.server(&[A])?;
        Ok(Self { proxy: place.start()?, place, new_authority, new })
    }

    /// Whether clients meet the old certificate, and whether they meet the new one.
    fn served(&self) -> Result<(bool, bool)> {
        let is_served =
            |authority| anyhow::Ok(by_client(&TlsClient::new(authority, A)?, self.proxy.address(MQTTS)) == "acme/all");
        Ok((is_served(&self.place.authority)?, is_served(&self.new_authority)?))
    }

    /// Writes one key of the Secret by hand.
    fn write(&self, key: &str, text: &str) -> Result<()> {
        self.place.config.write(&format!("secrets/acme.names-tls/{key}"), text.as_bytes()).map(drop)
    }
}

const OLD: (bool, bool) = (true, false);
const NEW: (bool, bool) = (false, true);

#[test]
fn a_symlink_swap_replaces_both_at_once() -> Result<()> {
    let rotation = Rotation::start()?;
    change(&rotation.proxy, || {
        rotation.place.config.secret("acme", "names-tls", &rotation.new.tls_secret()).map(drop)
    })?;
    assert_eq!(rotation.served()?, NEW);
    Ok(())
}

#[test]
fn swaps_one_after_the_other_are_never_refused() -> Result<()> {
    let mut rotation = Rotation::start()?;
    for _ in 0..30 {
        let next = rotation.place.authority.server(&[A])?;
        rotation.place.config.secret("acme", "names-tls", &next.tls_secret())?;
    }
    rotation.place.config.secret("acme", "names-tls", &rotation.new.tls_secret())?;
    streamgate_tests::wait::until("the last certificate", streamgate_tests::wait::SOON, || {
        rotation.served().ok().filter(|served| *served == NEW)
    })?;
    let refused: Vec<_> = rotation.proxy.events().into_iter().filter(|event| event["message"] == "refused").collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(rotation.proxy.is_running());
    Ok(())
}

/// A place with a hand-edited folder: files, no symlinks.
fn by_hand() -> Result<Rotation> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    place.config.remove_secret("acme", "names-tls")?;
    let new_authority = CertificateAuthority::new("New CA")?;
    let (old, new) = (place.authority.server(&[A])?, new_authority.server(&[A])?);
    for (key, text) in old.tls_secret() {
        place.config.write(&format!("secrets/acme.names-tls/{key}"), text)?;
    }
    Ok(Rotation { proxy: place.start()?, place, new_authority, new })
}

#[test]
fn a_folder_by_hand_is_served() -> Result<()> {
    assert_eq!(by_hand()?.served()?, OLD);
    Ok(())
}

#[test]
fn a_pair_that_does_not_match_is_refused_and_the_last_good_one_stays() -> Result<()> {
    let rotation = by_hand()?;
    rotation.write("tls.crt", &rotation.new.chain_pem)?;
    let refusal = wait_for_refusal(&rotation.proxy, "TlsSni", "acme/names")?;
    assert_eq!(refusal["reason"], "InvalidCertificate");
    assert_eq!(rotation.served()?, OLD);
    Ok(())
}

#[test]
fn a_pair_counts_once_both_are_there() -> Result<()> {
    let rotation = by_hand()?;
    rotation.write("tls.crt", &rotation.new.chain_pem)?;
    wait_for_refusal(&rotation.proxy, "TlsSni", "acme/names")?;
    rotation.write("tls.key", &rotation.new.key_pem)?;
    wait_for_no_refusal(&rotation.proxy)?;
    assert_eq!(rotation.served()?, NEW);
    Ok(())
}

#[test]
fn a_pair_counts_also_where_the_key_comes_first() -> Result<()> {
    let rotation = by_hand()?;
    rotation.write("tls.key", &rotation.new.key_pem)?;
    wait_for_refusal(&rotation.proxy, "TlsSni", "acme/names")?;
    rotation.write("tls.crt", &rotation.new.chain_pem)?;
    wait_for_no_refusal(&rotation.proxy)?;
    assert_eq!(rotation.served()?, NEW);
    Ok(())
}

#[test]
fn a_secret_that_is_gone_is_told_and_the_last_good_one_stays() -> Result<()> {
    let rotation = Rotation::start()?;
    rotation.place.config.remove_secret("acme", "names-tls")?;
    let refusal = wait_for_refusal(&rotation.proxy, "TlsSni", "acme/names")?;
    assert_eq!(refusal["reason"], "RefNotFound");
    assert_eq!(rotation.served()?, OLD);
    Ok(())
}

#[test]
fn after_a_restart_a_name_without_its_secret_is_not_served() -> Result<()> {
    let Rotation { place, proxy, .. } = Rotation::start()?;
    drop(proxy);
    place.config.remove_secret("acme", "names-tls")?;
    let proxy = place.start()?;
    assert_eq!(refusals(&proxy, "acme/names"), ["RefNotFound"]);
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "alert 112");
    assert_eq!(proxy.status()["applied"]["tlssnis"], 0);
    Ok(())
}

#[test]
fn a_name_without_its_secret_is_not_served_by_a_wildcard() -> Result<()> {
    let place = Place::new()?;
    place
        .tls_sni("acme/names", &[A], "")?
        .tls_sni("acme/wildcard", &["*.devices.example"], "")?
        .route("acme/all", "")?;
    place.config.remove_secret("acme", "names-tls")?;
    let proxy = place.start()?;
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "alert 112");
    Ok(())
}

#[test]
fn an_authority_that_cannot_be_read_lets_nobody_else_in() -> Result<()> {
    let place = Place::new()?;
    let devices = CertificateAuthority::new("Device CA")?;
    place.config.config_map("acme", "ca", &[("ca.crt", devices.certificate_pem().as_bytes())])?;
    place.tls_sni("acme/names", &[A], "clientAuth: {ca: {configMapName: ca}}")?.route("acme/all", "")?;
    let proxy = place.start()?;
    place.config.config_map("acme", "ca", &[("ca.crt", b"no certificate")])?;
    wait_for_refusal(&proxy, "TlsSni", "acme/names")?;
    let device = TlsClient::with_certificate(&place.authority, A, &devices.device("device")?)?;
    assert_eq!(by_client(&device, proxy.address(MQTTS)), "acme/all");
    let stranger = CertificateAuthority::new("Stranger")?.device("device")?;
    let stranger = TlsClient::with_certificate(&place.authority, A, &stranger)?;
    assert_eq!(by_client(&stranger, proxy.address(MQTTS)), "alert 48");
    Ok(())
}

#[test]
fn without_its_authority_a_name_is_not_served_after_a_restart() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "clientAuth: {ca: {configMapName: ca}}")?.route("acme/all", "")?;
    let proxy = place.start()?;
    assert_eq!(refusals(&proxy, "acme/names"), ["RefNotFound"]);
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "alert 112");
    Ok(())
}
