//! The processor time of a message that goes to the broker and comes back, and the latency that the proxy adds.

use std::time::{Duration, Instant};

use anyhow::Result;
use streamgate_tests::wire::{Version, publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, sleep_until};

use super::quantile;
use crate::device::{Device, Kind};
use crate::figure::{Figure, Measured};
use crate::peer::{Peer, Running};
use crate::stage::{Site, Stage};
use crate::usage::Usage;

const CONNECTIONS: u32 = 100;
const MESSAGES_PER_SECOND: u32 = 4000;
const PAYLOAD_BYTES: usize = 64;
const TIME: Duration = Duration::from_secs(10);

/// How long messages take without a proxy: p50 and p99.
pub(crate) async fn measure_direct(stage: &Stage, scale: u32) -> Result<[Duration; 2]> {
    let device = Device::plain(stage.brokers[0].address);
    let latencies = run(&[device.clone(), device], TIME / scale, || Ok(())).await?.1;
    Ok([quantile(&latencies, 0.5), quantile(&latencies, 0.99)])
}

pub(crate) async fn measure(stage: &Stage, peer: Peer, direct: [Duration; 2], scale: u32) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for (kind, [processor, p50, p99]) in [
        (Kind::Plain, [Figure::MessagePlain, Figure::AddedP50Plain, Figure::AddedP99Plain]),
        (Kind::Full, [Figure::MessageTls, Figure::AddedP50Tls, Figure::AddedP99Tls]),
    ] {
        let running = Running::start(peer, Site::new(stage)?).await?;
        let devices = running.site.devices(kind)?;
        let ([before, after], latencies) = run(&devices, TIME / scale, || running.usage()).await?;
        let messages = f64::from(u32::try_from(latencies.len())?);
        // So many seconds a million, as many microseconds each.
        let spent = Usage::since(&after, &before).processor;
        all.push(Measured::new(processor, spent.as_secs_f64() * 1e6 / messages));
        for (figure, part, direct) in [(p50, 0.5, direct[0]), (p99, 0.99, direct[1])] {
            let added = quantile(&latencies, part).saturating_sub(direct);
            all.push(Measured::new(figure, added.as_secs_f64() * 1e6));
        }
    }
    Ok(all)
}

/// Sends messages for some time, evenly. Gives what `look` saw before the first and after the last, and how long each took to
/// come back, in order of size.
async fn run<T>(
    devices: &[Device; 2],
    time: Duration,
    look: impl Fn() -> Result<T>,
) -> Result<([T; 2], Vec<Duration>)> {
    let mut connections = JoinSet::new();
    let period = Duration::from_secs(1) * CONNECTIONS / MESSAGES_PER_SECOND;
    let start = tokio::time::Instant::now() + Duration::from_secs(1);
    for number in 0..CONNECTIONS {
        let mut stream = devices[number as usize % 2].connect(&format!("device-{number}")).await?;
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
            // With its connection, so that none is closed before all are done.
            anyhow::Ok((latencies, stream))
        });
    }
    sleep_until(start - Duration::from_millis(20)).await;
    let before = look()?;
    let (mut all, mut streams) = (Vec::new(), Vec::new());
    while let Some(done) = connections.join_next().await {
        let (latencies, stream) = done??;
        all.extend(latencies);
        streams.push(stream);
    }
    let after = look()?;
    all.sort_unstable();
    Ok(([before, after], all))
}
