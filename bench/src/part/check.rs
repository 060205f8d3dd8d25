//! What each peer does as it is set up: nothing is measured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Result, ensure};
use rustls::SupportedProtocolVersion;
use streamgate_tests::tls_client::TlsClient;

use crate::broker::Broker;
use crate::device::{Device, Kind};
use crate::peer::{Peer, Running};
use crate::stage::{Site, Stage, TENANTS};

/// Prints a table of it.
pub(crate) async fn print(stage: &Stage, peers: &[Peer]) -> Result<()> {
    println!("| | Version | Brokers are chosen | Resumed in TLS 1.2 | in TLS 1.3 |\n|---|---|---|---|---|");
    for peer in peers {
        let running = Running::start(*peer, Site::new(stage)?).await?;
        check_names(&running).await?;
        let choice = choice(&running).await?;
        let old = resumes(&running, &rustls::version::TLS12).await?;
        let new = resumes(&running, &rustls::version::TLS13).await?;
        println!("| {} | {} | {choice} | {old} | {new} |", peer.name(), peer.version()?);
    }
    Ok(())
}

/// Each name has its own certificate, and who has none is not let in.
async fn check_names(running: &Running<'_>) -> Result<()> {
    let stage = running.site.stage;
    for (tenant, name) in TENANTS.iter().enumerate() {
        let name = format!("{name}.example");
        let client = TlsClient::with_certificate(&stage.authority, &name, &stage.device)?;
        let (chain, _) = Device::tls(running.site.tls, client.config(), &name)?.look("device").await?;
        ensure!(chain == stage.certificate(0, tenant), "{name} has another name's certificate");
        let nobody = Device::tls(running.site.tls, TlsClient::new(&stage.authority, &name)?.config(), &name)?;
        ensure!(nobody.look("nobody").await.is_err(), "who has no certificate is let in for {name}");
    }
    Ok(())
}

/// How the brokers of some clients, which come again and again, are chosen.
async fn choice(running: &Running<'_>) -> Result<&'static str> {
    let plain = running.site.devices(Kind::Plain)?;
    let tls = running.site.devices(Kind::Full)?;
    let mut brokers: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for round in 0..4 {
        for client in 0..16 {
            let before: Vec<usize> = running.site.stage.brokers.iter().map(Broker::let_in).collect();
            let device = if round % 2 == 0 { &plain[0] } else { &tls[client % 2] };
            drop(device.connect(&format!("device-{client}")).await?);
            let after = running.site.stage.brokers.iter().map(Broker::let_in);
            let chosen = after.zip(before).position(|(after, before)| after > before);
            brokers.entry(client).or_default().extend(chosen);
        }
    }
    let all: BTreeSet<usize> = brokers.values().flatten().copied().collect();
    Ok(match (brokers.values().all(|chosen| chosen.len() == 1), all.len()) {
        (true, 2..) => "by client id",
        (true, _) => "one for all: of one address they come",
        (false, _) => "in turn",
    })
}

async fn resumes(running: &Running<'_>, version: &'static SupportedProtocolVersion) -> Result<&'static str> {
    let stage = running.site.stage;
    let client = TlsClient::with_versions(&stage.authority, "one.example", Some(&stage.device), &[version])?;
    let device = Device::tls(running.site.tls, Arc::clone(&client.config()), "one.example")?;
    device.look("device").await?;
    Ok(if device.look("device").await?.1 { "yes" } else { "no" })
}
