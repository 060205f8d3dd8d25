//! The way out: readiness fails, who is on the way in is served still, and clients are handed back one after the other.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Packet, Peer, StreamEnd, Version};

use super::site::{ALL_LEVELS, Site, Way, recorder, upstream};

mod ending;
mod queue;
mod spread;
mod streaming;
mod words;

/// The reason code of the DISCONNECT that says that the server shuts down.
const SHUTTING_DOWN: u8 = 0x8B;

/// A proxy before these brokers that accepts for `delay` after it was told to stop, and hands its clients back over `time`.
fn start(brokers: &[SocketAddr], delay: &str, time: &str) -> Result<Site> {
    start_with(brokers, "", delay, time)
}

/// The same, with more in the route's `spec`.
fn start_with(brokers: &[SocketAddr], more: &str, delay: &str, time: &str) -> Result<Site> {
    let spec = format!("{ALL_LEVELS}\n{}\n{more}", upstream(brokers));
    Site::start_with_flags(&spec, &["--drain-delay", delay, "--drain-time", time])
}

/// Connects a device, and lets it be let in.
fn let_in(site: &Site, way: Way, connect: &Connect) -> Result<Box<dyn Peer + Send>> {
    let mut device = site.dial(way)?;
    let connack = wire::connack(&mut device, connect)?;
    ensure!(connack.code() == Some(0), "{connack:?}");
    Ok(device)
}

/// Waits until the proxy has begun to hand its clients back.
fn wait_for_handing_back(site: &mut Site) -> Result<()> {
    site.proxy.wait_for_log("the hand-back", wait::SOON, |event| event["message"] == "handing clients back")?;
    Ok(())
}

/// Reads packet by packet up to a DISCONNECT, or to the stream's end, and says when it came.
fn read_to_disconnect(device: &mut impl Peer, within: Duration) -> Result<(Vec<Packet>, Instant)> {
    let mut packets = Vec::new();
    let deadline = Instant::now() + within;
    loop {
        let packet = wire::read_packet(device, deadline.saturating_duration_since(Instant::now()))
            .with_context(|| format!("behind {} packets", packets.len()))?;
        let is_last = packet.kind() == 14;
        packets.push(packet);
        if is_last {
            return Ok((packets, Instant::now()));
        }
    }
}

/// Asserts that nothing more comes but the end, in order: under TLS a `close_notify`, then FIN.
fn assert_clean_end(device: &mut impl Peer, what: &str) {
    assert_eq!(wire::read_to_end(device, wait::SOON), (Vec::new(), StreamEnd::Closed), "{what}");
}

#[test]
fn readiness_fails_at_once_and_clients_are_still_let_in() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let mut site = start(&[broker.address()], "10m", "10m")?;
    assert_eq!(site.proxy.admin_get("/readyz")?.status, 200);
    site.proxy.signal("TERM")?;
    let answer = wait::until("readiness to fail", wait::SOON, || {
        site.proxy.admin_get("/readyz").ok().filter(|answer| answer.status == 503)
    })?;
    assert_eq!(answer.body, "the proxy shuts down\n");
    for way in Way::BOTH {
        let_in(&site, way, &Connect::new(Version::V311, "late"))?;
    }
    assert_eq!(site.proxy.admin_get("/livez")?.status, 200);
    site.proxy.signal("TERM")?;
    assert_eq!(site.proxy.wait_for_end(wait::SOON)?.code(), Some(0));
    Ok(())
}

#[test]
fn no_client_is_handed_back_before_the_delay_is_over() -> Result<()> {
    let broker = recorder(Version::V5)?;
    let site = start(&[broker.address()], "1s", "1ms")?;
    let mut device = let_in(&site, Way::Plain, &Connect::new(Version::V5, "there"))?;
    let told = Instant::now();
    site.proxy.signal("TERM")?;
    let (_, at) = read_to_disconnect(&mut device, wait::SOON)?;
    assert!(at - told >= Duration::from_secs(1), "after {:?}", at - told);
    Ok(())
}

#[test]
fn afterwards_nobody_listens() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let mut site = start(&[broker.address()], "0s", "10m")?;
    let _device = let_in(&site, Way::Plain, &Connect::new(Version::V311, "there"))?;
    site.proxy.signal("TERM")?;
    for listener in ["plain", "mqtts"] {
        let address = site.proxy.address(listener);
        wait::until("a connection to be refused", wait::SOON, || {
            let attempt = TcpStream::connect_timeout(&address, Duration::from_secs(3));
            attempt.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused).then_some(())
        })?;
    }
    assert!(site.proxy.is_running());
    Ok(())
}

#[test]
fn the_access_line_says_that_a_client_was_handed_back() -> Result<()> {
    let broker = recorder(Version::V5)?;
    let mut site = start(&[broker.address()], "0s", "100ms")?;
    let connect = Connect::new(Version::V5, "device");
    let mut devices = Vec::new();
    for way in Way::ALL {
        devices.push((way, let_in(&site, way, &connect)?));
    }
    site.proxy.signal("TERM")?;
    for (way, mut device) in devices {
        let source = device.local_address()?;
        let (packets, _) = read_to_disconnect(&mut device, wait::SOON)?;
        drop(device);
        let line = site.access_line(way, source)?;
        assert_eq!(line["end"], "HandedBack", "{line}");
        assert_eq!(line["reason"], "the proxy shuts down", "{line}");
        let sent = wire::CONNACK_V5.len() + packets.iter().map(|packet| packet.bytes.len()).sum::<usize>();
        assert_eq!(line["sent_bytes"], sent, "{line}");
        assert_eq!(line["received_bytes"], connect.bytes().len(), "{line}");
    }
    Ok(())
}
