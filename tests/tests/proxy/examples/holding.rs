//! The StreamRoutes of `examples/routes` that are about connections while they are there.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use streamgate_tests::fake_broker::{Answer, FakeBroker};
use streamgate_tests::tls_client::{TlsClient, TlsStream};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, DISCONNECT, StreamEnd, Version};

use super::device::Met;
use super::stage::Stage;

const NAME: &str = "devices.acme.example";

/// Connects devices, and leaves them there.
fn hold(stage: &Stage, count: usize) -> Result<Vec<TlsStream>> {
    let credentials = stage.authorities.devices.device("sensor")?;
    let client = TlsClient::with_certificate(&stage.authorities.servers, NAME, &credentials)?;
    let mut devices = Vec::new();
    for number in 0..count {
        let mut device = client.connect(stage.proxy.address("mqtts"))?;
        let connack = wire::connack(&mut device, &Connect::new(Version::V5, &format!("sensor-{number}")))?;
        ensure!(connack.code() == Some(0), "{connack:?}");
        devices.push(device);
    }
    Ok(devices)
}

/// How many connections each broker has had.
fn counts(stage: &Stage) -> Vec<usize> {
    stage.brokers.values().map(FakeBroker::count).collect()
}

#[test]
fn connack_timeout_replaces_a_broker_that_hangs() -> Result<()> {
    let mut stage = Stage::example_with_one_worker("routes/connack-timeout.yaml")?;
    let silent = FakeBroker::start(Answer::Silence)?;
    let mut documents = "apiVersion: v1\nkind: Service\nspec: {ports: [{name: mqtt, port: 1883}]}\n".to_owned();
    for (identity, broker) in [("broker-0", &silent), ("broker-1", &stage.brokers["broker-1"])] {
        write!(
            documents,
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\nports: [{{name: mqtt, port: \
             {}}}]\nendpoints: [{{addresses: [127.0.0.1], targetRef: {{kind: Pod, name: {identity}}}}}]\n",
            broker.address().port()
        )?;
    }
    let generation = stage.proxy.generation();
    stage.config.endpoints("acme", "broker", &documents)?;
    stage.proxy.wait_for_generation_after(generation)?;
    let mut attempts = Vec::new();
    for number in 0..2 {
        let device = stage.device(NAME, &format!("sensor-{number}"))?;
        let visit = stage.visit(&device)?;
        ensure!(visit.endpoint() == Some("broker-1"), "{visit:?}");
        attempts.push(visit.line["attempts"].as_u64().context("no attempts")?);
    }
    // It was the first one's turn at least once.
    ensure!(attempts.contains(&2), "{attempts:?}");
    Ok(())
}

#[test]
fn connack_timeout_tells_a_device_after_three_in_vain() -> Result<()> {
    let mut stage = Stage::example("routes/connack-timeout.yaml")?;
    stage.brokers.clear();
    let device = stage.device(NAME, "sensor-1")?;
    let visit = stage.visit(&device)?;
    ensure!(visit.met == Met::Code(0x03) && visit.line["attempts"] == 3, "{visit:?}");
    Ok(())
}

#[test]
fn least_connections_levels_the_brokers() -> Result<()> {
    let stage = Stage::example("routes/least-connections.yaml")?;
    let _devices = hold(&stage, 12)?;
    ensure!(counts(&stage) == [4, 4, 4], "{:?}", counts(&stage));
    Ok(())
}

#[test]
fn random2_nearly_levels_the_brokers() -> Result<()> {
    let stage = Stage::example("routes/random2.yaml")?;
    let _devices = hold(&stage, 60)?;
    // One by chance alone would be far from 20 each more often than not.
    ensure!(counts(&stage).iter().all(|count| (15..=25).contains(count)), "{:?}", counts(&stage));
    Ok(())
}

#[test]
fn on_drain_tells_devices_where_to_go_and_brokers_that_they_left() -> Result<()> {
    let stage = Stage::example_with_flags("routes/on-drain.yaml", &["--drain-delay", "0s", "--drain-time", "1ms"])?;
    let mut devices = hold(&stage, 1)?;
    stage.proxy.signal("TERM")?;
    let (bytes, end) = wire::read_to_end(&mut devices[0], wait::SOON);
    let mut told = vec![0x9C, 26, 0x1C, 0, 23];
    told.extend(b"other.acme.example:8883");
    let told = wire::packet(0xE0, &told);
    ensure!((&bytes, &end) == (&told, &StreamEnd::Closed), "{bytes:02x?}, {end:?}");
    let broker = stage.brokers.values().find(|broker| broker.count() > 0).context("no broker was reached")?;
    broker.wait_for_end(0, wait::SOON)?;
    ensure!(broker.received(0).ends_with(&DISCONNECT), "{:02x?}", broker.received(0));
    Ok(())
}
