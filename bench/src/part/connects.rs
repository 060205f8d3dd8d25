//! The processor time of a connect: TCP, handshake, CONNECT, CONNACK, close.

use std::time::Duration;

use anyhow::Result;
use rustls::HandshakeKind;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::device::{self, Device, Kind};
use crate::figure::{Figure, Measured};
use crate::peer::{Peer, Running};
use crate::stage::{Site, Stage};

const CLIENTS: u32 = 16;

pub(crate) async fn measure(stage: &Stage, peer: Peer, scale: u32) -> Result<Vec<Measured>> {
    let running = Running::start(peer, Site::new(stage)?).await?;
    let mut all = Vec::new();
    for (kind, figure, count) in [
        (Kind::Plain, Figure::ConnectPlain, 1000),
        (Kind::Full, Figure::ConnectFull, 250),
        (Kind::Resumed, Figure::ConnectResumed, 250),
    ] {
        let devices = devices(&running.site, kind)?;
        if kind == Kind::Resumed && !all_resume(&devices).await? {
            continue;
        }
        run(&devices, kind, 10).await?;
        let before = running.usage()?;
        let count = count / scale;
        run(&devices, kind, count).await?;
        // It is not done with the last ones when these are.
        sleep(Duration::from_millis(200)).await;
        let spent = running.usage()?.since(&before);
        all.push(Measured::new(figure, spent.processor.as_secs_f64() * 1e6 / f64::from(count * CLIENTS)));
    }
    Ok(all)
}

/// Each with sessions of its own, for a ticket is good once.
fn devices(site: &Site, kind: Kind) -> Result<Vec<Device>> {
    let device = |number: u32| {
        let config = device::load_config(&site.stage.device, kind)?;
        site.device(kind, &config, number as usize % 2)
    };
    (0..CLIENTS).map(device).collect()
}

/// Whether the second connection of each is resumed. From then on all have a ticket.
async fn all_resume(devices: &[Device]) -> Result<bool> {
    for device in devices {
        device.look("resumes").await?;
        if !device.look("resumes").await?.1 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Has each client connect `count` times, one after the other; a handshake of another kind is an error.
async fn run(devices: &[Device], kind: Kind, count: u32) -> Result<()> {
    let mut clients = JoinSet::new();
    for (number, device) in devices.iter().cloned().enumerate() {
        clients.spawn(async move {
            for _ in 0..count {
                let id = format!("device-{number}");
                let mut stream = match kind {
                    Kind::Plain => device.connect(&id).await?,
                    Kind::Full => device.connect_by(HandshakeKind::Full, &id).await?,
                    Kind::Resumed => device.connect_by(HandshakeKind::Resumed, &id).await?,
                };
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
