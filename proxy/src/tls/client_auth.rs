//! The judgement of a client's certificate, by the authorities, the revocation lists, the depth and the subjects that the
//! `TlsSni` names: when the client shows it, and again when its session goes on.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use streamgate_crds::SubjectPattern;
use streamgate_crds::tls_sni::{ClientAuth, ClientAuthMode};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationOptions, RevocationOptionsBuilder,
    UnknownStatusPolicy, VerifiedPath,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::authorities::{Fingerprint, TrustedAuthorities};
use super::client_certificate::ClientCertificate;
use super::revocation::RevocationLists;

/// Judges clients' certificates for one `TlsSni`.
pub(crate) struct ClientVerifier {
    authorities: TrustedAuthorities,
    revocation: Option<Arc<RevocationLists>>,
    hints: Vec<DistinguishedName>,
    is_mandatory: bool,
    max_depth: u8,
    allowed_subjects: Vec<SubjectPattern>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    /// Judges as `client_auth` says, by these authorities and revocation lists.
    pub(crate) fn new(
        client_auth: &ClientAuth,
        authorities: Vec<TrustAnchor<'static>>,
        revocation: Option<Arc<RevocationLists>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let names: Vec<_> =
            authorities.iter().map(|authority| DistinguishedName::in_sequence(&authority.subject)).collect();
        let bytes: usize = names.iter().map(|name| LENGTH_BYTES + name.as_ref().len()).sum();
        Self {
            // None stands for any (RFC 8446, section 4.2.4; RFC 5246, section 7.4.4).
            hints: if bytes > MOST_HINT_BYTES { Vec::new() } else { names },
            authorities: TrustedAuthorities::new(authorities),
            revocation,
            is_mandatory: client_auth.mode() == ClientAuthMode::Require,
            max_depth: client_auth.max_depth,
            allowed_subjects: client_auth.allowed_subjects.clone(),
            algorithms,
        }
    }

    /// Who may have issued clients' certificates.
    pub(super) fn authorities(&self) -> &TrustedAuthorities {
        &self.authorities
    }

    /// Whether a client that showed these certificates (its own first) when these authorities were trusted would be let in
    /// today as well. Signatures are as they were; so all that it showed counts, whichever of it they hold together. `false`
    /// where a full handshake alone can tell.
    pub(super) fn holds_still(
        &self,
        trusted: &[Fingerprint],
        certificates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        let Some((own, above)) = certificates.split_first() else {
            // Asked for one of other authorities, it may have something to show.
            return !self.is_mandatory && trusted == self.authorities.to_remember();
        };
        let depth = above.iter().filter(|certificate| !self.authorities.has(certificate)).count();
        !trusted.is_empty()
            && self.authorities.include(trusted)
            && depth <= usize::from(self.max_depth)
            && certificates.iter().all(|certificate| is_in_time(certificate, now))
            && self.revocation.as_ref().is_none_or(|lists| certificates.iter().all(|one| lists.clear(one, now)))
            && self.allows_subject(own)
    }

    /// Builds a path from the certificate to an authority. `Err` has also whether only the depth was in the way.
    fn verify_path<'p>(
        &'p self,
        certificate: &'p EndEntityCert<'p>,
        intermediates: &'p [CertificateDer<'p>],
        now: UnixTime,
        revocation: Option<(&RevocationLists, RevocationOptions<'_>)>,
    ) -> Result<(), (webpki::Error, bool)> {
        let was_too_long = Cell::new(false);
        let judge = |path: &VerifiedPath<'_>| {
            if path.intermediate_certificates().count() > usize::from(self.max_depth) {
                was_too_long.set(true);
                return Err(webpki::Error::UnknownIssuer);
            }
            // webpki looks into one list only; this looks into all of the issuer's.
            if let Some((lists, _)) = &revocation
                && path.intermediate_certificates().chain([&**path.end_entity()]).any(|one| lists.name(one))
            {
                return Err(webpki::Error::CertRevoked);
            }
            Ok(())
        };
        let verified = certificate.verify_for_usage(
            self.algorithms.all,
            self.authorities.anchors(),
            intermediates,
            now,
            KeyUsage::client_auth(),
            revocation.as_ref().map(|(_, options)| *options),
            Some(&judge),
        );
        verified.map(drop).map_err(|error| (error, was_too_long.get()))
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
        let mut verified = Ok(());
        match &self.revocation {
            None => verified = self.verify_path(&certificate, intermediates, now, None),
            Some(lists) => {
                for order in lists.orders() {
                    let revocation = revocation(&order)?;
                    verified = self.verify_path(&certificate, intermediates, now, Some((lists, revocation)));
                    // Else another authority of the same name may have issued the list that came first.
                    if matches!(
                        verified,
                        Ok(()) | Err((webpki::Error::CertRevoked | webpki::Error::CrlExpired { .. }, _))
                    ) {
                        break;
                    }
                }
            }
        }
        verified.map_err(|(error, was_too_long)| {
            if was_too_long || matches!(error, webpki::Error::MaximumPathDepthExceeded) {
                return other(ChainTooLong { max_depth: self.max_depth });
            }
            rustls_error(&error)
        })?;
        if !self.allows_subject(end_entity) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
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
            .field("authorities", &self.authorities.anchors().len())
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

/// The revocation list of the certificate's issuer is past its end, so that nobody knows what was revoked since.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the revocation list of the certificate's issuer ended at {next_update} (clientAuth.crl)")]
pub(crate) struct CrlExpired {
    next_update: Timestamp,
}

/// The revocation list of the certificate's issuer can't be relied on.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the revocation list of the certificate's issuer can't be used: {0:?} (clientAuth.crl)")]
struct CrlUnusable(webpki::Error);

/// How certificates are looked up: each of the path whose issuer has a list must not be on it.
fn revocation<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Result<RevocationOptions<'a>, Error> {
    let options = RevocationOptionsBuilder::new(lists)
        .map_err(|_| Error::General("a revocation file without a list".to_owned()))?
        .with_status_policy(UnknownStatusPolicy::Allow)
        .with_expiration_policy(ExpirationPolicy::Enforce);
    Ok(options.build())
}

/// Whether the certificate is neither too young nor too old.
fn is_in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let Ok(now) = i64::try_from(now.as_secs()) else { return false };
    X509Certificate::from_der(certificate).is_ok_and(|(_, certificate)| {
        let validity = certificate.validity();
        (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
    })
}

fn timestamp(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
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
        E::CertRevoked => CertificateError::Revoked,
        E::CrlExpired { next_update, .. } => return other(CrlExpired { next_update: timestamp(*next_update) }),
        E::InvalidCrlSignatureForPublicKey
        | E::IssuerNotCrlSigner
        | E::UnsupportedCrlSignatureAlgorithmContext(_)
        | E::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => return other(CrlUnusable(error.clone())),
        error => return other(error.clone()),
    }
    .into()
}

#[cfg(test)]
mod tests;
