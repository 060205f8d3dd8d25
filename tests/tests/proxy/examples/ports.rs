//! Free ports for what must be told its port before it starts.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};

/// Below those that the kernel gives to connections and to port 0, so that no other test gets one in the meantime.
const FIRST: u16 = 12_000;
const COUNT: u16 = 16_000;

/// A port that nothing listens at on any IPv4 address of this host, another one with each call.
pub(crate) fn free() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);

    // Another run of the tests begins elsewhere.
    let offset = u16::try_from(std::process::id() % u32::from(COUNT))?;
    (0..COUNT)
        .map(|_| FIRST + NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(offset) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok())
        .context("no free port")
}
