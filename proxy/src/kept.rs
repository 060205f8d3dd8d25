//! Bytes that wait, and the memory for them only while they do.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Bytes that wait to be taken, in order.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    /// So many of them, from the first on, don't wait any more.
    taken: usize,
}

impl Kept {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() { Self::default() } else { Self { bytes, taken: 0 } }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    pub(crate) fn left(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Lets go of the first `count` of those that are left.
    pub(crate) fn take(&mut self, count: usize) {
        self.taken += count;
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Has `writer` take all that is left.
    pub(crate) fn poll_write_to(
        &mut self,
        context: &mut Context<'_>,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            match ready!(Pin::new(&mut *writer).poll_write(context, self.left()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.take(taken),
            }
        }
        Poll::Ready(Ok(()))
    }
}
