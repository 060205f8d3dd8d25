//! Certificates and authorities change in the Secret; nobody who is connected notices.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::CertificateDer;
use streamgate_tests::pki::{CertificateAuthority, Leaf};
use streamgate_tests::tls_client::{TlsClient, is_resumed};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use crate::measured::Measured;
use crate::site::{FLEET, FLEET_NAME, Site};

/// The next handshake has the new certificate; connections stay.
pub(crate) fn a_new_certificate_is_used_by_the_next_handshake(site: &Site, measured: &mut Measured) -> Result<()> {
    let fleet = site.start_fleet(50)?;
    let client = site.fleet_device("device")?;
    let start = Instant::now();
    let renewed = site.public.issue(&Leaf::server(&[FLEET_NAME]))?;
    site.tls_secret(FLEET, "tls", &renewed)?;
    let wanted = renewed.chain_der();
    wait::until("the new certificate on every proxy", Duration::from_secs(30), || {
        // Each connection may be to another of the two proxies.
        let all = (0..8).all(|_| certificate(site, &client).is_ok_and(|seen| Some(&seen) == wanted.first()));
        all.then_some(())
    })?;
    measured.seconds("a renewed certificate: until all handshakes have it", start.elapsed());
    let happened = fleet.since(start);
    ensure!(happened.is_nothing(), "devices noticed it: {happened:?}");
    site.wait_until_all_is_true(&[FLEET])
}

/// A device of an authority that is trusted no more is refused, with a session from before too, by every proxy; who is
/// connected stays.
pub(crate) fn devices_of_a_removed_authority_are_refused(site: &Site, measured: &mut Measured) -> Result<()> {
    let next = CertificateAuthority::new("Fleet CA 2")?;
    let mine = TlsClient::with_certificate(&site.public, FLEET_NAME, &next.device("device")?)?.without_resumption();
    site.ca_config_map(FLEET, "ca", &[&site.fleet, &next])?;
    wait::until("devices of both authorities", Duration::from_secs(30), || {
        (0..8).all(|_| connect(site, &mine).is_ok()).then_some(())
    })?;

    let fleet = site.start_fleet(50)?;
    let old = site.fleet_device("device")?;
    connect(site, &old)?;
    wait::until("a resumed session", wait::SOON, || connect(site, &old).ok().filter(|resumed| *resumed))?;
    let start = Instant::now();
    site.ca_config_map(FLEET, "ca", &[&next])?;
    wait::until("the refusal of the removed authority", Duration::from_secs(30), || {
        // By both proxies, with a session and without.
        (0..8).all(|_| connect(site, &old).is_err()).then_some(())
    })?;
    measured.seconds("a removed authority: until its devices are refused", start.elapsed());
    for _ in 0..16 {
        ensure!(connect(site, &old).is_err(), "a device of the removed authority got in by its session");
        ensure!(connect(site, &old.clone().without_resumption()).is_err(), "a device of the removed authority got in");
        connect(site, &mine).context("a device of the authority that stays")?;
    }
    let happened = fleet.since(start);
    ensure!(happened.is_nothing(), "devices that were connected noticed it: {happened:?}");
    drop(fleet);
    site.ca_config_map(FLEET, "ca", &[&site.fleet])?;
    wait::until("the first authority", Duration::from_secs(30), || {
        (0..8).all(|_| connect(site, &old.clone().without_resumption()).is_ok()).then_some(())
    })
}

/// Connects until the CONNACK. Gives whether an earlier session went on.
fn connect(site: &Site, client: &TlsClient) -> Result<bool> {
    let mut stream = client.connect(site.address()?)?;
    let connect = Connect::new(Version::V311, "certificates");
    let packet = wire::connack(&mut stream, &connect)?;
    ensure!(packet.body == [0, 0], "no CONNACK that lets it in: {packet:?}");
    Ok(is_resumed(&stream))
}

fn certificate(site: &Site, client: &TlsClient) -> Result<CertificateDer<'static>> {
    let stream = client.clone().without_resumption().connect(site.address()?)?;
    match stream.conn.peer_certificates() {
        Some([first, ..]) => Ok(first.clone().into_owned()),
        _ => bail!("no certificate"),
    }
}
