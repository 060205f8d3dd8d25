//! The memory of an idle connection.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::client::{Device, Kind};
use crate::world::World;
use crate::{row, usage};

const CONNECTIONS: usize = 8000;

pub(crate) async fn measure(scale: usize) -> Result<()> {
    for (kind, name) in [(Kind::Plain, "plain"), (Kind::Full, "mutual TLS")] {
        let world = World::start().await?;
        let device = Device::new(&world, kind);
        // What the first connection brings into memory is not each one's.
        drop(device.connect("first", true).await?);
        let before = usage::memory_kib(world.proxy.id())?;
        let count = CONNECTIONS / scale;
        let mut streams = Vec::with_capacity(count);
        for number in 0..count {
            streams.push(device.connect(&format!("device-{number}"), false).await?);
        }
        sleep(SETTLED).await;
        let with = usage::memory_kib(world.proxy.id())?;
        let each = with.saturating_sub(before) * 1024 / u64::try_from(count)?;
        row(&format!("idle connection, {name}, {count} of them"), format!("{each} bytes"));
        drop(streams);
        sleep(SETTLED).await;
        let left = usage::memory_kib(world.proxy.id())?.saturating_sub(before);
        row(&format!("what is left when they are gone, {name}"), format!("{left} KiB"));
    }
    Ok(())
}

const SETTLED: Duration = Duration::from_secs(2);
