//! `run`: what keeps it from starting is said in a sentence; and what all commands have in common.

use anyhow::Result;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::process::Output;
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::wait;

use super::proxy;

const LISTENER: &str = "name=plain,address=127.0.0.1:0,protocol=MQTT";

/// Runs a proxy that is not to start: on this directory, with a free admin port, and these arguments more.
fn run(config: &ConfigDir, more: &[&str]) -> Result<Output> {
    let path = config.path().display().to_string();
    let admin: &[&str] = if more.contains(&"--admin") { &[] } else { &["--admin", "127.0.0.1:0"] };
    proxy(&[&["run", "--config-dir", &path], admin, more].concat())
}

/// Asserts that a proxy with these arguments does not start, for its arguments, of which the first line of its standard
/// error has these words.
fn assert_bad(more: &[&str], words: &[&str]) -> Result<()> {
    let output = run(&ConfigDir::new()?, more)?;
    assert_eq!(output.code, Some(2), "{more:?}: {output:?}");
    for word in words {
        assert!(output.stderr.contains(word), "{more:?}: no `{word}` in {output:?}");
    }
    assert_eq!(output.text(), "", "{more:?}");
    Ok(())
}

#[test]
fn listeners_that_are_none() -> Result<()> {
    assert_bad(&[], &["--listener"])?;
    assert_bad(&["--listener", "plain"], &["--listener", "name=plain,address=0.0.0.0:1883,protocol=MQTT"])?;
    assert_bad(&["--listener", "name=plain,address=1883,protocol=MQTT"], &["1883", "0.0.0.0:1883"])?;
    assert_bad(&["--listener", "name=plain,address=::1,protocol=MQTT"], &["::1", "[::1]:1883"])?;
    assert_bad(&["--listener", "name=plain,address=127.0.0.1:0,protocol=HTTP"], &["HTTP", "`MQTT` or `MQTTS`"])?;
    assert_bad(&["--listener", "name=a b,address=127.0.0.1:0,protocol=MQTT"], &["--listener", "a b"])
}

#[test]
fn two_listeners_of_one_name() -> Result<()> {
    assert_bad(&["--listener", LISTENER, "--listener", LISTENER], &["--listener: found `plain` a second time"])
}

#[test]
fn values_that_are_none() -> Result<()> {
    for (flag, value) in [
        ("--admin", "localhost"),
        ("--workers", "0"),
        ("--workers", "many"),
        ("--client-hello-timeout", "0s"),
        ("--client-hello-timeout", "soon"),
        ("--log-format", "Xml"),
        ("--gateway", "a b"),
        ("--denied-upstreams", "10.0.0.1/8"),
        ("--bootstrap", "/nonexistent/streamgate.yaml"),
    ] {
        assert_bad(&["--listener", LISTENER, flag, value], &[flag, value.trim_end_matches("/streamgate.yaml")])?;
    }
    Ok(())
}

#[test]
fn a_flag_that_is_none() -> Result<()> {
    assert_bad(&["--listener", LISTENER, "--colour"], &["--colour"])
}

#[test]
fn every_problem_at_once() -> Result<()> {
    let words = ["--workers: found 0", "--client-hello-timeout: found `0s`", "--gateway: found `a b`"];
    let flags = ["--listener", LISTENER, "--workers", "0", "--client-hello-timeout", "0s", "--gateway", "a b"];
    assert_bad(&flags, &words)
}

/// Asserts that a proxy does not start for what is around it, and says these words.
fn assert_fails(config: &ConfigDir, more: &[&str], words: &[&str]) -> Result<()> {
    let output = run(config, more)?;
    assert_eq!(output.code, Some(1), "{more:?}: {output:?}");
    let text = output.text() + &output.stderr;
    for word in words {
        assert!(text.contains(word), "{more:?}: no `{word}` in {output:?}");
    }
    Ok(())
}

#[test]
fn a_port_of_a_listener_that_is_taken_by_another_proxy() -> Result<()> {
    let config = ConfigDir::new()?;
    let other = Proxy::start(&config, &[Listener::mqtt("plain")])?;
    let address = other.address("plain");
    let listener = format!("name=plain,address={address},protocol=MQTT");
    assert_fails(&config, &["--listener", &listener], &[&format!("can't listen at {address} (listener plain)")])
}

#[test]
fn an_admin_port_that_is_taken() -> Result<()> {
    let config = ConfigDir::new()?;
    let other = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = other.local_addr()?.to_string();
    let words = [&*format!("can't listen at {address} (admin)")];
    assert_fails(&config, &["--listener", LISTENER, "--admin", &address], &words)
}

#[test]
fn an_address_that_is_not_this_hosts() -> Result<()> {
    let listener = "name=plain,address=192.0.2.1:1883,protocol=MQTT";
    assert_fails(&ConfigDir::new()?, &["--listener", listener], &["can't listen at 192.0.2.1:1883 (listener plain)"])
}

#[test]
fn a_configuration_directory_that_is_not_there() -> Result<()> {
    let config = ConfigDir::new()?;
    std::fs::remove_dir_all(config.path())?;
    let words = ["can't read the configuration directory", &config.path().display().to_string()];
    assert_fails(&config, &["--listener", LISTENER], &words)
}

#[test]
fn a_status_directory_that_cannot_be_made() -> Result<()> {
    let config = ConfigDir::new()?;
    config.write("revision", b"1")?;
    let status = config.path().join("revision").display().to_string();
    assert_fails(&config, &["--listener", LISTENER, "--status-dir", &status], &["can't write to", &status])
}

#[test]
fn signals_end_it_with_code_0() -> Result<()> {
    for signal in ["TERM", "INT"] {
        let mut proxy = Proxy::start(&ConfigDir::new()?, &[Listener::mqtt("plain")])?;
        proxy.signal(signal)?;
        assert_eq!(proxy.wait_for_end(wait::SOON)?.code(), Some(0), "{signal}");
    }
    Ok(())
}

#[test]
fn the_version() -> Result<()> {
    let output = proxy(&["--version"])?;
    assert_eq!(output.code, Some(0), "{output:?}");
    // All crates of the workspace have the same.
    assert_eq!(output.text(), format!("streamgate-proxy {}\n", env!("CARGO_PKG_VERSION")));
    Ok(())
}

#[test]
fn the_help_names_all_commands() -> Result<()> {
    let output = proxy(&["--help"])?;
    assert_eq!(output.code, Some(0), "{output:?}");
    for command in ["run", "check", "explain"] {
        let line = format!("  {command} ");
        assert!(output.text().lines().any(|text| text.starts_with(&line)), "{command}: {output:?}");
    }
    Ok(())
}

#[test]
fn the_help_of_run_names_all_fields_of_the_bootstrap_file() -> Result<()> {
    let output = proxy(&["run", "--help"])?;
    assert_eq!(output.code, Some(0), "{output:?}");
    for flag in [
        "--bootstrap",
        "--gateway",
        "--config-dir",
        "--status-dir",
        "--listener",
        "--admin",
        "--workers",
        "--client-hello-timeout",
        "--drain-delay",
        "--drain-time",
        "--log-format",
        "--denied-upstreams",
    ] {
        assert!(output.text().contains(&format!("{flag} <")), "{flag}: {output:?}");
    }
    Ok(())
}

#[test]
fn without_a_command_it_says_which_there_are() -> Result<()> {
    let output = proxy(&[])?;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("explain"), "{output:?}");
    Ok(())
}
