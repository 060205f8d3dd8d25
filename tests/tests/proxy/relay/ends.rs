//! How a relayed connection ends: each side by itself, in order or not.

use std::io::Write;
use std::net::Shutdown;

use anyhow::{Context, Result};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, StreamEnd};

use super::{connect, expect, noise, send, start};
use crate::site::{Pair, Site, Way, let_in, socket_state};

const NOTHING_MORE: (Vec<u8>, StreamEnd) = (Vec::new(), StreamEnd::Closed);

#[test]
fn a_device_that_ends_first_still_gets_what_the_broker_has_to_say() -> Result<()> {
    for way in Way::ALL {
        let mut pair = start(way)?;
        let (up, down) = (noise(1, 300_000), noise(2, 300_000));
        send(&mut pair.device, &up)?;
        pair.device.end_sending()?;
        expect(&mut pair.broker, &up)?;
        assert_eq!(wire::read_to_end(&mut pair.broker, wait::SOON), NOTHING_MORE, "{way:?}");
        send(&mut pair.broker, &down)?;
        expect(&mut pair.device, &down).with_context(|| format!("{way:?}"))?;
        pair.broker.shutdown(Shutdown::Write)?;
        assert_eq!(wire::read_to_end(&mut pair.device, wait::SOON), NOTHING_MORE, "{way:?}");
        assert_eq!(pair.site.access_line(way, pair.source)?["end"], "ClientClosed", "{way:?}");
    }
    Ok(())
}

#[test]
fn a_broker_that_ends_first_still_gets_what_the_device_has_to_say() -> Result<()> {
    for way in Way::ALL {
        let mut pair = start(way)?;
        let (up, down) = (noise(1, 300_000), noise(2, 300_000));
        send(&mut pair.broker, &down)?;
        pair.broker.shutdown(Shutdown::Write)?;
        expect(&mut pair.device, &down)?;
        assert_eq!(wire::read_to_end(&mut pair.device, wait::SOON), NOTHING_MORE, "{way:?}");
        send(&mut pair.device, &up)?;
        expect(&mut pair.broker, &up).with_context(|| format!("{way:?}"))?;
        pair.device.end_sending()?;
        assert_eq!(wire::read_to_end(&mut pair.broker, wait::SOON), NOTHING_MORE, "{way:?}");
        assert_eq!(pair.site.access_line(way, pair.source)?["end"], "BrokerClosed", "{way:?}");
    }
    Ok(())
}

/// The `close_notify` alone says that the device has ended; its FIN may come later or never.
#[test]
fn a_close_notify_ends_the_devices_side_without_a_fin() -> Result<()> {
    for way in [Way::Tls12, Way::Tls13] {
        let (site, socket, mut device, mut broker) = tls_pair(way)?;
        device.conn.send_close_notify();
        device.flush()?;
        assert_eq!(wire::read_to_end(&mut broker, wait::SOON), NOTHING_MORE, "{way:?}");
        send(&mut broker, b"still there")?;
        expect(&mut device, b"still there").with_context(|| format!("{way:?}"))?;
        drop((socket, site));
    }
    Ok(())
}

/// A FIN without a `close_notify` may be an attacker's: what came before is delivered, the end is an error in the log.
#[test]
fn a_fin_without_a_close_notify_ends_the_brokers_side_too() -> Result<()> {
    for way in [Way::Tls12, Way::Tls13] {
        let (mut site, socket, mut device, mut broker) = tls_pair(way)?;
        send(&mut device, b"the last")?;
        socket.shutdown(Shutdown::Write)?;
        expect(&mut broker, b"the last")?;
        let (bytes, end) = wire::read_to_end(&mut broker, wait::SOON);
        assert_eq!(bytes, b"", "{way:?}");
        assert_ne!(end, StreamEnd::StillOpen, "{way:?}");
        drop(broker);
        let source = socket.local_addr()?;
        drop((socket, device));
        let end = site.access_line(way, source)?["end"].clone();
        assert!(end == "ClientError" || end == "ClientClosed", "{end}, {way:?}");
    }
    Ok(())
}

#[test]
fn a_broker_that_resets_ends_the_devices_connection() -> Result<()> {
    for way in Way::ALL {
        let mut pair = start(way)?;
        send(&mut pair.device, b"never read")?;
        // A socket that is closed while something is unread in it is reset.
        wait::until("bytes that wait at the broker", wait::SOON, || {
            pair.broker.peek(&mut [0]).ok().filter(|count| *count > 0)
        })?;
        drop(pair.broker);
        let (bytes, end) = wire::read_to_end(&mut pair.device, wait::SOON);
        assert_eq!(bytes, b"", "{way:?}");
        assert_ne!(end, StreamEnd::StillOpen, "{way:?}");
        drop(pair.device);
        assert_eq!(pair.site.access_line(way, pair.source)?["end"], "BrokerError", "{way:?}");
    }
    Ok(())
}

#[test]
fn a_device_that_resets_ends_the_brokers_connection() -> Result<()> {
    for way in Way::ALL {
        let Pair { mut site, device, source, mut broker } = start(way)?;
        send(&mut broker, b"never read")?;
        // A socket that is closed while something is unread in it is reset.
        let proxy = site.proxy.address(way.listener());
        wait::until("bytes that wait at the device", wait::SOON, || {
            socket_state(source, proxy).filter(|socket| socket.unread_bytes > 0)
        })?;
        drop(device);
        let (bytes, end) = wire::read_to_end(&mut broker, wait::SOON);
        assert_eq!(bytes, b"", "{way:?}");
        assert_ne!(end, StreamEnd::StillOpen, "{way:?}");
        drop(broker);
        assert_eq!(site.access_line(way, source)?["end"], "ClientError", "{way:?}");
    }
    Ok(())
}

#[test]
fn a_device_and_a_broker_that_both_leave_at_once_leave_nothing_behind() -> Result<()> {
    for way in Way::ALL {
        let Pair { site, device, broker, .. } = start(way)?;
        drop((device, broker));
        site.wait_for_counter("streamgate_connections_active", &[], 0)?;
        site.wait_for_counter("streamgate_connections_ended_total", &[], 1)?;
    }
    Ok(())
}

type TlsPair = (Site, std::net::TcpStream, streamgate_tests::tls_client::TlsStream, std::net::TcpStream);

/// As [`Pair::start`], with the device's socket beside its TLS.
fn tls_pair(way: Way) -> Result<TlsPair> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let site = Site::before(&[listener.local_addr()?])?;
    let socket = wire::connect_tcp(site.proxy.address("mqtts"))?;
    let mut device = site.tls_client(way).context("TLS")?.handshake(socket.try_clone()?)?;
    let broker = let_in(&listener, &mut device, &connect(), &wire::CONNACK_V311)?;
    Ok((site, socket, device, broker))
}

/// Either side may take new keys at any time (RFC 8446, section 4.6.3).
#[test]
fn a_tls_client_may_change_its_keys_between_packets() -> Result<()> {
    let (_site, _socket, mut device, mut broker) = tls_pair(Way::Tls13)?;
    let block = noise(4, 100_000);
    for _ in 0..5 {
        device.conn.refresh_traffic_keys()?;
        send(&mut device, &block)?;
        expect(&mut broker, &block)?;
        send(&mut broker, &block)?;
        expect(&mut device, &block)?;
    }
    Ok(())
}
