//! Bytes that go together with what follows them, more of them or the end: one packet in place of two, and a peer that is
//! woken once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;

/// A stream that may know already that its end follows what was read.
pub(crate) trait KnowsEnd: AsyncRead + Unpin {
    /// Whether the end is known to follow, so that whoever reads on will come to it at once. To be asked after a `poll_read` that
    /// left room in its buffer.
    fn is_at_end(&self) -> bool;
}

/// A stream that is told when more follows what is written.
pub(crate) trait WriteMore: AsyncWrite + Unpin {
    /// Writes bytes behind which the caller will soon write, or shut the stream down. They may be held back until then, but for no
    /// longer than a packet that is lost.
    fn poll_write_more(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
}

impl KnowsEnd for TcpStream {
    fn is_at_end(&self) -> bool {
        // After such a read the runtime no longer takes it for readable; that the peer has ended, it keeps.
        self.try_io(Interest::READABLE, || Ok(())).is_ok()
    }
}

impl WriteMore for TcpStream {
    fn poll_write_more(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_write_ready(context))?;
            // Held back by the kernel until the connection's retransmission timeout: for 200 ms, or a few round trips.
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            match self.try_io(Interest::WRITABLE, || Ok(send(&*self, bytes, flags)?)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::{Duration, Instant};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> io::Result<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
        Ok((near?, far?.0))
    }

    async fn write_more(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| Pin::new(&mut *stream).poll_write_more(context, bytes)).await
    }

    #[tokio::test]
    async fn bytes_wait_for_the_end_that_follows_them() -> io::Result<()> {
        let mut bytes = [0; 8];
        let (mut near, mut far) = loop {
            let (mut near, far) = pair().await?;
            near.set_nodelay(true)?;
            let start = Instant::now();
            assert_eq!(write_more(&mut near, b"all").await?, 3);
            // On loopback what is sent is there when the call returns.
            let come = far.try_read(&mut bytes);
            if start.elapsed() < Duration::from_millis(100) {
                assert!(come.is_err(), "they were sent at once");
                break (near, far);
            }
        };
        near.shutdown().await?;
        far.readable().await?;
        assert_eq!((far.read(&mut bytes).await?, far.is_at_end(), far.read(&mut bytes).await?), (3, true, 0));
        Ok(())
    }

    #[tokio::test]
    async fn bytes_without_an_end_behind_them_may_be_followed_by_more() -> io::Result<()> {
        let (mut near, mut far) = pair().await?;
        let mut bytes = [0; 8];
        for _ in 0..2 {
            near.write_all(b"some").await?;
            assert_eq!((far.read(&mut bytes).await?, far.is_at_end()), (4, false));
        }
        assert_eq!(write_more(&mut near, b"some").await?, 4);
        near.write_all(b"more").await?;
        assert_eq!(far.read(&mut bytes).await?, 8);
        Ok(())
    }
}
