//! A broker that lets everybody in, and sends each client back what it sends: one thread for all of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

use crate::schedule::Thread;
use crate::wire;

/// Listens on a free port of 127.0.0.1, for clients of MQTT 3.1.1. Ends when it is dropped, and its connections with it.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    thread: Thread,
    _end: oneshot::Sender<()>,
}

impl Echo {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let count = Arc::new(AtomicUsize::new(0));
        let ((end, ended), (tell, told)) = (oneshot::channel(), mpsc::channel());
        let counted = Arc::clone(&count);
        thread::Builder::new().name("echo".to_owned()).spawn(move || -> Result<()> {
            tell.send(Thread::current()?)?;
            let runtime = Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, async {
                spawn_local(accept(TcpListener::from_std(listener)?, counted));
                // That the sender is dropped is the end.
                let _ = ended.await;
                Ok(())
            })
        })?;
        let thread = told.recv().context("the broker does not start")?;
        Ok(Self { address, count, thread, _end: end })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The thread that serves all.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// How many connections there were.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, count: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        count.fetch_add(1, Ordering::SeqCst);
        // A client that breaks off is no matter.
        spawn_local(async move { drop(serve(stream).await) });
    }
}

async fn serve(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let (first_byte, mut length, mut shift) = (stream.read_u8().await?, 0, 0);
    loop {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if first_byte != 0x10 || length > MOST_CONNECT_BYTES {
        bail!("no CONNECT");
    }
    stream.read_exact(&mut vec![0; length]).await?;
    stream.write_all(&wire::CONNACK_V311).await?;
    let mut buffer = [0; 256];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
}

const MOST_CONNECT_BYTES: usize = 1 << 10;
