//! The handshake and the stream after it. Nothing else knows how rustls is driven.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::server::Acceptor;
use rustls::{CertificateError, Error, PeerIncompatible, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::client_auth::ChainTooLong;
use super::client_certificate::ClientCertificate;
use super::server::TlsServer;
use super::tickets::with_tickets;
use crate::connection::end::End;

/// A connection whose ClientHello has been read.
pub(crate) struct Hello {
    start: StartHandshake<Transport>,
}

/// Why there is no session, with what is left of the connection. An alert, if one was due, has been written.
pub(crate) struct Failure {
    pub(crate) end: End,
    /// Why, in a sentence for the log.
    pub(crate) reason: String,
    pub(crate) stream: Option<TcpStream>,
}

/// What the handshake told.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// `TLSv1.2` or `TLSv1.3`.
    pub(crate) version: &'static str,
    /// Whether a session was resumed.
    pub(crate) is_resumed: bool,
    /// The client's certificate, if it has shown one.
    pub(crate) certificate: Option<ClientCertificate>,
}

/// Reads the ClientHello.
pub(crate) async fn read_hello(stream: TcpStream) -> Result<Hello, Failure> {
    let acceptor = LazyConfigAcceptor::new(Acceptor::default(), Transport::new(stream));
    tokio::pin!(acceptor);
    match acceptor.as_mut().await {
        Ok(start) => Ok(Hello { start }),
        Err(error) => {
            let transport = acceptor.take_io();
            let (end, reason) = match tls_error(&error) {
                Some(error) if transport.as_ref().is_some_and(Transport::is_outdated) => {
                    (End::ProtocolVersion, format!("the client speaks TLS 1.1 at most: {error}"))
                }
                None if error.kind() == io::ErrorKind::UnexpectedEof || is_reset(&error) => {
                    (End::ClosedBeforeClientHello, error.to_string())
                }
                Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => {
                    (End::NotTls, format!("the first bytes are no ClientHello: {error}"))
                }
                _ => end_of(&error),
            };
            Err(Failure { end, reason, stream: transport.map(|transport| transport.stream) })
        }
    }
}

impl Hello {
    /// The name that the client asks for, in lower case and without a trailing dot (RFC 6066, section 3).
    pub(crate) fn server_name(&self) -> Option<String> {
        let hello = self.start.client_hello();
        let name = hello.server_name()?.to_ascii_lowercase();
        Some(name.strip_suffix('.').map_or(name.clone(), str::to_owned))
    }

    /// Completes the handshake as `server` has it.
    pub(crate) async fn accept(self, server: &TlsServer) -> Result<(TlsSession, Peer), Failure> {
        let config: Arc<ServerConfig> = server.config_for(&self.start.client_hello());
        // All of it: what the ClientHello brings is read before anything is awaited.
        let handshake = async { self.start.into_stream(config).into_fallible().await };
        match with_tickets(handshake).await {
            Ok(stream) => {
                let peer = peer(&stream);
                Ok((TlsSession { stream }, peer))
            }
            Err((error, transport)) => {
                let (end, reason) = if tls_error(&error).is_none() {
                    (End::ClosedInHandshake, error.to_string())
                } else {
                    end_of(&error)
                };
                Err(Failure { end, reason, stream: Some(transport.stream) })
            }
        }
    }

    /// Refuses the name: alert `unrecognized_name` (RFC 6066, section 3).
    pub(crate) async fn refuse_name(self, reason: String) -> Failure {
        use tokio::io::AsyncWriteExt;
        let mut stream = self.start.io.stream;
        // Who does not read his alert is told nothing.
        let _ = stream.write_all(&UNRECOGNIZED_NAME_ALERT).await;
        Failure { end: End::UnrecognizedName, reason, stream: Some(stream) }
    }
}

/// A TLS connection after its handshake: a stream of bytes. Shutting it down sends `close_notify`, then the end; the client's
/// `close_notify` is the end of what it sends.
pub(crate) struct TlsSession {
    stream: TlsStream<Transport>,
}

impl TlsSession {
    /// The connection below, for what comes after the last record.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.stream.into_inner().0.stream
    }
}

impl AsyncRead for TlsSession {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            // MQTT's packets say where they end: an end without close_notify cuts nothing off unseen.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            other => other,
        }
    }
}

impl AsyncWrite for TlsSession {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The TCP connection below, which sets two of rustls' alerts right:
///
/// - A client of TLS 1.2 without a certificate gets `handshake_failure` (RFC 5246, section 7.4.6) in place of
///   `certificate_required`, which that version doesn't know.
/// - A client of TLS 1.1 or older gets `protocol_version` in place of `handshake_failure`, with which rustls answers that it
///   names no signature algorithms, as no such client does.
///
/// An alert goes out by itself and, before there are keys, in the clear. No other record looks like one: what is protected is
/// longer.
struct Transport {
    stream: TcpStream,
    /// The first bytes that came, as far as they have.
    head: [u8; HEAD_BYTES],
    head_length: usize,
}

impl Transport {
    fn new(stream: TcpStream) -> Self {
        Self { stream, head: [0; HEAD_BYTES], head_length: 0 }
    }

    /// Whether the client speaks TLS 1.1 at most: the version of a `ClientHello` (RFC 5246, section 7.4.1.2) comes after the
    /// head of its record, its type and its length.
    fn is_outdated(&self) -> bool {
        self.head_length == HEAD_BYTES && matches!(self.head, [22, _, _, _, _, 1, _, _, _, 3, 0..=2])
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        let have = self.head_length;
        if have < HEAD_BYTES {
            let came = &buffer.filled()[before..];
            let taken = came.len().min(HEAD_BYTES - have);
            self.head[have..have + taken].copy_from_slice(&came[..taken]);
            self.head_length += taken;
        }
        outcome
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = if bytes == CERTIFICATE_REQUIRED_ALERT {
            &HANDSHAKE_FAILURE_ALERT
        } else if bytes == HANDSHAKE_FAILURE_ALERT && self.is_outdated() {
            &PROTOCOL_VERSION_ALERT
        } else {
            bytes
        };
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [only] => self.poll_write(context, only),
            several => Pin::new(&mut self.stream).poll_write_vectored(context, several),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A plaintext alert (RFC 8446, section 5.1): no keys are agreed on before the ServerHello. Fatal, `unrecognized_name` (112).
const UNRECOGNIZED_NAME_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// The same with `certificate_required` (116), `handshake_failure` (40) and `protocol_version` (70).
const CERTIFICATE_REQUIRED_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 116];
const HANDSHAKE_FAILURE_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];
const PROTOCOL_VERSION_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 70];

/// As many as tell the version of a `ClientHello`.
const HEAD_BYTES: usize = 11;

fn peer(stream: &TlsStream<Transport>) -> Peer {
    let (_, connection) = stream.get_ref();
    Peer {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        },
        is_resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        certificate: connection.peer_certificates().and_then(<[_]>::first).and_then(ClientCertificate::read),
    }
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
    (end, error.to_string())
}

fn end_of_certificate(reason: &CertificateError) -> End {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => End::CertificateExpired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => End::CertificateNotYetValid,
        CertificateError::UnknownIssuer => End::UnknownCa,
        CertificateError::ApplicationVerificationFailure => End::SubjectNotAllowed,
        CertificateError::Other(other) if other.0.is::<ChainTooLong>() => End::ChainTooLong,
        _ => End::BadCertificate,
    }
}
