//! The built-in broker: rumqttd in a process of its own.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use streamgate_tests::broker::{NAME_TOPIC, free_address};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

/// What it prints once it serves.
pub(crate) const READY: &str = "broker ready";

/// Serves MQTT 3.1.1 and 5.0 at an address, with the broker's name retained, and never returns.
///
/// rumqttd has a port for each version; a listener in front of the two looks at the level of the CONNECT.
pub(crate) fn serve(name: &str, address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("can't listen at {address}"))?;
    let (v4, v5) = (free_address(address.ip())?, free_address(address.ip())?);
    let config = Config {
        router: RouterConfig {
            max_connections: 1000,
            max_outgoing_packet_count: 200,
            max_segment_size: 1 << 20,
            max_segment_count: 10,
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("v4".to_owned(), settings("v4", v4))])),
        v5: Some(HashMap::from([("v5".to_owned(), settings("v5", v5))])),
        ..Config::default()
    };
    thread::spawn(move || {
        if let Err(error) = Broker::new(config).start() {
            eprintln!("rumqttd ended: {error}");
        }
    });
    for inner in [v4, v5] {
        wait::until("rumqttd", wait::SOON, || TcpStream::connect(inner).ok())?;
    }
    thread::spawn(move || {
        for device in listener.incoming().flatten() {
            // A connection that ends early is no matter to the others.
            thread::spawn(move || pass_on(device, v4, v5));
        }
    });
    retain_name(name, v4)?;
    println!("{READY}");
    loop {
        thread::park();
    }
}

fn settings(name: &str, listen: SocketAddr) -> ServerSettings {
    ServerSettings {
        name: name.to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 5000,
            max_payload_size: 1 << 20,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    }
}

fn retain_name(name: &str, address: SocketAddr) -> Result<()> {
    let mut client = wire::connect_tcp(address)?;
    let accepted = wire::connack(&mut client, &Connect::new(Version::V311, "broker-name"))?;
    if accepted.code() != Some(0) {
        bail!("rumqttd refused: {accepted:02x?}");
    }
    client.write_all(&wire::publish(Version::V311, NAME_TOPIC, name.as_bytes(), 1, 1, true))?;
    wire::read_packet(&mut client, wait::SOON)?;
    client.write_all(&wire::DISCONNECT)?;
    Ok(())
}

fn pass_on(mut device: TcpStream, v4: SocketAddr, v5: SocketAddr) -> io::Result<()> {
    device.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (start, level) = read_level(&mut device)?;
    device.set_read_timeout(None)?;
    device.set_nodelay(true)?;
    let mut broker = TcpStream::connect(if level == 5 { v5 } else { v4 })?;
    broker.set_nodelay(true)?;
    broker.write_all(&start)?;
    let (mut from_device, mut to_broker) = (device.try_clone()?, broker.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_device, &mut to_broker);
        let _ = to_broker.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut broker, &mut device);
    device.shutdown(Shutdown::Both)
}

/// Reads a CONNECT as far as its protocol level (its first byte, the length, the name, the level).
fn read_level(device: &mut TcpStream) -> io::Result<(Vec<u8>, u8)> {
    let mut start = Vec::new();
    let mut byte = [0];
    let mut take = |start: &mut Vec<u8>| {
        device.read_exact(&mut byte)?;
        start.push(byte[0]);
        io::Result::Ok(byte[0])
    };
    take(&mut start)?;
    while take(&mut start)? & 0x80 != 0 && start.len() < 5 {}
    let name_length = u16::from_be_bytes([take(&mut start)?, take(&mut start)?]);
    for _ in 0..name_length.min(16) {
        take(&mut start)?;
    }
    let level = take(&mut start)?;
    Ok((start, level))
}
