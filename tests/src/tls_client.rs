//! TLS clients within the test's own process, by rustls.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::pki::{CertificateAuthority, Credentials};
use crate::wait;
use crate::wire;

/// A TLS connection whose handshake is done.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts one authority. Clones share their sessions, so that a second connection resumes.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: ClientConfig,
    name: String,
}

impl TlsClient {
    /// Without a certificate of its own, for this server name.
    pub fn new(authority: &CertificateAuthority, name: &str) -> Result<Self> {
        Self::build(authority, name, None, &[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    /// With a device's certificate.
    pub fn with_certificate(authority: &CertificateAuthority, name: &str, device: &Credentials) -> Result<Self> {
        Self::build(authority, name, Some(device), &[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    /// With these versions of TLS only.
    pub fn with_versions(
        authority: &CertificateAuthority,
        name: &str,
        device: Option<&Credentials>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self> {
        Self::build(authority, name, device, versions)
    }

    /// Sends no server name. The certificate must be for the name all the same.
    #[must_use]
    pub fn without_sni(mut self) -> Self {
        self.config.enable_sni = false;
        self
    }

    /// Offers these protocols (ALPN).
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Keeps no sessions.
    #[must_use]
    pub fn without_resumption(mut self) -> Self {
        self.config.resumption = Resumption::disabled();
        self
    }

    /// Keeps its sessions for itself, from here on.
    #[must_use]
    pub fn with_own_sessions(mut self) -> Self {
        self.config.resumption = Resumption::in_memory_sessions(8);
        self
    }

    /// Asks for another server name, with the same sessions and certificate.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Its configuration, for an asynchronous client.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::new(self.config.clone())
    }

    /// Connects, and completes the handshake on this side. In TLS 1.3 the server may refuse the certificate after that: the
    /// alert is then what the first read meets.
    ///
    /// # Errors
    /// [`alert_of`] tells the alert, where one came.
    pub fn connect(&self, address: SocketAddr) -> Result<TlsStream> {
        self.handshake(wire::connect_tcp(address)?)
    }

    /// The same over a connection that is there already.
    pub fn handshake(&self, stream: TcpStream) -> Result<TlsStream> {
        self.handshake_in_pieces(stream, |hello, stream| stream.write_all(hello))
    }

    /// The same, with the `ClientHello` (the bytes of its record) sent by `send`: in pieces, or slowly.
    pub fn handshake_in_pieces(
        &self,
        mut stream: TcpStream,
        send: impl FnOnce(&[u8], &mut TcpStream) -> io::Result<()>,
    ) -> Result<TlsStream> {
        stream.set_read_timeout(Some(wait::SOON))?;
        let (mut connection, hello) = self.client_hello()?;
        send(&hello, &mut stream)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        // What the last flight still has to say.
        while connection.wants_write() {
            connection.write_tls(&mut stream)?;
        }
        stream.flush()?;
        Ok(StreamOwned::new(connection, stream))
    }

    /// A connection that has yet to be sent its `ClientHello`, and that hello: one record, or several where it is large.
    pub fn client_hello(&self) -> Result<(ClientConnection, Vec<u8>)> {
        let name = ServerName::try_from(self.name.clone()).with_context(|| format!("no server name: {}", self.name))?;
        let mut connection = ClientConnection::new(self.config(), name)?;
        let mut hello = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut hello)?;
        }
        Ok((connection, hello))
    }

    fn build(
        authority: &CertificateAuthority,
        name: &str,
        device: Option<&Credentials>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate_der())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots);
        let config = match device {
            Some(device) => builder.with_client_auth_cert(device.chain_der(), device.key_der())?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self { config, name: name.to_owned() })
    }
}

/// Whether the connection goes on with a session of an earlier one.
pub fn is_resumed(stream: &TlsStream) -> bool {
    stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// The number of the TLS alert that caused an error of [`TlsClient::connect`] or [`wire::read_packet`].
pub fn alert_of(error: &anyhow::Error) -> Option<u8> {
    error.chain().find_map(|cause| {
        let cause = match cause.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref()?.downcast_ref::<rustls::Error>(),
            None => cause.downcast_ref::<rustls::Error>(),
        };
        match cause {
            Some(rustls::Error::AlertReceived(alert)) => Some(u8::from(*alert)),
            _ => None,
        }
    })
}
