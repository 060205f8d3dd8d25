//! A device: connects, in the clear or over mutual TLS, and is let in.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, bail};
use rustls::HandshakeKind;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use streamgate_tests::wire::{Connect, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::world::{NAME, World};

/// How a device connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Mutual TLS, by a full handshake.
    Full,
    /// Mutual TLS, by a session that is resumed.
    Resumed,
}

/// A stream of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A device's settings, with the sessions that it keeps.
#[derive(Clone)]
pub(crate) struct Device {
    kind: Kind,
    address: SocketAddr,
    config: Arc<rustls::ClientConfig>,
}

impl Device {
    pub(crate) fn new(world: &World, kind: Kind) -> Self {
        let (listener, client) = match kind {
            Kind::Plain => ("plain", world.device.clone()),
            Kind::Full => ("mqtts", world.device.clone().without_resumption()),
            Kind::Resumed => ("mqtts", world.device.clone()),
        };
        let mut config = rustls::ClientConfig::clone(&client.config());
        if kind == Kind::Resumed {
            // Its own, for a ticket is good once.
            config.resumption = Resumption::in_memory_sessions(8);
        }
        Self { kind, address: world.proxy.address(listener), config: Arc::new(config) }
    }

    /// At this address in place of the proxy's.
    pub(crate) fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Connects and is let in. Whether its session was resumed is as its kind says, or it fails; the first of its kind is not.
    pub(crate) async fn connect(&self, client_id: &str, is_first: bool) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut stream: Box<dyn Stream> = if self.kind == Kind::Plain {
            Box::new(stream)
        } else {
            let connector = TlsConnector::from(Arc::clone(&self.config));
            let stream = connector.connect(ServerName::try_from(NAME)?, stream).await?;
            let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            if !is_first && is_resumed != (self.kind == Kind::Resumed) {
                bail!("a handshake of the wrong kind");
            }
            Box::new(stream)
        };
        stream.write_all(&Connect::new(Version::V311, client_id).bytes()).await?;
        stream.flush().await?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).await?;
        if connack != [0x20, 2, 0, 0] {
            bail!("not let in: {connack:02x?}");
        }
        Ok(stream)
    }
}
