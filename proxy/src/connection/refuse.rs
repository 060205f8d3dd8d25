//! The end of a client that is turned away: it reads all that it is told, then the end.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::stream::ClientStream;

/// Tells the client `last_words`, ends the connection, and reads and drops what it has under way: a connection that is closed
/// on bytes that were not read is reset, and a reset takes from the client what it has not yet read.
pub(super) async fn refuse<S: ClientStream>(mut stream: S, last_words: Option<&[u8]>) {
    // In a box: a connection that isn't turned away has no room in it for this.
    let ending = Box::pin(async {
        // Who does not take his answer is told nothing.
        if let Some(last_words) = last_words {
            let _ = stream.write_all(last_words).await;
        }
        let _ = stream.shutdown().await;
        drain(&mut stream.into_tcp()).await;
    });
    // Who takes longer to go than this is reset.
    let _ = timeout(LONGEST, ending).await;
}

/// Reads and drops until the client ends, or says nothing more for a while, or has said too much. What is read here are the
/// connection's raw bytes.
async fn drain(stream: &mut TcpStream) {
    let mut left = MOST_BYTES;
    while let Ok(Ok(count @ 1..)) = timeout(LONGEST_SILENCE, read_and_drop(stream)).await {
        left = left.saturating_sub(count);
        if left == 0 {
            return;
        }
    }
}

/// Reads some bytes, and says how many; 0 at the end.
async fn read_and_drop(stream: &mut TcpStream) -> io::Result<usize> {
    poll_fn(|context| {
        let mut scratch = [0; 4096];
        let mut buffer = ReadBuf::new(&mut scratch);
        Pin::new(&mut *stream).poll_read(context, &mut buffer).map_ok(|()| buffer.filled().len())
    })
    .await
}

const LONGEST: Duration = Duration::from_secs(10);
const LONGEST_SILENCE: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 16 << 20;
