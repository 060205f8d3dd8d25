//! The time of a choice and of a match: no socket, one thread.

use std::hint::black_box;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use streamgate_proxy::balance::{Group, Rendezvous, RoundRobin, least_connections, random2};
use streamgate_proxy::config::load::Loader;
use streamgate_proxy::route::Client;
use streamgate_tests::config_dir::ConfigDir;

use crate::figure::{Figure, Measured};
use crate::row;

/// A choice and a match, for the comparison.
pub(crate) fn measure_few() -> Result<Vec<Measured>> {
    let groups: Vec<Group> = (0..1000).map(|at| Group::of_one(format!("broker-{at}"), 1)).collect();
    let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9;
    let choice = nanoseconds(hash_time(&groups));
    Ok(vec![Measured::new(Figure::Choice, choice), Measured::new(Figure::Match, nanoseconds(match_time()?))])
}

pub(crate) fn measure() -> Result<()> {
    for (name, is_equal) in [("equal weights", true), ("unequal weights", false)] {
        let weight = |at: u32| if is_equal { 1 } else { at % 9 + 1 };
        let groups: Vec<Group> = (0..1000).map(|at| Group::of_one(format!("broker-{at}"), weight(at))).collect();
        choices(&format!("1,000 endpoints, {name}"), &groups);
    }
    let endpoints = (0..1000).map(|at| format!("broker-{at}")).collect();
    choices("the 1,000 of one service", &[Group { identity: "broker:1883".to_owned(), weight: 1, endpoints }]);
    let time = match_time()?;
    row("match among 10,000 routes without a name, by source", format!("{} ns", time.as_nanos()));
    Ok(())
}

/// The time of a choice by each of the balancers.
fn choices(among: &str, groups: &[Group]) {
    let told =
        |how: &str, time: Duration| row(&format!("choice {how} among {among}"), format!("{} ns", time.as_nanos()));
    told("by hash", hash_time(groups));
    let mut round_robin = RoundRobin::new(groups.into());
    told(
        "in turn",
        time_of(|| {
            black_box(round_robin.pick(|_| false));
        }),
    );
    let mut tie = 0;
    told(
        "by least connections",
        time_of(|| {
            tie += 1;
            black_box(least_connections(groups, |index| index.endpoint as u64 % 7, |_| false, tie));
        }),
    );
    told(
        "of two at random",
        time_of(|| {
            let random = |below| fastrand::u64(..below);
            black_box(random2(groups, |index| index.endpoint as u64 % 7, |_| false, random));
        }),
    );
}

fn hash_time(groups: &[Group]) -> Duration {
    let rendezvous = Rendezvous::new(groups);
    let mut number = 0_u64;
    time_of(|| {
        number += 1;
        black_box(rendezvous.pick(&number.to_be_bytes(), |_| false));
    })
}

/// Among 10,000 routes without a name, by source.
fn match_time() -> Result<Duration> {
    let config = ConfigDir::new()?;
    for number in 0..10_000 {
        let (high, low) = (number / 250, number % 250);
        let upstream = "upstream: {nodes: [{host: 192.0.2.1, port: 1883}]}";
        let spec = format!("{{match: {{sourceRanges: [\"10.{high}.{low}.0/24\"]}}, {upstream}}}");
        config.stream_route("bench", &format!("route-{number}"), &spec)?;
    }
    let snapshot =
        Loader::new(&config.path(), None, None).load().map_err(io::Error::other)?.context("nothing is there")?;
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
