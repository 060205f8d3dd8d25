//! What stands still costs nothing, and what runs leaves room for others.

use std::fs;
use std::net::{Shutdown, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, StreamEnd, Version};

use super::{connect, expect, median, noise, send, start};
use crate::site::{Pair, Site, Way, let_in, recorder};

/// How long a proxy is watched that has nothing to do.
const WATCHED: Duration = Duration::from_millis(500);
/// What it may take of a processor meanwhile, in hundredths of a second: a loop without an end would take 50.
const MOST_TICKS: u64 = 10;

/// Processor time of the proxy until now, in hundredths of a second (`USER_HZ` is 100 on every Linux that this runs on).
fn processor_ticks(site: &Site) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", site.proxy.id()))?;
    let (_, fields) = stat.rsplit_once(") ").context("no process name")?;
    let fields: Vec<_> = fields.split(' ').collect();
    let ticks = |index: usize| -> Result<u64> { Ok(fields.get(index).context("too few fields")?.parse()?) };
    Ok(ticks(11)? + ticks(12)?)
}

fn does_nothing(site: &Site, what: &str) -> Result<()> {
    let before = processor_ticks(site)?;
    thread::sleep(WATCHED);
    let took = processor_ticks(site)? - before;
    assert!(took <= MOST_TICKS, "{what}: the proxy took {took} hundredths of a second to wait for {WATCHED:?}");
    Ok(())
}

#[test]
fn a_connection_at_rest_takes_no_processor_time() -> Result<()> {
    for way in Way::ALL {
        let pair = start(way)?;
        does_nothing(&pair.site, &format!("open, {way:?}"))?;
    }
    Ok(())
}

#[test]
fn a_connection_that_is_half_closed_takes_no_processor_time() -> Result<()> {
    for way in Way::ALL {
        let mut by_device = start(way)?;
        by_device.device.end_sending()?;
        assert_eq!(wire::read_to_end(&mut by_device.broker, wait::SOON).1, StreamEnd::Closed);
        does_nothing(&by_device.site, &format!("ended by the device, {way:?}"))?;

        let mut by_broker = start(way)?;
        by_broker.broker.shutdown(Shutdown::Write)?;
        assert_eq!(wire::read_to_end(&mut by_broker.device, wait::SOON).1, StreamEnd::Closed);
        does_nothing(&by_broker.site, &format!("ended by the broker, {way:?}"))?;
    }
    Ok(())
}

#[test]
fn a_connection_that_is_held_back_takes_no_processor_time() -> Result<()> {
    for way in Way::BOTH {
        let Pair { site, device, mut broker, .. } = start(way)?;
        super::pressure::fill(&broker.try_clone()?, &mut broker, &noise(3, 1_000_003))?;
        does_nothing(&site, &format!("held back by the device, {way:?}"))?;
        drop(device);
    }
    Ok(())
}

#[test]
fn a_connection_before_its_connect_takes_no_processor_time() -> Result<()> {
    for way in Way::BOTH {
        let broker = recorder(Version::V311)?;
        let site = Site::before(&[broker.address()])?;
        let mut partial = site.dial(way)?;
        send(&mut partial, &connect()[..5])?;
        let _silent = wire::connect_tcp(site.proxy.address(way.listener()))?;
        does_nothing(&site, &format!("before the CONNECT, {way:?}"))?;
    }
    Ok(())
}

#[test]
fn a_client_that_was_turned_away_and_stays_takes_no_processor_time() -> Result<()> {
    for way in Way::BOTH {
        let broker = recorder(Version::V311)?;
        let site = Site::before(&[broker.address()])?;
        let mut device = site.dial(way)?;
        send(&mut device, &Connect::new(Version::V5, "sensor").level(9).bytes())?;
        assert_eq!(wire::read_to_end(&mut device, wait::SOON).1, StreamEnd::Closed);
        does_nothing(&site, &format!("turned away, {way:?}"))?;
    }
    Ok(())
}

#[test]
fn a_connection_at_rest_holds_no_buffer() -> Result<()> {
    for way in Way::BOTH {
        let broker = recorder(Version::V311)?;
        let site = Site::before(&[broker.address()])?;
        let mut devices = Vec::new();
        let mut open = |count: usize| -> Result<u64> {
            for _ in 0..count {
                let mut device = site.dial(way)?;
                send(&mut device, &connect())?;
                expect(&mut device, &wire::CONNACK_V311)?;
                devices.push(device);
            }
            site.memory_bytes()
        };
        let before = open(100)?;
        let after = open(400)?;
        // A record alone would have 16 KiB.
        assert!(after < before + 400 * (12 << 10), "400 connections took {} bytes, {way:?}", after - before);
    }
    Ok(())
}

/// A worker that carries as much as it can for some still serves the small packets of others at once.
#[test]
fn connections_that_carry_much_leave_others_prompt() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let site = Site::before(&[listener.local_addr()?])?;
    let is_over = AtomicBool::new(false);
    let dial = |way| -> Result<_> {
        let mut device = site.dial(way)?;
        let broker = let_in(&listener, &mut device, &connect(), &wire::CONNACK_V311)?;
        Ok((device, broker))
    };
    let block = noise(3, 1_000_003);
    let small = thread::scope(|scope| -> Result<Duration> {
        let mut heavy = Vec::new();
        // Two for each worker, as likely as not.
        for _ in 0..4 {
            let (mut device, mut broker) = dial(Way::Plain)?;
            let (is_over, block) = (&is_over, &block);
            heavy.push(scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) && send(&mut broker, block).is_ok() {}
                drop(broker);
            }));
            heavy.push(scope.spawn(move || {
                let mut buffer = vec![0; 256 << 10];
                while matches!(device.read(&mut buffer), Ok(1..)) {}
            }));
        }
        let measure = || {
            let mut times = Vec::new();
            for way in Way::BOTH {
                let (mut device, mut broker) = dial(way)?;
                times.push(median(|| {
                    send(&mut device, b"ping")?;
                    expect(&mut broker, b"ping")?;
                    send(&mut broker, b"pong")?;
                    expect(&mut device, b"pong")
                })?);
            }
            times.into_iter().max().context("a time")
        };
        let measured = measure();
        is_over.store(true, Ordering::Relaxed);
        for thread in heavy {
            thread.join().map_err(|_| anyhow!("a heavy connection failed"))?;
        }
        measured
    })?;
    assert!(small < Duration::from_millis(200), "there and back took {small:?}");
    Ok(())
}
