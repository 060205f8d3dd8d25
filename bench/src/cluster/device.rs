//! A device that tries until it is let in, and a broker that tells where it was reached.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wire::{Connect, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

/// The port of all brokers.
pub(crate) const BROKER_PORT: u16 = 1883;

/// All brokers in one: at every address.
pub(crate) struct Brokers {
    /// Where the last client came in.
    reached: Arc<AtomicU32>,
}

impl Brokers {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, BROKER_PORT)).await?;
        let reached = Arc::new(AtomicU32::new(0));
        let known = Arc::clone(&reached);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                if let Ok(IpAddr::V4(address)) = stream.local_addr().map(|address| address.ip()) {
                    known.store(address.to_bits(), Ordering::Relaxed);
                }
                tokio::spawn(async move {
                    let mut buffer = [0; 512];
                    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                        // What follows the CONNECT is a DISCONNECT, which nobody reads the answer to.
                        let _ = stream.write_all(&[0x20, 2, 0, 0]).await;
                    }
                });
            }
        });
        Ok(Self { reached })
    }

    pub(crate) fn reached(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.reached.load(Ordering::Relaxed))
    }
}

/// A device with a certificate.
pub(crate) struct Device {
    proxy: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Device {
    pub(crate) fn new(proxy: SocketAddr, client: &TlsClient) -> Self {
        Self { proxy, config: client.clone().without_resumption().config() }
    }

    /// Connects by mutual TLS, in a full handshake, and tells whether it is let in.
    pub(crate) async fn connect(&self, name: &str) -> Result<bool> {
        static NUMBER: OnceLock<AtomicU32> = OnceLock::new();
        let number = NUMBER.get_or_init(AtomicU32::default).fetch_add(1, Ordering::Relaxed);
        let stream = TcpStream::connect(self.proxy).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let mut stream = connector.connect(ServerName::try_from(name.to_owned())?, stream).await?;
        stream.write_all(&Connect::new(Version::V311, &format!("device-{number}")).bytes()).await?;
        stream.flush().await?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).await?;
        Ok(connack == [0x20, 2, 0, 0])
    }

    /// Connects again and again until it is let in and all is as wanted. Gives when that was.
    pub(crate) async fn connect_until(&self, name: &str, wanted: impl Fn() -> bool) -> Result<Instant> {
        let start = Instant::now();
        while start.elapsed() < LONGEST_WAIT {
            if self.connect(name).await? && wanted() {
                return Ok(Instant::now());
            }
            sleep(PAUSE).await;
        }
        bail!("{name} is not served within {LONGEST_WAIT:?}")
    }
}

const PAUSE: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
