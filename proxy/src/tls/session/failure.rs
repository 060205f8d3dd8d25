//! Why there is no session.

use std::io;

use rustls::{CertificateError, Error, PeerIncompatible};
use tokio::net::TcpStream;

use crate::connection::end::End;
use crate::tls::client_auth::{ChainTooLong, CrlExpired};

/// Why there is no session, with what is left of the connection. An alert, if one was due, has been written.
pub(crate) struct Failure {
    pub(crate) end: End,
    /// Why, in a sentence for the log.
    pub(crate) reason: String,
    pub(crate) stream: Option<TcpStream>,
}

impl Failure {
    /// There is no `ClientHello`.
    pub(super) fn of_hello(error: &io::Error, is_outdated: bool, stream: TcpStream) -> Self {
        let (end, reason) = match tls_error(error) {
            Some(error) if is_outdated => (End::ProtocolVersion, format!("the client speaks TLS 1.1 at most: {error}")),
            None if error.kind() == io::ErrorKind::UnexpectedEof || is_reset(error) => {
                (End::ClosedBeforeClientHello, error.to_string())
            }
            Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => {
                (End::NotTls, format!("the first bytes are no ClientHello: {error}"))
            }
            _ => end_of(error),
        };
        Self { end, reason, stream: Some(stream) }
    }

    /// The rest of the handshake failed.
    pub(super) fn of_handshake(error: &io::Error, stream: TcpStream) -> Self {
        let (end, reason) =
            if tls_error(error).is_none() { (End::ClosedInHandshake, error.to_string()) } else { end_of(error) };
        Self { end, reason, stream: Some(stream) }
    }
}

/// rustls' error as one of a stream.
pub(super) fn as_io(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// How the connection ends for this error, and why in a sentence.
fn end_of(error: &io::Error) -> (End, String) {
    let Some(error) = tls_error(error) else {
        return (End::HandshakeFailed, error.to_string());
    };
    let end = match error {
        Error::NoCertificatesPresented => End::CertificateRequired,
        Error::NoApplicationProtocol => End::NoApplicationProtocol,
        Error::InvalidCertificate(reason) => end_of_certificate(reason),
        Error::PeerIncompatible(reason) => match reason {
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired => End::ProtocolVersion,
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
            | PeerIncompatible::NoEcPointFormatsInCommon => End::NoCommonCipher,
            _ => End::HandshakeFailed,
        },
        _ => End::HandshakeFailed,
    };
    let reason = match error {
        // rustls shows the names of our types here, not their sentences.
        Error::InvalidCertificate(CertificateError::Other(other)) => format!("invalid peer certificate: {other}"),
        error => error.to_string(),
    };
    (end, reason)
}

fn end_of_certificate(reason: &CertificateError) -> End {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => End::CertificateExpired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => End::CertificateNotYetValid,
        CertificateError::UnknownIssuer => End::UnknownCa,
        CertificateError::Revoked => End::CertificateRevoked,
        CertificateError::Other(other) if other.0.is::<CrlExpired>() => End::CrlExpired,
        CertificateError::ApplicationVerificationFailure => End::SubjectNotAllowed,
        CertificateError::Other(other) if other.0.is::<ChainTooLong>() => End::ChainTooLong,
        _ => End::BadCertificate,
    }
}
