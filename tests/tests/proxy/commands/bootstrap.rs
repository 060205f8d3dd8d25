//! The bootstrap file of `run`.

use std::fs;

use anyhow::Result;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::wait;

use super::{Running, proxy};
use crate::balancing::directory;
use crate::balancing::fleet::{NamedBroker, reached, upstream};

/// Writes a bootstrap file, and gives its path.
fn write(config: &ConfigDir, text: &str) -> Result<String> {
    let path = config.scratch().join("streamgate.yaml");
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// Its text, with all fields.
fn whole(config: &ConfigDir) -> String {
    format!(
        "gateway: default
configDir: {}
statusDir: {}
listeners:
- {{name: plain, address: \"127.0.0.1:0\", protocol: MQTT}}
admin: 127.0.0.1:0
workers: 2
clientHelloTimeout: 5s
logFormat: Text
deniedUpstreams: [10.0.0.0/8]
",
        config.path().display(),
        config.status_dir().display()
    )
}

#[test]
fn a_proxy_starts_by_its_bootstrap_file_alone() -> Result<()> {
    let broker = NamedBroker::start("broker")?;
    let config = directory(&upstream([broker.node("")], ""))?;
    let file = write(&config, &whole(&config))?;
    let running = Running::start(&["--bootstrap", &file], "info")?;
    assert_eq!(reached(running.address("listening listener=\"plain\"")?, "device")?, "broker");
    assert!(config.status_dir().join("status.json").is_file());
    Ok(())
}

#[test]
fn a_flag_goes_before_its_field() -> Result<()> {
    let broker = NamedBroker::start("broker")?;
    let config = directory(&upstream([broker.node("")], ""))?;
    let file = write(&config, &whole(&config))?;
    let listener = "name=other,address=127.0.0.1:0,protocol=MQTT";
    let flags = ["--bootstrap", &file, "--listener", listener, "--denied-upstreams", "127.0.0.0/8"];
    let running = Running::start(&flags, "info")?;
    // The listeners of the flags are all that there are.
    assert!(running.address("listening listener=\"plain\"").is_err());
    assert_eq!(reached(running.address("listening listener=\"other\"")?, "device")?, "CONNACK 3");
    Ok(())
}

#[test]
fn another_gateways_objects_are_served_by_the_proxy_of_that_name() -> Result<()> {
    let broker = NamedBroker::start("broker")?;
    let config = directory(&format!("gateway: edge\n{}", upstream([broker.node("")], "")))?;
    let file = write(&config, &whole(&config))?;
    let running = Running::start(&["--bootstrap", &file, "--gateway", "edge"], "info")?;
    assert_eq!(reached(running.address("listening listener=\"plain\"")?, "device")?, "broker");
    Ok(())
}

#[test]
fn every_problem_of_the_file_has_its_place() -> Result<()> {
    let config = ConfigDir::new()?;
    let file = write(
        &config,
        &whole(&config).replace("workers: 2", "workers: 0").replace("protocol: MQTT", "protocol: QUIC"),
    )?;
    let output = proxy(&["run", "--bootstrap", &file])?;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.lines().all(|line| line.starts_with(&format!("{file}:"))), "{output:?}");
    assert!(output.stderr.contains(":5:") && output.stderr.contains("QUIC"), "{output:?}");
    Ok(())
}

#[test]
fn a_field_that_does_not_exist_is_named() -> Result<()> {
    let config = ConfigDir::new()?;
    let file = write(&config, &format!("{}worker: 3\n", whole(&config)))?;
    let output = proxy(&["run", "--bootstrap", &file])?;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains(&format!("{file}:11:1: worker")), "{output:?}");
    Ok(())
}

#[test]
fn without_a_status_directory_none_is_written() -> Result<()> {
    let broker = NamedBroker::start("broker")?;
    let config = directory(&upstream([broker.node("")], ""))?;
    let text = whole(&config).replace(&format!("statusDir: {}\n", config.status_dir().display()), "");
    let file = write(&config, &text)?;
    let running = Running::start(&["--bootstrap", &file], "info")?;
    let listener = running.address("listening listener=\"plain\"")?;
    wait::until("a client", wait::SOON, || reached(listener, "device").ok().filter(|broker| broker == "broker"))?;
    assert_eq!(fs::read_dir(config.status_dir())?.count(), 0);
    Ok(())
}
