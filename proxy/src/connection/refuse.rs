//! The end of a client that is turned away: it reads all that it is told, then the end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::stream::ClientStream;

/// Tells the client `last_words`, ends the connection, and reads and drops what it has under way: a connection that is closed
/// on bytes that were not read is reset, and a reset takes from the client what it has not yet read.
pub(super) async fn refuse<S: ClientStream>(mut stream: S, last_words: Option<&[u8]>) {
    let ending = async {
        // Who does not take his answer is told nothing.
        if let Some(last_words) = last_words {
            let _ = stream.write_all(last_words).await;
        }
        let _ = stream.shutdown().await;
        drain(&mut stream.into_tcp()).await;
    };
    // Who takes longer to go than this is reset.
    let _ = timeout(LONGEST, ending).await;
}

/// Reads and drops until the client ends, or says nothing more for a while, or has said too much. What is read here are the
/// connection's raw bytes.
async fn drain(stream: &mut TcpStream) {
    let mut scratch = [0; 4096];
    let mut left = MOST_BYTES;
    while let Ok(Ok(count @ 1..)) = timeout(LONGEST_SILENCE, stream.read(&mut scratch)).await {
        left = left.saturating_sub(count);
        if left == 0 {
            return;
        }
    }
}

const LONGEST: Duration = Duration::from_secs(10);
const LONGEST_SILENCE: Duration = Duration::from_secs(2);
const MOST_BYTES: usize = 16 << 20;
