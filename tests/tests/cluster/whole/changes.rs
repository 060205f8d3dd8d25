//! What is changed and deleted while devices are connected.

use anyhow::{Context, Result, ensure};
use streamgate_tests::fake_broker::FakeBroker;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::tls_client::alert_of;
use streamgate_tests::wait;

use super::stage::{Stage, server_name, tls_secret};

/// Alert `unrecognized_name`.
const UNRECOGNIZED_NAME: u8 = 112;
/// CONNACK "not authorized" of MQTT 3.1.1.
const NOT_AUTHORIZED: u8 = 5;

#[test]
fn what_is_deleted_takes_no_further_device_and_cuts_none() -> Result<()> {
    let stage = Stage::with_proxies(2)?;
    for name in ["first", "second", "third"] {
        stage.program(name)?;
    }
    let mut live = Vec::new();
    for proxy in 0..2 {
        for name in ["first", "second", "third"] {
            live.push(stage.let_in(proxy, name, "early")?);
        }
    }
    // A route without its name, and a name with its route.
    stage.delete(&["streamroute/first"])?;
    stage.delete(&["tlssni/second"])?;
    for proxy in 0..2 {
        wait::until("a refusal for want of a route", wait::SOON, || {
            stage.connect(proxy, "first", "late").is_ok_and(|(_, code)| code == NOT_AUTHORIZED).then_some(())
        })?;
        wait::until("a refusal for want of a name", wait::SOON, || {
            let error = stage.connect(proxy, "second", "late").err()?;
            (alert_of(&error) == Some(UNRECOGNIZED_NAME)).then_some(())
        })?;
        stage.let_in(proxy, "third", "late")?;
    }
    for device in &mut live {
        stage.is_alive(device)?;
    }
    stage.condition("streamroute/second", ["ResolvedRefs", "False", "NoMatchingTlsSni"])?;
    Ok(())
}

#[test]
fn a_rotated_secret_is_the_next_handshakes_certificate_and_cuts_nobody() -> Result<()> {
    let stage = Stage::with_proxies(2)?;
    stage.program("devices")?;
    let mut live = [stage.let_in(0, "devices", "early-0")?, stage.let_in(1, "devices", "early-1")?];
    let before = stage.gateway.cluster.json(&["get", "tlssni/devices", "-n", &stage.tenant])?;
    let servers = CertificateAuthority::new("Next year's servers")?;
    stage.apply(&tls_secret("devices", &servers.server(&[&server_name("devices")])?).to_string())?;
    for (proxy, device) in live.iter_mut().enumerate() {
        wait::until("the new certificate", wait::SOON, || {
            stage.connect_trusting(&servers, proxy, "devices", "late").ok().filter(|(_, code)| *code == 0)
        })?;
        ensure!(stage.connect(proxy, "devices", "late").is_err(), "the old certificate is shown still");
        stage.is_alive(device)?;
    }
    // Nothing else is true of the object than before.
    let after = stage.gateway.cluster.json(&["get", "tlssni/devices", "-n", &stage.tenant])?;
    ensure!(after["status"]["conditions"] == before["status"]["conditions"], "{after:#}");
    Ok(())
}

#[test]
fn a_pod_that_comes_back_under_a_new_address_takes_back_its_clients() -> Result<()> {
    let mut stage = Stage::with_proxies(2)?;
    stage.set_brokers(3)?;
    let sticky = "{loadBalancer: {type: ConsistentHash}, services: [{name: broker, port: mqtt}]}";
    stage.apply(&stage.manifests("devices", sticky)?)?;
    stage.wait_until_programmed(&["streamroute/devices", "tlssni/devices"])?;
    let clients: Vec<String> = (0..12).map(|number| format!("device-{number}")).collect();
    let homes =
        |stage: &Stage<'_>, proxy: usize| clients.iter().map(|id| home(stage, proxy, id)).collect::<Result<Vec<_>>>();
    let before = homes(&stage, 0)?;
    ensure!(homes(&stage, 1)? == before, "the proxies do not agree");
    let returning = *before.first().context("a client")?;

    stage.replace_broker(returning)?;
    for proxy in 0..2 {
        // The old one still runs, as a pod in its grace period may, and must get nobody.
        let mut last = None;
        wait::until("the new address", wait::SOON, || {
            last = Some(home(&stage, proxy, &clients[0]));
            matches!(last, Some(Ok(home)) if home == returning).then_some(())
        })
        .with_context(|| format!("{last:?}"))?;
        ensure!(homes(&stage, proxy)? == before);
    }
    Ok(())
}

/// The broker that a client reaches.
fn home(stage: &Stage<'_>, proxy: usize, client_id: &str) -> Result<usize> {
    let counts = || stage.brokers.iter().map(FakeBroker::count).collect::<Vec<_>>();
    let before = counts();
    let _device = stage.let_in(proxy, "devices", client_id)?;
    let after = counts();
    (0..after.len()).find(|&index| after[index] > before[index]).context("it reached none of the brokers")
}
