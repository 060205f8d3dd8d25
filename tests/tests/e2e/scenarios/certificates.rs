//! Certificates and authorities change in the Secret; nobody who is connected notices.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, SupportedProtocolVersion};
use serde_json::Value;
use streamgate_tests::pki::{CertificateAuthority, Leaf};
use streamgate_tests::tls_client::{TlsClient, TlsStream, alert_of, is_resumed};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use crate::afterwards::Afterwards;
use crate::kube::name;
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
    measured.value("a renewed certificate: devices that noticed", fleet.since(start).ensure_nothing()?);
    site.wait_until_all_is_true(&[FLEET])
}

/// A device of an authority that is trusted no more is refused, with a session from before too, by every proxy; who is
/// connected stays.
pub(crate) fn devices_of_a_removed_authority_are_refused(site: &Site, measured: &mut Measured) -> Result<()> {
    let address = site.address()?;
    let next = CertificateAuthority::new("Fleet CA 2")?;
    let mine = TlsClient::with_certificate(&site.public, FLEET_NAME, &next.device("device")?)?.without_resumption();
    let first_authority = Afterwards::new(|| {
        site.ca_secret(FLEET, "ca", &[&site.fleet])?;
        let old = site.fleet_device("device")?.without_resumption();
        wait::until("the first authority on every proxy", Duration::from_secs(30), || {
            (0..8).all(|_| connect(address, &old).is_ok()).then_some(())
        })
    });
    site.ca_secret(FLEET, "ca", &[&site.fleet, &next])?;
    wait::until("devices of both authorities", Duration::from_secs(30), || {
        (0..8).all(|_| connect(address, &mine).is_ok()).then_some(())
    })?;

    let fleet = site.start_fleet(50)?;
    let old = site.fleet_device("device")?.without_resumption();
    // A ticket of TLS 1.3 is good for one handshake, so there is a device for each. So many meet both proxies.
    let versions = [&TLS13, &TLS12].into_iter().cycle();
    let with_tickets =
        versions.take(16).map(|version| with_ticket(site, address, version)).collect::<Result<Vec<_>>>()?;
    let refused_before = refusals(site)?;
    let start = Instant::now();
    site.ca_secret(FLEET, "ca", &[&next])?;
    wait::until("the refusal of the removed authority", Duration::from_secs(30), || {
        (0..8).all(|_| refusal(address, &old).is_ok_and(|alert| alert == Some(UNKNOWN_CA))).then_some(())
    })?;
    measured.seconds("a removed authority: until its devices are refused", start.elapsed());
    for (number, device) in with_tickets.iter().enumerate() {
        let by_session = refusal(address, device).with_context(|| format!("the session of device {number}"))?;
        ensure!(by_session == Some(UNKNOWN_CA), "device {number}, with a session from before: alert {by_session:?}");
        let anew = refusal(address, &old)?;
        ensure!(anew == Some(UNKNOWN_CA), "a device of the removed authority: alert {anew:?}");
        connect(address, &mine).context("a device of the authority that stays")?;
    }
    let before = |proxy: &String| refused_before.get(proxy).copied().unwrap_or(0);
    let by_each: Vec<usize> = refusals(site)?.iter().map(|(proxy, count)| count - before(proxy)).collect();
    ensure!(by_each.len() == 2 && !by_each.contains(&0), "not both proxies refused a device: {by_each:?}");
    measured.value("a removed authority: devices that each proxy refused", format!("{by_each:?}"));
    measured.value("a removed authority: connected devices that noticed", fleet.since(start).ensure_nothing()?);
    first_authority.now()
}

/// How many devices each proxy has refused so.
fn refusals(site: &Site) -> Result<BTreeMap<String, usize>> {
    let count = |proxy: &Value| site.count(proxy, "streamgate_connections_ended_total", "reason=\"UnknownCa\"");
    site.proxies()?.iter().map(|proxy| Ok((name(proxy).to_owned(), count(proxy)?))).collect()
}

fn with_ticket(site: &Site, address: SocketAddr, version: &'static SupportedProtocolVersion) -> Result<TlsClient> {
    let credentials = site.fleet.device("device")?;
    let device =
        TlsClient::with_versions(&site.public, FLEET_NAME, Some(&credentials), &[version])?.with_own_sessions();
    // Each connection may be to another proxy, and a session goes on at either.
    wait::until("a resumed session and a further ticket", wait::SOON, || {
        let stream = connect(address, &device).ok()?;
        // A session of TLS 1.2 is good for any number of handshakes.
        let goes_on = version.version == ProtocolVersion::TLSv1_2 || stream.conn.tls13_tickets_received() > 0;
        (is_resumed(&stream) && goes_on).then_some(())
    })?;
    Ok(device)
}

/// Connects until the CONNACK that lets it in.
fn connect(address: SocketAddr, client: &TlsClient) -> Result<TlsStream> {
    let mut stream = client.connect(address)?;
    let packet = wire::connack(&mut stream, &Connect::new(Version::V311, "certificates"))?;
    ensure!(packet.body == [0, 0], "no CONNACK that lets it in: {packet:?}");
    Ok(stream)
}

/// The alert by which it is refused; none where it is let in. Any other end is an error.
pub(super) fn refusal(address: SocketAddr, client: &TlsClient) -> Result<Option<u8>> {
    match connect(address, client) {
        Ok(_) => Ok(None),
        Err(error) => alert_of(&error).map(Some).ok_or(error),
    }
}

/// The alert `unknown_ca` (RFC 8446, 6.2).
pub(super) const UNKNOWN_CA: u8 = 48;

/// The certificate that it is shown.
pub(super) fn certificate(site: &Site, client: &TlsClient) -> Result<CertificateDer<'static>> {
    let stream = client.clone().without_resumption().connect(site.address()?)?;
    match stream.conn.peer_certificates() {
        Some([first, ..]) => Ok(first.clone().into_owned()),
        _ => bail!("no certificate"),
    }
}
