//! The time of a choice and of a match: no socket, one thread.

use std::hint::black_box;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use streamgate_proxy::balance::{Group, Rendezvous};
use streamgate_proxy::config::load::Loader;
use streamgate_proxy::route::Client;
use streamgate_tests::config_dir::ConfigDir;

use crate::row;

pub(crate) fn measure() -> Result<()> {
    for (name, weight) in [("equal weights", 1), ("unequal weights", 0)] {
        let groups: Vec<Group> = (0..1000)
            .map(|at| Group::of_one(format!("broker-{at}"), if weight == 0 { at % 9 + 1 } else { weight }))
            .collect();
        let rendezvous = Rendezvous::new(&groups);
        let mut number = 0_u64;
        let time = time_of(|| {
            number += 1;
            black_box(rendezvous.pick(&number.to_be_bytes(), |_| false));
        });
        row(&format!("choice by hash among 1,000 endpoints, {name}"), format!("{} ns", time.as_nanos()));
    }
    let config = ConfigDir::new()?;
    for number in 0..10_000 {
        let (high, low) = (number / 250, number % 250);
        let upstream = "upstream: {nodes: [{host: 192.0.2.1, port: 1883}]}";
        let spec = format!("{{match: {{sourceRanges: [\"10.{high}.{low}.0/24\"]}}, {upstream}}}");
        config.stream_route("bench", &format!("route-{number}"), &spec)?;
    }
    let time = match_time(&config.path())?;
    row("match among 10,000 routes of one name, by source", format!("{} ns", time.as_nanos()));
    Ok(())
}

fn match_time(directory: &Path) -> Result<Duration> {
    let snapshot = Loader::new(directory, None, None).load().map_err(io::Error::other)?.context("nothing is there")?;
    let sources: Vec<IpAddr> = (0..250).map(|at| IpAddr::from([10, 20, at, 7])).collect();
    let mut at = 0;
    Ok(time_of(|| {
        at = (at + 1) % sources.len();
        let client = Client { listener: "plain", source: sources[at], tls: None };
        black_box(snapshot.routes.find(&client));
    }))
}

/// The time of one call, as the best of several rounds.
fn time_of(mut call: impl FnMut()) -> Duration {
    const CALLS: u32 = 20_000;
    let rounds = (0..5).map(|_| {
        let start = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        start.elapsed() / CALLS
    });
    rounds.min().unwrap_or_default()
}
