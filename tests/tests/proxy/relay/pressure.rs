//! A side that doesn't read: the other one is held back, and the proxy keeps no more than a buffer.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, Version};

use super::{connect, noise, start};
use crate::site::{Pair, Site, Way, accept, let_in};

/// What the buffers of the kernel may take on the way, on any machine.
const KERNEL_BYTES: usize = 192 << 20;
/// How much the proxy may grow while one side is held back: its own buffers.
const PROXY_BYTES: u64 = 4 << 20;
/// Who gets nothing away in this time is held back.
const HELD_BACK: Duration = Duration::from_secs(1);

/// Writes `block` again and again until nothing more is taken, and gives how many bytes were. `socket` is what `to` writes to.
pub(super) fn fill(socket: &TcpStream, to: &mut impl Write, block: &[u8]) -> Result<usize> {
    socket.set_nonblocking(true)?;
    let mut taken = 0;
    let mut last_taken = Instant::now();
    while last_taken.elapsed() < HELD_BACK {
        match to.write(&block[taken % block.len()..]) {
            Ok(0) => bail!("the connection ended"),
            Ok(count) => {
                taken += count;
                last_taken = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error).context("while filling"),
        }
        if taken > KERNEL_BYTES {
            bail!("{taken} bytes were taken, and nobody read");
        }
    }
    socket.set_nonblocking(false)?;
    Ok(taken)
}

/// Reads what [`fill`] sent.
fn empty(from: &mut impl Read, block: &[u8], count: usize) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut read = 0;
    while read < count {
        let end = buffer.len().min(count - read);
        let more = from.read(&mut buffer[..end]).with_context(|| format!("after {read} of {count} bytes"))?;
        if more == 0 {
            bail!("the connection ended after {read} of {count} bytes");
        }
        let mut found = &buffer[..more];
        while !found.is_empty() {
            let at = read % block.len();
            let length = found.len().min(block.len() - at);
            if found[..length] != block[at..at + length] {
                bail!("other bytes came than were sent, at {read}");
            }
            found = &found[length..];
            read += length;
        }
    }
    Ok(())
}

#[test]
fn a_broker_that_does_not_read_holds_the_device_back() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let site = Site::before(&[listener.local_addr()?])?;
    let block = noise(3, 1_000_003);
    let mut device = wire::connect_tcp(site.proxy.address("plain"))?;
    let mut broker = let_in(&listener, &mut device, &connect(), &wire::CONNACK_V311)?;
    let before = site.memory_bytes()?;
    let taken = fill(&device.try_clone()?, &mut device, &block)?;
    let after = site.memory_bytes()?;
    assert!(after < before + PROXY_BYTES, "the proxy grew from {before} to {after} bytes, {taken} were taken");
    broker.set_read_timeout(Some(wait::SOON))?;
    empty(&mut broker, &block, taken)
}

#[test]
fn a_device_that_does_not_read_holds_the_broker_back() -> Result<()> {
    for way in Way::BOTH {
        let Pair { site, mut device, mut broker, .. } = start(way)?;
        let block = noise(3, 1_000_003);
        let before = site.memory_bytes()?;
        let taken = fill(&broker.try_clone()?, &mut broker, &block)?;
        let after = site.memory_bytes()?;
        assert!(after < before + PROXY_BYTES, "{way:?}: from {before} to {after} bytes, {taken} were taken");
        device.limit_read(wait::SOON)?;
        empty(&mut device, &block, taken).with_context(|| format!("{way:?}"))?;
    }
    Ok(())
}

#[test]
fn a_broker_that_does_not_read_holds_a_device_under_tls_back() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let site = Site::before(&[listener.local_addr()?])?;
    let block = noise(3, 1_000_003);
    let socket = wire::connect_tcp(site.proxy.address("mqtts"))?;
    let mut device = site.tls_client(Way::Tls13).context("TLS")?.handshake(socket.try_clone()?)?;
    let mut broker = let_in(&listener, &mut device, &connect(), &wire::CONNACK_V311)?;
    let before = site.memory_bytes()?;
    let taken = fill(&socket, &mut device, &block)?;
    let after = site.memory_bytes()?;
    assert!(after < before + PROXY_BYTES, "the proxy grew from {before} to {after} bytes, {taken} were taken");
    broker.set_read_timeout(Some(wait::SOON))?;
    // What rustls still holds on the device's side is sent while the broker reads.
    socket.set_write_timeout(Some(wait::SOON))?;
    let flusher = thread::spawn(move || device.flush());
    empty(&mut broker, &block, taken)?;
    Ok(flusher.join().map_err(|_| anyhow::anyhow!("the device's side failed"))??)
}

/// Until the broker has answered the CONNECT, the device's further bytes wait in the kernel's buffers.
#[test]
fn a_broker_that_has_not_answered_yet_holds_the_device_back() -> Result<()> {
    for way in Way::BOTH {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let node = format!("{{name: broker-0, host: 127.0.0.1, port: {}}}", listener.local_addr()?.port());
        let site = Site::start(&format!("upstream: {{nodes: [{node}], connackTimeout: 60s}}"))?;
        let block = noise(3, 1_000_003);
        let socket = wire::connect_tcp(site.proxy.address(way.listener()))?;
        let mut device: Box<dyn Peer + Send> = match site.tls_client(way) {
            None => Box::new(socket.try_clone()?),
            Some(client) => Box::new(client.handshake(socket.try_clone()?)?),
        };
        super::send(&mut device, &connect())?;
        let mut broker = accept(&listener)?;
        assert_eq!(wire::read_packet(&mut broker, wait::SOON)?.bytes, connect());
        let before = site.memory_bytes()?;
        let taken = fill(&socket, &mut device, &block)?;
        let after = site.memory_bytes()?;
        assert!(after < before + PROXY_BYTES, "{way:?}: from {before} to {after} bytes, {taken} were taken");
        broker.set_nonblocking(true)?;
        let early = broker.peek(&mut [0]).map_err(|error| error.kind());
        assert_eq!(early, Err(ErrorKind::WouldBlock), "{way:?}: something came before the CONNACK");
        broker.set_nonblocking(false)?;
        broker.set_read_timeout(Some(wait::SOON))?;
        broker.write_all(&wire::CONNACK_V311)?;
        socket.set_write_timeout(Some(wait::SOON))?;
        let flusher = thread::spawn(move || device.flush().map(|()| device));
        empty(&mut broker, &block, taken).with_context(|| format!("{way:?}"))?;
        let mut device = flusher.join().map_err(|_| anyhow::anyhow!("the device's side failed"))??;
        super::expect(&mut device, &wire::CONNACK_V311)?;
    }
    Ok(())
}

/// Its ping may be behind the bytes that the broker does not take: it misses no keep-alive by that.
#[test]
fn a_device_that_is_held_back_is_not_silent() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let site = Site::before(&[listener.local_addr()?])?;
    let block = noise(3, 1_000_003);
    let mut device = wire::connect_tcp(site.proxy.address("plain"))?;
    let connect = Connect::new(Version::V311, "sensor").keep_alive(1).bytes();
    let mut broker = let_in(&listener, &mut device, &connect, &wire::CONNACK_V311)?;
    let taken = fill(&device.try_clone()?, &mut device, &block)?;
    // It would have been ended after 4 seconds.
    thread::sleep(Duration::from_secs(7));
    broker.set_read_timeout(Some(wait::SOON))?;
    empty(&mut broker, &block, taken)?;
    super::send(&mut broker, b"still there")?;
    super::expect(&mut device, b"still there")
}

/// One direction that is held back leaves the other free.
#[test]
fn a_device_that_does_not_read_can_still_send() -> Result<()> {
    for way in Way::BOTH {
        let Pair { site: _site, mut device, mut broker, .. } = start(way)?;
        let block = noise(3, 1_000_003);
        fill(&broker.try_clone()?, &mut broker, &block)?;
        for _ in 0..20 {
            super::send(&mut device, &block[..10_000])?;
            super::expect(&mut broker, &block[..10_000]).with_context(|| format!("{way:?}"))?;
        }
    }
    Ok(())
}

/// One connection that is held back leaves the others of its worker free: there are more of them than workers.
#[test]
fn connections_that_are_held_back_leave_others_free() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let site = Site::before(&[listener.local_addr()?])?;
    let block = noise(3, 1_000_003);
    let dial = |way| -> Result<_> {
        let mut device = site.dial(way)?;
        let broker = let_in(&listener, &mut device, &connect(), &wire::CONNACK_V311)?;
        Ok((device, broker))
    };
    let mut held = Vec::new();
    for _ in 0..4 {
        let (device, mut broker) = dial(Way::Plain)?;
        broker.set_nonblocking(true)?;
        while broker.write(&block).is_ok() {}
        held.push((device, broker));
    }
    for number in 0..8 {
        let (mut device, mut broker) = dial(Way::BOTH[number % 2])?;
        super::send(&mut device, &block)?;
        super::expect(&mut broker, &block)?;
        super::send(&mut broker, &block)?;
        super::expect(&mut device, &block)?;
    }
    Ok(())
}
