//! Which client ids a route lets in.

use anyhow::{Context, Result};
use streamgate_tests::pki::Leaf;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, StreamEnd, Version};

use super::Told;
use crate::site::{ALL_LEVELS, DEVICE_NAME, Site, Way, recorder, upstream};

/// Sends the CONNECT: the return or reason code, and that the stream ends where it is refused.
fn code(device: &mut impl Peer, connect: &Connect) -> Result<u8> {
    let code = wire::connack(device, connect)?.code().context("a CONNACK")?;
    if code != 0 {
        let (bytes, end) = wire::read_to_end(device, wait::SOON);
        assert_eq!((bytes, end), (Vec::new(), StreamEnd::Closed));
    }
    Ok(code)
}

#[test]
fn any_client_id_is_let_in_where_nothing_is_said() -> Result<()> {
    for version in Version::ALL {
        let broker = recorder(version)?;
        let site = Site::before(&[broker.address()])?;
        for way in Way::BOTH {
            for client_id in ["sensor", "a client id of more than 23 characters, with spaces", "\u{e9}\u{1f600}"] {
                assert_eq!(code(&mut site.dial(way)?, &Connect::new(version, client_id))?, 0, "{client_id}");
            }
        }
    }
    Ok(())
}

/// What the protocol itself says of an empty one, where the route says nothing.
#[test]
fn an_empty_client_id_is_let_in_as_the_version_says() -> Result<()> {
    for (version, clean, expected) in [
        (Version::V31, true, 0x02),
        (Version::V31, false, 0x02),
        (Version::V311, true, 0),
        (Version::V311, false, 0x02),
        (Version::V5, true, 0),
        (Version::V5, false, 0),
    ] {
        let broker = recorder(version)?;
        let mut site = Site::start(&format!("{ALL_LEVELS}\n{}", upstream(&[broker.address()])))?;
        for way in Way::BOTH {
            let mut device = site.dial(way)?;
            let source = device.local_address()?;
            let connect = Connect::new(version, "").clean(clean);
            assert_eq!(code(&mut device, &connect)?, expected, "{version:?} {way:?}, clean: {clean}");
            drop(device);
            if expected != 0 {
                assert_eq!(site.access_line(way, source)?["end"], "ClientIdRequired");
            }
        }
    }
    Ok(())
}

#[test]
fn a_route_that_wants_a_client_id_lets_every_one_in() -> Result<()> {
    for version in Version::ALL {
        let broker = recorder(version)?;
        let nodes = upstream(&[broker.address()]);
        let site =
            Site::start(&format!("mqtt: {{protocolLevels: [3, 4, 5], clientId: {{policy: NonEmpty}}}}\n{nodes}"))?;
        for way in Way::BOTH {
            assert_eq!(code(&mut site.dial(way)?, &Connect::new(version, " "))?, 0);
        }
    }
    Ok(())
}

/// A route whose clients must be called as their certificates say in `field`; showing one is left to them.
fn matching(field: &str) -> Result<(Site, streamgate_tests::fake_broker::FakeBroker)> {
    let broker = recorder(Version::V5)?;
    let client_id = format!("{{policy: MatchesCertificate, certificateField: {field}}}");
    let spec = format!("mqtt: {{protocolLevels: [3, 4, 5], clientId: {client_id}}}\n{}", upstream(&[broker.address()]));
    Ok((Site::start_with_client_auth(&spec, "Optional")?, broker))
}

/// The codes for `client_ids`, by devices with this certificate.
fn codes(site: &Site, leaf: Option<&Leaf>, client_ids: &[&str]) -> Result<Vec<u8>> {
    client_ids.iter().map(|id| code(&mut site.dial_as(leaf)?, &Connect::new(Version::V5, id))).collect()
}

const LET_IN: u8 = 0;
const REQUIRED: u8 = 0x85;
const MISMATCH: u8 = 0x87;

#[test]
fn a_client_id_may_have_to_be_the_common_name() -> Result<()> {
    let (site, broker) = matching("CommonName")?;
    let leaf = Leaf::device("sensor-1").organization("Acme").dns_san("other.example");
    let found =
        codes(&site, Some(&leaf), &["sensor-1", "sensor-2", "SENSOR-1", "sensor-", "Acme", "other.example", ""])?;
    assert_eq!(found, [LET_IN, MISMATCH, MISMATCH, MISMATCH, MISMATCH, MISMATCH, REQUIRED]);
    assert_eq!(broker.count(), 1);
    Ok(())
}

#[test]
fn a_client_id_may_have_to_be_a_dns_name_of_the_certificate() -> Result<()> {
    let (site, _broker) = matching("DnsSan")?;
    let leaf = Leaf::device("sensor-1").dns_san("a.acme.example").dns_san("b.acme.example").uri_san("urn:a");
    let found =
        codes(&site, Some(&leaf), &["a.acme.example", "b.acme.example", "c.acme.example", "sensor-1", "urn:a"])?;
    assert_eq!(found, [LET_IN, LET_IN, MISMATCH, MISMATCH, MISMATCH]);
    Ok(())
}

#[test]
fn a_client_id_may_have_to_be_a_uri_of_the_certificate() -> Result<()> {
    let (site, _broker) = matching("UriSan")?;
    let leaf = Leaf::device("sensor-1").uri_san("spiffe://acme.example/sensor-1").dns_san("a.acme.example");
    let found =
        codes(&site, Some(&leaf), &["spiffe://acme.example/sensor-1", "spiffe://acme.example/", "a.acme.example"])?;
    assert_eq!(found, [LET_IN, MISMATCH, MISMATCH]);
    Ok(())
}

#[test]
fn a_client_id_may_have_to_be_a_mail_address_of_the_certificate() -> Result<()> {
    let (site, _broker) = matching("EmailSan")?;
    let leaf = Leaf::device("sensor-1").email_san("sensor-1@acme.example");
    let found = codes(&site, Some(&leaf), &["sensor-1@acme.example", "sensor-1", "sensor-2@acme.example"])?;
    assert_eq!(found, [LET_IN, MISMATCH, MISMATCH]);
    Ok(())
}

#[test]
fn a_certificate_that_does_not_say_it_lets_no_client_id_in() -> Result<()> {
    for field in ["DnsSan", "UriSan", "EmailSan"] {
        let (site, _broker) = matching(field)?;
        assert_eq!(codes(&site, Some(&Leaf::device("sensor-1")), &["sensor-1", ""])?, [MISMATCH, REQUIRED], "{field}");
    }
    Ok(())
}

#[test]
fn a_client_without_a_certificate_has_no_client_id_that_matches() -> Result<()> {
    for field in ["CommonName", "DnsSan", "UriSan", "EmailSan"] {
        let (site, broker) = matching(field)?;
        assert_eq!(codes(&site, None, &["sensor-1", ""])?, [MISMATCH, REQUIRED], "{field}");
        for version in Version::ALL {
            let told = Told::by_version(version, Some(0x05), MISMATCH);
            super::is_refused(&site, Way::Plain, &Connect::new(version, DEVICE_NAME).bytes(), told)?;
        }
        assert_eq!(broker.count(), 0);
    }
    Ok(())
}

#[test]
fn a_client_that_resumes_its_session_is_still_held_to_its_certificate() -> Result<()> {
    let (mut site, _broker) = matching("CommonName")?;
    for (version, way) in [("TLSv1.2", Way::Tls12), ("TLSv1.3", Way::Tls13)] {
        for resumed in [false, true] {
            let mut device = site.dial(way)?;
            assert_eq!(code(&mut device, &Connect::new(Version::V5, DEVICE_NAME))?, LET_IN);
            let source = device.local_address()?;
            drop(device);
            let line = site.access_line(way, source)?;
            assert_eq!((&line["resumed"], &line["tls_version"]), (&resumed.into(), &version.into()), "{line}");
        }
        assert_eq!(code(&mut site.dial(way)?, &Connect::new(Version::V5, "sensor-2"))?, MISMATCH, "{way:?}");
    }
    Ok(())
}
