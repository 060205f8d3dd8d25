//! What is served under one `TlsSni`: its certificates, its clients, its versions, its protocols.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::TrustAnchor;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion};
use streamgate_crds::TlsSniSpec;
use streamgate_crds::tls_sni::{ClientAuthMode, TlsVersion};

use super::client_auth::ClientVerifier;
use super::material::ServerCertificate;
use super::revocation::RevocationLists;
use super::tickets::Tickets;
use super::tickets::keys::TicketKeys;

/// What is served under one `TlsSni`. It changes only as a whole. Its session tickets outlast it: they are sealed for the
/// `TlsSni`, and judged anew when they come back.
pub struct TlsServer {
    /// For clients that are asked to agree on a protocol (ALPN).
    with_alpn: Arc<ServerConfig>,
    /// For clients whose offers are ignored.
    without_alpn: Arc<ServerConfig>,
    /// Protocols of which a client that offers any must offer one; empty: see [`DEFAULT_PROTOCOL`].
    required_protocols: Vec<Vec<u8>>,
    /// The end of the first certificate to end, in seconds since the epoch.
    pub not_after: i64,
}

/// What the `TlsSni` refers to, and what its tickets are sealed with.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// The certificates with their keys, in the manifest's order.
    pub certificates: Vec<Arc<ServerCertificate>>,
    /// Who may have issued clients' certificates; `None` where none are asked for.
    pub authorities: Option<Arc<Vec<TrustAnchor<'static>>>>,
    /// Which of them were called back; `None` where that is not looked up.
    pub revocation: Option<Arc<RevocationLists>>,
    /// What session tickets are sealed with.
    pub ticket_keys: Arc<TicketKeys>,
}

impl TlsServer {
    /// Prepares what `spec` says for the `TlsSni` of this label (`namespace/name`).
    ///
    /// # Errors
    ///
    /// The library for cryptography refuses; a sentence says why.
    pub fn new(label: &str, spec: &TlsSniSpec, parts: &Parts) -> Result<Self, rustls::Error> {
        let mut provider = aws_lc_rs::default_provider();
        // Processors have instructions for SHA-256, and none for SHA-384, which would take half of a resumed handshake.
        provider
            .cipher_suites
            .sort_by_key(|suite| suite.suite().as_str().is_some_and(|name| name.ends_with("_SHA384")));
        let provider = Arc::new(provider);
        let certificates: Vec<ServerCertificate> =
            parts.certificates.iter().map(|certificate| (**certificate).clone()).collect();
        let not_after = certificates.iter().map(|certificate| certificate.not_after).min().unwrap_or(0);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(spec.min_protocol_version))?;
        let clients = match spec.client_auth.mode() {
            ClientAuthMode::None => None,
            ClientAuthMode::Optional | ClientAuthMode::Require => Some(Arc::new(ClientVerifier::new(
                &spec.client_auth,
                parts.authorities.as_ref().map(|authorities| (**authorities).clone()).unwrap_or_default(),
                parts.revocation.clone(),
                provider.signature_verification_algorithms,
            ))),
        };
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients) as Arc<dyn ClientCertVerifier>),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Certificates::new(certificates)));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::new(Tickets::new(Arc::clone(&parts.ticket_keys), label, clients));
        config.send_tls13_tickets = TICKETS_PER_HANDSHAKE;
        config.ignore_client_order = true;
        let without_alpn = Arc::new(config.clone());
        let required_protocols: Vec<Vec<u8>> =
            spec.alpn_protocols.iter().map(|protocol| protocol.clone().into_bytes()).collect();
        config.alpn_protocols =
            if required_protocols.is_empty() { vec![DEFAULT_PROTOCOL.to_vec()] } else { required_protocols.clone() };
        Ok(Self { with_alpn: Arc::new(config), without_alpn, required_protocols, not_after })
    }

    /// How to answer this ClientHello.
    pub(crate) fn config_for(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let offers_default =
            || hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == DEFAULT_PROTOCOL));
        let config =
            if !self.required_protocols.is_empty() || offers_default() { &self.with_alpn } else { &self.without_alpn };
        if prefers_chacha20(hello.cipher_suites()) {
            let mut config = ServerConfig::clone(config);
            config.ignore_client_order = false;
            return Arc::new(config);
        }
        Arc::clone(config)
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// Whether the client would rather have `ChaCha20` than AES: a device whose processor has no instructions for AES.
fn prefers_chacha20(offered: &[CipherSuite]) -> bool {
    let mut names = offered.iter().filter_map(CipherSuite::as_str);
    names.find(|name| name.contains("_GCM_") || name.contains(CHACHA20)).is_some_and(|name| name.contains(CHACHA20))
}

const CHACHA20: &str = "_CHACHA20_POLY1305_";

/// Chosen if the client offers it and the `TlsSni` requires none.
const DEFAULT_PROTOCOL: &[u8] = b"mqtt";

/// A device opens one connection at a time, and gets a new ticket with each.
const TICKETS_PER_HANDSHAKE: usize = 1;

static ALL_VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match least {
        TlsVersion::V1_2 => ALL_VERSIONS,
        TlsVersion::V1_3 => &ALL_VERSIONS[..1],
    }
}

/// The certificates of a `TlsSni`, of which each client gets one that it can verify.
#[derive(Debug)]
struct Certificates {
    /// Those that are cheap to sign with first (ECDSA, Ed25519), then in the manifest's order.
    by_preference: Vec<ServerCertificate>,
    /// For clients that can verify none of them.
    unusable: Arc<CertifiedKey>,
}

impl Certificates {
    fn new(mut certificates: Vec<ServerCertificate>) -> Self {
        certificates.sort_by_key(|certificate| certificate.certified_key.key.algorithm() == SignatureAlgorithm::RSA);
        let chain = certificates.first().map(|certificate| certificate.certified_key.cert.clone()).unwrap_or_default();
        Self { unusable: Arc::new(CertifiedKey::new(chain, Arc::new(UnusableKey))), by_preference: certificates }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable: Vec<&ServerCertificate> = self
            .by_preference
            .iter()
            .filter(|certificate| {
                let key = &certificate.certified_key.key;
                key.choose_scheme(hello.signature_schemes()).is_some()
            })
            .collect();
        let for_this_name = hello
            .server_name()
            .filter(|_| usable.len() > 1)
            .and_then(|name| usable.iter().find(|certificate| certificate.covers(name)));
        let chosen = for_this_name.or_else(|| usable.first());
        Some(Arc::clone(chosen.map_or(&self.unusable, |certificate| &certificate.certified_key)))
    }
}

/// A key that signs nothing. Where there is no certificate to show, rustls says `access_denied`; with this key it finds that
/// it has nothing in common with the client, and says `handshake_failure`.
#[derive(Debug)]
struct UnusableKey;

impl SigningKey for UnusableKey {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        None
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Anonymous
    }
}
