//! Devices that come by mutual TLS.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, ensure};
use streamgate_tests::broker::NAME_TOPIC;
use streamgate_tests::tls_client::{TlsClient, TlsStream};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

/// Who ended a device's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Haproxy,
    Streamgate,
}

/// Connects a device that is to be let in and to get a broker's message, and says who ended its TLS.
pub(super) fn visit(stream: &mut TlsStream, client_id: &str) -> Result<By> {
    // All devices here offer `mqtt`, which only streamgate takes up.
    let by = if stream.conn.alpn_protocol() == Some(b"mqtt") { By::Streamgate } else { By::Haproxy };
    let answer = wire::connack(stream, &Connect::new(Version::V311, client_id))?;
    ensure!(answer.code() == Some(0), "{answer:?}");
    stream.write_all(&wire::subscribe(Version::V311, 1, NAME_TOPIC, 0))?;
    stream.flush()?;
    ensure!(wire::read_packet(stream, wait::SOON)?.kind() == 9, "no SUBACK");
    let message = wire::read_packet(stream, wait::SOON)?;
    ensure!(message.message(Version::V311).is_some(), "no message: {message:?}");
    Ok(by)
}

/// Devices that come one after the other, all the time.
pub(super) struct Newcomers {
    served: Arc<Mutex<Vec<By>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Newcomers {
    /// With these clients in turn. Each keeps its sessions, and offers them to whoever ends TLS next.
    pub(super) fn start(clients: Vec<TlsClient>, address: SocketAddr, name: &str) -> Self {
        let (served, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (into, told, name) = (Arc::clone(&served), Arc::clone(&stop), name.to_owned());
        let thread = thread::spawn(move || {
            for (number, client) in clients.iter().cycle().enumerate() {
                if told.load(Ordering::SeqCst) {
                    break;
                }
                let client_id = format!("{name}-{number}");
                let by = client.connect(address).and_then(|mut stream| visit(&mut stream, &client_id));
                into.lock().unwrap_or_else(PoisonError::into_inner).push(by.with_context(|| client_id)?);
            }
            Ok(())
        });
        Self { served, stop, thread }
    }

    /// Waits until ten more were served whose TLS this one ended, or until one was refused, which [`Self::finish`] tells.
    pub(super) fn wait_for_ten(&self, by: By) -> Result<()> {
        let count = || self.served().iter().filter(|served| **served == by).count();
        let before = count();
        let what = format!("ten more newcomers by {by:?}");
        wait::until(&what, wait::SOON, || (count() >= before + 10 || self.thread.is_finished()).then_some(()))
    }

    /// Has no more come, and says who ended TLS for each.
    ///
    /// # Errors
    /// One was refused.
    pub(super) fn finish(self) -> Result<Vec<By>> {
        self.stop.store(true, Ordering::SeqCst);
        let served = Arc::clone(&self.served);
        self.thread.join().map_err(|_| anyhow!("the newcomers panicked"))??;
        Ok(served.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn served(&self) -> Vec<By> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
