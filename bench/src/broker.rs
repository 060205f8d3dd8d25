//! A broker that lets everybody in and sends back what is published: cheap, so that the proxy is what is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// A running broker.
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    let_in: Arc<AtomicUsize>,
}

impl Broker {
    /// Starts one within this runtime.
    pub(crate) fn start() -> Result<Self> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(65_535)?;
        let address = listener.local_addr()?;
        let let_in = Arc::new(AtomicUsize::new(0));
        tokio::spawn(accept(listener, Arc::clone(&let_in)));
        Ok(Self { address, let_in })
    }

    /// How many clients it has let in.
    pub(crate) fn let_in(&self) -> usize {
        self.let_in.load(Ordering::Relaxed)
    }
}

/// The client id of one whose messages are not sent back: after so many bytes it gets one answer, and so on.
pub(crate) fn sink_id(number: usize, bytes: usize) -> String {
    format!("{SINK}{number}-{bytes}")
}

/// What a sink answers: PINGRESP.
pub(crate) const ANSWER: [u8; 2] = [0xD0, 0];

const SINK: &str = "sink-";

async fn accept(listener: TcpListener, let_in: Arc<AtomicUsize>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let let_in = Arc::clone(&let_in);
                // A client that leaves ends its own connection alone.
                tokio::spawn(async move {
                    let _ = serve(stream, &let_in).await;
                });
            }
            // No file is left to open, for a moment.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(mut stream: TcpStream, let_in: &AtomicUsize) -> Result<()> {
    stream.set_nodelay(true)?;
    // The CONNECTs of this benchmark are shorter, and come at once.
    let mut buffer = [0; 256];
    let count = stream.read(&mut buffer).await?;
    if count == 0 {
        return Ok(());
    }
    let_in.fetch_add(1, Ordering::Relaxed);
    stream.write_all(&[0x20, 2, 0, 0]).await?;
    match sink_bytes(&buffer[..count]) {
        Some(bytes) => swallow(stream, bytes).await,
        None => send_back(stream).await,
    }
}

async fn send_back(mut stream: TcpStream) -> Result<()> {
    loop {
        stream.readable().await?;
        // On the stack for as long as it is needed: there are thousands of connections.
        let mut buffer = [0; 4096];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => stream.write_all(&buffer[..count]).await?,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn swallow(mut stream: TcpStream, bytes: usize) -> Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut seen = 0;
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => seen += count,
        }
        while seen >= bytes {
            seen -= bytes;
            stream.write_all(&ANSWER).await?;
        }
    }
}

/// What [`sink_id`] says in a CONNECT whose last field it is.
fn sink_bytes(connect: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(connect);
    let (_, said) = text.split_once(SINK)?;
    said.split_once('-')?.1.parse().ok()
}
