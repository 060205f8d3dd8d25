//! The processor time of large messages to a broker, which takes them and says so at the end.

use anyhow::Result;
use streamgate_tests::wire::{Version, publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::broker::{ANSWER, sink_id};
use crate::device::{Device, Kind, Stream};
use crate::figure::{Figure, Measured};
use crate::peer::{Peer, Running};
use crate::stage::{Site, Stage};

const CONNECTIONS: usize = 4;
const MESSAGES: usize = 4096;

pub(crate) async fn measure(stage: &Stage, peer: Peer, scale: u32) -> Result<Vec<Measured>> {
    let messages = MESSAGES / scale as usize;
    let message = publish(Version::V311, "t", &vec![b'x'; 64 * 1024], 0, 0, false);
    let mut all = Vec::new();
    for (kind, figure) in [(Kind::Plain, Figure::ThroughputPlain), (Kind::Full, Figure::ThroughputTls)] {
        let running = Running::start(peer, Site::new(stage)?).await?;
        let devices = running.site.devices(kind)?;
        let streams = connect(&devices, messages * message.len()).await?;
        let before = running.usage()?;
        let mut connections = JoinSet::new();
        for mut stream in streams {
            let message = message.clone();
            connections.spawn(async move {
                for _ in 0..messages {
                    stream.write_all(&message).await?;
                }
                stream.flush().await?;
                let mut answer = [0; ANSWER.len()];
                stream.read_exact(&mut answer).await?;
                anyhow::ensure!(answer == ANSWER, "the broker says {answer:02x?}");
                // Closed when all are done.
                anyhow::Ok(stream)
            });
        }
        let mut streams = Vec::new();
        while let Some(done) = connections.join_next().await {
            streams.push(done??);
        }
        let spent = running.usage()?.since(&before);
        let bytes = f64::from(u32::try_from(CONNECTIONS * messages * message.len())?);
        all.push(Measured::new(figure, spent.processor.as_secs_f64() * 1e9 / bytes).with_core(spent.core()));
    }
    Ok(all)
}

async fn connect(devices: &[Device; 2], bytes: usize) -> Result<Vec<Box<dyn Stream>>> {
    let mut streams = Vec::new();
    for number in 0..CONNECTIONS {
        streams.push(devices[number % 2].connect(&sink_id(number, bytes)).await?);
    }
    Ok(streams)
}
