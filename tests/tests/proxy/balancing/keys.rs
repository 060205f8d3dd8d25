//! What is hashed: each key, and what a client goes by that has none of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::Result;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wire::{self, Connect, Peer, Version};

use super::fleet::{Fleet, connect_from, fate};
use super::{directory, started};
use crate::routing::place::{MQTTS, PLAIN};

/// So many values of a key lead to more than one of eight brokers, for all keys of these tests.
const VALUES: usize = 8;

fn by_key(key: &str) -> String {
    format!("loadBalancer: {{type: ConsistentHash, key: {key}}}")
}

fn connect(client_id: &str) -> Connect {
    Connect::new(Version::V311, client_id)
}

/// Asserts that each value leads all of its clients to one broker, and that not all values lead to the same one. `reach`
/// is given the value's number and the client's.
fn assert_key_counts(reach: impl Fn(usize, usize) -> Result<String>) -> Result<()> {
    let mut brokers = BTreeSet::new();
    for value in 0..VALUES {
        let found: BTreeSet<String> = (0..6).map(|client| reach(value, client)).collect::<Result<_>>()?;
        assert_eq!(found.len(), 1, "value {value}: {found:?}");
        assert!(found.iter().all(|broker| broker.starts_with("broker-")), "{found:?}");
        brokers.extend(found);
    }
    assert!(brokers.len() > 1, "{brokers:?}");
    Ok(())
}

/// The broker of a client that comes from the address with this number.
fn from_source(address: SocketAddr, source: usize, connect: &Connect) -> Result<String> {
    Ok(fate(&mut connect_from(&format!("127.0.7.{}", source + 1), address)?, connect))
}

#[test]
fn the_source_address() -> Result<()> {
    let fleet = Fleet::start(8)?;
    let (_config, proxy) = started(&fleet.upstream(&by_key("SourceIp")))?;
    assert_key_counts(|value, client| {
        from_source(proxy.address(PLAIN), value, &connect(&format!("client-{value}-{client}")))
    })
}

#[test]
fn the_user_name() -> Result<()> {
    let fleet = Fleet::start(8)?;
    let (_config, proxy) = started(&fleet.upstream(&by_key("Username")))?;
    assert_key_counts(|value, client| {
        let connect = connect(&format!("client-{client}")).username(&format!("user-{value}"));
        from_source(proxy.address(PLAIN), client, &connect)
    })
}

/// A proxy over TLS with the route of this key, eight names, and devices' certificates from the same authority.
fn over_tls(key: &str) -> Result<(Fleet, CertificateAuthority, Proxy, streamgate_tests::config_dir::ConfigDir)> {
    let fleet = Fleet::start(8)?;
    let config = directory(&fleet.upstream(&by_key(key)))?;
    let authority = CertificateAuthority::new("Acme CA")?;
    config.secret("acme", "server", &authority.server(&["*.devices.example"])?.tls_secret())?;
    config.config_map("acme", "ca", &[("ca.crt", authority.certificate_pem().as_bytes())])?;
    config.tls_sni(
        "acme",
        "devices",
        "
        snis: [\"*.devices.example\"]
        certificates: [{secretName: server}]
        clientAuth: {mode: Optional, ca: {configMapName: ca}}
        ",
    )?;
    let proxy = Proxy::start(&config, &[Listener::mqtts(MQTTS)])?;
    Ok((fleet, authority, proxy, config))
}

#[test]
fn the_subject_of_the_certificate() -> Result<()> {
    let (_fleet, authority, proxy, _config) = over_tls("CertificateSubject")?;
    let mut devices = Vec::new();
    for value in 0..VALUES {
        let device = authority.device(&format!("device-{value}"))?;
        devices.push(TlsClient::with_certificate(&authority, "a.devices.example", &device)?);
    }
    assert_key_counts(|value, client| {
        // Resumed sessions have a subject too.
        let mut stream = devices[value].connect(proxy.address(MQTTS))?;
        Ok(fate(&mut stream, &connect(&format!("client-{client}"))))
    })
}

#[test]
fn the_server_name() -> Result<()> {
    let (_fleet, authority, proxy, _config) = over_tls("Sni")?;
    let client = TlsClient::new(&authority, "a.devices.example")?;
    assert_key_counts(|value, number| {
        let mut stream = client.clone().named(&format!("d{value}.devices.example")).connect(proxy.address(MQTTS))?;
        Ok(fate(&mut stream, &connect(&format!("client-{number}"))))
    })
}

#[test]
fn an_empty_client_id_goes_by_the_address() -> Result<()> {
    let fleet = Fleet::start(8)?;
    let (_config, proxy) = started(&fleet.upstream(&by_key("ClientId")))?;
    assert_key_counts(|value, _| from_source(proxy.address(PLAIN), value, &connect("")))
}

#[test]
fn a_client_without_the_key_goes_as_by_its_address() -> Result<()> {
    let fleet = Fleet::start(8)?;
    let (config, proxy) = started(&fleet.upstream(&by_key("SourceIp")))?;
    let brokers = |client_id: &str| -> Result<Vec<String>> {
        (0..VALUES).map(|source| from_source(proxy.address(PLAIN), source, &connect(client_id))).collect()
    };
    let by_address = brokers("client")?;
    for (key, client_id) in [("ClientId", ""), ("Username", "client"), ("CertificateSubject", "client"), ("Sni", "c")] {
        super::change(&proxy, || config.stream_route("acme", "devices", &fleet.upstream(&by_key(key))).map(drop))?;
        assert_eq!(brokers(client_id)?, by_address, "{key}");
    }
    Ok(())
}

#[test]
fn the_client_id_is_hashed_by_all_of_its_bytes() -> Result<()> {
    let fleet = Fleet::start(8)?;
    let (_config, proxy) = started(&fleet.upstream(&by_key("ClientId")))?;
    let ids = |prefix: &str| -> Result<BTreeSet<String>> {
        (0..VALUES)
            .map(|value| {
                let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
                stream.limit_read(streamgate_tests::wait::SOON)?;
                Ok(fate(&mut stream, &connect(&format!("{prefix}{value}"))))
            })
            .collect()
    };
    // What the ids begin with is the same, also beyond the first stripe of the hash.
    assert!(ids(&"x".repeat(200))?.len() > 1);
    assert!(ids("ü ☃ ")?.len() > 1);
    Ok(())
}
