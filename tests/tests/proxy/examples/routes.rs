//! The StreamRoutes of `examples/routes`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use streamgate_tests::pki::Leaf;
use streamgate_tests::wire::{Connect, Version};

use super::device::{Device, Met};
use super::stage::{Manifests, Stage};

const NAME: &str = "devices.acme.example";

/// The endpoint that a device reaches.
fn endpoint(stage: &mut Stage, device: &Device) -> Result<String> {
    let visit = stage.visit(device)?;
    visit.endpoint().map(str::to_owned).with_context(|| format!("not let in: {visit:?}"))
}

/// The endpoints that some devices reach, each as often as it is.
fn endpoints(stage: &mut Stage, devices: impl IntoIterator<Item = Device>) -> Result<Vec<String>> {
    devices.into_iter().map(|device| endpoint(stage, &device)).collect()
}

/// How many different ones there are.
fn distinct(endpoints: &[String]) -> usize {
    endpoints.iter().collect::<BTreeSet<_>>().len()
}

#[test]
fn client_id_required_refuses_an_empty_client_id() -> Result<()> {
    let mut stage = Stage::example("routes/client-id-required.yaml")?;
    let device = stage.device(NAME, "sensor-1")?;
    ensure!(stage.visit(&device)?.met == Met::Code(0));
    let met = stage.visit(&device.clone().called(Version::V311, ""))?.met;
    ensure!(met == Met::Code(0x02), "{met:?}");
    let met = stage.visit(&device.called(Version::V5, ""))?.met;
    ensure!(met == Met::Code(0x85), "{met:?}");
    Ok(())
}

#[test]
fn connect_limits_closes_on_a_connect_of_more_than_4096_bytes() -> Result<()> {
    let mut stage = Stage::example("routes/connect-limits.yaml")?;
    let device = stage.device(NAME, "sensor-1")?;
    let will = |bytes: usize| Connect::new(Version::V5, "sensor-1").will("t", &vec![b'x'; bytes], 0, false);
    ensure!(stage.visit(&device.clone().sends(will(4000)))?.met == Met::Code(0));
    let met = stage.visit(&device.sends(will(4096)))?.met;
    ensure!(met == Met::Code(0x95), "{met:?}");
    Ok(())
}

#[test]
fn connect_limits_gives_a_connect_three_seconds() -> Result<()> {
    let mut stage = Stage::example("routes/connect-limits.yaml")?;
    let half = Connect::new(Version::V311, "sensor-1").bytes()[..7].to_vec();
    let device = stage.device(NAME, "sensor-1")?.sends_bytes(&half);
    let visit = stage.visit(&device)?;
    ensure!(visit.met == Met::Closed && visit.line["end"] == "ConnectTimeout", "{visit:?}");
    let milliseconds = visit.line["duration_ms"].as_u64().context("a duration")?;
    ensure!((3000..10_000).contains(&milliseconds), "{visit:?}");
    Ok(())
}

#[test]
fn hash_by_client_id_keeps_a_client_id_at_its_broker() -> Result<()> {
    let mut stage = Stage::example("routes/hash-by-client-id.yaml")?;
    let devices: Vec<Device> =
        (0..8).map(|number| stage.device(NAME, &format!("sensor-{number}"))).collect::<Result<_>>()?;
    let first = endpoints(&mut stage, devices.clone())?;
    ensure!(distinct(&first) > 1, "{first:?}");
    ensure!(endpoints(&mut stage, devices)? == first);
    Ok(())
}

#[test]
fn hash_by_client_id_takes_the_address_of_a_client_without_one() -> Result<()> {
    let mut stage = Stage::example("routes/hash-by-client-id.yaml")?;
    let device = stage.device(NAME, "sensor-1")?.called(Version::V5, "");
    let reached = endpoints(&mut stage, vec![device; 4])?;
    ensure!(distinct(&reached) == 1, "{reached:?}");
    Ok(())
}

#[test]
fn hash_by_certificate_subject_keeps_a_subject_at_its_broker() -> Result<()> {
    let mut stage = Stage::example("routes/hash-by-certificate-subject.yaml")?;
    let mut of_subjects = Vec::new();
    for subject in 0..8 {
        let device = stage.device(NAME, &format!("gateway-{subject}"))?;
        let devices = (0..3).map(|number| device.clone().called(Version::V311, &format!("c-{subject}-{number}")));
        let reached = endpoints(&mut stage, devices)?;
        ensure!(distinct(&reached) == 1, "{reached:?}");
        of_subjects.push(reached[0].clone());
    }
    ensure!(distinct(&of_subjects) > 1, "{of_subjects:?}");
    Ok(())
}

#[test]
fn hash_by_sni_keeps_a_name_at_its_broker() -> Result<()> {
    let mut stage = Stage::example("routes/hash-by-sni.yaml")?;
    let mut of_names = Vec::new();
    for tenant in 0..8 {
        let name = format!("t{tenant}.tenants.acme.example");
        let devices: Vec<Device> =
            (0..3).map(|number| stage.device(&name, &format!("sensor-{number}"))).collect::<Result<_>>()?;
        let reached = endpoints(&mut stage, devices)?;
        ensure!(distinct(&reached) == 1, "{reached:?}");
        of_names.push(reached[0].clone());
    }
    ensure!(distinct(&of_names) > 1, "{of_names:?}");
    Ok(())
}

#[test]
fn hash_by_source_ip_keeps_an_address_at_its_broker() -> Result<()> {
    let mut stage = Stage::example("routes/hash-by-source-ip.yaml")?;
    let devices: Vec<Device> =
        (0..6).map(|number| stage.device(NAME, &format!("sensor-{number}"))).collect::<Result<_>>()?;
    let reached = endpoints(&mut stage, devices)?;
    ensure!(distinct(&reached) == 1, "{reached:?}");
    Ok(())
}

#[test]
fn hash_by_username_keeps_a_user_name_at_its_broker() -> Result<()> {
    let mut stage = Stage::example("routes/hash-by-username.yaml")?;
    let device = stage.device(NAME, "sensor-1")?;
    let mut of_names = Vec::new();
    for name in 0..8 {
        let devices = (0..3).map(|number| {
            let connect = Connect::new(Version::V311, &format!("c-{name}-{number}"));
            device.clone().sends(connect.username(&format!("user-{name}")))
        });
        let reached = endpoints(&mut stage, devices)?;
        ensure!(distinct(&reached) == 1, "{reached:?}");
        of_names.push(reached[0].clone());
    }
    ensure!(distinct(&of_names) > 1, "{of_names:?}");
    Ok(())
}

#[test]
fn matches_certificate_refuses_the_client_id_of_another() -> Result<()> {
    let mut stage = Stage::example("routes/matches-certificate.yaml")?;
    let device = stage.device(NAME, "sensor-1")?;
    ensure!(stage.visit(&device)?.met == Met::Code(0));
    let met = stage.visit(&device.called(Version::V311, "sensor-2"))?.met;
    ensure!(met == Met::Code(0x05), "{met:?}");
    Ok(())
}

#[test]
fn matches_dns_san_takes_a_dns_name_of_the_certificate() -> Result<()> {
    let mut stage = Stage::example("routes/matches-dns-san.yaml")?;
    let leaf = Leaf::device("serial-0815").dns_san("sensor-1.acme.example");
    let device = Device::new("sensor-1.acme.example").named(NAME).certificate(stage.authorities.device(&leaf)?);
    ensure!(stage.visit(&device)?.met == Met::Code(0));
    let met = stage.visit(&device.called(Version::V311, "serial-0815"))?.met;
    ensure!(met == Met::Code(0x05), "{met:?}");
    Ok(())
}

#[test]
fn mqtt31_only_tells_others_that_their_version_is_not_served() -> Result<()> {
    let mut stage = Stage::example("routes/mqtt31-only.yaml")?;
    let device = stage.device("legacy.acme.example", "sensor-1")?;
    ensure!(stage.visit(&device.clone().called(Version::V31, "sensor-1"))?.met == Met::Code(0));
    let met = stage.visit(&device.clone().called(Version::V311, "sensor-1"))?.met;
    ensure!(met == Met::Code(0x01), "{met:?}");
    let met = stage.visit(&device.called(Version::V5, "sensor-1"))?.met;
    ensure!(met == Met::Code(0x84), "{met:?}");
    Ok(())
}

#[test]
fn plaintext_listener_is_for_the_listener_plain_alone() -> Result<()> {
    let mut stage = Stage::example("routes/plaintext-listener.yaml")?;
    ensure!(stage.visit(&Device::new("clerk").at("plain"))?.met == Met::Code(0));
    let device = stage.device("fallback.example", "clerk")?;
    let visit = stage.visit(&device)?;
    ensure!(visit.met == Met::Code(0x05) && visit.line["end"] == "NoRoute", "{visit:?}");
    Ok(())
}

#[test]
fn retries_reaches_the_one_broker_that_is_left() -> Result<()> {
    let mut stage = Stage::example("routes/retries.yaml")?;
    for stopped in ["broker-0", "broker-2"] {
        stage.brokers.remove(stopped);
    }
    for number in 0..3 {
        let device = stage.device(NAME, &format!("sensor-{number}"))?;
        let reached = endpoint(&mut stage, &device)?;
        ensure!(reached == "broker-1", "{reached}");
    }
    Ok(())
}

#[test]
fn retries_tells_a_device_when_no_broker_is_left() -> Result<()> {
    let mut stage = Stage::example("routes/retries.yaml")?;
    stage.brokers.clear();
    let device = stage.device(NAME, "sensor-1")?;
    let visit = stage.visit(&device)?;
    ensure!(visit.met == Met::Code(0x03) && visit.line["end"] == "NoEndpoint", "{visit:?}");
    Ok(())
}

#[test]
fn source_ranges_refuses_other_addresses() -> Result<()> {
    let mut stage = Stage::example("routes/source-ranges.yaml")?;
    let device = stage.device(NAME, "sensor-1")?;
    let visit = stage.visit(&device)?;
    ensure!(visit.met == Met::Code(0x05) && visit.line["end"] == "NoRoute", "{visit:?}");
    Ok(())
}

#[test]
fn source_ranges_lets_its_own_addresses_in() -> Result<()> {
    let path = streamgate_tests::workspace().join("examples").join("routes/source-ranges.yaml");
    let text = std::fs::read_to_string(path)?.replace("10.20.0.0/16", "127.0.0.0/8");
    let mut stage = Stage::start(Manifests::read(&text)?)?;
    let device = stage.device(NAME, "sensor-1")?;
    ensure!(stage.visit(&device)?.met == Met::Code(0));
    Ok(())
}

#[test]
fn two_services_gives_the_new_one_about_a_tenth() -> Result<()> {
    let mut stage = Stage::example("routes/two-services.yaml")?;
    let device = stage.device(NAME, "sensor")?;
    let devices: Vec<Device> =
        (0..150).map(|number| device.clone().called(Version::V311, &format!("sensor-{number}"))).collect();
    let reached = endpoints(&mut stage, devices.clone())?;
    let new = reached.iter().filter(|endpoint| endpoint.starts_with("broker-next-")).count();
    // The client ids decide, so this count never changes; 15 of 150 are a tenth.
    ensure!((6..=27).contains(&new), "{new} of 150");
    ensure!(endpoints(&mut stage, devices[..10].to_vec())? == reached[..10]);
    Ok(())
}

#[test]
fn weighted_nodes_gives_nine_of_ten_to_the_first_and_none_to_the_last() -> Result<()> {
    let mut stage = Stage::example_with_one_worker("routes/weighted-nodes.yaml")?;
    let device = stage.device(NAME, "sensor-1")?;
    let reached = endpoints(&mut stage, vec![device; 20])?;
    let count = |name: &str| reached.iter().filter(|endpoint| *endpoint == name).count();
    ensure!((count("broker-a"), count("broker-b"), count("broker-c")) == (18, 2, 0), "{reached:?}");
    Ok(())
}

#[test]
fn wildcard_names_serves_every_name_of_one_label() -> Result<()> {
    let mut stage = Stage::example("routes/wildcard-names.yaml")?;
    for name in ["a.tenants.acme.example", "b.tenants.acme.example"] {
        let device = stage.device(name, "sensor-1")?;
        ensure!(stage.visit(&device)?.met == Met::Code(0), "{name}");
    }
    let device = stage.device("a.b.tenants.acme.example", "sensor-1")?;
    let met = stage.visit(&device)?.met;
    ensure!(met == Met::Alert(112), "{met:?}");
    Ok(())
}
