//! A session in memory, and rustls' own client at its other end.

use std::sync::{Arc, LazyLock};

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{DuplexStream, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::cut::{Cut, Sizes};
use crate::tls::session::handshake::{Peer, complete};
use crate::tls::session::stream::TlsSession;

pub(super) type Version = &'static SupportedProtocolVersion;

pub(super) const VERSIONS: [Version; 2] = [&TLS12, &TLS13];

pub(super) type Client = TlsStream<DuplexStream>;

/// Both ends of a connection after its handshake: the server's end reads and writes in pieces of these sizes.
pub(super) async fn connect(
    version: Version,
    pipe_bytes: usize,
    reads: Sizes,
    writes: Sizes,
) -> (TlsSession<Cut>, Peer, Client) {
    let (near, far) = duplex(pipe_bytes);
    let connector = TlsConnector::from(Arc::new(client(version)));
    let name = ServerName::try_from("localhost").expect("a name");
    let (server, client) =
        tokio::join!(complete(Cut::new(near, reads, writes), Vec::new(), server()), connector.connect(name, far));
    let (session, peer) = server.map_err(|(error, _)| error).expect("a session");
    (session, peer, client.expect("a session of the client"))
}

/// The same in one piece.
pub(super) async fn connect_whole(version: Version) -> (TlsSession<Cut>, Client) {
    let whole = Sizes::new(vec![usize::MAX]);
    let (session, _, client) = connect(version, 1 << 20, whole.clone(), whole).await;
    (session, client)
}

/// Bytes that tell when they are out of order.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

fn client(version: Version) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.certificate.der().clone()).expect("a root");
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![AUTHORITY.certificate.der().clone()], AUTHORITY.key())
        .expect("a client's certificate")
}

/// One that asks for a certificate, so that the handshake has all messages that it can have.
pub(super) fn server() -> Arc<ServerConfig> {
    Arc::clone(&SERVER)
}

static SERVER: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.certificate.der().clone()).expect("a root");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .expect("a verifier");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![AUTHORITY.certificate.der().clone()], AUTHORITY.key())
        .expect("a certificate");
    Arc::new(config)
});

/// A certificate that both sides show and trust.
struct Authority {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.serialize_der().into())
    }
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let key = KeyPair::generate().expect("a key");
    let parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    Authority { certificate, key }
});
