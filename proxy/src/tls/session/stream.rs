//! Bytes both ways after the handshake.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::failure::as_io;
use super::records::{Opened, Records};
use super::scratch::{self, INCOMING_BYTES, MOST_RECORD_BYTES, MOST_SEALED_BYTES};
use crate::kept::Kept;
use crate::more::{KnowsEnd, WriteMore};

/// A TLS connection after its handshake: a stream of bytes. Shutting it down sends `close_notify`, then the end; the client's
/// `close_notify`, or its end without one, is the end of what it sends: MQTT's packets say where they end, so that nothing is
/// cut off unseen.
///
/// It is polled by one task at a time: reading may have something to send, and asks to be woken for that too.
///
/// In a box: a task moves its streams about, and has room for each place where one may be.
pub(crate) type TlsSession<S = TcpStream> = Box<Session<S>>;

/// See [`TlsSession`].
pub(crate) struct Session<S> {
    pub(super) stream: S,
    pub(super) records: Records,
    /// What came of a record, or of a message of the handshake, that is not whole yet.
    pub(super) incoming: Vec<u8>,
    /// What was opened, and had no room in the caller's buffer.
    pub(super) opened: Kept,
    /// What was sealed, and not yet taken by the socket.
    pub(super) sealed: Kept,
    reading: Reading,
    /// Whether the client was told that nothing more will be sent.
    is_closed: bool,
}

#[derive(Debug)]
enum Reading {
    Open,
    /// What was read before it is yet to be told.
    Failed(io::Error),
    Ended,
}

impl<S: AsyncRead + WriteMore> Session<S> {
    /// Before the handshake, of which these bytes have come.
    pub(super) fn new(stream: S, records: Records, incoming: Vec<u8>) -> Self {
        Self {
            stream,
            records,
            incoming,
            opened: Kept::default(),
            sealed: Kept::default(),
            reading: Reading::Open,
            is_closed: false,
        }
    }

    /// The connection below, for what comes after the last record.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// Opens what has come, as far as it is whole.
    pub(super) fn open_incoming(&mut self) -> Option<Error> {
        let (mut opened, mut answers) = (Vec::new(), Vec::new());
        let outcome =
            self.records.open(&mut self.incoming, &mut answers, |plaintext| opened.extend_from_slice(plaintext));
        self.opened.append(opened);
        self.sealed.append(answers);
        if outcome.is_closed {
            self.reading = Reading::Ended;
        }
        if outcome.consumed == self.incoming.len() {
            self.incoming = Vec::new();
        } else {
            self.incoming.drain(..outcome.consumed);
        }
        outcome.failure
    }

    /// Writes what is sealed.
    pub(super) fn poll_sealed(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sealed.poll_write_to(context, &mut self.stream)
    }

    /// Reads from the socket once, and opens what is whole by then: into `buffer`, and aside where there is no more room.
    fn poll_open(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        scratch::for_incoming(|scratch| {
            let kept = self.incoming.len();
            if kept >= MOST_RECORD_BYTES {
                self.reading = Reading::Failed(io::Error::other("a message after the handshake is too long"));
                return Poll::Ready(Ok(()));
            }
            // As much as the caller has room for: what is opened is shorter.
            let most = buffer.remaining().clamp(LEAST_READ_BYTES, INCOMING_BYTES - kept);
            let mut read = ReadBuf::new(&mut scratch[kept..kept + most]);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            let count = read.filled().len();
            if count == 0 {
                self.reading = Reading::Ended;
                return Poll::Ready(Ok(()));
            }
            scratch[..kept].copy_from_slice(&self.incoming);
            let incoming = &mut scratch[..kept + count];
            let (mut aside, mut answers) = (Vec::new(), Vec::new());
            let Opened { consumed, is_closed, failure } = self.records.open(incoming, &mut answers, |plaintext| {
                let (fits, rest) = plaintext.split_at(plaintext.len().min(buffer.remaining()));
                buffer.put_slice(fits);
                aside.extend_from_slice(rest);
            });
            self.opened.append(aside);
            self.sealed.append(answers);
            // After its end a client has nothing to say.
            let left = if is_closed { &[] } else { &incoming[consumed..] };
            if left.is_empty() {
                self.incoming = Vec::new();
            } else {
                self.incoming.clear();
                self.incoming.extend_from_slice(left);
            }
            if let Some(error) = failure {
                self.reading = Reading::Failed(as_io(error));
            } else if is_closed {
                self.reading = Reading::Ended;
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Seals bytes, as many as go into a record, and has `write` pass them on.
    fn poll_seal(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
        write: impl Fn(Pin<&mut S>, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_sealed(context))?;
        let bytes = &bytes[..bytes.len().min(MOST_SEALED_BYTES)];
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        scratch::for_outgoing(|scratch| {
            let length = self.records.seal(&mut self.incoming, bytes, scratch)?;
            let mut left = &scratch[..length];
            while !left.is_empty() {
                match write(Pin::new(&mut self.stream), context, left) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(taken)) => left = &left[taken..],
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        self.sealed.append(left.to_vec());
                        break;
                    }
                }
            }
            // They are sealed, and can't be taken back.
            Poll::Ready(Ok(bytes.len()))
        })
    }

    /// What is to be sent for what was read. That it can't be is for those to find who write.
    fn send_answers(&mut self, context: &mut Context<'_>) {
        let _ = self.poll_sealed(context);
    }
}

impl<S: AsyncRead + WriteMore> AsyncRead for Session<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.send_answers(context);
        let before = buffer.filled().len();
        while buffer.remaining() > 0 && buffer.filled().len() == before {
            if !this.opened.is_empty() {
                let left = this.opened.left();
                let count = left.len().min(buffer.remaining());
                buffer.put_slice(&left[..count]);
                this.opened.take(count);
                break;
            }
            match mem::replace(&mut this.reading, Reading::Ended) {
                Reading::Ended => break,
                Reading::Failed(error) => return Poll::Ready(Err(error)),
                Reading::Open => this.reading = Reading::Open,
            }
            ready!(this.poll_open(context, buffer))?;
            this.send_answers(context);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + WriteMore> KnowsEnd for TlsSession<S> {
    fn is_at_end(&self) -> bool {
        matches!(self.reading, Reading::Ended) && self.opened.is_empty()
    }
}

impl<S: AsyncRead + WriteMore> WriteMore for TlsSession<S> {
    fn poll_write_more(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_seal(context, bytes, S::poll_write_more)
    }
}

impl<S: AsyncRead + WriteMore> AsyncWrite for Session<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_seal(context, bytes, S::poll_write)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_sealed(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_closed {
            this.is_closed = true;
            let mut last = Vec::new();
            this.records.close(&mut this.incoming, &mut last);
            this.sealed.append(last);
        }
        ready!(this.sealed.poll_write_more_to(context, &mut this.stream))?;
        match ready!(Pin::new(&mut this.stream).poll_shutdown(context)) {
            // It is gone already.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            outcome => Poll::Ready(outcome),
        }
    }
}

/// What is read at once at least, however little room the caller has.
const LEAST_READ_BYTES: usize = 2 << 10;
