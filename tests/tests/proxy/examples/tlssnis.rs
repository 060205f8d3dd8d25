//! The TlsSnis of `examples/tlssnis`.

use anyhow::{Result, ensure};
use streamgate_tests::openssl::SClient;
use streamgate_tests::pki::Leaf;

use super::device::{Device, Met};
use super::stage::{Manifests, Stage};

const NAME: &str = "devices.acme.example";

/// Asserts what a device meets.
fn meets(stage: &mut Stage, device: &Device, wanted: &Met) -> Result<()> {
    let visit = stage.visit(device)?;
    ensure!(visit.met == *wanted, "not {wanted:?}: {visit:?}");
    Ok(())
}

#[test]
fn allowed_subjects_lets_in_those_that_are_named() -> Result<()> {
    let mut stage = Stage::example("tlssnis/allowed-subjects.yaml")?;
    for (leaf, met) in [
        (Leaf::device("sensor-1").organization("Acme"), Met::Code(0)),
        (Leaf::device("x").organizational_unit("Gateways").organization("Acme"), Met::Code(0)),
        (Leaf::device("meter-1").organization("Acme"), Met::Alert(49)),
        (Leaf::device("sensor-1"), Met::Alert(49)),
    ] {
        let device = Device::new("sensor-1").named(NAME).certificate(stage.authorities.device(&leaf)?);
        meets(&mut stage, &device, &met)?;
    }
    Ok(())
}

#[test]
fn allowed_subjects_takes_one_intermediate_and_not_two() -> Result<()> {
    let mut stage = Stage::example("tlssnis/allowed-subjects.yaml")?;
    let leaf = Leaf::device("sensor-1").organization("Acme");
    let one = stage.authorities.devices.intermediate("One")?;
    let device = Device::new("sensor-1").named(NAME);
    meets(&mut stage, &device.clone().certificate(one.issue(&leaf)?), &Met::Code(0))?;
    let two = one.intermediate("Two")?;
    let visit = stage.visit(&device.certificate(two.issue(&leaf)?))?;
    ensure!(visit.line["end"] == "ChainTooLong" && matches!(visit.met, Met::Alert(_)), "{visit:?}");
    Ok(())
}

#[test]
fn alpn_wants_one_of_its_protocols_of_those_who_offer_any() -> Result<()> {
    let mut stage = Stage::example("tlssnis/alpn.yaml")?;
    let device = stage.device(NAME, "sensor-1")?;
    meets(&mut stage, &device, &Met::Code(0))?;
    meets(&mut stage, &device.clone().alpn(&["mqtt"]), &Met::Code(0))?;
    meets(&mut stage, &device.clone().alpn(&["x-amzn-mqtt-ca", "h2"]), &Met::Code(0))?;
    meets(&mut stage, &device.alpn(&["h2"]), &Met::Alert(120))
}

#[test]
fn fallback_serves_any_name_and_none() -> Result<()> {
    let mut stage = Stage::example("tlssnis/fallback.yaml")?;
    let device = stage.device("fallback.example", "sensor-1")?;
    meets(&mut stage, &device, &Met::Code(0))?;
    meets(&mut stage, &device.unnamed(), &Met::Code(0))
}

#[test]
fn no_client_auth_asks_for_no_certificate() -> Result<()> {
    let mut stage = Stage::example("tlssnis/no-client-auth.yaml")?;
    let device = Device::new("sensor-1").named("public.acme.example");
    meets(&mut stage, &device, &Met::Code(0))
}

#[test]
fn optional_client_auth_takes_none_or_a_good_one() -> Result<()> {
    let mut stage = Stage::example("tlssnis/optional-client-auth.yaml")?;
    let device = stage.device("enroll.acme.example", "sensor-1")?;
    meets(&mut stage, &device, &Met::Code(0))?;
    meets(&mut stage, &device.clone().without_certificate(), &Met::Code(0))?;
    let strange = stage.authorities.servers.device("sensor-1")?;
    meets(&mut stage, &device.certificate(strange), &Met::Alert(48))
}

#[test]
fn shared_with_all_lets_a_route_of_another_namespace_attach() -> Result<()> {
    let mut manifests = Manifests::example("tlssnis/shared-with-all.yaml")?;
    manifests.add_route(
        "acme",
        "guest",
        "
        match: {snis: [mqtt.platform.example]}
        upstream: {services: [{name: broker, port: mqtt}]}
        ",
    )?;
    let mut stage = Stage::start(manifests)?;
    let device = stage.device("mqtt.platform.example", "sensor-1")?;
    let visit = stage.visit(&device)?;
    ensure!(visit.met == Met::Code(0) && visit.line["route"] == "acme/guest", "{visit:?}");
    Ok(())
}

#[test]
fn revocation_list_turns_away_who_is_on_it() -> Result<()> {
    let mut stage = Stage::example("tlssnis/revocation-list.yaml")?;
    let credentials = stage.authorities.device(&Leaf::device("sensor-1"))?;
    let device = Device::new("sensor-1").named(NAME).certificate(credentials.clone());
    meets(&mut stage, &device, &Met::Code(0))?;
    let before = stage.proxy.generation();
    stage.authorities.revoke(&stage.config, "acme", "acme-crl", &[credentials.serial()])?;
    stage.proxy.wait_for_generation_after(before)?;
    meets(&mut stage, &device, &Met::Alert(44))
}

#[test]
fn tls13_only_turns_older_devices_away() -> Result<()> {
    let mut stage = Stage::example("tlssnis/tls13-only.yaml")?;
    let device = stage.device("modern.acme.example", "sensor-1")?;
    meets(&mut stage, &device, &Met::Code(0))?;
    meets(&mut stage, &device.tls12(), &Met::Alert(70))
}

#[test]
fn two_certificates_shows_each_client_what_it_can_do() -> Result<()> {
    let stage = Stage::example("tlssnis/two-certificates.yaml")?;
    for (signatures, shown) in [("ECDSA+SHA256", "id-ecPublicKey"), ("RSA-PSS+SHA256:RSA+SHA256", "rsaEncryption")] {
        let client = SClient::new(stage.proxy.address("mqtts")).server_name(NAME);
        let client = client.arguments(&["-sigalgs", signatures, "-tls1_2"]).until("Verify return code");
        let output = client.run()?.output;
        ensure!(output.text().contains(shown), "{signatures}: {output:?}");
    }
    Ok(())
}

#[test]
fn wildcard_serves_every_name_of_one_label() -> Result<()> {
    let mut stage = Stage::example("tlssnis/wildcard.yaml")?;
    let device = stage.device("a.devices.acme.example", "sensor-1")?;
    meets(&mut stage, &device, &Met::Code(0))?;
    meets(&mut stage, &device.clone().named("a.b.devices.acme.example"), &Met::Alert(112))?;
    meets(&mut stage, &device.named(NAME), &Met::Alert(112))
}
