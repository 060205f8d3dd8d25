//! Both sides of mutual TLS: a `TlsSni` with a certificate, and devices of its authority. Keys are on P-256.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use streamgate_crds::TlsSniSpec;
use tokio_rustls::TlsConnector;

use super::spec;
use crate::tls::material::ServerCertificate;
use crate::tls::server::{Parts, TlsServer};
use crate::tls::testing::Authority;
use crate::tls::tickets::keys::TicketKeys;

/// An authority, which server and clients have theirs from.
pub(super) struct Credentials(Authority);

impl Credentials {
    pub(super) fn new() -> Self {
        Self(Authority::new("devices"))
    }

    pub(super) fn spec() -> TlsSniSpec {
        spec(json!({
            "snis": ["*"],
            "certificates": [{"secretName": "tls"}],
            "clientAuth": {"mode": "Require"},
        }))
    }

    /// What is served under the `TlsSni`: clients have to show a certificate.
    pub(super) fn server(&self) -> TlsServer {
        let (certificate, key) = self.0.issue(NAME, 2);
        let certificate = ServerCertificate::read(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
        let parts = Parts {
            certificates: vec![Arc::new(certificate.expect("a certificate"))],
            authorities: Some(Arc::new(vec![self.0.anchor()])),
            revocation: None,
            ticket_keys: Arc::new(TicketKeys::shared(&[7; 64], None, None).expect("keys")),
        };
        TlsServer::new("acme/devices", &Self::spec(), &parts).expect("a server")
    }

    /// A device, which comes back with the tickets that it got if it keeps them.
    pub(super) fn device(&self, keeps_tickets: bool) -> TlsConnector {
        let (certificate, key) = self.0.issue("sensor-0042", 3);
        let mut roots = RootCertStore::empty();
        roots.add(self.0.certificate.clone()).expect("a root");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.der().clone()], key)
            .expect("a client's certificate");
        if !keeps_tickets {
            config.resumption = Resumption::disabled();
        }
        TlsConnector::from(Arc::new(config))
    }
}

pub(super) fn server_name() -> ServerName<'static> {
    ServerName::try_from(NAME).expect("a name")
}

const NAME: &str = "mqtt.acme.example";
