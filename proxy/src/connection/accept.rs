//! Stage 1: sockets in, each worker's own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol as SocketProtocol, SockFilter, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::{serve, serve_tls};
use crate::bootstrap::{Listener, Protocol};
use crate::worker::descriptors::Descriptor;
use crate::worker::{Phase, Worker};

/// A listener, as a worker knows it.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    /// The listener's name.
    pub(crate) name: Arc<str>,
    /// What is spoken there.
    pub(crate) protocol: Protocol,
}

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) struct Accepted<S = TcpStream> {
    pub(super) stream: S,
    pub(super) source: SocketAddr,
    pub(super) descriptor: Descriptor,
}

/// Accepts connections until the proxy hands its clients back. Then nobody else is let into the queue, and who is in it is
/// accepted still: a listener that is closed resets those.
pub(crate) async fn accept(worker: Rc<Worker>, entrance: Rc<Entrance>, listener: TcpListener) {
    let mut phase = worker.shared.phase.clone();
    tokio::select! {
        // The sender goes with the process.
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
        () = accept_all(&worker, &entrance, &listener) => {}
    }
    if let Err(error) = SockRef::from(&listener).attach_filter(&WITHOUT_SYN) {
        tracing::warn!(listener = &*entrance.name, %error, "who comes while the queue is emptied may be reset");
    }
    // Nobody comes after those that are in the queue; who has sent its SYN before has a moment to complete the connection. A
    // worker that is busy with handshakes takes long to come to the last of them.
    let empty = async { while timeout(LAST_CALL, accept_one(&worker, &entrance, &listener)).await.is_ok() {} };
    let _ = timeout(LONGEST_LAST_CALL, empty).await;
}

async fn accept_all(worker: &Rc<Worker>, entrance: &Rc<Entrance>, listener: &TcpListener) {
    loop {
        accept_one(worker, entrance, listener).await;
        wait_for_room(worker).await;
    }
}

async fn accept_one(worker: &Rc<Worker>, entrance: &Rc<Entrance>, listener: &TcpListener) {
    match listener.accept().await {
        Ok((stream, source)) => {
            let source = SocketAddr::new(source.ip().to_canonical(), source.port());
            // Counted here and now: many are accepted before the first of them is served.
            let accepted = Accepted { stream, source, descriptor: worker.shared.descriptors.count() };
            let (of_worker, of_entrance) = (Rc::clone(worker), Rc::clone(entrance));
            match entrance.protocol {
                Protocol::Mqtt => drop(spawn_local(serve(of_worker, of_entrance, accepted))),
                Protocol::Mqtts => drop(spawn_local(serve_tls(of_worker, of_entrance, accepted))),
            }
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

/// Returns when there is room for another client. Until then they wait in the kernel's queue.
async fn wait_for_room(worker: &Worker) {
    while !worker.shared.descriptors.has_room() {
        tokio::time::sleep(PAUSE_WITHOUT_ROOM).await;
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
        prepare(&SockRef::from(&socket))?;
        socket.listen(BACKLOG)?;
        let socket = std::net::TcpListener::from(socket);
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Small packets at once, and probes for a peer that is gone without a word. What a listener accepts inherits it from it.
///
/// # Errors
///
/// The kernel refuses one of them.
pub(super) fn prepare(socket: &SockRef<'_>) -> io::Result<()> {
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)
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

/// A program for the kernel's socket filter (classic BPF), which sees each packet from its TCP header on: those with the
/// flag SYN are dropped, all others pass.
static WITHOUT_SYN: [SockFilter; 4] = [
    // Load the byte of the flags.
    SockFilter::new(0x30, 0, 0, 13),
    // Is SYN set? Else skip the next.
    SockFilter::new(0x45, 0, 1, 0x02),
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, u32::MAX),
];

/// When so long nobody was in the queue, it is closed,
const LAST_CALL: Duration = Duration::from_millis(250);
/// and after so long in any case.
const LONGEST_LAST_CALL: Duration = Duration::from_secs(5);

/// How soon room is looked for again.
const PAUSE_WITHOUT_ROOM: Duration = Duration::from_millis(10);

/// After an accept failed, so that a lack of file descriptors doesn't take a core too.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// A peer that has said nothing for so long is probed,
const KEEPALIVE_TIME: Duration = Duration::from_mins(1);
/// again after so long,
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// and is given up after so many probes without an answer.
const KEEPALIVE_RETRIES: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_accepted_has_the_options_of_its_listener() -> io::Result<()> {
        let listener =
            Listener { name: "plain".to_owned(), address: ([127, 0, 0, 1], 0).into(), protocol: Protocol::Mqtt };
        let sockets = bind(&listener, std::slice::from_ref(&listener), 1)?;
        sockets[0].set_nonblocking(false)?;
        let _client = std::net::TcpStream::connect(sockets[0].local_addr()?)?;
        let (accepted, _) = sockets[0].accept()?;
        let accepted = SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay()? && accepted.keepalive()?);
        assert_eq!(accepted.tcp_keepalive_time()?, KEEPALIVE_TIME);
        assert_eq!(accepted.tcp_keepalive_interval()?, KEEPALIVE_INTERVAL);
        assert_eq!(accepted.tcp_keepalive_retries()?, KEEPALIVE_RETRIES);
        Ok(())
    }
}
