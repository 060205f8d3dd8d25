//! When it is over.

use std::io::Write;
use std::net::TcpListener;
use std::thread;

use std::time::{Duration, Instant};

use anyhow::Result;
use streamgate_tests::fake_broker::{Answer, FakeBroker};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use super::{let_in, start, wait_for_handing_back};
use crate::site::{Way, accept, recorder};

#[test]
fn with_nobody_connected_it_ends_early() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let mut site = start(&[broker.address()], "0s", "10m")?;
    site.proxy.signal("TERM")?;
    assert_eq!(site.proxy.wait_for_end(wait::SOON)?.code(), Some(0));
    Ok(())
}

#[test]
fn when_the_last_client_has_left_it_ends_early() -> Result<()> {
    let broker = recorder(Version::V311)?;
    let mut site = start(&[broker.address()], "0s", "10m")?;
    let mut devices = Vec::new();
    for way in Way::ALL {
        devices.push(let_in(&site, way, &Connect::new(Version::V311, "device"))?);
    }
    site.proxy.signal("TERM")?;
    wait_for_handing_back(&mut site)?;
    assert!(site.proxy.is_running());
    drop(devices);
    assert_eq!(site.proxy.wait_for_end(wait::SOON)?.code(), Some(0));
    Ok(())
}

#[test]
fn a_second_signal_ends_it_at_once() -> Result<()> {
    let broker = recorder(Version::V311)?;
    for (delay, signal) in [("10m", "TERM"), ("0s", "TERM"), ("0s", "INT")] {
        let mut site = start(&[broker.address()], delay, "10m")?;
        let _device = let_in(&site, Way::Plain, &Connect::new(Version::V311, "device"))?;
        site.proxy.signal("TERM")?;
        let is_begun = |message: &str| message == if delay == "0s" { "handing clients back" } else { "stopping" };
        site.proxy.wait_for_log("its shutdown", wait::SOON, |event| event["message"].as_str().is_some_and(is_begun))?;
        assert!(site.proxy.is_running());
        site.proxy.signal(signal)?;
        assert_eq!(site.proxy.wait_for_end(wait::SOON)?.code(), Some(0), "{delay}, {signal}");
    }
    Ok(())
}

/// A device whose broker sends and sends, and which never reads.
#[test]
fn a_device_that_never_reads_does_not_hold_it() -> Result<()> {
    for way in Way::BOTH {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut site = start(&[listener.local_addr()?], "0s", "1s")?;
        let mut device = site.dial(way)?;
        device.write_all(&Connect::new(Version::V5, "deaf").bytes())?;
        device.flush()?;
        let mut broker = accept(&listener)?;
        wire::read_packet(&mut broker, wait::SOON)?;
        broker.write_all(&wire::CONNACK_V5)?;
        let message = wire::publish(Version::V5, "a", &vec![0; 1 << 20], 0, 0, false);
        broker.set_write_timeout(Some(Duration::from_secs(1)))?;
        // Until nobody takes any more of it.
        while broker.write_all(&message).is_ok() {}
        let told = Instant::now();
        site.proxy.signal("TERM")?;
        assert_eq!(site.proxy.wait_for_end(wait::SOON)?.code(), Some(0));
        // The time, five seconds for clients to leave, and some for a busy machine.
        assert!(told.elapsed() < Duration::from_secs(10), "{way:?}: {:?}", told.elapsed());
        drop(device);
    }
    Ok(())
}

/// A device that has yet to say who it is, and one whose broker has yet to answer.
#[test]
fn who_is_not_let_in_yet_does_not_hold_it() -> Result<()> {
    let broker = FakeBroker::start(Answer::Silence)?;
    let mut site = start(&[broker.address()], "0s", "1s")?;
    let (mute, mut waiting) = (site.dial(Way::Plain)?, site.dial(Way::Plain)?);
    waiting.write_all(&Connect::new(Version::V5, "waiting").bytes())?;
    broker.wait_for_connections(1)?;
    let told = Instant::now();
    site.proxy.signal("TERM")?;
    let reader = thread::spawn(move || wire::read_to_end(&mut waiting, wait::SOON).0);
    assert_eq!(site.proxy.wait_for_end(wait::SOON)?.code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    assert_eq!(reader.join().ok(), Some(Vec::new()), "it was told something before its CONNACK");
    drop(mute);
    Ok(())
}
