//! Messages of 500 clients, each of which sends the next one when the last has come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use streamgate_tests::wire::{Version, publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::in_turn;
use crate::device::Kind;
use crate::figure::{Figure, Measured};
use crate::peer::{Peer, Running};
use crate::stage::{Site, Stage};

const CONNECTIONS: usize = 500;
const TIME: Duration = Duration::from_secs(8);

pub(crate) async fn measure(stage: &Stage, peer: Peer, scale: u32) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for (kind, figure) in [(Kind::Plain, Figure::SaturatedPlain), (Kind::Full, Figure::SaturatedTls)] {
        let running = Running::start(peer, Site::new(stage)?).await?;
        let devices = running.site.devices(kind)?;
        let (count, is_over) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        // All are there before the first sends.
        let connects = (0..CONNECTIONS).map(|number| {
            let device = devices[number % 2].clone();
            async move { device.connect(&format!("device-{number}")).await }
        });
        let mut connections = JoinSet::new();
        for mut stream in in_turn(connects, 16).await? {
            let (count, is_over) = (Arc::clone(&count), Arc::clone(&is_over));
            connections.spawn(async move {
                let message = publish(Version::V311, "t", &[b'x'; 64], 0, 0, false);
                let mut answer = vec![0; message.len()];
                while !is_over.load(Ordering::Relaxed) {
                    stream.write_all(&message).await?;
                    stream.flush().await?;
                    stream.read_exact(&mut answer).await?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            });
        }
        sleep(TIME / scale / 4).await;
        let (first, before) = (count.load(Ordering::Relaxed), running.usage()?);
        sleep(TIME / scale).await;
        let (last, after) = (count.load(Ordering::Relaxed), running.usage()?);
        is_over.store(true, Ordering::Relaxed);
        while let Some(connection) = connections.join_next().await {
            connection??;
        }
        let spent = after.since(&before);
        let messages = f64::from(last - first);
        all.push(Measured::new(figure, messages / spent.processor.as_secs_f64()).with_core(spent.core()));
    }
    Ok(all)
}
