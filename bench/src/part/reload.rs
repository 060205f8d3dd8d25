//! Certificates and routes change again and again under devices that are connected.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use streamgate_tests::wire::{Version, publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{interval_at, sleep, timeout};

use super::{in_turn, quantile};
use crate::device::{Kind, Stream};
use crate::figure::{Figure, Measured};
use crate::peer::{Peer, Running};
use crate::stage::{Site, Stage};

const CONNECTIONS: u32 = 2000;
const CHANGES: usize = 100;
const BETWEEN_CHANGES: Duration = Duration::from_millis(200);
/// For how long messages are watched before, and again after the last change.
const QUIET: Duration = Duration::from_secs(10);

pub(crate) async fn measure(stage: &Stage, peer: Peer, scale: u32) -> Result<Vec<Measured>> {
    let running = Running::start_to_change(peer, Site::new(stage)?).await?;
    let devices = running.site.devices(Kind::Full)?;
    let count = CONNECTIONS / scale;
    let connects = (0..count).map(|number| {
        let device = devices[number as usize % 2].clone();
        async move { device.connect(&format!("device-{number}")).await }
    });
    let streams = in_turn(connects, 16).await?;
    let phase = Arc::new(AtomicU8::new(BEFORE));
    let start = tokio::time::Instant::now();
    let watching = tokio::spawn(in_turn_of(streams, start, Arc::clone(&phase)));
    sleep(QUIET / scale + Duration::from_secs(1)).await;
    phase.store(MEANWHILE, Ordering::Relaxed);
    let changes = CHANGES / scale as usize;
    for number in 1..=changes {
        running.change(number)?;
        sleep(BETWEEN_CHANGES).await;
    }
    phase.store(AFTER, Ordering::Relaxed);
    let memory = wait_until_seen(&running, changes).await?;
    sleep(QUIET / scale + Duration::from_secs(1)).await;
    phase.store(OVER, Ordering::Relaxed);
    let watched = watching.await??;
    let lost = u32::try_from(watched.iter().filter(|(_, is_lost)| *is_lost).count())?;
    let mut all = vec![Measured::new(Figure::ReloadLost, f64::from(lost))];
    for (figure, wanted) in [(Figure::ReloadBefore, BEFORE), (Figure::ReloadMeanwhile, MEANWHILE)] {
        let mut latencies: Vec<Duration> = watched
            .iter()
            .flat_map(|(latencies, _)| latencies)
            .filter(|(phase, _)| *phase == wanted)
            .map(|(_, latency)| *latency)
            .collect();
        latencies.sort_unstable();
        all.push(Measured::new(figure, quantile(&latencies, 0.99).as_secs_f64() * 1e3));
    }
    all.push(Measured::new(Figure::ReloadMemory, memory));
    Ok(all)
}

type Watched = (Vec<(u8, Duration)>, bool);

/// Watches all, each a message a second, evenly.
async fn in_turn_of(
    streams: Vec<Box<dyn Stream>>,
    start: tokio::time::Instant,
    phase: Arc<AtomicU8>,
) -> Result<Vec<Watched>> {
    let (second, count) = (Duration::from_secs(1), u32::try_from(streams.len())?);
    let watches = (0..).zip(streams).map(|(number, stream)| {
        let first = start + second * number / count;
        let phase = Arc::clone(&phase);
        async move { Ok(watch(stream, first, &phase).await) }
    });
    in_turn(watches, count as usize).await
}

/// How long each message took, with the phase in which it was sent, until all is over, or until the connection is lost.
async fn watch(mut stream: Box<dyn Stream>, first: tokio::time::Instant, phase: &AtomicU8) -> Watched {
    let message = publish(Version::V311, "t", b"ping", 0, 0, false);
    let mut ticks = interval_at(first, Duration::from_secs(1));
    let mut latencies = Vec::new();
    loop {
        ticks.tick().await;
        let phase = phase.load(Ordering::Relaxed);
        if phase == OVER {
            return (latencies, false);
        }
        let sent = Instant::now();
        let Ok(Ok(())) = timeout(Duration::from_secs(10), ping(&mut *stream, &message)).await else {
            return (latencies, true);
        };
        latencies.push((phase, sent.elapsed()));
    }
}

async fn ping(stream: &mut dyn Stream, message: &[u8]) -> Result<()> {
    stream.write_all(message).await?;
    stream.flush().await?;
    let mut answer = [0; 64];
    stream.read_exact(&mut answer[..message.len()]).await?;
    Ok(())
}

/// Waits until a new device of each tenant sees the last certificate. Gives the memory of all its processes then, in MiB.
async fn wait_until_seen(running: &Running<'_>, change: usize) -> Result<f64> {
    let devices = running.site.devices(Kind::Full)?;
    let start = Instant::now();
    for (tenant, device) in devices.iter().enumerate() {
        loop {
            let seen = device.look("late").await;
            if let Ok((chain, _)) = &seen
                && *chain == running.site.stage.certificate(change, tenant)
            {
                break;
            }
            if start.elapsed() > SEEN {
                bail!("{} doesn't show its last certificate: {seen:?}\n{}", running.peer.name(), running.log());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(f64::from(u32::try_from(running.memory_kib()?)?) / 1024.0)
}

const SEEN: Duration = Duration::from_secs(30);
const BEFORE: u8 = 0;
const MEANWHILE: u8 = 1;
const AFTER: u8 = 2;
const OVER: u8 = 3;
