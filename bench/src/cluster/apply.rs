//! With 1,000 routes there: from the write of one more to the first device that is let in, and the same for an endpoint.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wait;
use tokio::time::sleep;

use super::device::{Brokers, Device};
use super::objects::{Size, api, create, create_all, endpoint, route, slice};
use super::stage::{Stage, start_proxy};
use crate::part::quantile;
use crate::{row, usage};

const TIMES: usize = 200;

pub(crate) async fn measure(scale: u32) -> Result<()> {
    let size = Size { namespaces: 10, services: 100, endpoints_each: 10, routes: 1000 / scale as usize };
    let stage = Stage::new().await?;
    let authority = CertificateAuthority::new("Bench CA")?;
    create_all(&stage.client, size.namespaces()).await?;
    create_all(&stage.client, size.tls(&authority)?.into_iter().chain(size.services()).chain(size.routes())).await?;
    let brokers = Brokers::start().await?;
    create_all(&stage.client, [broker_service(), broker_slice(Ipv4Addr::new(10, 77, 0, 2))]).await?;
    create_all(&stage.client, [route("t0", "moving", "moving")]).await?;

    let config = ConfigDir::new()?;
    let sync = stage.start_sync(&config)?;
    sync.wait_until_ready(wait::SOON)?;
    let proxy = start_proxy(&config)?;
    let operator = stage.start_operator()?;
    wait::until("all routes", Duration::from_mins(2), || {
        (proxy.status()["applied"]["streamroutes"] == size.routes + 1).then_some(())
    })?;
    let client = TlsClient::with_certificate(&authority, "moving.t0.example", &authority.device("device")?)?;
    let device = Device::new(proxy.address("mqtts"), &client);
    device.connect_until("moving.t0.example", || true).await?;
    // Until the statuses are written too.
    sleep(Duration::from_secs(5)).await;

    let ids = [("operator", operator.id()), ("config-sync", sync.id()), ("proxy", proxy.id())];
    let times = TIMES / scale as usize;
    let before = processor_times(&ids)?;
    let mut latencies = Vec::new();
    for number in 0..times {
        let name = format!("new-{number}");
        let host = format!("{name}.t0.example");
        let start = Instant::now();
        create(&stage.client, route("t0", &name, "moving")).await?;
        latencies.push(device.connect_until(&host, || true).await?.duration_since(start));
        sleep(pause()).await;
    }
    tell(&format!("a StreamRoute is created, until its first device is let in, {} there", size.routes), latencies);
    tell_processor_times(&ids, &before, times, "StreamRoute")?;

    let before = processor_times(&ids)?;
    let mut latencies = Vec::new();
    for number in 0..times {
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 77, 1, 0).to_bits() + u32::try_from(number)?);
        let changed = broker_slice(address);
        let patch = json!({"endpoints": changed["endpoints"]});
        let slices = api(&stage.client, &changed)?;
        let start = Instant::now();
        slices.patch("moving-x7k2p", &PatchParams::default(), &Patch::Merge(&patch)).await?;
        let until = device.connect_until("moving.t0.example", || brokers.reached() == address).await?;
        latencies.push(until.duration_since(start));
        sleep(pause()).await;
    }
    tell("an endpoint takes the place of another, until the first device lands there", latencies);
    tell_processor_times(&ids, &before, times, "endpoint")
}

/// Between two changes: any, so that they fall into no rhythm.
fn pause() -> Duration {
    Duration::from_millis(fastrand::u64(100..300))
}

fn tell(what: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let [p50, p99] = [0.5, 0.99].map(|part| quantile(&latencies, part).as_secs_f64() * 1e3);
    let most = latencies.last().copied().unwrap_or_default().as_secs_f64() * 1e3;
    row(
        &format!("{what}: p50, p99, longest of {}", latencies.len()),
        format!("{p50:.0} ms, {p99:.0} ms, {most:.0} ms"),
    );
}

fn processor_times(ids: &[(&str, u32)]) -> Result<Vec<Duration>> {
    ids.iter().map(|(_, id)| usage::processor_time(*id)).collect()
}

/// The renewal of Leases and the devices that try are among it.
fn tell_processor_times(ids: &[(&str, u32)], before: &[Duration], times: usize, change: &str) -> Result<()> {
    let now = processor_times(ids)?;
    let each =
        now.iter().zip(before).map(|(now, before)| now.saturating_sub(*before) / u32::try_from(times).unwrap_or(1));
    let figures: Vec<String> =
        ids.iter().zip(each).map(|((name, _), each)| format!("{name} {:.1} ms", each.as_secs_f64() * 1e3)).collect();
    row(&format!("CPU of such a change of a {change}, with the devices that try"), figures.join(", "));
    Ok(())
}

fn broker_service() -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "t0", "name": "moving"},
        "spec": {"clusterIP": "None", "ports": [{"name": "mqtt", "port": super::device::BROKER_PORT}]},
    })
}

fn broker_slice(address: Ipv4Addr) -> serde_json::Value {
    slice("t0", "moving", &[endpoint(&address.to_string(), "t0", "moving-0", "0", 0)])
}
