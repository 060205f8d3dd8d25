//! The judgement of a client's certificate: by the authorities, the depth and the subjects that the `TlsSni` names.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use streamgate_crds::SubjectPattern;
use streamgate_crds::tls_sni::{ClientAuth, ClientAuthMode};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::client_certificate::ClientCertificate;
use super::tickets;

/// Judges clients' certificates for one `TlsSni`.
pub(crate) struct ClientVerifier {
    authorities: Vec<TrustAnchor<'static>>,
    hints: Vec<DistinguishedName>,
    is_mandatory: bool,
    max_depth: u8,
    allowed_subjects: Vec<SubjectPattern>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    /// Judges as `client_auth` says, by these authorities.
    pub(crate) fn new(
        client_auth: &ClientAuth,
        authorities: Vec<TrustAnchor<'static>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let names: Vec<_> =
            authorities.iter().map(|authority| DistinguishedName::in_sequence(&authority.subject)).collect();
        let bytes: usize = names.iter().map(|name| LENGTH_BYTES + name.as_ref().len()).sum();
        Self {
            // None stands for any (RFC 8446, section 4.2.4; RFC 5246, section 7.4.4).
            hints: if bytes > MOST_HINT_BYTES { Vec::new() } else { names },
            authorities,
            is_mandatory: client_auth.mode() == ClientAuthMode::Require,
            max_depth: client_auth.max_depth,
            allowed_subjects: client_auth.allowed_subjects.clone(),
            algorithms,
        }
    }

    fn allows_subject(&self, certificate: &CertificateDer<'_>) -> bool {
        self.allowed_subjects.is_empty()
            || ClientCertificate::read(certificate).is_some_and(|certificate| {
                self.allowed_subjects.iter().any(|pattern| pattern.matches(certificate.subject_attributes()))
            })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let certificate = EndEntityCert::try_from(end_entity).map_err(|error| rustls_error(&error))?;
        let was_too_long = Cell::new(false);
        let judge_length = |path: &VerifiedPath<'_>| {
            if path.intermediate_certificates().count() <= usize::from(self.max_depth) {
                return Ok(());
            }
            was_too_long.set(true);
            Err(webpki::Error::UnknownIssuer)
        };
        let path = certificate
            .verify_for_usage(
                self.algorithms.all,
                &self.authorities,
                intermediates,
                now,
                KeyUsage::client_auth(),
                None,
                Some(&judge_length),
            )
            .map_err(|error| {
                if was_too_long.get() || matches!(error, webpki::Error::MaximumPathDepthExceeded) {
                    let error = ChainTooLong { max_depth: self.max_depth };
                    return CertificateError::Other(OtherError(Arc::new(error))).into();
                }
                rustls_error(&error)
            })?;
        if !self.allows_subject(end_entity) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        let intermediates = path.intermediate_certificates().map(webpki::Cert::der);
        tickets::limit_to(intermediates.chain([end_entity.clone()]));
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientVerifier")
            .field("authorities", &self.authorities.len())
            .field("is_mandatory", &self.is_mandatory)
            .finish_non_exhaustive()
    }
}

/// The names of the authorities, with the length before each, have to fit the 65535 bytes of a `CertificateRequest` beside all
/// else that is in it.
const MOST_HINT_BYTES: usize = 60_000;
const LENGTH_BYTES: usize = 2;

/// More intermediates stand between the client's certificate and an authority than `maxDepth` allows.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("more than {max_depth} intermediate certificates to a trusted authority (clientAuth.maxDepth)")]
pub(crate) struct ChainTooLong {
    max_depth: u8,
}

/// webpki's verdict in rustls' words, which decide the alert (RFC 8446, section 6.2).
fn rustls_error(error: &webpki::Error) -> Error {
    use webpki::Error as E;
    match error {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time: *time, not_before: *not_before }
        }
        E::CertExpired { time, not_after } => CertificateError::ExpiredContext { time: *time, not_after: *not_after },
        E::InvalidCertValidity => CertificateError::Expired,
        // The signature is an issuer's: one that none of the authorities made, though it may be one's namesake.
        E::UnknownIssuer | E::InvalidSignatureForPublicKey | E::PathLenConstraintViolated => {
            CertificateError::UnknownIssuer
        }
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => CertificateError::InvalidPurpose,
        other => CertificateError::Other(OtherError(Arc::new(other.clone()))),
    }
    .into()
}
