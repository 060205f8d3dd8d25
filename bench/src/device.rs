//! A device: connects, in the clear or over mutual TLS, and is let in.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, bail};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use streamgate_tests::pki::Credentials;
use streamgate_tests::wire::{Connect, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How a device connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Mutual TLS, by a full handshake.
    Full,
    /// Mutual TLS, by a session that is resumed.
    Resumed,
}

/// A stream of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A device's settings, with the sessions that it keeps.
#[derive(Clone)]
pub(crate) struct Device {
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Device {
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    pub(crate) fn tls(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Result<Self> {
        Ok(Self { address, tls: Some((config, ServerName::try_from(name.to_owned())?)) })
    }

    /// Connects and is let in.
    pub(crate) async fn connect(&self, client_id: &str) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        if self.tls.is_none() {
            return let_in(stream, client_id).await;
        }
        let_in(self.handshake(stream).await?, client_id).await
    }

    /// The same over TLS; fails where the handshake was not of this kind.
    pub(crate) async fn connect_by(&self, kind: HandshakeKind, client_id: &str) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.handshake(stream).await?;
        let was = stream.get_ref().1.handshake_kind();
        if was != Some(kind) {
            bail!("a handshake was {was:?}, not {kind:?}");
        }
        let_in(stream, client_id).await
    }

    /// Connects, and tells the server's certificate and whether the session was resumed.
    pub(crate) async fn look(&self, client_id: &str) -> Result<(Vec<CertificateDer<'static>>, bool)> {
        let mut stream = self.handshake(TcpStream::connect(self.address).await?).await?;
        let connection = stream.get_ref().1;
        let is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let chain = connection.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned());
        let chain = chain.collect();
        say_connect(&mut stream, client_id).await?;
        Ok((chain, is_resumed))
    }

    async fn handshake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let Some((config, name)) = &self.tls else {
            bail!("a device without TLS");
        };
        Ok(TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await?)
    }
}

/// The TLS of the load: 1.3, one suite and one group for all peers, with the device's certificate. The server's is not
/// verified, which would take half of what a handshake costs the load; `check` does so.
pub(crate) fn load_config(device: &Credentials, kind: Kind) -> Result<Arc<ClientConfig>> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_client_auth_cert(device.chain_der(), device.key_der())?;
    config.resumption = match kind {
        Kind::Resumed => Resumption::in_memory_sessions(8),
        Kind::Plain | Kind::Full => Resumption::disabled(),
    };
    Ok(Arc::new(config))
}

async fn let_in(mut stream: impl Stream + 'static, client_id: &str) -> Result<Box<dyn Stream>> {
    say_connect(&mut stream, client_id).await?;
    Ok(Box::new(stream))
}

async fn say_connect(stream: &mut impl Stream, client_id: &str) -> Result<()> {
    stream.write_all(&Connect::new(Version::V311, client_id).bytes()).await?;
    stream.flush().await?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await?;
    if connack != [0x20, 2, 0, 0] {
        bail!("not let in: {connack:02x?}");
    }
    Ok(())
}

#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
