//! The `ClientHello`: read and understood apart from the rest, since how the rest goes depends on the name in it.

use std::io;

use rustls::server::{Accepted, Acceptor};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::failure::{Failure, as_io};
use super::handshake::{self, Peer};
use super::stream::TlsSession;
use super::{alerts, scratch};
use crate::connection::end::End;
use crate::tls::server::TlsServer;

/// A connection whose `ClientHello` has been read.
pub(crate) struct Hello {
    stream: TcpStream,
    /// All that has come: the `ClientHello` and what followed it.
    bytes: Vec<u8>,
    /// What it says. It is read once more by what completes the handshake.
    accepted: Box<Accepted>,
}

/// Reads the `ClientHello`.
pub(crate) async fn read_hello(mut stream: TcpStream) -> Result<Hello, Failure> {
    let mut bytes = Vec::new();
    // In a box of its own, so that its memory is gone with it.
    match Box::pin(read(&mut stream, &mut bytes)).await {
        Ok(accepted) => Ok(Hello { stream, bytes, accepted }),
        Err(error) => Err(Failure::of_hello(&error, alerts::is_outdated(&bytes), stream)),
    }
}

async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Box<Accepted>> {
    let mut acceptor = Acceptor::default();
    let mut shown = 0;
    loop {
        if scratch::receive(stream, bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some(mut unseen @ [_, ..]) = bytes.get(shown..) {
            // Fails when there is more than a `ClientHello` can be.
            shown += acceptor.read_tls(&mut unseen)?;
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok(Box::new(accepted)),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut record = Vec::new();
                    alert.write_all(&mut record)?;
                    if let Some(replacement) = alerts::replacement(&record, alerts::is_outdated(bytes)) {
                        record = replacement.to_vec();
                    }
                    // Who does not read his alert is told nothing.
                    let _ = stream.write_all(&record).await;
                    return Err(as_io(error));
                }
            }
        }
    }
}

impl Hello {
    /// The name that the client asks for, in lower case and without a trailing dot (RFC 6066, section 3).
    pub(crate) fn server_name(&self) -> Option<String> {
        let hello = self.accepted.client_hello();
        let name = hello.server_name()?.to_ascii_lowercase();
        Some(name.strip_suffix('.').map_or(name.clone(), str::to_owned))
    }

    /// Completes the handshake as `server` has it.
    pub(crate) async fn accept(self, server: &TlsServer) -> Result<(TlsSession, Peer), Failure> {
        let Self { stream, bytes, accepted } = self;
        let config = server.config_for(&accepted.client_hello());
        drop(accepted);
        // In a box of its own, so that its memory is gone with it.
        match Box::pin(handshake::complete(stream, bytes, config)).await {
            Ok(handshaken) => Ok(handshaken),
            Err((error, stream)) => Err(Failure::of_handshake(&error, stream)),
        }
    }

    /// Refuses the name: alert `unrecognized_name` (RFC 6066, section 3).
    pub(crate) async fn refuse_name(self, reason: String) -> Failure {
        let mut stream = self.stream;
        // Who does not read his alert is told nothing.
        let _ = stream.write_all(&alerts::UNRECOGNIZED_NAME).await;
        Failure { end: End::UnrecognizedName, reason, stream: Some(stream) }
    }
}
