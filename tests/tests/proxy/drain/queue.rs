//! Who is on the way in while the listeners close: whoever has a connection is served.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use super::{let_in, start, wait_for_handing_back};
use crate::site::{ALL_LEVELS, Site, Way, recorder, upstream};

/// With both signals before it runs on, the proxy comes to close its listeners with all of them in its queue.
#[test]
fn connections_in_the_queue_are_served_and_not_reset() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let mut site = start(&[broker.address()], "0s", "20s")?;
    site.proxy.signal("STOP")?;
    let connect = Connect::new(Version::V311, "queued");
    let mut plain = Vec::new();
    for _ in 0..300 {
        let mut stream = wire::connect_tcp(site.proxy.address("plain"))?;
        stream.write_all(&connect.bytes())?;
        plain.push(stream);
    }
    let client = site.tls_client(Way::Tls13).context("no TLS client")?.clone().without_resumption();
    let mut encrypted = Vec::new();
    for _ in 0..500 {
        let (connection, hello) = client.client_hello()?;
        let mut stream = wire::connect_tcp(site.proxy.address("mqtts"))?;
        stream.write_all(&hello)?;
        encrypted.push((connection, stream));
    }
    site.proxy.signal("TERM")?;
    site.proxy.signal("CONT")?;
    for (index, stream) in plain.iter_mut().enumerate() {
        let packet = wire::read_packet(stream, wait::SOON).with_context(|| format!("plain {index}"))?;
        assert_eq!(packet.bytes, wire::CONNACK_V311, "{index}");
    }
    for (index, (mut connection, mut stream)) in encrypted.into_iter().enumerate() {
        stream.set_read_timeout(Some(wait::SOON))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).with_context(|| format!("TLS {index}"))?;
        }
        let mut device = rustls::StreamOwned::new(connection, stream);
        assert_eq!(wire::connack(&mut device, &connect).with_context(|| format!("TLS {index}"))?.code(), Some(0));
    }
    wait_for_handing_back(&mut site)
}

/// Clients that come and come: one that has a connection has a CONNACK, and any other has no connection.
#[test]
fn whoever_is_connected_is_served_while_the_listeners_close() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let mut site = start(&[broker.address()], "300ms", "10m")?;
    let address = site.proxy.address("plain");
    let _there = let_in(&site, Way::Plain, &Connect::new(Version::V311, "there"))?;
    let is_over = AtomicBool::new(false);
    let served = thread::scope(|scope| -> Result<usize> {
        let come = || -> Result<usize> {
            let mut served = 0;
            while !is_over.load(Ordering::Relaxed) {
                // One whose SYN is dropped asks again a second later, and is refused then.
                if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
                    let connack = wire::connack(&mut stream, &Connect::new(Version::V311, "coming"));
                    ensure!(connack.with_context(|| format!("after {served}"))?.code() == Some(0));
                    served += 1;
                }
            }
            Ok(served)
        };
        let comers: Vec<_> = (0..4).map(|_| scope.spawn(come)).collect();
        let closed = site.proxy.signal("TERM").and_then(|()| wait_for_handing_back(&mut site)).and_then(|()| {
            wait::until("the listener to be closed", wait::SOON, || TcpStream::connect(address).is_err().then_some(()))
        });
        is_over.store(true, Ordering::Relaxed);
        let mut served = 0;
        for comer in comers {
            served += comer.join().map_err(|_| anyhow!("a client failed"))??;
        }
        closed.map(|()| served)
    })?;
    assert!(served > 0);
    Ok(())
}

/// Who is handed back does not come in here again.
#[test]
fn the_listeners_are_closed_before_anybody_is_handed_back() -> Result<()> {
    let broker = recorder(Version::V5)?;
    let spec = format!("{ALL_LEVELS}\n{}", upstream(&[broker.address()]));
    let flags = ["--workers", "1", "--drain-delay", "0s", "--drain-time", "1ms"];
    let site = Site::start_with_flags(&spec, &flags)?;
    let mut device = let_in(&site, Way::Plain, &Connect::new(Version::V5, "device"))?;
    site.proxy.signal("TERM")?;
    assert_eq!(wire::read_packet(&mut device, wait::SOON)?.bytes[0], 0xe0);
    // While the queue is emptied nobody is refused: what is sent then is dropped, and sent again after a second.
    let again = TcpStream::connect_timeout(&site.proxy.address("plain"), Duration::from_millis(700));
    assert_eq!(again.map(drop).map_err(|error| error.kind()), Err(ErrorKind::ConnectionRefused));
    Ok(())
}
