//! Clients to whom their broker sends without a pause: the DISCONNECT stands between two packets.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, Version};

use super::{SHUTTING_DOWN, assert_clean_end, let_in, start};
use crate::site::Way;

const CLIENTS: usize = 16;

/// A message of `size` bytes, which tell their number.
fn message(size: usize) -> Vec<u8> {
    let byte = u8::try_from(size % 251).unwrap_or_default();
    wire::publish(Version::V5, "a", &vec![byte; size], 0, 0, false)
}

/// Lets a client in, and sends it messages of sizes that follow no pattern, until it is gone.
fn stream(mut client: TcpStream, seed: usize) -> Result<()> {
    wire::read_packet(&mut client, wait::SOON)?;
    client.write_all(&wire::CONNACK_V5)?;
    let mut state = seed * 2 + 1;
    loop {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let most = [10, 200, 3000, 300_000][state % 4];
        if client.write_all(&message(state / 4 % most)).is_err() {
            return Ok(());
        }
    }
}

/// Reads messages up to the DISCONNECT, and that each is whole; says how many.
fn read_messages(device: &mut impl Peer) -> Result<usize> {
    for count in 0.. {
        let packet = wire::read_packet(device, wait::SOON).with_context(|| format!("behind {count} messages"))?;
        if packet.kind() == 14 {
            ensure!(packet.bytes == [0xE0, 1, SHUTTING_DOWN], "{packet:?}");
            return Ok(count);
        }
        let (_, payload) =
            packet.message(Version::V5).with_context(|| format!("no message but {:#x}", packet.first_byte))?;
        ensure!(packet.bytes == message(payload.len()), "message {count} is not as it was sent");
    }
    Ok(0)
}

#[test]
fn clients_that_messages_stream_to_read_a_disconnect_between_two_of_them() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut site = start(&[listener.local_addr()?], "0s", "2s")?;
    thread::spawn(move || {
        for (seed, client) in listener.incoming().take(CLIENTS).enumerate() {
            if let Ok(client) = client {
                thread::spawn(move || stream(client, seed));
            }
        }
    });
    let mut readers = Vec::new();
    for number in 0..CLIENTS {
        let way = [Way::Plain, Way::Tls13, Way::Plain, Way::Tls12][number % 4];
        let mut device = let_in(&site, way, &Connect::new(Version::V5, &format!("reader-{number}")))?;
        readers.push(thread::spawn(move || -> Result<()> {
            let count = read_messages(&mut device).with_context(|| format!("{way:?}"))?;
            ensure!(count > 0, "{way:?}: no message came");
            assert_clean_end(&mut device, &format!("{way:?}"));
            Ok(())
        }));
    }
    site.proxy.signal("TERM")?;
    for reader in readers {
        reader.join().map_err(|_| anyhow!("a client failed"))??;
    }
    assert_eq!(site.proxy.wait_for_end(wait::SOON)?.code(), Some(0));
    Ok(())
}
