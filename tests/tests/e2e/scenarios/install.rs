//! From nothing to devices of two tenants on one port.

use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wire::{self, Connect, Version};

use super::certificates::{UNKNOWN_CA, refusal};
use crate::measured::Measured;
use crate::outside::Outside;
use crate::site::{SYSTEM, Site};

/// `helm install`, `kubectl apply`, `kubectl wait`: then every device gets in at the first try, from outside and from inside,
/// each tenant's by its own name and authority.
pub(crate) fn two_tenants_connect_by_name_on_one_port(site: &Site, measured: &mut Measured) -> Result<()> {
    let start = Instant::now();
    site.install("")?;
    measured.seconds("helm install until all pods are ready", start.elapsed());
    measured.seconds("kubectl apply of the examples until Programmed", site.apply_examples()?);

    let tenants = [("devices.acme.example", &site.acme), ("meters.globex.example", &site.globex)];
    let address = site.address()?;
    // Where the tests run is the node's own network, or one that reaches it; on our cluster another is beyond the node.
    let outside = if site.machine.is_own() { Some(Outside::new()?) } else { None };
    let mut connected = 0;
    for (name, authority) in tenants {
        let client = TlsClient::with_certificate(&site.public, name, &authority.device("sensor-1")?)?;
        for version in [Version::V311, Version::V5] {
            connects(wire::connect_tcp(address)?, &client, version)?;
            connected += 1;
            if let Some(outside) = &outside {
                connects(outside.connect(address)?, &client, version).context("by way of the node")?;
                connected += 1;
            }
        }
    }
    measured.value("devices of two tenants let in at the first try, by NodePort", connected);
    let stranger = TlsClient::with_certificate(&site.public, tenants[0].0, &site.globex.device("sensor-1")?)?;
    let alert = refusal(address, &stranger)?;
    ensure!(alert == Some(UNKNOWN_CA), "globex' device at acme's name: alert {alert:?}");

    device_connects_from_inside(site, "acme", "devices.acme.example", &site.acme)?;
    device_connects_from_inside(site, "globex", "meters.globex.example", &site.globex)?;
    site.set_up_fleet()
}

fn connects(stream: TcpStream, client: &TlsClient, version: Version) -> Result<()> {
    let mut stream = client.handshake(stream)?;
    let connect = Connect::new(version, "sensor-1");
    let packet = wire::connack(&mut stream, &connect)?;
    ensure!(packet.first_byte == 0x20 && packet.body.get(1) == Some(&0), "no CONNACK that lets it in: {packet:?}");
    Ok(stream.write_all(&wire::DISCONNECT)?)
}

/// A pod with mosquitto's own client publishes one message.
fn device_connects_from_inside(
    site: &Site,
    namespace: &str,
    server_name: &str,
    authority: &CertificateAuthority,
) -> Result<()> {
    let device = authority.device("sensor-2")?;
    let service = site.kube.get(&format!("service -n {SYSTEM} streamgate-default"))?;
    let data = json!({
        "tls.crt": device.chain_pem, "tls.key": device.key_pem, "ca.crt": site.public.certificate_pem(),
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": "sensor-2"}, "stringData": data,
    });
    let publish = [
        "mosquitto_pub",
        "-V",
        "mqttv5",
        "-h",
        server_name,
        "-p",
        "8883",
        "-i",
        "sensor-2",
        "-t",
        "up",
        "-m",
        "hello",
        "-q",
        "1",
        "--cafile",
        "/device/ca.crt",
        "--cert",
        "/device/tls.crt",
        "--key",
        "/device/tls.key",
    ];
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": "sensor-2"},
        "spec": {
            "restartPolicy": "Never",
            "hostAliases": [{"ip": service["spec"]["clusterIP"], "hostnames": [server_name]}],
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 1883, "fsGroup": 1883, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "device", "image": site.images.mosquitto, "command": publish,
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "device", "mountPath": "/device"}],
            }],
            "volumes": [{"name": "device", "secret": {"secretName": "sensor-2"}}],
        },
    });
    site.kube.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [secret, pod]}).to_string())?;
    let ended = site.kube.try_kubectl(&format!(
        "wait -n {namespace} pod/sensor-2 --for=jsonpath={{.status.phase}}=Succeeded --timeout=60s"
    ))?;
    ensure!(
        ended.success(),
        "the device inside failed: {}",
        site.kube.kubectl(&format!("logs -n {namespace} sensor-2"))?
    );
    site.kube.kubectl(&format!("delete -n {namespace} pod/sensor-2 secret/sensor-2 --wait=false"))?;
    Ok(())
}
