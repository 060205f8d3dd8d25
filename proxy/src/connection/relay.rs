//! Stage 6: bytes both ways, with back-pressure and half-close. While nothing moves, no buffer is held.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::end::End;
use super::stream::ClientStream;
use super::{Ended, refuse};

/// How a relay went.
pub(super) struct Relayed {
    pub(super) ended: Ended,
    /// From the client.
    pub(super) received_bytes: u64,
    /// To the client.
    pub(super) sent_bytes: u64,
}

/// Passes on what the client has sent already, then all that either side sends, until both have ended or one breaks.
pub(super) async fn relay<S: ClientStream>(mut client: S, mut broker: TcpStream, sent_already: Vec<u8>) -> Relayed {
    let mut relay = Relay {
        up: Direction { read_bytes: sent_already.len() as u64, pending: sent_already, ..Direction::default() },
        down: Direction::default(),
        first_end: None,
        patience: None,
    };
    poll_fn(|context| relay.poll(context, &mut client, &mut broker)).await;
    let ended = relay.first_end.unwrap_or_else(|| Ended::new(End::ClientClosed, ""));
    drop(broker);
    if !relay.up.has_ended() {
        // What the broker said last is for the client to read.
        refuse::refuse(client, None).await;
    }
    Relayed { ended, received_bytes: relay.up.read_bytes, sent_bytes: relay.down.written_bytes }
}

/// Both directions.
struct Relay {
    /// From the client to the broker.
    up: Direction,
    /// From the broker to the client.
    down: Direction,
    /// What ended first: all that follows, follows from it.
    first_end: Option<Ended>,
    /// Once one side has ended: how long the other may say nothing.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Relay {
    fn poll<S: ClientStream>(&mut self, context: &mut Context<'_>, client: &mut S, broker: &mut TcpStream) -> Poll<()> {
        let moved = self.up.read_bytes + self.down.read_bytes;
        let up = self.up.poll(context, client, broker);
        let down = self.down.poll(context, broker, client);
        if self.first_end.is_none() {
            self.first_end = first_end(&self.up, &self.down);
        }
        if up.is_pending() && down.is_pending() {
            return Poll::Pending;
        }
        let is_broken =
            |way: &Direction, polled: Poll<()>| polled.is_ready() && matches!(way.error, Some((Side::Reader, _)));
        if (up.is_ready() && down.is_ready()) || is_broken(&self.up, up) || is_broken(&self.down, down) {
            return Poll::Ready(());
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(HALF_CLOSE_PATIENCE)));
        if moved != self.up.read_bytes + self.down.read_bytes {
            patience.as_mut().reset(Instant::now() + HALF_CLOSE_PATIENCE);
        }
        ready!(patience.as_mut().poll(context));
        let reason = format!("one side had ended, and the other did nothing for {HALF_CLOSE_PATIENCE:?}");
        self.first_end = Some(Ended::new(End::HalfCloseTimeout, reason));
        Poll::Ready(())
    }
}

/// What ended the relay, if anything did. Who has left can't be written to, so of what is seen at once an end comes first.
fn first_end(up: &Direction, down: &Direction) -> Option<Ended> {
    let broken = |way: &Direction, side, end| match &way.error {
        Some((whose, error)) if *whose == side => Some(Ended::new(end, error.to_string())),
        _ => None,
    };
    broken(up, Side::Reader, End::ClientError)
        .or_else(|| broken(down, Side::Reader, End::BrokerError))
        .or_else(|| up.has_ended().then(|| Ended::new(End::ClientClosed, "the client ended the connection")))
        .or_else(|| down.has_ended().then(|| Ended::new(End::BrokerClosed, "the broker ended the connection")))
        .or_else(|| broken(up, Side::Writer, End::BrokerError))
        .or_else(|| broken(down, Side::Writer, End::ClientError))
}

/// One way.
#[derive(Debug, Default)]
struct Direction {
    state: State,
    /// What the writer would not take yet: empty, and without memory, while all flows.
    pending: Vec<u8>,
    /// How much of `pending` it has taken.
    taken: usize,
    /// Whether the writer may hold something back that it was given.
    is_unflushed: bool,
    read_bytes: u64,
    written_bytes: u64,
    error: Option<(Side, io::Error)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The reader has ended or broken, and the writer is yet to be told.
    Ending,
    /// The writer knows.
    Done,
    /// The writer has broken.
    Stuck,
}

/// Whose error it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Reader,
    Writer,
}

impl Direction {
    fn has_ended(&self) -> bool {
        matches!(self.state, State::Ending | State::Done)
    }

    /// Moves what can be moved. Ready when nothing will move this way any more.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<()> {
        let polled = SCRATCH.with_borrow_mut(|scratch| self.poll_with(context, reader, writer, scratch));
        if let Err(error) = ready!(polled) {
            self.state = State::Stuck;
            self.error.get_or_insert((Side::Writer, error));
        }
        Poll::Ready(())
    }

    /// Fails where the writer does; that the reader broke is an end that is remembered.
    fn poll_with(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        scratch: &mut [u8],
    ) -> Poll<io::Result<()>> {
        for _ in 0..MOST_READS_PER_TURN {
            if matches!(self.state, State::Done | State::Stuck) {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_pending(context, writer))?;
            if self.state == State::Ending {
                ready!(Pin::new(&mut *writer).poll_shutdown(context))?;
                self.state = State::Done;
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut *reader).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.error = Some((Side::Reader, error));
                    self.state = State::Ending;
                    continue;
                }
                Poll::Pending => {
                    if self.is_unflushed {
                        ready!(Pin::new(&mut *writer).poll_flush(context))?;
                        self.is_unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
            let bytes = buffer.filled();
            if bytes.is_empty() {
                self.state = State::Ending;
                continue;
            }
            self.read_bytes += bytes.len() as u64;
            self.is_unflushed = true;
            let taken = match Pin::new(&mut *writer).poll_write(context, bytes)? {
                Poll::Ready(taken) => taken,
                Poll::Pending => 0,
            };
            self.written_bytes += taken as u64;
            if let Some(left @ [_, ..]) = bytes.get(taken..) {
                self.pending = left.to_vec();
            }
        }
        // Others have waited.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is pending, and lets its memory go.
    fn poll_pending(
        &mut self,
        context: &mut Context<'_>,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while let Some(left @ [_, ..]) = self.pending.get(self.taken..) {
            self.is_unflushed = true;
            let taken = ready!(Pin::new(&mut *writer).poll_write(context, left))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken += taken;
            self.written_bytes += taken as u64;
        }
        self.taken = 0;
        drop(mem::take(&mut self.pending));
        Poll::Ready(Ok(()))
    }
}

thread_local! {
    /// One for all relays of a worker.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

const SCRATCH_BYTES: usize = 64 << 10;
/// After so many reads in one direction, others have their turn.
const MOST_READS_PER_TURN: usize = 16;
/// How long one side may go on saying nothing after the other has ended.
const HALF_CLOSE_PATIENCE: Duration = Duration::from_mins(1);
