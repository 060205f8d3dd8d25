//! The processor time of a connect: TCP, handshake, CONNECT, CONNACK, close.

use anyhow::Result;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::client::{Device, Kind};
use crate::world::World;
use crate::{row, usage};

const CLIENTS: usize = 16;

pub(crate) async fn measure(scale: usize) -> Result<()> {
    for (kind, name, count) in [
        (Kind::Plain, "connect, plain", 400),
        (Kind::Full, "connect, mutual TLS, full handshake", 200),
        (Kind::Resumed, "connect, mutual TLS, resumed", 200),
    ] {
        let world = World::start().await?;
        run(&world, kind, 10).await?;
        let before = usage::processor_time(world.proxy.id())?;
        let count = count / scale + 1;
        run(&world, kind, count).await?;
        let spent = usage::processor_time(world.proxy.id())?.saturating_sub(before);
        let connects = u32::try_from(count * CLIENTS)?;
        row(name, format!("{:.0} µs of CPU", (spent / connects).as_secs_f64() * 1e6));
    }
    Ok(())
}

/// Has each of some clients connect `count` times, one after the other.
async fn run(world: &World, kind: Kind, count: usize) -> Result<()> {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        // Sessions of its own for each.
        let device = Device::new(world, kind);
        clients.spawn(async move {
            for round in 0..=count {
                let mut stream = device.connect(&format!("device-{number}"), round == 0).await?;
                stream.write_all(&[0xE0, 0]).await?;
                stream.shutdown().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}
