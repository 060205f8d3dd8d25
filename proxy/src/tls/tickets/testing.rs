//! Sessions as rustls makes them, for tests.

use std::io::Cursor;
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme, SupportedProtocolVersion,
};

/// What rustls gave to be sealed.
#[derive(Debug, Default)]
pub(in crate::tls) struct Captured {
    pub(in crate::tls) plain: Vec<u8>,
}

/// A certificate chain of two with the key of the first.
pub(in crate::tls) fn credentials(name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let authority_key = KeyPair::generate().expect("a key");
    let authority = CertificateParams::default();
    let above = authority.self_signed(&authority_key).expect("a certificate");
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new([name.to_owned()]).expect("parameters");
    parameters.distinguished_name.push(DnType::CommonName, name);
    let certificate = parameters.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    (vec![certificate.der().clone(), above.der().clone()], key)
}

/// What rustls gives to be sealed after a handshake in which the client shows these credentials.
pub(in crate::tls) fn captured(
    version: &'static SupportedProtocolVersion,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    has_name: bool,
) -> Captured {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["x.example".to_owned()]).expect("a certificate");
    let server_key = PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into();
    let mut server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .expect("versions")
        .with_client_cert_verifier(Arc::new(AnyClient))
        .with_single_cert(vec![cert.der().clone()], server_key)
        .expect("a server");
    let capture = Arc::new(Capture::default());
    server.ticketer = Arc::clone(&capture) as Arc<dyn ProducesTickets>;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.alpn_protocols = vec![b"mqtt".to_vec()];

    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match client {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).expect("credentials"),
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = has_name;
    if has_name {
        config.alpn_protocols = vec![b"mqtt".to_vec()];
    }
    let name = ServerName::try_from("x.example").expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("bytes");
        }
        server.read_tls(&mut Cursor::new(bytes)).expect("bytes");
        server.process_new_packets().expect("a handshake");
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("bytes");
        }
        client.read_tls(&mut Cursor::new(bytes)).expect("bytes");
        client.process_new_packets().expect("a handshake");
    }
    let plain = capture.plain.lock().expect("a lock").clone();
    assert!(!plain.is_empty(), "no ticket was asked for");
    Captured { plain }
}

/// Keeps what it is to seal.
#[derive(Debug, Default)]
struct Capture {
    plain: Mutex<Vec<u8>>,
}

impl ProducesTickets for Capture {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        1
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        *self.plain.lock().ok()? = plain.to_vec();
        Some(vec![1])
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// Lets every client in.
#[derive(Debug)]
struct AnyClient;

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
