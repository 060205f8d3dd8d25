//! A site to be served over TLS, and how its clients fare.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde_json::Value;
use streamgate_tests::config_dir::{ConfigDir, dedent};
use streamgate_tests::openssl::{SClient, Session};
use streamgate_tests::pki::{CertificateAuthority, Credentials, Leaf};
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::tls_client::{TlsClient, alert_of};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, StreamEnd, Version};

use super::lenient_broker::LenientBroker;

/// The name of the listener that [`Site::start`] has.
pub(crate) const LISTENER: &str = "mqtts";

/// A version of TLS as OpenSSL, as rustls and as the access line names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tls {
    pub(crate) argument: &'static str,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) name: &'static str,
}

/// Both versions.
pub(crate) const TLS: [Tls; 2] = [
    Tls { argument: "-tls1_2", versions: &[&TLS12], name: "TLSv1.2" },
    Tls { argument: "-tls1_3", versions: &[&TLS13], name: "TLSv1.3" },
];

/// A configuration directory, the authority of its servers' certificates, and a broker that lets everybody in.
pub(crate) struct Site {
    pub(crate) config: ConfigDir,
    pub(crate) authority: CertificateAuthority,
    pub(crate) broker: LenientBroker,
}

impl Site {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            config: ConfigDir::new()?,
            authority: CertificateAuthority::new("Server CA")?,
            broker: LenientBroker::start()?,
        })
    }

    /// A `TlsSni` for these names, with a certificate for them (the first is its subject) and further YAML of its spec, and
    /// a route of its namespace to the broker.
    pub(crate) fn serve(&self, namespace: &str, name: &str, snis: &[&str], rest: &str) -> Result<&Self> {
        let names: Vec<&str> = snis.iter().map(|&sni| if sni == "*" { "fallback.example" } else { sni }).collect();
        let certificate = self.authority.server(&names)?;
        self.config.secret(namespace, &format!("{name}-tls"), &certificate.tls_secret())?;
        self.tls_sni(namespace, name, snis, rest)?;
        self.route(namespace, "")
    }

    /// The `TlsSni` of [`Site::serve`] alone: to change the rest of its spec.
    pub(crate) fn tls_sni(&self, namespace: &str, name: &str, snis: &[&str], rest: &str) -> Result<&Self> {
        let rest = dedent(rest);
        let spec = format!("snis: {snis:?}\ncertificates: [{{secretName: {name}-tls}}]\n{rest}");
        self.config.tls_sni(namespace, name, &spec)?;
        Ok(self)
    }

    /// A route of this namespace to the broker, with further YAML of its spec.
    pub(crate) fn route(&self, namespace: &str, rest: &str) -> Result<&Self> {
        let (rest, port) = (dedent(rest), self.broker.address().port());
        let upstream = format!("upstream: {{nodes: [{{name: broker-0, host: 127.0.0.1, port: {port}}}]}}");
        self.config.stream_route(namespace, "devices", &format!("{upstream}\n{rest}"))?;
        Ok(self)
    }

    /// A `ConfigMap` with the certificates of these authorities at `ca.crt`.
    pub(crate) fn trust(&self, namespace: &str, name: &str, authorities: &[&CertificateAuthority]) -> Result<&Self> {
        self.config.config_map(namespace, name, &[("ca.crt", bundle(authorities).as_bytes())])?;
        Ok(self)
    }

    pub(crate) fn start(&self) -> Result<Proxy> {
        Proxy::start(&self.config, &[Listener::mqtts(LISTENER)])
    }

    /// A client by rustls that trusts the site's servers.
    pub(crate) fn client(&self, name: &str, tls: Tls, device: Option<&Credentials>) -> Result<TlsClient> {
        TlsClient::with_versions(&self.authority, name, device, tls.versions)
    }
}

/// The certificates of several authorities, one after the other.
pub(crate) fn bundle(authorities: &[&CertificateAuthority]) -> String {
    authorities.iter().map(|authority| authority.certificate_pem()).collect()
}

/// How a client fared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The broker let it in.
    Served,
    /// It got this alert.
    Alert(u8),
    /// Anything else.
    Other(String),
}

/// Connects a device by rustls: its CONNECT goes out with its last flight, whatever the server may think of its certificate.
pub(crate) fn outcome(client: &TlsClient, address: SocketAddr) -> Outcome {
    let mut stream = match client.connect(address) {
        Ok(stream) => stream,
        Err(error) => return alert_of(&error).map_or_else(|| Outcome::Other(format!("{error:#}")), Outcome::Alert),
    };
    match wire::connack(&mut stream, &connect()) {
        Ok(answer) if answer.code() == Some(0) => Outcome::Served,
        Ok(answer) => Outcome::Other(format!("{answer:?}")),
        Err(error) => alert_of(&error).map_or_else(|| Outcome::Other(format!("{error:#}")), Outcome::Alert),
    }
}

/// The CONNECT that the tests of TLS send.
pub(crate) fn connect() -> Connect {
    Connect::new(Version::V311, "device")
}

/// An `s_client` that speaks MQTT, and leaves when the broker has let it in.
pub(crate) fn s_client(address: SocketAddr, tls: Tls) -> SClient {
    SClient::new(address).arguments(&[tls.argument]).input(&connect().bytes()).until(CONNACK).within(wait::SOON)
}

/// Whether the broker let an [`s_client`] in.
pub(crate) fn is_served(session: &Session) -> bool {
    session.handshake && session.output.text().contains(CONNACK)
}

/// Waits until so many connections have ended, and gives their access lines in that order.
pub(crate) fn access_lines(proxy: &Proxy, count: usize) -> Result<Vec<Value>> {
    wait::until(&format!("{count} access lines"), wait::SOON, || {
        let lines: Vec<Value> = proxy.events().into_iter().filter(|event| event["message"] == "connection").collect();
        (lines.len() >= count).then_some(lines)
    })
    .with_context(|| proxy.log())
}

/// One field of each of the first `count` access lines, `-` where a line has none.
pub(crate) fn access_field(proxy: &Proxy, count: usize, field: &str) -> Result<Vec<String>> {
    let lines = access_lines(proxy, count)?;
    Ok(lines.iter().take(count).map(|line| line[field].as_str().unwrap_or("-").to_owned()).collect())
}

/// Reads an alert that no key protects, and the end after it.
pub(crate) fn read_plaintext_alert(peer: &mut impl wire::Peer) -> Outcome {
    match wire::read_to_end(peer, wait::SOON) {
        (bytes, StreamEnd::Closed) if bytes.len() == 7 && bytes[0] == 21 && bytes[5] == 2 => Outcome::Alert(bytes[6]),
        other => Outcome::Other(format!("{other:02x?}")),
    }
}

/// A device's certificate with a common name and an organization.
pub(crate) fn device_of(authority: &CertificateAuthority, name: &str, organization: &str) -> Result<Credentials> {
    authority.issue(&Leaf::device(name).organization(organization))
}

/// MQTT 3.1.1's CONNACK as text among an `s_client`'s output.
const CONNACK: &str = "\u{20}\u{2}\0\0";
