//! How long a client may take, stage by stage.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustls::ClientConnection;
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Peer, StreamEnd};

use crate::tls::fixture::{LISTENER, Site, TLS, access_field, connect};

const NAME: &str = "one.devices.example";
const PLAIN: &str = "plain";

/// How long a connection may last that has a second.
const ABOUT_A_SECOND: Range<Duration> = Duration::from_millis(900)..Duration::from_secs(5);

/// The time between two bytes of a client that is slower than its deadline.
const PAUSE: Duration = Duration::from_millis(150);

/// A proxy with so many seconds for each stage.
fn started(seconds: u32) -> Result<(Site, Proxy)> {
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], "")?;
    site.route("acme", &format!("mqtt: {{connectTimeout: {seconds}s}}"))?;
    let listeners = [Listener::mqtts(LISTENER), Listener::mqtt(PLAIN)];
    let proxy = Proxy::start_with(&site.config, &listeners, &["--client-hello-timeout", &format!("{seconds}s")])?;
    Ok((site, proxy))
}

/// Asserts that the end of this connection, which began at `start`, came in order and after about a second, and that the
/// access line gives it this name.
fn assert_ends(proxy: &Proxy, start: Instant, peer: impl Peer, end: &StreamEnd, name: &str) -> Result<()> {
    let lasted = start.elapsed();
    // Else the proxy would wait a while for what is still under way.
    drop(peer);
    assert_eq!(*end, StreamEnd::Closed, "after {lasted:?}");
    assert!(ABOUT_A_SECOND.contains(&lasted), "it lasted {lasted:?}");
    assert_eq!(access_field(proxy, 1, "end")?, [name]);
    Ok(())
}

/// Sends bytes slowly, one after the other, until the other side ends the connection: what came from it, and how it ended.
fn send_slowly(peer: &mut impl Peer, bytes: &[u8]) -> Result<(Vec<u8>, StreamEnd)> {
    for byte in bytes {
        peer.write_all(&[*byte])?;
        peer.flush()?;
        match wire::read_to_end(peer, PAUSE) {
            (nothing, StreamEnd::StillOpen) if nothing.is_empty() => {}
            other => return Ok(other),
        }
    }
    anyhow::bail!("all {} bytes were taken", bytes.len())
}

/// Sends a `ClientHello`, reads the server's flight, and gives the one that is to follow.
fn begin_handshake(mut connection: ClientConnection, hello: &[u8], stream: &mut TcpStream) -> Result<Vec<u8>> {
    stream.write_all(hello)?;
    stream.set_read_timeout(Some(wait::SOON))?;
    let mut flight = Vec::new();
    while !connection.wants_write() {
        connection.read_tls(stream)?;
        connection.process_new_packets()?;
    }
    while connection.wants_write() {
        connection.write_tls(&mut flight)?;
    }
    Ok(flight)
}

#[test]
fn a_client_that_is_silent_before_its_client_hello() -> Result<()> {
    let (_site, proxy) = started(1)?;
    let start = Instant::now();
    let mut stream = wire::connect_tcp(proxy.address(LISTENER))?;
    let (bytes, end) = wire::read_to_end(&mut stream, wait::SOON);
    assert!(bytes.is_empty(), "{bytes:02x?}");
    assert_ends(&proxy, start, stream, &end, "ClientHelloTimeout")
}

#[test]
fn a_client_that_is_silent_within_its_client_hello() -> Result<()> {
    let (site, proxy) = started(1)?;
    let (_, hello) = site.client(NAME, TLS[1], None)?.client_hello()?;
    let start = Instant::now();
    let mut stream = wire::connect_tcp(proxy.address(LISTENER))?;
    stream.write_all(&hello[..hello.len() / 2])?;
    let (_, end) = wire::read_to_end(&mut stream, wait::SOON);
    assert_ends(&proxy, start, stream, &end, "ClientHelloTimeout")
}

#[test]
fn a_client_that_sends_its_client_hello_too_slowly() -> Result<()> {
    let (site, proxy) = started(1)?;
    let (_, hello) = site.client(NAME, TLS[1], None)?.client_hello()?;
    let start = Instant::now();
    let mut stream = wire::connect_tcp(proxy.address(LISTENER))?;
    let (_, end) = send_slowly(&mut stream, &hello)?;
    assert_ends(&proxy, start, stream, &end, "ClientHelloTimeout")
}

#[test]
fn a_client_that_is_silent_after_the_server_hello() -> Result<()> {
    for tls in TLS {
        let (site, proxy) = started(1)?;
        let (connection, hello) = site.client(NAME, tls, None)?.client_hello()?;
        let start = Instant::now();
        let mut stream = wire::connect_tcp(proxy.address(LISTENER))?;
        begin_handshake(connection, &hello, &mut stream)?;
        let (_, end) = wire::read_to_end(&mut stream, wait::SOON);
        assert_ends(&proxy, start, stream, &end, "HandshakeTimeout").with_context(|| tls.name)?;
    }
    Ok(())
}

#[test]
fn a_client_that_ends_its_handshake_too_slowly() -> Result<()> {
    for tls in TLS {
        let (site, proxy) = started(1)?;
        let (connection, hello) = site.client(NAME, tls, None)?.client_hello()?;
        let start = Instant::now();
        let mut stream = wire::connect_tcp(proxy.address(LISTENER))?;
        let flight = begin_handshake(connection, &hello, &mut stream)?;
        let (_, end) = send_slowly(&mut stream, &flight)?;
        assert_ends(&proxy, start, stream, &end, "HandshakeTimeout").with_context(|| tls.name)?;
    }
    Ok(())
}

#[test]
fn a_client_that_is_silent_before_its_connect() -> Result<()> {
    for tls in TLS {
        let (site, proxy) = started(1)?;
        let client = site.client(NAME, tls, None)?;
        let start = Instant::now();
        let mut stream = client.connect(proxy.address(LISTENER))?;
        let (bytes, end) = wire::read_to_end(&mut stream, wait::SOON);
        assert!(bytes.is_empty(), "{bytes:02x?}");
        assert_ends(&proxy, start, stream, &end, "ConnectTimeout").with_context(|| tls.name)?;
    }
    Ok(())
}

#[test]
fn a_client_that_sends_its_connect_too_slowly() -> Result<()> {
    let (site, proxy) = started(1)?;
    let start = Instant::now();
    let mut stream = site.client(NAME, TLS[1], None)?.connect(proxy.address(LISTENER))?;
    let (bytes, end) = send_slowly(&mut stream, &connect().bytes())?;
    assert!(bytes.is_empty(), "{bytes:02x?}");
    assert_ends(&proxy, start, stream, &end, "ConnectTimeout")
}

#[test]
fn a_plaintext_client_that_is_silent_before_its_connect() -> Result<()> {
    let (_site, proxy) = started(1)?;
    let start = Instant::now();
    let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
    let (bytes, end) = wire::read_to_end(&mut stream, wait::SOON);
    assert!(bytes.is_empty(), "{bytes:02x?}");
    assert_ends(&proxy, start, stream, &end, "ConnectTimeout")
}

#[test]
fn a_plaintext_client_that_is_silent_within_its_connect() -> Result<()> {
    let (_site, proxy) = started(1)?;
    let bytes = connect().bytes();
    let start = Instant::now();
    let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
    stream.write_all(&bytes[..bytes.len() - 1])?;
    let (bytes, end) = wire::read_to_end(&mut stream, wait::SOON);
    assert!(bytes.is_empty(), "{bytes:02x?}");
    assert_ends(&proxy, start, stream, &end, "ConnectTimeout")
}

#[test]
fn a_plaintext_client_that_sends_its_connect_too_slowly() -> Result<()> {
    let (_site, proxy) = started(1)?;
    let start = Instant::now();
    let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
    let (bytes, end) = send_slowly(&mut stream, &connect().bytes())?;
    assert!(bytes.is_empty(), "{bytes:02x?}");
    assert_ends(&proxy, start, stream, &end, "ConnectTimeout")
}

#[test]
fn a_client_that_met_its_deadline_reached_no_broker() -> Result<()> {
    let (site, proxy) = started(1)?;
    let bytes = connect().bytes();
    let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
    stream.write_all(&bytes[..bytes.len() - 1])?;
    wire::read_to_end(&mut stream, wait::SOON);
    drop(stream);
    access_field(&proxy, 1, "end")?;
    assert_eq!(site.broker.count(), 0);
    Ok(())
}

#[test]
fn a_slow_client_within_the_time_of_each_stage_is_served() -> Result<()> {
    let (site, proxy) = started(3)?;
    // More than the limit together, and less in each stage.
    let pause = Duration::from_millis(1200);
    let (mut connection, hello) = site.client(NAME, TLS[1], None)?.client_hello()?;
    let mut stream = wire::connect_tcp(proxy.address(LISTENER))?;
    let (first, second) = hello.split_at(hello.len() / 2);
    stream.write_all(first)?;
    thread::sleep(pause);
    stream.write_all(second)?;
    stream.set_read_timeout(Some(wait::SOON))?;
    while !connection.wants_write() {
        connection.read_tls(&mut stream)?;
        connection.process_new_packets()?;
    }
    thread::sleep(pause);
    while connection.is_handshaking() || connection.wants_write() {
        connection.complete_io(&mut stream)?;
    }
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let packet = connect().bytes();
    let (first, second) = packet.split_at(packet.len() / 2);
    stream.write_all(first)?;
    thread::sleep(pause);
    stream.write_all(second)?;
    let answer = wire::read_packet(&mut stream, wait::SOON)?;
    assert_eq!(answer.code(), Some(0), "{answer:?}");
    Ok(())
}

#[test]
fn a_client_has_no_deadline_once_it_is_let_in() -> Result<()> {
    let (site, proxy) = started(1)?;
    let mut stream = site.client(NAME, TLS[1], None)?.connect(proxy.address(LISTENER))?;
    assert_eq!(wire::connack(&mut stream, &connect())?.code(), Some(0));
    // Longer than both limits.
    let (bytes, end) = wire::read_to_end(&mut stream, Duration::from_millis(2500));
    assert_eq!((bytes, end), (Vec::new(), StreamEnd::StillOpen));
    site.broker.send(0, &wire::PINGREQ)?;
    stream.limit_read(wait::SOON)?;
    let mut passed = [0; 2];
    stream.read_exact(&mut passed)?;
    assert_eq!(passed, wire::PINGREQ);
    Ok(())
}
