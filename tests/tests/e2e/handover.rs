//! How proxies that stop hand their devices back: their logs say when, the devices how long they were away.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;
use streamgate_tests::process::Process;

use crate::fleet::{Fleet, Happened, share};
use crate::kube::name;
use crate::site::{DRAIN_DELAY, DRAIN_TIME, SYSTEM, Site};

/// Proxies whose logs are followed to their ends.
pub(crate) struct Handover {
    start: Instant,
    logs: Vec<(String, Process)>,
}

impl Handover {
    /// Of these proxies, from now on.
    pub(crate) fn of(site: &Site, proxies: &[Value]) -> Result<Self> {
        let follow = |proxy: &Value| {
            let line = format!("logs -n {SYSTEM} {} -c proxy --follow", name(proxy));
            Ok((name(proxy).to_owned(), Process::start(site.kube.command("kubectl", &line))?))
        };
        Ok(Self { start: Instant::now(), logs: proxies.iter().map(follow).collect::<Result<_>>()? })
    }

    /// Waits until each has handed back its devices, and all are connected. Each is in time: its last device is back once
    /// `drainDelay` and `drainTime` are over, from when it began to stop.
    pub(crate) fn ends_in_time(mut self, fleet: &Fleet) -> Result<Ended> {
        for (proxy, log) in &mut self.logs {
            let is_done = |line: &str| line.contains("all clients are handed back").then_some(());
            log.wait_for_line("the leave of its last device", LONG, is_done).with_context(|| proxy.clone())?;
        }
        fleet.wait_until_whole()?;
        let happened = fleet.since(self.start);
        let (mut longest, mut spike, mut departures) = (Duration::ZERO, 0.0_f64, 0);
        for (proxy, log) in &self.logs {
            let mut left = departures_in(&log.lines()).with_context(|| format!("the log of {proxy}"))?;
            // Others may have been there besides.
            left.retain(|(device, _)| fleet.has(device));
            spike = spike.max(largest_share_within_a_second(&left));
            departures += left.len();
            for (device, after) in left {
                let gap =
                    happened.gaps.get(&device).with_context(|| format!("{proxy} had {device}, which never left"))?;
                longest = longest.max(after + *gap);
            }
        }
        ensure!(
            departures == happened.departures,
            "{} devices left, of which proxies handed back {departures}",
            happened.departures
        );
        ensure!(
            longest < DRAIN_DELAY + DRAIN_TIME + MARGIN,
            "the last device of a proxy was back {longest:?} after that began to stop"
        );
        Ok(Ended { longest, spike, happened })
    }
}

/// How it went.
pub(crate) struct Ended {
    /// From when a proxy began to stop until its last device was back.
    pub(crate) longest: Duration,
    /// Of the devices of one proxy, the largest share that it handed back within a second.
    pub(crate) spike: f64,
    /// What happened to the devices.
    pub(crate) happened: Happened,
}

fn largest_share_within_a_second(left: &[(String, Duration)]) -> f64 {
    let within_a_second = |from: Duration| {
        left.iter().filter(|(_, after)| *after >= from && *after < from + Duration::from_secs(1)).count()
    };
    share(left.iter().map(|(_, after)| within_a_second(*after)).max().unwrap_or(0), left.len())
}

/// The client ids of devices that were handed back, each with how long after the proxy began to stop.
fn departures_in(log: &[String]) -> Result<Vec<(String, Duration)>> {
    let lines: Vec<Value> = log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let at = |line: &Value| -> Result<Timestamp> {
        Ok(line["timestamp"].as_str().context("a line without its time")?.parse()?)
    };
    let begin = at(lines.iter().find(|line| line["message"] == "stopping").context("it didn't stop")?)?;
    let handed_back = lines.iter().filter(|line| line["end"] == "HandedBack");
    let departure = |line: &Value| {
        let device = line["client_id"].as_str().context("an access line without a client id")?;
        Ok((device.to_owned(), at(line)?.duration_since(begin).try_into()?))
    };
    handed_back.map(departure).collect()
}

/// How long proxies may take in all, one after the other.
const LONG: Duration = Duration::from_mins(4);
/// What a busy machine may take for the last device's way.
const MARGIN: Duration = Duration::from_secs(1);
