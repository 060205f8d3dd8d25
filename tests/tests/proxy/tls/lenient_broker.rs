//! A broker that lets everybody in, and goes when its client goes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use streamgate_tests::wire;

/// A TCP server on a free port of 127.0.0.1 that answers whatever comes first with MQTT 3.1.1's CONNACK.
pub(crate) struct LenientBroker {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    stopped: Arc<AtomicBool>,
}

impl LenientBroker {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let broker = Self { address: listener.local_addr()?, connections: Arc::default(), stopped: Arc::default() };
        let (connections, stopped) = (Arc::clone(&broker.connections), Arc::clone(&broker.stopped));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(kept) = stream.try_clone() else { return };
                connections.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
                thread::spawn(move || serve(stream));
            }
        });
        Ok(broker)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many clients there were.
    pub(crate) fn count(&self) -> usize {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Sends bytes to the client with this number, from 0, in the order of arrival.
    pub(crate) fn send(&self, index: usize, bytes: &[u8]) -> Result<()> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = connections.get(index).with_context(|| format!("no client {index}"))?;
        Ok(stream.write_all(bytes)?)
    }
}

impl Drop for LenientBroker {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, so that it sees the end and closes the port.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    if let Ok(1..) = stream.read(&mut buffer) {
        // A client that has left already doesn't want it.
        let _ = stream.write_all(&wire::CONNACK_V311);
        while let Ok(1..) = stream.read(&mut buffer) {}
    }
    let _ = stream.shutdown(Shutdown::Both);
}
