//! A stream that comes and goes in pieces.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::more::WriteMore;

/// Reads and writes no more at a time than the sizes say, one after the other and over again. Zero: not now, but at once.
pub(super) struct Cut {
    stream: DuplexStream,
    reads: Sizes,
    writes: Sizes,
}

#[derive(Clone, Debug)]
pub(super) struct Sizes {
    sizes: Vec<usize>,
    next: usize,
}

impl Sizes {
    /// At least one of them is not zero.
    pub(super) fn new(sizes: Vec<usize>) -> Self {
        assert!(sizes.iter().any(|&size| size > 0));
        Self { sizes, next: 0 }
    }

    pub(super) fn next(&mut self) -> usize {
        let size = self.sizes[self.next % self.sizes.len()];
        self.next += 1;
        size
    }
}

impl Cut {
    pub(super) fn new(stream: DuplexStream, reads: Sizes, writes: Sizes) -> Self {
        Self { stream, reads, writes }
    }
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = self.reads.next().min(buffer.remaining());
        if most == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut piece = vec![0; most];
        let mut piece = ReadBuf::new(&mut piece);
        let outcome = Pin::new(&mut self.stream).poll_read(context, &mut piece);
        buffer.put_slice(piece.filled());
        outcome
    }
}

impl WriteMore for Cut {
    fn poll_write_more(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write(context, bytes)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let most = self.writes.next().min(bytes.len());
        if most == 0 && !bytes.is_empty() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(context, &bytes[..most])
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
