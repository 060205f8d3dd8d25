//! Certificates, keys and authorities, as PEM files have them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroize;

/// A certificate with its chain and its key, checked against one another.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    /// The chain, the key and how it signs.
    pub(crate) certified_key: Arc<CertifiedKey>,
    /// The beginning of its validity, in seconds since the epoch.
    pub not_before: i64,
    /// The end of its validity, in seconds since the epoch.
    pub not_after: i64,
}

/// Why PEM files can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MaterialError {
    /// The file of certificates can't be read as such.
    #[error("{key}: {found}; wanted PEM certificates, the server's own first, then its intermediates")]
    Certificates {
        /// The key of the Secret or ConfigMap.
        key: String,
        /// What is wrong.
        found: String,
    },
    /// The file of revocation lists can't be read as such.
    #[error("{key}: {found}; wanted PEM revocation lists (`X509 CRL`) of version 2 with a next update")]
    RevocationLists {
        /// The key of the Secret or ConfigMap.
        key: String,
        /// What is wrong.
        found: String,
    },
    /// The file of the private key can't be read as such.
    #[error("{key}: {found}; wanted one PEM private key (PKCS #8, PKCS #1 or SEC 1), not encrypted")]
    Key {
        /// The key of the Secret.
        key: String,
        /// What is wrong.
        found: String,
    },
    /// Both are good, but not for one another.
    #[error("tls.key is not the key of the first certificate in tls.crt; wanted a pair that belongs together")]
    Mismatch,
}

impl PartialEq for ServerCertificate {
    /// The key follows from the certificate, which it was checked against.
    fn eq(&self, other: &Self) -> bool {
        self.certified_key.cert == other.certified_key.cert
    }
}

impl ServerCertificate {
    /// Reads `tls.crt` and `tls.key`. The bytes of the key are the caller's to wipe.
    ///
    /// # Errors
    ///
    /// What is wrong with either, or that they don't belong together.
    pub fn read(certificates: &[u8], key: &[u8]) -> Result<Self, MaterialError> {
        let chain = read_certificates("tls.crt", certificates)?;
        let (not_before, not_after) = validate_x509("tls.crt", &chain)?;
        let wrong_key =
            |found: &dyn fmt::Display| MaterialError::Key { key: "tls.key".to_owned(), found: found.to_string() };
        let mut key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => wrong_key(&"no private key is in it"),
            other => wrong_key(&other),
        })?;
        let signing_key = any_supported_type(&key);
        key.zeroize();
        let signing_key = signing_key.map_err(|error| wrong_key(&error))?;
        let certified_key = CertifiedKey::new(chain, signing_key);
        match certified_key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(MaterialError::Mismatch),
            Err(error) => {
                return Err(MaterialError::Certificates { key: "tls.crt".to_owned(), found: error.to_string() });
            }
        }
        Ok(Self { certified_key: Arc::new(certified_key), not_before, not_after })
    }

    /// The names and addresses that the certificate is for (RFC 5280 section 4.2.1.6): DNS names and IP addresses.
    pub fn subject_alt_names(&self) -> Vec<String> {
        let first = self.certified_key.end_entity_cert().ok();
        let parsed = first.and_then(|first| X509Certificate::from_der(first).ok());
        let names = parsed.as_ref().and_then(|(_, parsed)| parsed.subject_alternative_name().ok().flatten());
        let names = names.iter().flat_map(|names| &names.value.general_names);
        names
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                GeneralName::IPAddress(octets) => address(octets).map(|address| address.to_string()),
                _ => None,
            })
            .collect()
    }

    /// Whether the certificate is for this name.
    pub(crate) fn covers(&self, name: &str) -> bool {
        let Ok(name) = ServerName::try_from(name) else {
            return false;
        };
        self.certified_key.end_entity_cert().is_ok_and(|certificate| {
            EndEntityCert::try_from(certificate)
                .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        })
    }
}

/// Reads authorities, one or more, from the file of this key.
///
/// # Errors
///
/// It holds none, or one that can't be read.
pub fn read_authorities(key: &str, pem: &[u8]) -> Result<Vec<TrustAnchor<'static>>, MaterialError> {
    let certificates = read_certificates(key, pem)?;
    certificates
        .iter()
        .map(|certificate| {
            webpki::anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned()).map_err(|error| {
                MaterialError::Certificates {
                    key: key.to_owned(),
                    found: format!("a certificate that can't be an authority ({error})"),
                }
            })
        })
        .collect()
}

fn read_certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let wrong = |found: String| MaterialError::Certificates { key: key.to_owned(), found };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(format!("PEM that can't be read ({error})")))?;
    if certificates.is_empty() {
        return Err(wrong("no certificate is in it".to_owned()));
    }
    Ok(certificates)
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(octets).ok().map(IpAddr::from);
    v4().or_else(v6)
}

/// Checks that the first certificate is one that TLS libraries take, and gives the beginning and the end of its validity.
fn validate_x509(key: &str, chain: &[CertificateDer<'_>]) -> Result<(i64, i64), MaterialError> {
    let wrong = |found: String| MaterialError::Certificates { key: key.to_owned(), found };
    let Some(first) = chain.first() else {
        return Err(wrong("no certificate is in it".to_owned()));
    };
    let (_, parsed) = X509Certificate::from_der(first)
        .map_err(|error| wrong(format!("a certificate that can't be read ({error})")))?;
    if parsed.version != x509_parser::x509::X509Version::V3 {
        return Err(wrong(
            "an X.509 version 1 certificate (issue it with extensions, such as subjectAltName, to get version 3)"
                .to_owned(),
        ));
    }
    let validity = parsed.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}
