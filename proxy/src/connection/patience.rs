//! A client that waits for its broker's answer: what it says meanwhile, and whether it is still there.

use std::cell::Cell;
use std::future::pending;

use tokio::io::AsyncReadExt;

use super::Ended;
use super::end::End;
use super::stream::ClientStream;

/// Reads into `bytes`, within bounds, what a client says behind its CONNECT while it waits, and notes whether it `has_left` with
/// nothing more said. It may still read the answer, so this returns only when its connection breaks.
pub(super) async fn watch<S: ClientStream>(client: &mut S, bytes: &mut Vec<u8>, has_left: &Cell<bool>) -> Ended {
    while bytes.len() < MOST_BYTES {
        match client.read_buf(bytes).await {
            Ok(0) => {
                has_left.set(bytes.is_empty());
                break;
            }
            Ok(_) => {}
            Err(error) => return Ended::new(End::ClientError, error.to_string()),
        }
    }
    pending().await
}

/// The rest waits in the kernel's buffers.
const MOST_BYTES: usize = 16 << 10;
