//! Stage 1: sockets in, each worker's own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol as SocketProtocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use super::serve;
use crate::bootstrap::{Listener, Protocol};
use crate::worker::Worker;

/// A listener, as a worker knows it.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    /// The listener's name.
    pub(crate) name: Arc<str>,
    /// What is spoken there.
    pub(crate) protocol: Protocol,
}

/// Accepts connections for ever.
pub(crate) async fn accept(worker: Rc<Worker>, entrance: Rc<Entrance>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, source)) => {
                prepare(&stream);
                let source = SocketAddr::new(source.ip().to_canonical(), source.port());
                let connection = serve(Rc::clone(&worker), Rc::clone(&entrance), stream, source);
                tokio::task::spawn_local(connection);
            }
            Err(error) => {
                worker.shared.metrics.accept_errors(&entrance.name).inc();
                // The client left before it was accepted; anything else is ours, and asking again at once won't help.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    tracing::warn!(listener = &*entrance.name, %error, "no connection can be accepted");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }
}

/// One socket for each worker, all at the address of the listener. With port 0 the first one's port is all others'.
///
/// # Errors
///
/// The address is not this host's, or is taken.
pub(crate) fn bind(listener: &Listener, all: &[Listener], workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
    // A socket that shares its port would share it with a stranger's too. This one would not.
    drop(socket(listener.address, all, false)?);
    let mut address = listener.address;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = socket(address, all, true)?;
        socket.listen(BACKLOG)?;
        let socket = std::net::TcpListener::from(socket);
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Small packets at once, and probes for a peer that is gone without a word.
pub(super) fn prepare(stream: &TcpStream) {
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES);
    // A socket whose peer has just reset it can't be set, and its first read says so.
    let _ = stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_tcp_keepalive(&keepalive));
}

fn socket(address: SocketAddr, all: &[Listener], is_shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(SocketProtocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    if address.is_ipv6() {
        // `[::]` is for IPv4 too, unless another listener has that port there.
        let is_beside = |other: &Listener| other.address.is_ipv4() && other.address.port() == address.port();
        socket.set_only_v6(address.port() != 0 && all.iter().any(is_beside))?;
    }
    socket.bind(&address.into())?;
    if !is_shared && address.ip() != IpAddr::from([0, 0, 0, 0]) {
        // Only listening meets a socket that listens with the same leave to reuse the address.
        socket.listen(1)?;
    }
    Ok(socket)
}

/// As many clients may wait to be accepted, as far as the kernel allows (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// After an accept failed, so that a lack of file descriptors doesn't take a core too.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// A peer that has said nothing for so long is probed,
const KEEPALIVE_TIME: Duration = Duration::from_mins(1);
/// again after so long,
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// and is given up after so many probes without an answer.
const KEEPALIVE_RETRIES: u32 = 6;
