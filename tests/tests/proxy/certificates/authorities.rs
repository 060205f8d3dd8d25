//! Where the authorities are, and how far from them a certificate may be.

use crate::tls::lenient_broker::LenientBroker;

use super::{CertificateAuthority, NAME, Outcome, Proxy, Result, Site, TLS, assert_refused, bundle, show, started};

#[test]
fn intermediates_up_to_the_limit_are_let_in() -> Result<()> {
    let (site, devices, proxy) = started(", maxDepth: 2")?;
    let first = devices.intermediate("Device CA 1")?;
    let second = first.intermediate("Device CA 2")?;
    for tls in TLS {
        for authority in [&devices, &first, &second] {
            let device = authority.device("sensor-1")?;
            assert_eq!(show(&site, &proxy, tls, Some(&device))?, Outcome::Served, "{tls:?}");
        }
    }
    Ok(())
}

#[test]
fn one_intermediate_more_than_the_limit_is_refused() -> Result<()> {
    let (site, devices, proxy) = started(", maxDepth: 1")?;
    let device = devices.intermediate("Device CA 1")?.intermediate("Device CA 2")?.device("sensor-1")?;
    assert_refused(&site, &proxy, Some(&device), [46; 2], "ChainTooLong")
}

#[test]
fn no_intermediate_is_let_in_where_the_limit_is_0() -> Result<()> {
    let (site, devices, proxy) = started(", maxDepth: 0")?;
    assert_eq!(show(&site, &proxy, TLS[1], Some(&devices.device("sensor-1")?))?, Outcome::Served);
    let device = devices.intermediate("Device CA 1")?.device("sensor-1")?;
    assert_refused(&site, &proxy, Some(&device), [46; 2], "ChainTooLong")
}

#[test]
fn four_intermediates_are_let_in_where_nothing_is_said_and_five_are_not() -> Result<()> {
    let (site, devices, proxy) = started("")?;
    let mut authority = devices;
    for depth in 1..=4 {
        authority = authority.intermediate(&format!("Device CA {depth}"))?;
    }
    assert_eq!(show(&site, &proxy, TLS[1], Some(&authority.device("sensor-1")?))?, Outcome::Served);
    let device = authority.intermediate("Device CA 5")?.device("sensor-1")?;
    assert_refused(&site, &proxy, Some(&device), [46; 2], "ChainTooLong")
}

#[test]
fn intermediates_that_are_not_shown_make_the_authority_unknown() -> Result<()> {
    let (site, devices, proxy) = started("")?;
    let device = devices.intermediate("Device CA 1")?.device("sensor-1")?.without_intermediates();
    assert_refused(&site, &proxy, Some(&device), [48; 2], "UnknownCa")
}

#[test]
fn an_intermediate_can_be_the_trusted_authority() -> Result<()> {
    let site = Site::new()?;
    let root = CertificateAuthority::new("Device CA")?;
    let (acme, globex) = (root.intermediate("Acme's Device CA")?, root.intermediate("Globex's Device CA")?);
    site.trust("acme", "device-ca", &[&acme])?;
    site.serve("acme", "devices", &[NAME], "clientAuth: {ca: {configMapName: device-ca}, maxDepth: 0}")?;
    let proxy = site.start()?;
    assert_eq!(show(&site, &proxy, TLS[1], Some(&acme.device("sensor-1")?))?, Outcome::Served);
    // Another branch below the same root is none of it.
    assert_eq!(show(&site, &proxy, TLS[1], Some(&globex.device("sensor-1")?))?, Outcome::Alert(48));
    Ok(())
}

/// Starts a site whose `clientAuth.ca` is this YAML, with the authority where `place` puts it.
fn with_authority_at(
    ca: &str,
    place: impl FnOnce(&Site, &str) -> Result<()>,
) -> Result<(Site, CertificateAuthority, Proxy)> {
    let site = Site::new()?;
    let devices = CertificateAuthority::new("Device CA")?;
    place(&site, &devices.certificate_pem())?;
    site.serve("acme", "devices", &[NAME], &format!("clientAuth: {{ca: {ca}}}"))?;
    let proxy = site.start()?;
    Ok((site, devices, proxy))
}

#[test]
fn an_authority_may_be_in_a_config_map_under_a_key_of_its_own() -> Result<()> {
    let (site, devices, proxy) =
        with_authority_at("{configMapName: trusted, key: bundle.pem}", |site, certificate| {
            let stranger = CertificateAuthority::new("Stranger CA")?.certificate_pem();
            let keys = [("bundle.pem", certificate.as_bytes()), ("ca.crt", stranger.as_bytes())];
            site.config.config_map("acme", "trusted", &keys)?;
            Ok(())
        })?;
    assert_eq!(show(&site, &proxy, TLS[1], Some(&devices.device("sensor-1")?))?, Outcome::Served);
    Ok(())
}

#[test]
fn an_authority_may_be_in_a_secret() -> Result<()> {
    let (site, devices, proxy) = with_authority_at("{secretName: trusted}", |site, certificate| {
        site.config.secret("acme", "trusted", &[("ca.crt", certificate.as_bytes())])?;
        Ok(())
    })?;
    assert_eq!(show(&site, &proxy, TLS[1], Some(&devices.device("sensor-1")?))?, Outcome::Served);
    Ok(())
}

#[test]
fn an_authority_may_be_in_a_secret_under_a_key_of_its_own() -> Result<()> {
    let (site, devices, proxy) = with_authority_at("{secretName: trusted, key: tls.crt}", |site, certificate| {
        // cert-manager keeps an authority's certificate like any other's.
        site.config.secret("acme", "trusted", &[("tls.crt", certificate.as_bytes()), ("tls.key", b"not ours")])?;
        Ok(())
    })?;
    assert_eq!(show(&site, &proxy, TLS[1], Some(&devices.device("sensor-1")?))?, Outcome::Served);
    Ok(())
}

#[test]
fn several_authorities_may_be_in_one_file() -> Result<()> {
    let site = Site::new()?;
    let names = ["First CA", "Second CA", "Third CA"];
    let authorities = names.map(CertificateAuthority::new).into_iter().collect::<Result<Vec<_>>>()?;
    let pem = format!("# what we trust\n\n{}", bundle(&authorities.iter().collect::<Vec<_>>()));
    site.config.config_map("acme", "device-ca", &[("ca.crt", pem.as_bytes())])?;
    site.serve("acme", "devices", &[NAME], "clientAuth: {ca: {configMapName: device-ca}}")?;
    let proxy = site.start()?;
    for (authority, name) in authorities.iter().zip(names) {
        assert_eq!(show(&site, &proxy, TLS[1], Some(&authority.device("sensor-1")?))?, Outcome::Served, "{name}");
    }
    Ok(())
}

#[test]
fn both_authorities_of_the_same_name_count_while_one_replaces_the_other() -> Result<()> {
    let site = Site::new()?;
    let (old, new) = (CertificateAuthority::new("Device CA")?, CertificateAuthority::new("Device CA")?);
    site.trust("acme", "device-ca", &[&old, &new])?;
    site.serve("acme", "devices", &[NAME], "clientAuth: {ca: {configMapName: device-ca}}")?;
    let proxy = site.start()?;
    for authority in [&old, &new] {
        assert_eq!(show(&site, &proxy, TLS[1], Some(&authority.device("sensor-1")?))?, Outcome::Served);
    }
    Ok(())
}

#[test]
fn the_authority_of_one_tls_sni_is_not_that_of_another() -> Result<()> {
    let site = Site::new()?;
    let (meters, devices) = (CertificateAuthority::new("Meter CA")?, CertificateAuthority::new("Device CA")?);
    site.trust("acme", "meter-ca", &[&meters])?.trust("acme", "device-ca", &[&devices])?;
    site.serve("acme", "meters", &["meters.example"], "clientAuth: {ca: {configMapName: meter-ca}}")?;
    site.serve("acme", "devices", &[NAME], "clientAuth: {ca: {configMapName: device-ca}}")?;
    // Nothing that a device of another TlsSni's authority sends may reach this broker.
    let others = LenientBroker::start()?;
    let upstream = format!("upstream: {{nodes: [{{host: 127.0.0.1, port: {}}}]}}", others.address().port());
    site.config.stream_route("acme", "devices", &upstream)?;
    let proxy = site.start()?;
    for tls in TLS {
        assert_eq!(show(&site, &proxy, tls, Some(&meters.device("meter-1")?))?, Outcome::Alert(48), "{tls:?}");
    }
    assert_eq!(others.count(), 0);
    Ok(())
}

#[test]
fn a_device_cannot_issue_certificates() -> Result<()> {
    let (site, devices, proxy) = started("")?;
    let impostor = devices.device_that_issues("sensor-1")?.device("sensor-2")?;
    assert_refused(&site, &proxy, Some(&impostor), [46; 2], "BadCertificate")
}

#[test]
fn more_authorities_may_be_trusted_than_a_handshake_can_name() -> Result<()> {
    let site = Site::new()?;
    // Together their names pass the 65535 bytes of a CertificateRequest (RFC 5246, section 7.4.4).
    let authorities: Vec<_> =
        (0..700).map(|number| CertificateAuthority::new(&format!("Device CA {number:080}"))).collect::<Result<_>>()?;
    site.trust("acme", "device-ca", &authorities.iter().collect::<Vec<_>>())?;
    site.serve("acme", "devices", &[NAME], "clientAuth: {ca: {configMapName: device-ca}}")?;
    let proxy = site.start()?;
    for tls in TLS {
        let device = authorities[699].device("sensor-1")?;
        assert_eq!(show(&site, &proxy, tls, Some(&device))?, Outcome::Served, "{tls:?}");
    }
    Ok(())
}

#[test]
fn six_intermediates_are_let_in_where_the_limit_says_so() -> Result<()> {
    let (site, devices, proxy) = started(", maxDepth: 6")?;
    let mut authority = devices;
    for depth in 1..=6 {
        authority = authority.intermediate(&format!("Device CA {depth}"))?;
    }
    for tls in TLS {
        assert_eq!(show(&site, &proxy, tls, Some(&authority.device("sensor-1")?))?, Outcome::Served, "{tls:?}");
    }
    // rustls' own limit is six, whatever is written.
    let device = authority.intermediate("Device CA 7")?.device("sensor-1")?;
    assert_refused(&site, &proxy, Some(&device), [46; 2], "ChainTooLong")
}
