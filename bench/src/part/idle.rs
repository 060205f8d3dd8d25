//! The memory of an idle connection, and what stays when it has gone.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::in_turn;
use crate::device::Kind;
use crate::figure::{Figure, Measured};
use crate::peer::{Peer, Running};
use crate::stage::{Site, Stage};

const CONNECTIONS: u32 = 8000;

pub(crate) async fn measure(stage: &Stage, peer: Peer, scale: u32) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for (kind, each, left) in
        [(Kind::Plain, Figure::IdlePlain, Figure::LeftPlain), (Kind::Full, Figure::IdleTls, Figure::LeftTls)]
    {
        // What the first connections bring into memory, when it starts, is not each one's.
        let running = Running::start(peer, Site::new(stage)?).await?;
        let devices = running.site.devices(kind)?;
        sleep(SETTLED).await;
        let before = running.memory_kib()?;
        let count = CONNECTIONS / scale;
        let connects = (0..count).map(|number| {
            let device = devices[number as usize % 2].clone();
            async move { device.connect(&format!("device-{number}")).await }
        });
        let streams = in_turn(connects, 16).await?;
        sleep(SETTLED).await;
        let grown = f64::from(u32::try_from(running.memory_kib()?.saturating_sub(before))?);
        all.push(Measured::new(each, grown / f64::from(count)));
        drop(streams);
        sleep(SETTLED).await;
        let grown = f64::from(u32::try_from(running.memory_kib()?.saturating_sub(before))?);
        all.push(Measured::new(left, grown / 1024.0));
    }
    Ok(all)
}

const SETTLED: Duration = Duration::from_secs(2);
