//! The proxy under test, with a tenant and its certificates.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Result, bail};
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::tls_client::TlsClient;

use crate::broker;

/// The name that devices ask for.
pub(crate) const NAME: &str = "bench.example";

/// A running proxy with one worker, and its broker.
pub(crate) struct World {
    pub(crate) proxy: Proxy,
    pub(crate) config: ConfigDir,
    pub(crate) broker: SocketAddr,
    pub(crate) device: TlsClient,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let broker = broker::start().await?;
        let authority = CertificateAuthority::new("Bench CA")?;
        let config = ConfigDir::new()?;
        config.secret("bench", "tls", &authority.server(&[NAME])?.tls_secret())?;
        config.config_map("bench", "ca", &[("ca.crt", authority.certificate_pem().as_bytes())])?;
        config.tls_sni(
            "bench",
            "devices",
            &format!(
                "{{snis: [{NAME}], certificates: [{{secretName: tls}}], clientAuth: {{ca: {{configMapName: ca}}}}}}"
            ),
        )?;
        config.stream_route("bench", "devices", &route(broker))?;
        let device = TlsClient::with_certificate(&authority, NAME, &authority.device("device")?)?;
        let listeners = [Listener::mqtt("plain"), Listener::mqtts("mqtts")];
        let flags = ["--workers", "1", "--log-format", "Json"];
        let proxy = Proxy::start_with(&config, &listeners, &flags)?;
        pin(proxy.id(), 0)?;
        pin(std::process::id(), 1)?;
        Ok(Self { proxy, config, broker, device })
    }
}

/// A route to three endpoints, all of them the one broker.
pub(crate) fn route(broker: SocketAddr) -> String {
    let (host, port) = (broker.ip(), broker.port());
    let nodes: Vec<String> =
        (0..3).map(|number| format!("{{name: broker-{number}, host: {host}, port: {port}}}")).collect();
    format!("upstream: {{loadBalancer: {{type: ConsistentHash}}, nodes: [{}]}}", nodes.join(", "))
}

/// Puts all threads of a process on one core.
fn pin(id: u32, core: u32) -> Result<()> {
    let output = Command::new("taskset").args(["-acp", &core.to_string(), &id.to_string()]).output()?;
    if !output.status.success() {
        bail!("taskset: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
