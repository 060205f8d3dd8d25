//! The memory that all connections of a worker take turns with: what comes is read into one buffer, what goes is sealed into
//! another. Neither outlasts a call.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Lends the buffer for what comes: [`INCOMING_BYTES`] of it.
pub(super) fn for_incoming<R>(with: impl FnOnce(&mut [u8]) -> R) -> R {
    INCOMING.with_borrow_mut(|scratch| with(scratch))
}

/// Lends the buffer for what goes: room for records with [`MOST_SEALED_BYTES`] in them.
pub(super) fn for_outgoing<R>(with: impl FnOnce(&mut [u8]) -> R) -> R {
    OUTGOING.with_borrow_mut(|scratch| with(scratch))
}

/// Reads once, and adds to `bytes` what came: nothing at the end of the stream.
pub(super) async fn receive<S: AsyncRead + Unpin>(stream: &mut S, bytes: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|context| {
        for_incoming(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch[..MOST_RECEIVED_BYTES]);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            bytes.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    })
    .await
}

thread_local! {
    static INCOMING: RefCell<Box<[u8]>> = RefCell::new(vec![0; INCOMING_BYTES].into());
    static OUTGOING: RefCell<Box<[u8]>> = RefCell::new(vec![0; MOST_SEALED_BYTES + OVERHEAD_BYTES].into());
}

/// A record of the largest size, and as much as a relay reads at once.
pub(super) const INCOMING_BYTES: usize = MOST_RECORD_BYTES + (512 << 10);
/// The largest record (RFC 5246, section 6.2.3; RFC 8446, section 5.2 has less).
pub(super) const MOST_RECORD_BYTES: usize = 5 + (16 << 10) + 2048;
/// As much is sealed at once: four records.
pub(super) const MOST_SEALED_BYTES: usize = 64 << 10;
/// For the heads and tags of the records, and for an answer to a `KeyUpdate` before them.
const OVERHEAD_BYTES: usize = 1 << 10;
/// As much is read at once during a handshake.
const MOST_RECEIVED_BYTES: usize = 16 << 10;
