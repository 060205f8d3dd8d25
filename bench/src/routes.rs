//! The latency of a device while 10,000 routes change.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use streamgate_tests::config_dir::manifest;
use streamgate_tests::wire::{Version, publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use crate::device::{Kind, Stream};
use crate::machine::Machine;
use crate::part::quantile;
use crate::peer::{Peer, Running};
use crate::row;
use crate::stage::{Site, Stage};

const ROUTES: u32 = 10_000;

pub(crate) async fn measure(scale: u32) -> Result<()> {
    let _machine = Machine::prepare()?;
    let stage = Stage::new()?;
    let running = Running::start(Peer::Streamgate, Site::new(&stage)?).await?;
    let config = &running.site.config;
    let [device, _] = running.site.devices(Kind::Full)?;
    let mut stream = device.connect("device").await?;
    let (_still, mut never) = oneshot::channel::<()>();
    let quiet = ping(&mut *stream, Instant::now() + Duration::from_secs(5), &mut never).await?;
    let count = ROUTES / scale;
    // The files are made beforehand, and renamed into place at once.
    let staging = config.scratch().join("routes");
    fs::create_dir(&staging)?;
    for number in 0..count {
        let broker = stage.brokers[0].address;
        let (host, port) = (broker.ip(), broker.port());
        let spec = format!(
            "{{listeners: [plain], match: {{sourceRanges: [\"2001:db8::{number:x}\"]}}, upstream: {{nodes: [{{host: {host}, port: {port}}}]}}}}"
        );
        fs::write(
            staging.join(format!("bench.route-{number}.yaml")),
            manifest("StreamRoute", "bench", &format!("route-{number}"), &spec),
        )?;
    }
    let (applied, mut stop) = oneshot::channel();
    let (folder, id) = (config.path().join("streamroutes"), count + 1);
    let status = config.status_dir().join("status.json");
    let changing = std::thread::spawn(move || -> Result<Duration> {
        let start = Instant::now();
        for entry in fs::read_dir(&staging)? {
            let entry = entry?;
            fs::rename(entry.path(), folder.join(entry.file_name()))?;
        }
        loop {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let known: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            if known["applied"]["streamroutes"] == id {
                // Nobody listens where the pings have failed, and then that is what is told.
                let _ = applied.send(());
                return Ok(start.elapsed());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let busy = ping(&mut *stream, Instant::now() + Duration::from_mins(1), &mut stop).await?;
    let took = changing.join().map_err(|_| anyhow::anyhow!("the change failed"))??;
    row(&format!("{count} routes renamed into place, until all are applied"), format!("{} ms", took.as_millis()));
    for (latencies, when) in [(&quiet, "before"), (&busy, "meanwhile")] {
        let most = latencies.last().copied().unwrap_or_default();
        let p99 = quantile(latencies, 0.99);
        row(
            &format!("message there and back, mutual TLS, {when}: p99, longest"),
            format!("{} µs, {} µs", p99.as_micros(), most.as_micros()),
        );
    }
    Ok(())
}

/// Sends one message after the other until `end` or until it is told to stop; how long each took, in order of size.
async fn ping(stream: &mut dyn Stream, end: Instant, stop: &mut oneshot::Receiver<()>) -> Result<Vec<Duration>> {
    let message = publish(Version::V311, "t", b"ping", 0, 0, false);
    let mut answer = vec![0; message.len()];
    let mut latencies = Vec::new();
    while Instant::now() < end && stop.try_recv() != Ok(()) {
        let sent = Instant::now();
        stream.write_all(&message).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await?;
        latencies.push(sent.elapsed());
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    latencies.sort_unstable();
    Ok(latencies)
}
