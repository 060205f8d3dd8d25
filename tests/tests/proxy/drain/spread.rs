//! Five hundred clients with wills, handed back one after the other.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use streamgate_tests::broker::Broker;
use streamgate_tests::mosquitto::{self, Subscriber};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, StreamEnd, Version};

use super::{SHUTTING_DOWN, let_in, start_with};
use crate::site::{Site, Way};

/// Over which clients are handed back.
const TIME: Duration = Duration::from_secs(10);
const CLIENTS: usize = 500;

/// What a client saw of its end.
struct Parting {
    version: Version,
    /// All that came after the CONNACK.
    bytes: Vec<u8>,
    end: StreamEnd,
    at: Instant,
}

/// A fleet before a mosquitto: plaintext and mutual TLS, MQTT 3.1.1 and 5.0, each with a will, each read by a thread.
struct Fleet {
    site: Site,
    broker: Broker,
    wills: Subscriber,
    count: usize,
    partings: mpsc::Receiver<Parting>,
}

impl Fleet {
    fn start(count: usize, on_drain: &str, time: &str) -> Result<Self> {
        let broker = Broker::start("amber")?;
        let (host, port) = (broker.address().ip().to_string(), broker.address().port().to_string());
        let wills = Subscriber::start(&["-h", &host, "-p", &port, "-t", "wills/#", "-F", "%t", "-q", "1"])?;
        let site = start_with(&[broker.address()], on_drain, "0s", time)?;
        let (tell, partings) = mpsc::channel();
        for number in 0..count {
            let way = [Way::Plain, Way::Tls13, Way::Plain, Way::Tls12][number % 4];
            let version = [Version::V311, Version::V5][number / 2 % 2];
            let id = format!("{number:03}");
            let connect = Connect::new(version, &id).will(&format!("wills/{id}"), b"gone", 1, false);
            let mut device = let_in(&site, way, &connect).with_context(|| id)?;
            let tell = tell.clone();
            thread::Builder::new().stack_size(256 << 10).spawn(move || {
                let (bytes, end) = wire::read_to_end(&mut device, Duration::from_mins(2));
                // A test that failed has stopped listening.
                let _ = tell.send(Parting { version, bytes, end, at: Instant::now() });
            })?;
        }
        Ok(Self { site, broker, wills, count, partings })
    }

    /// Shuts the proxy down. Gives what each client saw of it, and when it was told.
    fn shut_down(&mut self) -> Result<(Vec<Parting>, Instant)> {
        let told = Instant::now();
        self.site.proxy.signal("TERM")?;
        let mut partings = Vec::new();
        while partings.len() < self.count {
            let parting = self.partings.recv_timeout(Duration::from_mins(1));
            partings.push(parting.with_context(|| format!("{} of {} clients", partings.len(), self.count))?);
        }
        let status = self.site.proxy.wait_for_end(wait::SOON)?;
        ensure!(status.code() == Some(0), "{status}");
        let lines = self.site.proxy.events();
        let handed_back = lines.iter().filter(|line| line["end"] == "HandedBack").count();
        ensure!(handed_back == self.count, "{handed_back} of {} were handed back", self.count);
        Ok((partings, told))
    }

    /// The topics of the wills that the broker has published by now; waits until they are so many at least.
    fn wills(&self, at_least: usize) -> Result<BTreeSet<String>> {
        // What comes after the wills in the broker comes after them at the subscriber.
        let (host, port) = (self.broker.address().ip().to_string(), self.broker.address().port().to_string());
        let wills = || self.wills.lines().into_iter().filter(|line| line.starts_with("wills/")).collect::<Vec<_>>();
        wait::until(&format!("{at_least} wills"), wait::SOON, || (wills().len() >= at_least).then_some(()))?;
        let marker =
            mosquitto::publish(&["-h", &host, "-p", &port, "-t", "wills/marker", "-m", "-", "-q", "1"], wait::SOON)?;
        ensure!(marker.success(), "{marker:?}");
        wait::until("the marker", wait::SOON, || wills().iter().any(|will| will == "wills/marker").then_some(()))?;
        let all: Vec<String> = wills().into_iter().filter(|will| will != "wills/marker").collect();
        let distinct: BTreeSet<String> = all.iter().cloned().collect();
        ensure!(distinct.len() == all.len(), "a will was published twice: {all:?}");
        Ok(distinct)
    }
}

#[test]
fn five_hundred_clients_are_handed_back_spread_over_the_time_and_their_wills_are_published() -> Result<()> {
    let mut fleet = Fleet::start(CLIENTS, "", "10s")?;
    let (partings, told) = fleet.shut_down()?;
    for Parting { version, bytes, end, .. } in &partings {
        let farewell: &[u8] = if *version == Version::V5 { &[0xE0, 1, SHUTTING_DOWN] } else { &[] };
        assert_eq!((bytes.as_slice(), end), (farewell, &StreamEnd::Closed), "{version:?}");
    }
    // Counted from before the beginning, so that a busy machine makes it only later.
    let within = |part: f64| partings.iter().filter(|parting| parting.at - told < TIME.mul_f64(part)).count();
    let (tenth, half) = (within(0.1), within(0.5));
    assert!(tenth <= CLIENTS / 10 + 10, "{tenth} in the first tenth");
    assert!(half <= CLIENTS / 2 + 25, "{half} in the first half");
    let last = partings.iter().map(|parting| parting.at - told).max().unwrap_or_default();
    assert!((TIME.mul_f64(0.9)..TIME + Duration::from_secs(5)).contains(&last), "the last one after {last:?}");
    assert_eq!(fleet.wills(CLIENTS)?.len(), CLIENTS);
    Ok(())
}

#[test]
fn suppressed_wills_are_not_published() -> Result<()> {
    let mut fleet = Fleet::start(60, "onDrain: {will: Suppress}", "1s")?;
    fleet.shut_down()?;
    assert_eq!(fleet.wills(0)?, BTreeSet::new());
    Ok(())
}
