//! What `helm test` does, with processes in place of its pod: the device's script, the broker's settings and the certificates are
//! those that the chart renders.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use streamgate_tests::broker::{free_address, machine_address};
use streamgate_tests::gateway::Terms;
use streamgate_tests::process::{self, Process};
use streamgate_tests::proxy::Listener;
use streamgate_tests::{mosquitto, wait};

use super::{ValueSet, find, of_kind};
use crate::gateways::{install, shared};

const NAME: &str = "helm-test-streamgate";
const MOST: Duration = Duration::from_mins(3);

#[test]
fn the_device_of_helm_test_gets_through_a_gateway_and_one_without_a_certificate_does_not() -> Result<()> {
    let cluster = shared()?;
    let gateway = install(cluster, Terms::default())?;
    let operator = gateway.operator()?;
    let pod = gateway.start_pod("proxy-0", &[Listener::mqtts("mqtts")])?;
    gateway.set_ready(&["proxy-0"])?;
    let text = format!("gateways: {{default: null, {}: {{}}}}\ntest: {{serverName: localhost}}", gateway.name);
    let rendered = ValueSet { name: "the test".to_owned(), text }.render(&gateway.system)?;
    let is_of_test = |manifest: &&Value| manifest["metadata"]["annotations"]["helm.sh/hook"] == "test";
    let hooks: Vec<Value> = rendered.iter().filter(is_of_test).cloned().collect();
    ensure!(hooks.len() == 7, "{hooks:#?}");
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();

    let address = free_address(machine_address()?)?;
    let map = find(&hooks, "ConfigMap", NAME)?;
    let file = |key: &str| map["data"][key].as_str().with_context(|| key.to_owned());
    let listener = format!("listener {} {}", address.port(), address.ip());
    fs::write(path("mosquitto.conf"), file("mosquitto.conf")?.replace("listener 1883", &listener))?;
    fs::write(path("device.sh"), file("device.sh")?.replace("/run/device", &folder.path().to_string_lossy()))?;
    let mut broker = Command::new(mosquitto::server_program());
    broker.args(["-c", &path("mosquitto.conf")]);
    let _broker = Process::start(broker)?;

    let without_pod: Vec<&Value> = hooks.iter().filter(|hook| hook["kind"] != "Pod").collect();
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": without_pod}).to_string())?;
    cluster.apply(&endpoint(&gateway.system, address).to_string())?;
    for key in ["tls.crt", "tls.key", "ca.crt"] {
        let secret = format!("{NAME}-device");
        let template = format!("-o=go-template={{{{index .data \"{key}\" | base64decode}}}}");
        let got = cluster.kubectl(&["get", "secret", &secret, "-n", &gateway.system, &template], None)?;
        fs::write(path(key), got.succeeded("kubectl get secret")?.stdout)?;
    }
    let mut device = Command::new("sh");
    device.arg(path("device.sh")).env("SERVER_NAME", "localhost").env("DEADLINE_SECONDS", "60");
    device.env("PORT", pod.proxy.address("mqtts").port().to_string());
    let ended = process::run(device, MOST)?;
    ensure!(ended.success(), "{ended:?}\n{}\n{}", operator.log(), pod.proxy.log());
    ensure!(ended.text().contains("a device got through to localhost"), "{ended:?}");
    wait::until("the refusal of the one without a certificate", wait::SOON, || {
        pod.proxy.log().contains("CertificateRequired").then_some(())
    })
}

/// The broker in place of the pod that the Service selects.
fn endpoint(namespace: &str, address: SocketAddr) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "ports": [{"name": "mqtt", "port": address.port(), "protocol": "TCP"}],
        "endpoints": [{"addresses": [address.ip()], "conditions": {"ready": true}}],
    })
}

#[test]
fn nothing_of_the_test_stays_and_there_is_none_without_a_listener_with_tls() -> Result<()> {
    let rendered = |text: &str| ValueSet { name: text.to_owned(), text: text.to_owned() }.render("tested");
    for manifest in
        rendered("{}")?.iter().filter(|manifest| !manifest["metadata"]["annotations"]["helm.sh/hook"].is_null())
    {
        let policy = manifest["metadata"]["annotations"]["helm.sh/hook-delete-policy"].as_str().unwrap_or_default();
        for when in ["before-hook-creation", "hook-succeeded", "hook-failed"] {
            ensure!(policy.contains(when), "{manifest:#}");
        }
    }
    let plain = rendered("gatewayDefaults: {listeners: [{name: mqtt, protocol: MQTT, port: 1883}]}")?;
    ensure!(of_kind(&plain, "Pod").count() == 0 && of_kind(&plain, "TlsSni").count() == 0);
    Ok(())
}
