//! Devices that come while something else goes on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::site::Site;

/// Does something while devices connect all the time, of which none may be refused or fail. Gives how many were let in.
pub(crate) fn meanwhile(site: &Site, does: impl FnOnce() -> Result<()>) -> Result<usize> {
    let (address, is_over) = (site.address()?, AtomicBool::new(false));
    thread::scope(|scope| {
        let newcomers = scope.spawn(|| -> Result<usize> {
            let mut connected = 0;
            while !is_over.load(Ordering::Relaxed) {
                connected += connect(site, address)?;
                thread::sleep(PAUSE);
            }
            Ok(connected)
        });
        let done = does();
        is_over.store(true, Ordering::Relaxed);
        let connected = newcomers.join().map_err(|_| anyhow!("the thread of the newcomers panicked"))?;
        done.and(connected)
    })
}

/// Connects devices until that is so, of which none may be refused or fail. Gives how many were let in.
pub(crate) fn until(site: &Site, mut is_so: impl FnMut() -> Result<bool>) -> Result<usize> {
    let (address, deadline, mut connected) = (site.address()?, Instant::now() + Duration::from_mins(2), 0);
    while !is_so()? {
        ensure!(Instant::now() < deadline, "still not so after {connected} connects");
        connected += connect(site, address)?;
    }
    Ok(connected)
}

/// Connects a few, which go again.
pub(crate) fn connect(site: &Site, address: SocketAddr) -> Result<usize> {
    let start = Instant::now();
    let happened = site.start_newcomers(address)?.since(start);
    happened.ensure_nobody_was_refused().context("newcomers")?;
    Ok(happened.connected.len())
}

/// Between two batches: the machine has other work, too.
const PAUSE: Duration = Duration::from_millis(200);
