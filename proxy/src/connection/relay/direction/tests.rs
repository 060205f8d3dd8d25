//! How much is read at once, and held.

use tokio::io::AsyncRead;

use super::*;

/// Always has more, and notes how much it was asked for.
#[derive(Default)]
struct Spring(Vec<usize>);

impl AsyncRead for Spring {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.push(buffer.remaining());
        let more = vec![0; buffer.remaining()];
        buffer.put_slice(&more);
        Poll::Ready(Ok(()))
    }
}

impl KnowsEnd for Spring {
    fn is_at_end(&self) -> bool {
        false
    }
}

/// Takes so many bytes, a few at a time, and then no more.
struct Sink(usize);

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(A_FEW).min(self.0);
        self.0 -= taken;
        if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl WriteMore for Sink {
    fn poll_write_more(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write(context, bytes)
    }
}

const A_FEW: usize = 64 << 10;

fn poll(direction: &mut Direction, spring: &mut Spring, sink: &mut Sink) {
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(direction.poll(&mut context, spring, sink).is_pending());
}

#[test]
fn much_is_read_at_once_while_the_writer_takes_it() {
    let (mut direction, mut spring) = (Direction::default(), Spring::default());
    poll(&mut direction, &mut spring, &mut Sink(usize::MAX));
    assert_eq!(spring.0, [CAUTIOUS_BYTES, MOST_BYTES, MOST_BYTES], "and then others have their turn");
    assert_eq!(direction.written_bytes, direction.read_bytes);
    assert!(!direction.has_pending());
}

#[test]
fn little_is_read_at_once_for_a_writer_that_did_not_take_all() {
    let (mut direction, mut spring) = (Direction::default(), Spring::default());
    poll(&mut direction, &mut spring, &mut Sink(CAUTIOUS_BYTES + 1));
    assert_eq!(spring.0, [CAUTIOUS_BYTES, MOST_BYTES]);
    assert_eq!(direction.pending.left().len(), MOST_BYTES - 1);
    spring.0.clear();
    poll(&mut direction, &mut spring, &mut Sink(MOST_BYTES - 1));
    assert_eq!((&spring.0[..], direction.pending.left().len()), (&[CAUTIOUS_BYTES][..], CAUTIOUS_BYTES));
}

#[test]
fn little_is_read_at_once_while_much_is_held() {
    let mut held: Vec<Direction> = Vec::new();
    while held_bytes() < MOST_HELD_BYTES {
        let mut direction = Direction::default();
        poll(&mut direction, &mut Spring::default(), &mut Sink(CAUTIOUS_BYTES));
        held.push(direction);
    }
    let (mut direction, mut spring) = (Direction::default(), Spring::default());
    poll(&mut direction, &mut spring, &mut Sink(usize::MAX));
    assert!(spring.0.iter().all(|asked| *asked == CAUTIOUS_BYTES), "{:?}", spring.0);
    held.clear();
    assert_eq!(held_bytes(), 0);
    spring.0.clear();
    poll(&mut direction, &mut spring, &mut Sink(usize::MAX));
    assert_eq!(spring.0, [MOST_BYTES, MOST_BYTES]);
}

/// Says these bytes, and whether its end is known to follow.
struct Speaker(&'static [u8], bool);

impl AsyncRead for Speaker {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.is_empty() && !self.1 {
            return Poll::Pending;
        }
        buffer.put_slice(std::mem::take(&mut self.0));
        Poll::Ready(Ok(()))
    }
}

impl KnowsEnd for Speaker {
    fn is_at_end(&self) -> bool {
        self.1
    }
}

/// What was done with it.
#[derive(Default)]
struct Notes(Vec<&'static str>);

impl AsyncWrite for Notes {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.push("write");
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.push("shutdown");
        Poll::Ready(Ok(()))
    }
}

impl WriteMore for Notes {
    fn poll_write_more(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.push("write more");
        Poll::Ready(Ok(bytes.len()))
    }
}

#[test]
fn who_takes_leave_and_ends_is_passed_on_with_the_end() {
    let mut context = Context::from_waker(std::task::Waker::noop());
    for (bytes, has_ended, wanted) in [
        (&disconnect::NORMAL[..], true, &["write more", "shutdown"][..]),
        (&disconnect::NORMAL, false, &["write"]),
        (b"some", true, &["write", "shutdown"]),
    ] {
        let (mut speaker, mut notes) = (Speaker(bytes, has_ended), Notes::default());
        let polled = Direction::default().poll(&mut context, &mut speaker, &mut notes);
        assert_eq!((polled.is_ready(), &notes.0[..]), (has_ended, wanted), "{bytes:x?}");
    }
}
