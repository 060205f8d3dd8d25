//! The client's side of a connection, in the clear or under TLS.

use tokio::net::TcpStream;

use crate::more::{KnowsEnd, WriteMore};
use crate::tls::session::TlsSession;

/// The client's side: bytes of MQTT, over a TCP connection. Shutting it down ends what it is sent, in order.
pub(super) trait ClientStream: KnowsEnd + WriteMore {
    /// The TCP connection, when nothing more is to be read or written above it.
    fn into_tcp(self) -> TcpStream;
}

impl ClientStream for TcpStream {
    fn into_tcp(self) -> TcpStream {
        self
    }
}

impl ClientStream for TlsSession {
    fn into_tcp(self) -> TcpStream {
        self.into_inner()
    }
}
