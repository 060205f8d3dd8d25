//! Connections on which bytes are counted: what is sent and read, until when, and how it ended.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Connect, Packet, variable};
use crate::tls_client::TlsStream;
use crate::wait;

/// A connection whose reads can be limited in time, and whose sending side can be ended.
pub trait Peer: Read + Write {
    /// Limits how long a read may block.
    fn limit_read(&self, within: Duration) -> io::Result<()>;

    /// Ends the sending side: FIN, after a `close_notify` under TLS.
    fn end_sending(&mut self) -> io::Result<()>;

    /// Its own address, by which the proxy's access line is found.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

impl<P: Peer + ?Sized> Peer for Box<P> {
    fn limit_read(&self, within: Duration) -> io::Result<()> {
        (**self).limit_read(within)
    }

    fn end_sending(&mut self) -> io::Result<()> {
        (**self).end_sending()
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        (**self).local_address()
    }
}

impl Peer for TcpStream {
    fn limit_read(&self, within: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(within.max(Duration::from_millis(1))))
    }

    fn end_sending(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Peer for TlsStream {
    fn limit_read(&self, within: Duration) -> io::Result<()> {
        self.sock.limit_read(within)
    }

    fn end_sending(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()?;
        self.sock.shutdown(Shutdown::Write)
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.sock.local_addr()
    }
}

/// A plaintext connection, without delay of small segments.
pub fn connect_tcp(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, wait::SOON).with_context(|| format!("can't reach {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one packet, byte by byte as far as the length goes, so that nothing after it is taken.
///
/// # Errors
/// When the connection ends, breaks or says nothing `within` that time; an alert can be had by
/// [`crate::tls_client::alert_of`].
pub fn read_packet(peer: &mut impl Peer, within: Duration) -> Result<Packet> {
    let deadline = Instant::now() + within;
    let mut bytes = vec![0; 1];
    read_exact(peer, &mut bytes, deadline).context("the first byte of a packet")?;
    let length = loop {
        let mut byte = [0];
        read_exact(peer, &mut byte, deadline).context("the length of a packet")?;
        bytes.push(byte[0]);
        if let Some((length, _)) = variable(&bytes[1..]) {
            break length;
        }
        if bytes.len() > 5 {
            bail!("no packet: {bytes:02x?}");
        }
    };
    let mut body = vec![0; length];
    read_exact(peer, &mut body, deadline).with_context(|| format!("the body of a packet, {bytes:02x?}"))?;
    bytes.extend_from_slice(&body);
    Ok(Packet { first_byte: bytes[0], body, bytes })
}

/// Sends a CONNECT and reads the answer.
pub fn connack(peer: &mut impl Peer, connect: &Connect) -> Result<Packet> {
    peer.write_all(&connect.bytes())?;
    peer.flush()?;
    read_packet(peer, wait::SOON)
}

/// How a connection ended, as its reader saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// In order: FIN, and a `close_notify` before it under TLS.
    Closed,
    /// FIN without a `close_notify`.
    Truncated,
    /// Reset.
    Reset,
    /// A TLS alert with this number.
    Alert(u8),
    /// It had not ended by the deadline.
    StillOpen,
    /// Something else, in words.
    Other(String),
}

/// Reads until the connection ends or the time is over: what came, and how it ended.
pub fn read_to_end(peer: &mut impl Peer, within: Duration) -> (Vec<u8>, StreamEnd) {
    let deadline = Instant::now() + within;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || peer.limit_read(left).is_err() {
            return (bytes, StreamEnd::StillOpen);
        }
        match peer.read(&mut buffer) {
            Ok(0) => return (bytes, StreamEnd::Closed),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (bytes, end_of(&error)),
        }
    }
}

fn end_of(error: &io::Error) -> StreamEnd {
    if let Some(rustls::Error::AlertReceived(alert)) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return StreamEnd::Alert(u8::from(*alert));
    }
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => StreamEnd::StillOpen,
        ErrorKind::UnexpectedEof => StreamEnd::Truncated,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => StreamEnd::Reset,
        _ => StreamEnd::Other(error.to_string()),
    }
}

fn read_exact(peer: &mut impl Peer, into: &mut [u8], deadline: Instant) -> Result<()> {
    let mut filled = 0;
    while filled < into.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("nothing more came in time");
        }
        peer.limit_read(left)?;
        match peer.read(&mut into[filled..]) {
            Ok(0) => bail!("the connection ended after {filled} of {} bytes", into.len()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
