//! One way of a relay.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, ReadBuf};

use crate::kept::{Kept, held_bytes};
use crate::more::{KnowsEnd, WriteMore};
use crate::mqtt::disconnect;
use crate::mqtt::framing::Framing;

/// One way.
#[derive(Debug, Default)]
pub(super) struct Direction {
    state: State,
    framing: Framing,
    /// Whether it ends with the packet that is under way.
    is_stopping: bool,
    /// What the writer would not take yet: empty while all flows.
    pending: Kept,
    /// Whether the writer may hold something back that it was given.
    is_unflushed: bool,
    /// Whether all that came last was taken at once.
    is_flowing: bool,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
    pub(super) error: Option<(Side, io::Error)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The reader has ended or broken, and the writer is yet to be told.
    Ending,
    /// The writer knows, or has broken too.
    Done,
    /// The writer has broken.
    Stuck,
}

/// Whose error it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Reader,
    Writer,
}

impl Direction {
    /// Of a way on which `sent_already` has come and is yet to be passed on.
    pub(super) fn new(sent_already: Vec<u8>) -> Self {
        let mut framing = Framing::default();
        framing.follow(&sent_already);
        Self { framing, read_bytes: sent_already.len() as u64, pending: Kept::new(sent_already), ..Self::default() }
    }

    /// Ends with the packet that is under way: nothing after it is passed on.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Whether all that has come is passed on and ends with a whole packet, so that another one may be put in here.
    pub(super) fn is_at_rest(&self) -> bool {
        self.framing.is_between_packets() && !self.has_pending()
    }

    /// Whether the reader has broken.
    pub(super) fn is_reader_broken(&self) -> bool {
        matches!(self.error, Some((Side::Reader, _)))
    }

    /// Whether the writer holds it up.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ending | State::Done)
    }

    /// Moves what can be moved. Ready when nothing will move this way any more.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut impl KnowsEnd,
        writer: &mut impl WriteMore,
    ) -> Poll<()> {
        let polled = SCRATCH.with_borrow_mut(|scratch| self.poll_with(context, reader, writer, scratch));
        if let Err(error) = ready!(polled) {
            self.state = if self.has_ended() { State::Done } else { State::Stuck };
            self.error.get_or_insert((Side::Writer, error));
        }
        Poll::Ready(())
    }

    /// Fails where the writer does; that the reader broke is an end that is remembered.
    fn poll_with(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut impl KnowsEnd,
        writer: &mut impl WriteMore,
        scratch: &mut [u8],
    ) -> Poll<io::Result<()>> {
        let end_of_turn = self.read_bytes + MOST_BYTES_PER_TURN;
        for _ in 0..MOST_READS_PER_TURN {
            if self.read_bytes >= end_of_turn {
                break;
            }
            if matches!(self.state, State::Done | State::Stuck) {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_pending(context, writer))?;
            if self.state == State::Ending {
                ready!(Pin::new(&mut *writer).poll_shutdown(context))?;
                self.state = State::Done;
                return Poll::Ready(Ok(()));
            }
            if self.is_stopping && self.is_at_rest() {
                ready!(Pin::new(&mut *writer).poll_flush(context))?;
                return Poll::Pending;
            }
            let most = if self.is_flowing && held_bytes() < MOST_HELD_BYTES { MOST_BYTES } else { CAUTIOUS_BYTES };
            let mut buffer = ReadBuf::new(&mut scratch[..most]);
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
            let mut bytes = buffer.filled();
            if bytes.is_empty() {
                self.state = State::Ending;
                continue;
            }
            self.read_bytes += bytes.len() as u64;
            if self.is_stopping {
                let after = self.framing.follow_packet(bytes).unwrap_or_default();
                bytes = &bytes[..bytes.len() - after.len()];
            } else {
                self.framing.follow(bytes);
            }
            self.is_unflushed = true;
            // Who takes leave most often ends at once, and both go together. Of other packets that isn't worth a question each.
            let takes_leave = !self.is_stopping && bytes.ends_with(&disconnect::NORMAL);
            let is_last = takes_leave && bytes.len() < most && reader.is_at_end();
            // Under TLS a part is taken at a time.
            while !bytes.is_empty() {
                let writer = Pin::new(&mut *writer);
                let written =
                    if is_last { writer.poll_write_more(context, bytes) } else { writer.poll_write(context, bytes) };
                let Poll::Ready(taken @ 1..) = written? else { break };
                self.written_bytes += taken as u64;
                bytes = bytes.get(taken..).unwrap_or_default();
            }
            self.is_flowing = bytes.is_empty();
            if !bytes.is_empty() {
                self.pending = Kept::new(bytes.to_vec());
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
        let before = self.pending.left().len();
        self.is_unflushed |= before > 0;
        let polled = self.pending.poll_write_to(context, writer);
        self.written_bytes += (before - self.pending.left().len()) as u64;
        polled
    }
}

thread_local! {
    /// One for all relays of a worker.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; MOST_BYTES].into());
}

/// As much is read at once: each write wakes whoever waits for it, which costs more than the bytes.
const MOST_BYTES: usize = 512 << 10;
/// As much where the writer may not take it, and it would have to be held.
const CAUTIOUS_BYTES: usize = 64 << 10;
/// While a worker holds more than this for writers, all are read so.
const MOST_HELD_BYTES: usize = 16 << 20;
/// After so many reads, or bytes, in one direction, others have their turn.
const MOST_READS_PER_TURN: usize = 16;
const MOST_BYTES_PER_TURN: u64 = 1 << 20;

#[cfg(test)]
mod tests;
