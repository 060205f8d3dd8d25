//! `examples/standalone`: the directory of a proxy without a cluster, with its bootstrap file.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use streamgate_tests::broker::Broker;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::process::Process;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wire::{self, Connect, Version};
use streamgate_tests::{proxy, wait, workspace};

use super::ports;
use super::stage::{Authorities, Manifests};

const HOSTS: [Ipv4Addr; 3] = [Ipv4Addr::new(127, 0, 0, 11), Ipv4Addr::new(127, 0, 0, 12), Ipv4Addr::new(127, 0, 0, 13)];

#[test]
fn its_devices_reach_real_brokers_by_its_own_bootstrap_file() -> Result<()> {
    let example = workspace().join("examples/standalone");
    let config = ConfigDir::new()?;
    config.copy_from(&example.join("config"))?;
    let brokers = start_brokers(&config)?;

    let authorities = Authorities::new()?;
    for path in ["acme.devices.yaml", "globex.meters.yaml"] {
        for tls_sni in Manifests::example(&format!("standalone/config/tlssnis/{path}"))?.tls_snis {
            authorities.mint(&config, &tls_sni)?;
        }
    }

    let mqtts = ports::free()?;
    let mut bootstrap = fs::read_to_string(example.join("streamgate.yaml"))?;
    for (written, free) in [(":8883", mqtts), (":1883", ports::free()?), (":9901", ports::free()?)] {
        ensure!(bootstrap.contains(written), "the bootstrap file has no port {written}");
        bootstrap = bootstrap.replace(written, &format!(":{free}"));
    }
    fs::write(config.scratch().join("streamgate.yaml"), bootstrap)?;
    let mut command = Command::new(proxy::binary()?);
    command.args(["run", "--bootstrap", "streamgate.yaml"]).current_dir(config.scratch()).env_remove("RUST_LOG");
    let mut process = Process::start(command)?;
    process.wait_for_line("`ready`", wait::SOON, |line| line.contains("ready").then_some(()))?;

    let device = authorities.devices.device("by-hand")?;
    for name in ["devices.acme.example", "meters.globex.example"] {
        let client = TlsClient::with_certificate(&authorities.servers, name, &device)?;
        let mut stream = client.connect((Ipv4Addr::LOCALHOST, mqtts).into())?;
        let answer = wire::connack(&mut stream, &Connect::new(Version::V5, name))?;
        ensure!(answer.code() == Some(0), "{name}: {answer:?}\n{:#?}", process.lines());
    }
    for name in ["devices.acme.example", "meters.globex.example"] {
        let known = || brokers.iter().any(|broker| broker.log().contains(name));
        wait::until(&format!("{name} in a broker's log"), wait::SOON, || known().then_some(()))?;
    }
    Ok(())
}

/// Three brokers where the manifests have them, at a port that is free there; the copied manifests say it.
fn start_brokers(config: &ConfigDir) -> Result<Vec<Broker>> {
    let port = ports::free()?;
    for path in ["endpoints/acme.broker.yaml", "streamroutes/globex.meters.yaml"] {
        let text = fs::read_to_string(config.path().join(path)).context(path)?;
        config.write(path, text.replace("21883", &port.to_string()).as_bytes())?;
    }
    let brokers = (0..).zip(HOSTS);
    brokers.map(|(number, host)| Broker::start_at(&format!("broker-{number}"), (host, port).into(), "")).collect()
}
