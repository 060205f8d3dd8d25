//! A gateway with proxies that serve, and a tenant who applies manifests.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use streamgate_tests::broker::machine_address;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::fake_broker::{Answer, FakeBroker};
use streamgate_tests::gateway::{Gateway, Pod, Terms, apply_in, condition};
use streamgate_tests::operator::Operator;
use streamgate_tests::pki::{CertificateAuthority, Credentials};
use streamgate_tests::proxy::Listener;
use streamgate_tests::tls_client::{TlsClient, TlsStream};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, CONNACK_V311, Connect, PINGREQ, StreamEnd, Version};

use crate::gateways::{install, shared};

/// A gateway, its operator and proxies, and a tenant's namespace with brokers.
pub(super) struct Stage<'a> {
    pub(super) gateway: Gateway<'a>,
    pub(super) operator: Operator,
    pub(super) pods: Vec<Pod>,
    pub(super) tenant: String,
    /// Of the proxies' certificates.
    pub(super) servers: CertificateAuthority,
    /// Of the devices: in the ConfigMap `ca`.
    pub(super) devices: CertificateAuthority,
    /// The pods `broker-0` and so on of the Service `broker`. They let everybody in.
    pub(super) brokers: Vec<FakeBroker>,
}

impl<'a> Stage<'a> {
    /// With so many proxies and one broker, on the control plane that all tests share.
    pub(super) fn with_proxies(count: usize) -> Result<Stage<'static>> {
        Stage::on(shared()?, count, Terms::default())
    }

    /// The same on this control plane, which has the custom resources.
    pub(super) fn on(cluster: &'a ControlPlane, proxies: usize, terms: Terms<'_>) -> Result<Self> {
        let gateway = install(cluster, terms)?;
        let tenant = cluster.namespace("tenant")?;
        Self::of(gateway, tenant, proxies)
    }

    pub(super) fn of(gateway: Gateway<'a>, tenant: String, proxies: usize) -> Result<Self> {
        let operator = gateway.operator()?;
        let mut stage = Self {
            gateway,
            operator,
            pods: Vec::new(),
            tenant,
            servers: CertificateAuthority::new("Servers")?,
            devices: CertificateAuthority::new("Devices")?,
            brokers: Vec::new(),
        };
        for _ in 0..proxies {
            stage.add_proxy()?;
        }
        stage.set_brokers(1)?;
        stage.apply(&config_map("ca", "ca.crt", &stage.devices.certificate_pem()).to_string())?;
        Ok(stage)
    }

    /// Starts a further proxy, and has it be a ready endpoint once it is one.
    pub(super) fn add_proxy(&mut self) -> Result<()> {
        let name = format!("proxy-{}", self.pods.len());
        self.pods.push(self.gateway.start_pod(&name, &listeners())?);
        let names: Vec<&str> = self.pods.iter().map(|pod| pod.name.as_str()).collect();
        self.gateway.set_ready(&names)
    }

    /// Starts a pod's proxy anew, as a kubelet does after its end.
    pub(super) fn restart_proxy(&mut self, index: usize) -> Result<()> {
        let pod = &mut self.pods[index];
        pod.proxy.signal("KILL")?;
        pod.proxy.wait_for_end(wait::SOON)?;
        pod.proxy = self.gateway.start_proxy(&pod.config, &listeners())?;
        Ok(())
    }

    /// Has the Service `broker` have so many brokers, all of them new ones.
    pub(super) fn set_brokers(&mut self, count: usize) -> Result<()> {
        let brokers = (0..count).map(|_| start_broker()).collect::<Result<Vec<_>>>()?;
        let mut manifests = service("broker");
        for (index, broker) in brokers.iter().enumerate() {
            write!(manifests, "---\n{}", slice("broker", index, broker))?;
        }
        self.apply(&manifests)?;
        self.brokers = brokers;
        Ok(())
    }

    /// A pod of the `StatefulSet` `broker` comes back under a new address.
    pub(super) fn replace_broker(&mut self, index: usize) -> Result<()> {
        let broker = start_broker()?;
        self.apply(&slice("broker", index, &broker))?;
        self.brokers[index] = broker;
        Ok(())
    }

    /// `kubectl apply` in the tenant's namespace.
    pub(super) fn apply(&self, manifests: &str) -> Result<()> {
        apply_in(self.gateway.cluster, &self.tenant, manifests)
    }

    /// A TlsSni and a StreamRoute of this name for `<name>.example`, with a certificate in the Secret `<name>`.
    pub(super) fn manifests(&self, name: &str, upstream: &str) -> Result<String> {
        let server_name = server_name(name);
        let secret = tls_secret(name, &self.servers.server(&[&server_name])?);
        let gateway = &self.gateway.name;
        Ok(format!(
            "{secret}
---
apiVersion: streamgate.dev/v1alpha1
kind: TlsSni
metadata: {{name: {name}}}
spec:
  gateway: {gateway}
  snis: [{server_name}]
  certificates: [{{secretName: {name}}}]
  clientAuth: {{ca: {{configMapName: ca}}}}
---
apiVersion: streamgate.dev/v1alpha1
kind: StreamRoute
metadata: {{name: {name}}}
spec:
  gateway: {gateway}
  match: {{snis: [{server_name}]}}
  upstream: {upstream}
"
        ))
    }

    /// Applies what [`Stage::manifests`] gives for the Service `broker`.
    pub(super) fn apply_name(&self, name: &str) -> Result<()> {
        self.apply(&self.manifests(name, TO_BROKER)?)
    }

    /// The same, and waits as a person does: with `kubectl wait`.
    pub(super) fn program(&self, name: &str) -> Result<()> {
        self.apply_name(name)?;
        self.wait_until_programmed(&[&format!("streamroute/{name}"), &format!("tlssni/{name}")])
    }

    /// `kubectl wait --for=condition=Programmed`.
    pub(super) fn wait_until_programmed(&self, objects: &[&str]) -> Result<()> {
        let wait = ["wait", "--for=condition=Programmed", "--timeout=1m", "-n", &self.tenant];
        let waited = self.gateway.cluster.kubectl(&[&wait[..], objects].concat(), None)?;
        waited.succeeded("kubectl wait").map(drop).with_context(|| self.operator.log())
    }

    /// A condition of an object of the tenant, once it is so.
    pub(super) fn condition(&self, object: &str, wanted: [&str; 3]) -> Result<Value> {
        condition(self.gateway.cluster, &self.tenant, object, wanted).with_context(|| self.operator.log())
    }

    /// `kubectl delete` in the tenant's namespace.
    pub(super) fn delete(&self, objects: &[&str]) -> Result<()> {
        let delete = [&["delete", "-n", &self.tenant], objects].concat();
        self.gateway.cluster.kubectl(&delete, None)?.succeeded("kubectl delete")?;
        Ok(())
    }

    /// Connects a device of its own to a proxy, over mutual TLS, and gives the code of its CONNACK.
    pub(super) fn connect(&self, proxy: usize, name: &str, client_id: &str) -> Result<(TlsStream, u8)> {
        self.connect_trusting(&self.servers, proxy, name, client_id)
    }

    /// The same by a device that trusts this authority.
    pub(super) fn connect_trusting(
        &self,
        servers: &CertificateAuthority,
        proxy: usize,
        name: &str,
        client_id: &str,
    ) -> Result<(TlsStream, u8)> {
        let device = self.devices.device(client_id)?;
        let client = TlsClient::with_certificate(servers, &server_name(name), &device)?;
        let mut stream = client.connect(self.pods[proxy].proxy.address("mqtts"))?;
        let answer = wire::connack(&mut stream, &Connect::new(Version::V311, client_id))?;
        let code = answer.code().context("no CONNACK")?;
        Ok((stream, code))
    }

    /// Connects a device to a proxy, which must let it in at the first try.
    pub(super) fn let_in(&self, proxy: usize, name: &str, client_id: &str) -> Result<TlsStream> {
        let met = self.connect(proxy, name, client_id);
        let (stream, code) =
            met.with_context(|| format!("{name} at proxy {proxy}\n{}", self.pods[proxy].proxy.log()))?;
        ensure!(code == 0, "{name} at proxy {proxy}: CONNACK {code}\n{}", self.pods[proxy].proxy.log());
        Ok(stream)
    }

    /// Fails unless what a connected device sends comes to one of the brokers, and nobody ends its connection.
    pub(super) fn is_alive(&self, device: &mut TlsStream) -> Result<()> {
        let received = || -> usize {
            let of = |broker: &FakeBroker| (0..broker.count()).map(|index| broker.received(index).len()).sum::<usize>();
            self.brokers.iter().map(of).sum()
        };
        let before = received();
        std::io::Write::write_all(device, &PINGREQ)?;
        std::io::Write::flush(device)?;
        wait::until("a PINGREQ at the broker", wait::SOON, || (received() > before).then_some(()))?;
        let (_, end) = wire::read_to_end(device, std::time::Duration::from_millis(20));
        ensure!(end == StreamEnd::StillOpen, "{end:?}");
        Ok(())
    }
}

/// The upstream of most routes here.
pub(super) const TO_BROKER: &str = "{services: [{name: broker, port: mqtt}]}";

/// The server name of an object of [`Stage::manifests`].
pub(super) fn server_name(name: &str) -> String {
    format!("{name}.example")
}

/// A Secret with a certificate and its key.
pub(super) fn tls_secret(name: &str, credentials: &Credentials) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": credentials.chain_pem, "tls.key": credentials.key_pem},
    })
}

/// A ConfigMap with one key.
pub(super) fn config_map(name: &str, key: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text}})
}

/// A Service without a selector, as the test fills in its endpoints.
pub(super) fn service(name: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{clusterIP: None, ports: [{{name: mqtt, port: 1883}}]}}
"
    )
}

/// What the pod `<service>-<index>` is, when it is this broker.
pub(super) fn slice(service: &str, index: usize, broker: &FakeBroker) -> String {
    let address = broker.address();
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {service}-{index}, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: {}
ports: [{{name: mqtt, port: {}, protocol: TCP}}]
endpoints:
- addresses: ['{}']
  conditions: {{ready: true}}
  targetRef: {{kind: Pod, name: {service}-{index}}}
",
        if address.is_ipv4() { "IPv4" } else { "IPv6" },
        address.port(),
        address.ip()
    )
}

/// A broker that lets everybody in.
pub(super) fn start_broker() -> Result<FakeBroker> {
    FakeBroker::start_at(machine_address()?, Answer::Bytes(CONNACK_V311.to_vec()))
}

fn listeners() -> [Listener; 2] {
    [Listener::mqtts("mqtts"), Listener::mqtt("plain")]
}
