//! Enhanced authentication (MQTT 5.0, section 4.12): AUTH goes both ways, packet by packet, until the broker's CONNACK.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Ended;
use super::dial::{Answered, ask};
use super::end::End;
use super::stream::ClientStream;
use crate::mqtt::Level;
use crate::mqtt::answer::Answer;
use crate::mqtt::framing::Framing;

/// How long either side may take, and how much the client may say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) client: Duration,
    pub(super) broker: Duration,
    pub(super) most_client_bytes: usize,
}

/// Passes AUTH on until the broker has answered with a CONNACK. `from_client` is what the client has sent already; what is left
/// of it comes after the CONNACK's time. Counts into `received_bytes` and `sent_bytes` what it passes on.
pub(super) async fn authenticate<S: ClientStream>(
    client: &mut S,
    broker: &mut TcpStream,
    mut answered: Answered,
    from_client: &mut Vec<u8>,
    limits: Limits,
    (received_bytes, sent_bytes): (&mut u64, &mut u64),
) -> Result<Answered, Ended> {
    while let Answer::Auth { packet_len } = answered.answer {
        let auth = answered.bytes.get(..packet_len).unwrap_or_default();
        if let Err(error) = client.write_all(auth).await.and(client.flush().await) {
            return Err(Ended::new(End::ClientError, error.to_string()));
        }
        *sent_bytes += auth.len() as u64;
        let packet = match timeout(limits.client, read_packet(client, from_client, limits.most_client_bytes)).await {
            Ok(packet) => packet?,
            Err(_) => {
                let reason = format!("no answer to the broker's AUTH within {:?}", limits.client);
                return Err(Ended::new(End::ConnectTimeout, reason));
            }
        };
        *received_bytes += packet.len() as u64;
        answered = ask(broker, &packet, Level::V5, limits.broker).await.map_err(|failed| {
            let reason = format!("the broker ended the authentication: {}", failed.detail);
            Ended::new(End::BrokerError, reason)
        })?;
    }
    Ok(answered)
}

/// One packet of the client; what has come after it stays in `bytes`.
async fn read_packet<S: ClientStream>(client: &mut S, bytes: &mut Vec<u8>, most: usize) -> Result<Vec<u8>, Ended> {
    loop {
        if let Some(after) = Framing::default().follow_packet(bytes) {
            let length = bytes.len() - after.len();
            let rest = bytes.split_off(length);
            return Ok(std::mem::replace(bytes, rest));
        }
        if bytes.len() > most {
            return Err(Ended::new(
                End::ProtocolError,
                format!("an answer to the broker's AUTH of more than {most} bytes"),
            ));
        }
        match client.read_buf(bytes).await {
            Ok(0) => return Err(Ended::new(End::ClientClosed, "the client left during its authentication")),
            Ok(_) => {}
            Err(error) => return Err(Ended::new(End::ClientError, error.to_string())),
        }
    }
}
