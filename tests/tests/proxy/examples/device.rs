//! A device that connects, is let in or refused, and leaves.

use std::io;
use std::net::TcpStream;

use anyhow::{Context, Result};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde_json::Value;
use streamgate_tests::pki::{CertificateAuthority, Credentials};
use streamgate_tests::proxy::Proxy;
use streamgate_tests::tls_client::{self, TlsClient};
use streamgate_tests::wire::{self, Connect, Peer, Version};

/// A device, on the listener `mqtts` until another is named.
#[derive(Clone)]
pub(crate) struct Device {
    listener: &'static str,
    server_name: Option<String>,
    credentials: Option<Credentials>,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<&'static str>,
    connect: Connect,
    /// Bytes in place of a CONNECT.
    first: Option<Vec<u8>>,
}

/// What a device met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// A CONNACK with this code; 0 lets it in.
    Code(u8),
    /// A TLS alert.
    Alert(u8),
    /// The end, without a word.
    Closed,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Visit {
    /// What the device met.
    pub(crate) met: Met,
    /// The proxy's access line.
    pub(crate) line: Value,
}

impl Device {
    /// With this client id, in MQTT 3.1.1, without a certificate and a server name.
    pub(crate) fn new(client_id: &str) -> Self {
        Self {
            listener: "mqtts",
            server_name: None,
            credentials: None,
            versions: vec![&TLS13, &TLS12],
            alpn: Vec::new(),
            connect: Connect::new(Version::V311, client_id),
            first: None,
        }
    }

    /// Asks for this server name.
    pub(crate) fn named(self, name: &str) -> Self {
        Self { server_name: Some(name.to_owned()), ..self }
    }

    /// Asks for no server name.
    pub(crate) fn unnamed(self) -> Self {
        Self { server_name: None, ..self }
    }

    /// Shows this certificate.
    pub(crate) fn certificate(self, credentials: Credentials) -> Self {
        Self { credentials: Some(credentials), ..self }
    }

    /// Shows no certificate.
    pub(crate) fn without_certificate(self) -> Self {
        Self { credentials: None, ..self }
    }

    /// Speaks TLS 1.2 alone.
    pub(crate) fn tls12(self) -> Self {
        Self { versions: vec![&TLS12], ..self }
    }

    /// Offers these protocols (ALPN).
    pub(crate) fn alpn(self, protocols: &[&'static str]) -> Self {
        Self { alpn: protocols.to_vec(), ..self }
    }

    /// Sends this CONNECT.
    pub(crate) fn sends(self, connect: Connect) -> Self {
        Self { connect, ..self }
    }

    /// Sends these bytes in place of a CONNECT.
    pub(crate) fn sends_bytes(self, bytes: &[u8]) -> Self {
        Self { first: Some(bytes.to_vec()), ..self }
    }

    /// Has this client id, in the version `version`.
    pub(crate) fn called(self, version: Version, client_id: &str) -> Self {
        self.sends(Connect::new(version, client_id))
    }

    /// Comes to this listener. Only `mqtts` has TLS.
    pub(crate) fn at(self, listener: &'static str) -> Self {
        Self { listener, ..self }
    }

    /// Comes and goes. `gone` ends what it left at the brokers.
    pub(crate) fn visit(
        &self,
        proxy: &mut Proxy,
        authority: &CertificateAuthority,
        gone: impl FnOnce() -> Result<()>,
    ) -> Result<Visit> {
        let stream = wire::connect_tcp(proxy.address(self.listener))?;
        let source = stream.local_addr()?.to_string();
        let met = if self.listener == "mqtts" { self.meet_tls(stream, authority) } else { self.meet(stream) }?;
        gone()?;
        let line =
            proxy.wait_for_connection(&format!("the access line of {source}"), |line| line["source"] == source)?;
        Ok(Visit { met, line })
    }

    fn meet_tls(&self, stream: TcpStream, authority: &CertificateAuthority) -> Result<Met> {
        // A client needs some name to judge the certificate by.
        let name = self.server_name.as_deref().unwrap_or("fallback.example");
        let client = TlsClient::with_versions(authority, name, self.credentials.as_ref(), &self.versions)?;
        let client = client.alpn(&self.alpn);
        let client = if self.server_name.is_none() { client.without_sni() } else { client };
        match client.handshake(stream) {
            Ok(stream) => self.meet(stream),
            Err(error) => tls_client::alert_of(&error).map(Met::Alert).ok_or(error),
        }
    }

    fn meet(&self, mut stream: impl Peer) -> Result<Met> {
        let connect = self.first.clone().unwrap_or_else(|| self.connect.bytes());
        let answer = stream
            .write_all(&connect)
            .and_then(|()| stream.flush())
            .map_err(anyhow::Error::from)
            .and_then(|()| wire::read_packet(&mut stream, streamgate_tests::wait::SOON));
        match answer {
            Ok(packet) => packet.code().map(Met::Code).with_context(|| format!("no CONNACK: {packet:?}")),
            Err(error) => match tls_client::alert_of(&error) {
                Some(alert) => Ok(Met::Alert(alert)),
                None if is_end(&error) => Ok(Met::Closed),
                None => Err(error),
            },
        }
    }
}

impl Visit {
    /// The endpoint that the device reached, if it was let in.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        if self.met == Met::Code(0) { self.line["endpoint"].as_str() } else { None }
    }
}

/// Whether this is the stream's end before the first byte of an answer.
fn is_end(error: &anyhow::Error) -> bool {
    let cut = |cause: &io::Error| cause.kind() == io::ErrorKind::UnexpectedEof;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(cut))
        || format!("{error:#}").contains("the connection ended after 0 of 1 bytes")
}
