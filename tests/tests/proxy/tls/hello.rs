//! What comes before a session: `ClientHello`s in pieces, too large, cut short, and bytes that are none.

use std::io::Write;
use std::net::Shutdown;

use anyhow::Result;
use streamgate_tests::proxy::Proxy;
use streamgate_tests::tls_client::TlsStream;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Peer, StreamEnd};

use super::fixture::{LISTENER, Outcome, Site, TLS, access_field, access_lines, connect, outcome};

const NAME: &str = "one.devices.example";

fn started() -> Result<(Site, Proxy)> {
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], "")?;
    let proxy = site.start()?;
    Ok((site, proxy))
}

fn is_let_in(stream: &mut TlsStream) -> Result<bool> {
    Ok(wire::connack(stream, &connect())?.code() == Some(0))
}

#[test]
fn a_client_hello_may_come_byte_by_byte() -> Result<()> {
    let (site, proxy) = started()?;
    for tls in TLS {
        let stream = wire::connect_tcp(proxy.address(LISTENER))?;
        // Without delay of small segments, each byte is a segment.
        let mut stream = site.client(NAME, tls, None)?.handshake_in_pieces(stream, |hello, stream| {
            hello.iter().try_for_each(|byte| stream.write_all(&[*byte]))
        })?;
        assert!(is_let_in(&mut stream)?, "{tls:?}");
    }
    Ok(())
}

#[test]
fn a_client_hello_may_be_split_over_several_records() -> Result<()> {
    let (site, proxy) = started()?;
    for tls in TLS {
        for size in [1, 3, 4, 5, 50, 200] {
            let stream = wire::connect_tcp(proxy.address(LISTENER))?;
            let client = site.client(NAME, tls, None)?;
            let mut stream = client
                .handshake_in_pieces(stream, |hello, stream| stream.write_all(&records(&handshake_of(hello), size)))?;
            assert!(is_let_in(&mut stream)?, "records of {size} bytes over {tls:?}");
        }
    }
    Ok(())
}

#[test]
fn a_client_hello_of_50_kilobytes_is_served() -> Result<()> {
    let (site, proxy) = started()?;
    let protocols: Vec<String> = (0..200).map(|number| format!("{number:0250}")).collect();
    let protocols: Vec<&str> = protocols.iter().map(String::as_str).collect();
    let client = site.client(NAME, TLS[1], None)?.alpn(&protocols);
    assert!(client.client_hello()?.1.len() > 50_000);
    assert_eq!(outcome(&client, proxy.address(LISTENER)), Outcome::Served);
    Ok(())
}

#[test]
fn a_client_hello_that_claims_more_than_64_kilobytes_is_refused_at_once() -> Result<()> {
    let (_site, proxy) = started()?;
    for claimed in [0x01_0000_u32, 0xff_ffff] {
        let mut stream = wire::connect_tcp(proxy.address(LISTENER))?;
        // Its head and a little of it: no more needs to come for the refusal.
        let mut handshake = claimed.to_be_bytes().to_vec();
        handshake[0] = 1;
        handshake.resize(100, 0);
        stream.write_all(&records(&handshake, 100))?;
        let (_, end) = wire::read_to_end(&mut stream, wait::SOON);
        assert_eq!(end, StreamEnd::Closed, "{claimed} bytes");
    }
    assert_eq!(access_field(&proxy, 2, "end")?, ["NotTls"; 2]);
    Ok(())
}

#[test]
fn a_client_that_speaks_no_tls_is_closed_in_order() -> Result<()> {
    let (_site, proxy) = started()?;
    let http = b"GET / HTTP/1.1\r\nHost: one.devices.example\r\n\r\n".to_vec();
    let openings = [connect().bytes(), http, vec![0; 64], vec![0xff; 5], b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()];
    for opening in &openings {
        for pipelined in [0, 64 * 1024] {
            let mut stream = wire::connect_tcp(proxy.address(LISTENER))?;
            let mut bytes = opening.clone();
            bytes.resize(bytes.len() + pipelined, b'x');
            stream.write_all(&bytes)?;
            let (_, end) = wire::read_to_end(&mut stream, wait::SOON);
            assert_eq!(end, StreamEnd::Closed, "{opening:02x?} and {pipelined} bytes");
        }
    }
    let ends = access_field(&proxy, 2 * openings.len(), "end")?;
    assert!(ends.iter().all(|end| end == "NotTls"), "{ends:?}");
    Ok(())
}

#[test]
fn a_client_that_leaves_before_or_within_its_client_hello_is_told_apart() -> Result<()> {
    let (site, proxy) = started()?;
    let (_, hello) = site.client(NAME, TLS[1], None)?.client_hello()?;
    for (index, count) in [0, 1, 5, 50, hello.len() - 1].into_iter().enumerate() {
        let mut stream = wire::connect_tcp(proxy.address(LISTENER))?;
        stream.write_all(&hello[..count])?;
        stream.shutdown(Shutdown::Write)?;
        let (_, end) = wire::read_to_end(&mut stream, wait::SOON);
        assert_eq!(end, StreamEnd::Closed, "after {count} bytes");
        let lines = access_lines(&proxy, index + 1)?;
        assert_eq!(lines[index]["end"], "ClosedBeforeClientHello", "after {count} bytes: {}", lines[index]);
    }
    Ok(())
}

#[test]
fn a_client_that_leaves_within_the_handshake_is_told_apart() -> Result<()> {
    let (site, proxy) = started()?;
    for tls in TLS {
        let (_, hello) = site.client(NAME, tls, None)?.client_hello()?;
        let mut stream = wire::connect_tcp(proxy.address(LISTENER))?;
        stream.write_all(&hello)?;
        stream.end_sending()?;
        let (flight, end) = wire::read_to_end(&mut stream, wait::SOON);
        assert_eq!((flight.first(), end), (Some(&22), StreamEnd::Closed), "{tls:?}");
    }
    assert_eq!(access_field(&proxy, 2, "end")?, ["ClosedInHandshake"; 2]);
    Ok(())
}

#[test]
fn a_broken_handshake_harms_no_other_connection() -> Result<()> {
    let (site, proxy) = started()?;
    let address = proxy.address(LISTENER);
    let (_, hello) = site.client(NAME, TLS[1], None)?.client_hello()?;
    // Each byte of the ClientHello's first two hundred turned over: some still are one, none is the proxy's end.
    for at in 0..hello.len().min(200) {
        let mut bytes = hello.clone();
        bytes[at] ^= 0xff;
        let mut stream = wire::connect_tcp(address)?;
        stream.write_all(&bytes)?;
        stream.shutdown(Shutdown::Write)?;
        let (_, end) = wire::read_to_end(&mut stream, wait::SOON);
        assert_eq!(end, StreamEnd::Closed, "byte {at}");
    }
    assert_eq!(outcome(&site.client(NAME, TLS[1], None)?, address), Outcome::Served);
    Ok(())
}

/// The handshake message in these records.
fn handshake_of(mut records: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    while let [22, _, _, high, low, rest @ ..] = records {
        let (fragment, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend_from_slice(fragment);
        records = rest;
    }
    message
}

/// A handshake message in records of so many bytes each.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for fragment in message.chunks(size) {
        let length = u16::try_from(fragment.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&[22, 3, 1]);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(fragment);
    }
    bytes
}
