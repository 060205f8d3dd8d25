//! One attempt at an endpoint: the TCP connection to it, and its answer to the CONNECT.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use streamgate_crds::Cidr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::accept::prepare;
use crate::mqtt::Level;
use crate::mqtt::answer::Answer;
use crate::upstream::{Endpoint, Target};

/// How an attempt at an endpoint can end: a closed set, in metrics as `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Attempt {
    /// It answered the CONNECT.
    Answered,
    /// Nobody listens there.
    Refused,
    /// The connection was not there in time.
    TimedOut,
    /// The host or its network can't be reached.
    Unreachable,
    /// Its name can't be resolved.
    NameNotResolved,
    /// Its addresses are all among those that are never connected to.
    Denied,
    /// It took the connection and did not answer the CONNECT in time.
    ConnackTimedOut,
    /// It took the connection and ended it without an answer.
    ClosedWithoutConnack,
    /// It answered with something else than MQTT's CONNACK.
    NotConnack,
}

impl Attempt {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "Answered",
            Self::Refused => "Refused",
            Self::TimedOut => "TimedOut",
            Self::Unreachable => "Unreachable",
            Self::NameNotResolved => "NameNotResolved",
            Self::Denied => "Denied",
            Self::ConnackTimedOut => "ConnackTimedOut",
            Self::ClosedWithoutConnack => "ClosedWithoutConnack",
            Self::NotConnack => "NotConnack",
        }
    }
}

/// Why an attempt failed.
pub(super) struct Failed {
    pub(super) attempt: Attempt,
    pub(super) detail: String,
}

impl Failed {
    fn new(attempt: Attempt, detail: impl fmt::Display) -> Self {
        Self { attempt, detail: detail.to_string() }
    }
}

/// Connects to the first address of the endpoint that answers, all within `limit`.
pub(super) async fn dial(
    endpoint: &Endpoint,
    limit: Duration,
    denied: &[Cidr],
) -> Result<(TcpStream, SocketAddr), Failed> {
    let attempt = async {
        let resolved;
        let addresses = match &endpoint.target {
            Target::Addresses(addresses) => addresses.as_slice(),
            Target::Name(name, port) => {
                let known = name.addresses().await.map_err(|error| Failed::new(Attempt::NameNotResolved, error))?;
                resolved = known.iter().map(|&address| SocketAddr::new(address, *port)).collect::<Vec<_>>();
                &resolved
            }
        };
        let mut failed = Failed::new(Attempt::NameNotResolved, "it has no address");
        for (index, &address) in addresses.iter().enumerate() {
            if denied.iter().any(|range| range.contains(address.ip())) {
                failed = Failed::new(Attempt::Denied, format!("{address} is in deniedUpstreams"));
                continue;
            }
            // The last address has all the time that is left, those before it a share each.
            let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            match timeout(limit / left, connect(address)).await {
                Ok(Ok(stream)) => return Ok((stream, address)),
                Ok(Err(error)) => failed = Failed::new(reason(&error), format!("{address}: {error}")),
                Err(_) => failed = Failed::new(Attempt::TimedOut, format!("{address}: nothing came back in time")),
            }
        }
        Err(failed)
    };
    match timeout(limit, attempt).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failed::new(Attempt::TimedOut, format!("no connection within {limit:?}"))),
    }
}

/// A connection for a CONNECT.
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let options = SockRef::from(&socket);
    prepare(&options)?;
    // The CONNECT, which follows at once, takes the last acknowledgement of TCP's handshake with it. Else that goes alone.
    let _ = options.set_tcp_quickack(false);
    socket.connect(address).await
}

/// What a broker has answered, and all the bytes that it has sent so far.
pub(super) struct Answered {
    pub(super) answer: Answer,
    pub(super) bytes: Vec<u8>,
}

/// Sends a broker its client's `packet`, and reads until its answer is whole, all within `limit`.
pub(super) async fn ask(
    broker: &mut TcpStream,
    packet: &[u8],
    level: Level,
    limit: Duration,
) -> Result<Answered, Failed> {
    let asking = async {
        let mut bytes = Vec::new();
        // A broker that takes none of it may have said why before, and what it said is read below.
        let _ = broker.write_all(packet).await;
        loop {
            match Answer::read(level, &bytes) {
                Answer::NeedMore => {}
                Answer::Unexpected => {
                    let detail = format!("its first byte is 0x{:02X}", bytes.first().copied().unwrap_or_default());
                    return Err(Failed::new(Attempt::NotConnack, detail));
                }
                answer => return Ok(Answered { answer, bytes }),
            }
            bytes.reserve(ROOM_FOR_CONNACK);
            match broker.read_buf(&mut bytes).await {
                Ok(0) if bytes.is_empty() => {
                    return Err(Failed::new(Attempt::ClosedWithoutConnack, "it closed the connection"));
                }
                Ok(0) => {
                    return Err(Failed::new(
                        Attempt::ClosedWithoutConnack,
                        "it closed the connection within its answer",
                    ));
                }
                Ok(_) => {}
                Err(error) => return Err(Failed::new(Attempt::ClosedWithoutConnack, error)),
            }
        }
    };
    match timeout(limit, asking).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failed::new(Attempt::ConnackTimedOut, format!("no answer to the CONNECT within {limit:?}"))),
    }
}

fn reason(error: &io::Error) -> Attempt {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Attempt::Refused,
        io::ErrorKind::TimedOut => Attempt::TimedOut,
        _ => Attempt::Unreachable,
    }
}

/// Room for a CONNACK as most brokers send it.
const ROOM_FOR_CONNACK: usize = 128;
