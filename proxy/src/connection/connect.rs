//! Stage 3: the client's CONNECT.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::Ended;
use super::end::End;
use crate::mqtt::{Connect, ConnectDecoder, ConnectLimits, Progress};

/// A whole CONNECT, and what came behind it.
pub(super) struct Received {
    decoder: ConnectDecoder,
    bytes: Vec<u8>,
}

/// Why there is no CONNECT.
pub(super) struct Unreceived {
    pub(super) ended: Ended,
    /// What the client is told.
    pub(super) connack: Option<Vec<u8>>,
    /// Its client id, if it came that far.
    pub(super) client_id: Option<String>,
    /// How much of it was read.
    pub(super) received_bytes: u64,
}

impl Received {
    /// The CONNECT.
    pub(super) fn connect(&self) -> Option<Connect<'_>> {
        self.decoder.connect(&self.bytes)
    }

    /// What has come after the CONNECT.
    pub(super) fn rest(&self) -> &[u8] {
        let length = self.connect().map_or(0, |connect| connect.packet.len());
        self.bytes.get(length..).unwrap_or_default()
    }
}

/// Reads until the CONNECT is whole, or the client is to be turned away, or `limit` is over.
pub(super) async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    limits: ConnectLimits,
    limit: Duration,
) -> Result<Received, Unreceived> {
    let mut received = Received { decoder: ConnectDecoder::new(limits), bytes: Vec::new() };
    let outcome = match timeout(limit, read(stream, &mut received)).await {
        Ok(outcome) => outcome,
        Err(_) => Err((Ended::new(End::ConnectTimeout, format!("no whole CONNECT within {limit:?}")), None)),
    };
    match outcome {
        Ok(()) => Ok(received),
        Err((ended, connack)) => Err(Unreceived {
            ended,
            connack,
            client_id: received.decoder.client_id(&received.bytes).map(str::to_owned),
            received_bytes: received.bytes.len() as u64,
        }),
    }
}

async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    Received { decoder, bytes }: &mut Received,
) -> Result<(), (Ended, Option<Vec<u8>>)> {
    loop {
        match decoder.decode(bytes) {
            Ok(Progress::Complete { .. }) => return Ok(()),
            Ok(Progress::NeedMore { at_least }) => bytes.reserve(at_least.clamp(LEAST_READ_BYTES, MOST_READ_BYTES)),
            Err(error) => return Err((Ended::new(error.refusal.into(), error.reason.clone()), error.connack())),
        }
        match stream.read_buf(bytes).await {
            Ok(0) => {
                let reason = format!("the client left after {} bytes of its CONNECT", bytes.len());
                return Err((Ended::new(End::ClosedBeforeConnect, reason), None));
            }
            Ok(_) => {}
            Err(error) => return Err((Ended::new(End::ClientError, error.to_string()), None)),
        }
    }
}

/// Room for a CONNECT as most clients send it.
const LEAST_READ_BYTES: usize = 512;
/// Memory grows with what has come, not with what a client says will come.
const MOST_READ_BYTES: usize = 16 << 10;
