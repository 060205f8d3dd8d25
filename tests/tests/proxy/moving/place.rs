//! What a team has that moves: a broker, certificates, `HAProxy`'s configuration of today, and streamgate beside it with the
//! manifests of the page.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use streamgate_crds::yaml::Document;
use streamgate_tests::broker::Broker;
use streamgate_tests::config_dir::{ConfigDir, dedent};
use streamgate_tests::mosquitto::{self, Subscriber};
use streamgate_tests::page::{Kind, Page};
use streamgate_tests::pki::{CertificateAuthority, CredentialFiles, Credentials};
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wait;

use super::device::{self, By};
use super::haproxy::Haproxy;
use crate::examples::ports;

/// The name that moves; it is in every `/etc/hosts` too.
pub(super) const NAME: &str = "localhost";
/// Another name of the same port.
pub(super) const OTHER_NAME: &str = "devices.globex.example";
/// The common name of the device's certificate.
pub(super) const DEVICE: &str = "sensor-1";

const PAGE: &str = "docs/from-haproxy-ingress.md";
/// What the page calls [`NAME`].
const NAME_IN_PAGE: &str = "devices.acme.example";

pub(super) struct Place {
    pub(super) broker: Broker,
    pub(super) proxy: Proxy,
    /// The devices' address of today, `HAProxy`'s.
    pub(super) old_address: SocketAddr,
    page: Page,
    config: ConfigDir,
    servers: CertificateAuthority,
    device: Credentials,
    device_files: CredentialFiles,
}

impl Place {
    pub(super) fn new() -> Result<Self> {
        let (servers, devices) = (CertificateAuthority::new("Servers")?, CertificateAuthority::new("Devices")?);
        let server = servers.server(&[NAME, OTHER_NAME])?;
        let device = devices.device(DEVICE)?;
        let (broker, config) = (Broker::start("amber")?, ConfigDir::new()?);
        let page = Page::read(PAGE)?;

        // The same certificates and client CA for both.
        config.secret("acme", "devices-tls", &server.tls_secret())?;
        config.config_map("acme", "devices-ca", &[("ca.crt", devices.certificate_pem().as_bytes())])?;
        let folder = config.scratch();
        fs::write(folder.join("devices.pem"), format!("{}{}", server.chain_pem, server.key_pem))?;
        devices.write(folder, "devices-ca")?;
        let device_files = device.write(folder, "device")?;
        servers.write(folder, "servers")?;

        for manifest in block(&page, &Kind::Manifests)?.split("---\n") {
            let folder = if manifest.contains("kind: TlsSni\n") { "tlssnis" } else { "streamroutes" };
            config.write(&format!("{folder}/acme.devices.yaml"), manifest.as_bytes())?;
        }
        let port = broker.address().port();
        config.endpoints(
            "acme",
            "broker",
            &format!(
                "
                apiVersion: v1
                kind: Service
                spec: {{ports: [{{name: mqtt, port: 1883}}]}}
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                addressType: IPv4
                ports: [{{name: mqtt, port: {port}}}]
                endpoints: [{{addresses: [127.0.0.1], targetRef: {{kind: Pod, name: broker-0}}}}]
                "
            ),
        )?;
        let proxy = Proxy::start(&config, &[Listener::mqtts("mqtts")])?;
        let old_address = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
        Ok(Self { broker, proxy, old_address, page, config, servers, device, device_files })
    }

    /// `HAProxy`'s configuration as its ingress controller makes it of this ConfigMap of the page. Where it ends TLS, devices
    /// must show a certificate.
    pub(super) fn of_config_map(&self, file: &str) -> Result<String> {
        let text = block(&self.page, &Kind::File(file.to_owned()))?;
        let document = Document::parse(&text).map_err(|problem| anyhow::anyhow!("{file}: {problem}"))?;
        let entry = document.text("data.8883").with_context(|| format!("{file}: no entry for 8883"))?;
        let (service, ends_tls) = match entry.strip_suffix(":ssl") {
            Some(service) => (service, true),
            None => (entry, false),
        };
        let server = match service {
            "acme/broker:1883" => self.broker.address(),
            "streamgate-system/streamgate-default:8883" => self.proxy.address("mqtts"),
            _ => anyhow::bail!("{file}: there is no Service {service}"),
        };
        let folder = self.config.scratch().display();
        let tls = format!("ssl crt {folder}/devices.pem ca-file {folder}/devices-ca.crt verify required");
        Ok(dedent(&format!(
            "
            global
                hard-stop-after 30m
            defaults
                mode tcp
                timeout connect 5s
                timeout client 50s
                timeout server 50s
                timeout tunnel 1h
            frontend tcp-8883
                bind {} name v4 {}
                default_backend service
            backend service
                balance roundrobin
                default-server check
                server SRV_1 {server} enabled
            ",
            self.old_address,
            if ends_tls { &tls } else { "" },
        )))
    }

    /// The page's configuration by which names move one after the other, at the places of this run.
    pub(super) fn by_name(&self) -> Result<String> {
        let mut text = block(&self.page, &Kind::File("haproxy.cfg".to_owned()))?;
        let own = ports::free()?;
        for (written, here) in [
            ("bind :8883", format!("bind {}", self.old_address)),
            ("streamgate-default.streamgate-system.svc:8883", self.proxy.address("mqtts").to_string()),
            ("broker-0.broker.acme.svc:1883", self.broker.address().to_string()),
            ("127.0.0.1:8882", format!("127.0.0.1:{own}")),
            ("/etc/haproxy", self.config.scratch().display().to_string()),
        ] {
            ensure!(text.contains(written), "{PAGE}: haproxy.cfg has no {written}");
            text = text.replace(written, &here);
        }
        Ok(text)
    }

    /// `HAProxy` as it is today: it ends mutual TLS before the broker.
    pub(super) fn today(&self) -> Result<Haproxy> {
        Haproxy::start(&self.of_config_map("haproxy.yaml")?)
    }

    /// A device that asks for this name, with its certificate.
    pub(super) fn client(&self, name: &str) -> Result<TlsClient> {
        Ok(TlsClient::with_certificate(&self.servers, name, &self.device)?.alpn(&["mqtt"]))
    }

    /// One that has no certificate.
    pub(super) fn client_without_certificate(&self) -> Result<TlsClient> {
        TlsClient::new(&self.servers, NAME)
    }

    /// Devices of every kind for this name: with a session to be resumed or none, by TLS 1.3 and 1.2.
    pub(super) fn clients(&self, name: &str) -> Result<Vec<TlsClient>> {
        let tls_12 = [&rustls::version::TLS12];
        let tls_12 = TlsClient::with_versions(&self.servers, name, Some(&self.device), &tls_12)?.alpn(&["mqtt"]);
        let tls_13 = self.client(name)?;
        Ok(vec![tls_13.clone(), tls_12.clone(), tls_13.without_resumption(), tls_12.without_resumption()])
    }

    /// Has a new device served at the old address, and says who ended its TLS.
    pub(super) fn visit(&self, name: &str, client_id: &str) -> Result<By> {
        let mut stream = self.client(name)?.connect(self.old_address)?;
        device::visit(&mut stream, client_id).with_context(|| client_id.to_owned())
    }

    /// A `mosquitto_sub` at this address, for everything below `up/`.
    pub(super) fn subscriber(&self, address: SocketAddr, client_id: &str) -> Result<Subscriber> {
        let to = self.arguments(address, &["-i", client_id, "-t", "up/#"]);
        Subscriber::start(&to.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A `mosquitto_pub` at this address, which must succeed.
    pub(super) fn publish(&self, address: SocketAddr, client_id: &str, message: &str) -> Result<()> {
        let to = self.arguments(address, &["-i", client_id, "-t", "up/x", "-q", "1", "-m", message]);
        mosquitto::publish(&to.iter().map(String::as_str).collect::<Vec<_>>(), wait::SOON)?
            .succeeded("mosquitto_pub")?;
        Ok(())
    }

    fn arguments(&self, address: SocketAddr, more: &[&str]) -> Vec<String> {
        let authority = self.config.scratch().join("servers.crt").display().to_string();
        let (certificate, key) = (self.device_files.certificate.display(), self.device_files.key.display());
        let port = address.port();
        let tls = format!("-h {NAME} -p {port} --cafile {authority} --cert {certificate} --key {key}");
        tls.split(' ').chain(more.iter().copied()).map(str::to_owned).collect()
    }
}

/// The text of the page's first block of this kind, about [`NAME`].
fn block(page: &Page, kind: &Kind) -> Result<String> {
    let block = page.blocks()?.into_iter().find(|block| block.kind == *kind);
    let text = block.with_context(|| format!("{PAGE} has no block {kind:?}"))?.text;
    Ok(text.replace(NAME_IN_PAGE, NAME))
}
