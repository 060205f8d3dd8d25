//! A handshake of mutual TLS, the server's side of it: TLS 1.3, from the first byte of the ClientHello to the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::credentials::{Credentials, server_name};
use super::{Guarded, tell};
use crate::tls::server::TlsServer;
use crate::tls::session::{Peer, read_hello};

const TIMES: usize = 20;

/// Connects, and stays until the server has closed: then it has read its ticket.
async fn connect(device: TlsConnector, address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let mut session = device.connect(server_name(), stream).await?;
    // The server closes without a word, which rustls calls an error.
    let _ = session.read(&mut [0; 1]).await;
    Ok(())
}

async fn accept(stream: TcpStream, server: &TlsServer, is_counting: bool) -> Peer {
    let handshake = async {
        let hello = read_hello(stream).await.map_err(|failure| failure.reason)?;
        hello.accept(server).await.map_err(|failure| failure.reason)
    };
    let handshake = Guarded::new(handshake, &Arc::new(AtomicBool::new(is_counting)));
    let (_session, peer) = handshake.await.expect("a handshake");
    peer
}

/// Has a device connect, again and again.
async fn count_handshakes(is_resumed: bool) -> io::Result<()> {
    let credentials = Credentials::new();
    let (server, device) = (credentials.server(), credentials.device(is_resumed));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    for number in 0..=TIMES {
        // A task of its own, so that its turns are not the server's.
        let connecting = tokio::spawn(connect(device.clone(), listener.local_addr()?));
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let peer = accept(stream, &server, number > 0).await;
        connecting.await??;
        assert_eq!((peer.version, peer.is_resumed), ("TLSv1.3", is_resumed && number > 0));
        assert!(peer.certificate.is_some());
    }
    tell(TIMES);
    Ok(())
}

#[tokio::test]
async fn handshake_in_full() -> io::Result<()> {
    count_handshakes(false).await
}

#[tokio::test]
async fn handshake_resumed() -> io::Result<()> {
    count_handshakes(true).await
}
