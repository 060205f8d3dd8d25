//! Bytes that wait, and the memory for them only while they do.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::more::WriteMore;

/// Bytes that wait to be taken, in order. While there are none, it is a pointer's size.
#[derive(Debug, Default)]
pub(crate) struct Kept(Option<Box<Waiting>>);

/// There is at least one that is not taken.
#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    /// So many of them, from the first on, don't wait any more.
    taken: usize,
}

impl Waiting {
    fn new(bytes: Vec<u8>) -> Self {
        HELD.set(HELD.get() + bytes.len());
        Self { bytes, taken: 0 }
    }

    fn append(&mut self, bytes: &[u8]) {
        HELD.set(HELD.get() + bytes.len());
        self.bytes.extend_from_slice(bytes);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        HELD.set(HELD.get().saturating_sub(self.bytes.len()));
    }
}

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// How many bytes are held by all that wait in this worker.
pub(crate) fn held_bytes() -> usize {
    HELD.get()
}

impl Kept {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self((!bytes.is_empty()).then(|| Box::new(Waiting::new(bytes))))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn left(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |waiting| &waiting.bytes[waiting.taken..])
    }

    #[cfg(test)]
    /// The memory that they take.
    pub(crate) fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.bytes.capacity())
    }

    /// Adds what comes after those that wait.
    pub(crate) fn append(&mut self, bytes: Vec<u8>) {
        match &mut self.0 {
            Some(waiting) => waiting.append(&bytes),
            None => *self = Self::new(bytes),
        }
    }

    /// Lets go of the first `count` of those that are left.
    pub(crate) fn take(&mut self, count: usize) {
        if let Some(waiting) = &mut self.0 {
            waiting.taken += count;
            if waiting.taken >= waiting.bytes.len() {
                self.0 = None;
            }
        }
    }

    /// Has `writer` take all that is left.
    pub(crate) fn poll_write_to(
        &mut self,
        context: &mut Context<'_>,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        self.poll_write_by(|bytes| Pin::new(&mut *writer).poll_write(context, bytes))
    }

    /// The same, where more follows, or the end.
    pub(crate) fn poll_write_more_to(
        &mut self,
        context: &mut Context<'_>,
        writer: &mut impl WriteMore,
    ) -> Poll<io::Result<()>> {
        self.poll_write_by(|bytes| Pin::new(&mut *writer).poll_write_more(context, bytes))
    }

    fn poll_write_by(&mut self, mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            match ready!(write(self.left()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.take(taken),
            }
        }
        Poll::Ready(Ok(()))
    }
}
