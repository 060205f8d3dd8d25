//! The handshake after the `ClientHello`, and what it tells.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use rustls::{CommonState, HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWriteExt};

use super::failure::as_io;
use super::records::Records;
use super::stream::{Session, TlsSession};
use super::{alerts, scratch};
use crate::more::WriteMore;
use crate::tls::budget;
use crate::tls::client_certificate::ClientCertificate;

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

/// Completes the handshake that `hello` begins. On failure the alert for it, if there is one, has been written as far as the
/// socket would take it.
pub(super) async fn complete<S: AsyncRead + WriteMore>(
    stream: S,
    hello: Vec<u8>,
    config: Arc<ServerConfig>,
) -> Result<(TlsSession<S>, Peer), (io::Error, S)> {
    let records = match Records::new(config, alerts::is_outdated(&hello)) {
        Ok(records) => records,
        Err(error) => return Err((as_io(error), stream)),
    };
    let mut session = Box::new(Session::new(stream, records, hello));
    match shake_hands(&mut session).await {
        Ok(()) => {
            let peer = peer(session.records.state());
            Ok((session, peer))
        }
        Err(error) => Err((error, session.into_inner())),
    }
}

async fn shake_hands<S: AsyncRead + WriteMore>(session: &mut Session<S>) -> io::Result<()> {
    loop {
        if let Some(error) = budget::spend(|| session.open_incoming()).await {
            poll_fn(|context| Poll::Ready(session.poll_sealed(context).is_ready())).await;
            return Err(as_io(error));
        }
        let state = session.records.state();
        let is_done = !state.is_handshaking();
        if is_done && state.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            // Only tickets are left, which no client waits for: they go with what it is sent next.
            return poll_fn(|context| session.sealed.poll_write_more_to(context, &mut session.stream)).await;
        }
        session.flush().await?;
        if is_done {
            return Ok(());
        }
        if session.incoming.len() >= MOST_INCOMING_BYTES {
            return Err(io::Error::other("a message of the handshake is too long"));
        }
        if scratch::receive(&mut session.stream, &mut session.incoming).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"));
        }
    }
}

fn peer(state: &CommonState) -> Peer {
    Peer {
        version: match state.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        },
        is_resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        certificate: state.peer_certificates().and_then(<[_]>::first).and_then(ClientCertificate::read),
    }
}

/// The longest message that rustls takes, before it is whole.
const MOST_INCOMING_BYTES: usize = 0xffff;
