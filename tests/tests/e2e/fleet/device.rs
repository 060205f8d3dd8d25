//! One device.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::ServerName;
use streamgate_tests::wire::{self, Connect, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Event, Terms};

/// A device as it is built.
pub(super) struct Device {
    address: SocketAddr,
    connector: TlsConnector,
    server_name: ServerName<'static>,
    version: Version,
    connect: Vec<u8>,
    /// Where it publishes.
    topic: String,
    /// Tells that it loses its network.
    network_loss: Arc<Notify>,
}

/// How an attempt to connect ended.
enum Attempt {
    Connected(Box<TlsStream<TcpStream>>, String),
    Refused(u8),
}

pub(super) fn client_id(called: &str, number: usize) -> String {
    format!("{called}-{number}")
}

/// What a device speaks: MQTT 5 are the even ones.
pub(super) fn version(number: usize) -> Version {
    if number.is_multiple_of(2) { Version::V5 } else { Version::V311 }
}

impl Device {
    pub(super) fn new(number: usize, terms: &Terms<'_>, network_loss: Arc<Notify>) -> Result<Self> {
        let version = version(number);
        let id = client_id(terms.called, number);
        let mut connect = Connect::new(version, &id).keep_alive(30);
        if terms.have_wills {
            connect = connect.will(&format!("wills/{id}"), b"lost", 0, false);
        }
        Ok(Self {
            address: terms.address,
            // Each has sessions of its own, as it has memory of its own.
            connector: TlsConnector::from(terms.client.clone().with_own_sessions().config()),
            server_name: ServerName::try_from(terms.name.to_owned())?,
            version,
            connect: connect.bytes(),
            topic: format!("up/{id}"),
            network_loss,
        })
    }

    /// Connects, stays, and connects again when it is cut off, for as long as it is let.
    pub(super) async fn live(&self, note: impl Fn(Event)) {
        loop {
            match timeout(PATIENCE, self.connect()).await {
                Ok(Ok(Attempt::Connected(stream, broker))) => {
                    // From before it counts as connected, so that none goes by unheard.
                    let network_loss = self.network_loss.notified();
                    note(Event::Connected(broker));
                    note(tokio::select! {
                        event = self.stay(stream) => event,
                        () = network_loss => Event::Lost,
                    });
                    continue;
                }
                Ok(Ok(Attempt::Refused(code))) => note(Event::Refused(code)),
                Ok(Err(error)) => note(Event::Failed(format!("{error:#}"))),
                Err(_) => note(Event::Failed(format!("not connected within {PATIENCE:?}"))),
            }
            sleep(PAUSE).await;
        }
    }

    /// Connects, and asks the broker for its name, which it keeps for whoever subscribes to it.
    async fn connect(&self) -> Result<Attempt> {
        let stream = TcpStream::connect(self.address).await.context("no TCP connection")?;
        stream.set_nodelay(true)?;
        let connected = self.connector.connect(self.server_name.clone(), stream).await;
        let mut stream = connected.context("no TLS connection")?;
        stream.write_all(&self.connect).await.context("the CONNECT is not taken")?;
        let (first, body) = read_packet(&mut stream).await.context("no CONNACK")?;
        ensure!(first == CONNACK, "in place of a CONNACK: {first:#x}");
        match body.get(1) {
            Some(0) => {}
            Some(code) => return Ok(Attempt::Refused(*code)),
            None => bail!("a CONNACK without a code"),
        }
        stream.write_all(&wire::subscribe(self.version, 1, WHERE, 0)).await?;
        loop {
            let (first, body) = read_packet(&mut stream).await.context("the broker does not tell its name")?;
            if first & 0xf0 == PUBLISH {
                let topic_length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let properties = usize::from(self.version == Version::V5);
                let name = body.get(2 + topic_length + properties..).unwrap_or_default();
                return Ok(Attempt::Connected(Box::new(stream), String::from_utf8_lossy(name).into_owned()));
            }
        }
    }

    /// Publishes until the connection ends.
    async fn stay(&self, stream: Box<TlsStream<TcpStream>>) -> Event {
        let (mut reader, mut writer) = split(stream);
        let publishes = async {
            for id in (1..=u16::MAX).cycle() {
                let message = wire::publish(self.version, &self.topic, b"on", 1, id, false);
                if writer.write_all(&message).await.is_err() {
                    break;
                }
                sleep(PUBLISH_EVERY).await;
            }
            // The reader has what there is to say.
            pending::<()>().await;
        };
        let reads = async {
            loop {
                match timeout(PATIENCE, read_packet(&mut reader)).await {
                    Ok(Ok((DISCONNECT, body))) => return Event::Disconnected(body.first().copied().unwrap_or(0)),
                    Ok(Ok(_)) => {}
                    // Where no message is acknowledged any more, the connection is no better than none.
                    Ok(Err(_)) | Err(_) => return Event::Lost,
                }
            }
        };
        tokio::select! {
            event = reads => event,
            () = publishes => Event::Lost,
        }
    }
}

/// The first byte of a packet, and what comes after its length.
async fn read_packet(stream: &mut (impl AsyncRead + Unpin)) -> Result<(u8, Vec<u8>)> {
    let first = stream.read_u8().await?;
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((first, body))
}

const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const DISCONNECT: u8 = 0xe0;
/// The topic at which each broker keeps its pod's name.
const WHERE: &str = "whoami";
const PUBLISH_EVERY: Duration = Duration::from_millis(500);
/// How long an attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts of one device.
const PAUSE: Duration = Duration::from_millis(100);
