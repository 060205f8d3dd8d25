//! All devices come back at once, over mutual TLS by full handshakes.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::{sleep, timeout};

use super::in_turn;
use crate::device::Kind;
use crate::figure::{Figure, Measured};
use crate::peer::{Peer, Running};
use crate::stage::{Site, Stage};

const PATIENT: usize = 2000;
const IMPATIENT: usize = 8000;
/// How long an impatient device waits for its CONNACK.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn measure(stage: &Stage, peer: Peer, scale: u32) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    all.push(run(stage, peer, PATIENT / scale as usize, LIMIT).await?.measured(Figure::Storm));
    let storm = run(stage, peer, IMPATIENT / scale as usize, PATIENCE).await?;
    all.push(storm.measured(Figure::StormImpatient));
    all.push(Measured::new(Figure::StormFailed, f64::from(storm.failed)));
    Ok(all)
}

struct Storm {
    /// Until all are in; at least so many where some never are.
    seconds: f64,
    all_in: bool,
    failed: u32,
    core: f64,
}

impl Storm {
    fn measured(&self, figure: Figure) -> Measured {
        let measured = Measured::new(figure, self.seconds).with_core(self.core);
        if self.all_in { measured } else { measured.at_least() }
    }
}

async fn run(stage: &Stage, peer: Peer, count: usize, patience: Duration) -> Result<Storm> {
    let running = Running::start(peer, Site::new(stage)?).await?;
    let devices = running.site.devices(Kind::Full)?;
    let before = running.usage()?;
    let start = Instant::now();
    let connects = (0..count).map(|number| {
        let device = devices[number % 2].clone();
        async move {
            let mut failed = 0;
            while start.elapsed() < LIMIT {
                if let Ok(Ok(stream)) = timeout(patience, device.connect(&format!("device-{number}"))).await {
                    return Ok((Some(stream), failed));
                }
                failed += 1;
                // Not all at the same moment again.
                sleep(Duration::from_secs(1).mul_f64(fastrand::f64())).await;
            }
            Ok((None, failed))
        }
    });
    let done = in_turn(connects, count).await?;
    let seconds = start.elapsed().as_secs_f64();
    let core = running.usage()?.since(&before).core();
    let all_in = done.iter().all(|(stream, _)| stream.is_some());
    Ok(Storm { seconds, all_in, failed: done.iter().map(|(_, failed)| failed).sum(), core })
}

const LIMIT: Duration = Duration::from_mins(2);
