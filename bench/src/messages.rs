//! The processor time of a message that goes to the broker and comes back, and the latency that the proxy adds.

use std::time::{Duration, Instant};

use anyhow::Result;
use streamgate_tests::wire::{Version, publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::client::{Device, Kind};
use crate::world::World;
use crate::{row, usage};

const CONNECTIONS: u32 = 100;
const MESSAGES_PER_SECOND: u32 = 4000;
const PAYLOAD_BYTES: usize = 64;

pub(crate) async fn measure(scale: usize) -> Result<()> {
    let world = World::start().await?;
    let time = Duration::from_secs(15) / u32::try_from(scale)?;
    let direct = run(&Device::new(&world, Kind::Plain).at(world.broker), time).await?;
    for (kind, name) in [(Kind::Plain, "plain"), (Kind::Full, "mutual TLS")] {
        let before = usage::processor_time(world.proxy.id())?;
        let latencies = run(&Device::new(&world, kind), time).await?;
        let spent = usage::processor_time(world.proxy.id())?.saturating_sub(before);
        let each = spent / u32::try_from(latencies.len())?;
        row(&format!("message there and back, {name}"), format!("{:.1} µs of CPU", each.as_secs_f64() * 1e6));
        for (part, of) in [(0.5, "p50"), (0.99, "p99")] {
            let added = quantile(&latencies, part).saturating_sub(quantile(&direct, part));
            row(&format!("latency that is added there and back, {name}, {of}"), format!("{} µs", added.as_micros()));
        }
    }
    Ok(())
}

/// Sends messages for some time, evenly, and gives how long each took to come back, in order of size.
async fn run(device: &Device, time: Duration) -> Result<Vec<Duration>> {
    let mut connections = JoinSet::new();
    let period = Duration::from_secs(1) * CONNECTIONS / MESSAGES_PER_SECOND;
    let start = tokio::time::Instant::now() + Duration::from_secs(1);
    for number in 0..CONNECTIONS {
        let mut stream = device.connect(&format!("device-{number}"), false).await?;
        connections.spawn(async move {
            let message = publish(Version::V311, "t", &[b'x'; PAYLOAD_BYTES], 0, 0, false);
            let mut answer = vec![0; message.len()];
            let mut latencies = Vec::new();
            let mut ticks = interval_at(start + period * number / CONNECTIONS, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while start.elapsed() < time {
                ticks.tick().await;
                let sent = Instant::now();
                stream.write_all(&message).await?;
                stream.flush().await?;
                stream.read_exact(&mut answer).await?;
                latencies.push(sent.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut all = Vec::new();
    while let Some(latencies) = connections.join_next().await {
        all.extend(latencies??);
    }
    all.sort_unstable();
    Ok(all)
}

/// The latency that this part of all messages stays within.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "few messages"
)]
pub(crate) fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let place = (sorted.len() as f64 * part) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
