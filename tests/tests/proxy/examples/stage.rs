//! What a manifest needs around it to be run: certificates for its names, brokers behind its services and nodes, the
//! proxy, and devices that come.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use streamgate_crds::manifest::{self, Manifest};
use streamgate_crds::yaml::Document;
use streamgate_crds::{Problem, Sni, StreamRoute, TlsSni};
use streamgate_tests::config_dir::{self, ConfigDir};
use streamgate_tests::fake_broker::{Answer, FakeBroker};
use streamgate_tests::pki::{CertificateAuthority, Credentials, Leaf};
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::wire::CONNACK_V311;
use streamgate_tests::workspace;

use super::device::{Device, Visit};

/// How many endpoints a service has here.
const ENDPOINTS: usize = 3;

/// Manifests out of a file of the examples or a block of the documentation.
#[derive(Default)]
pub(crate) struct Manifests {
    pub(crate) tls_snis: Vec<TlsSni>,
    pub(crate) stream_routes: Vec<StreamRoute>,
    /// As they were written: the path in the configuration directory, and the text.
    files: Vec<(String, String)>,
}

/// A running proxy on some manifests. Its brokers record, and let everybody in.
pub(crate) struct Stage {
    /// What the proxy reads.
    pub(crate) config: ConfigDir,
    /// The proxy.
    pub(crate) proxy: Proxy,
    /// By what the access line calls them: `broker-0` of the service `broker`, a node by its name, else its host and port.
    pub(crate) brokers: BTreeMap<String, FakeBroker>,
    /// Who signed the certificates.
    pub(crate) authorities: Authorities,
}

/// Who signs certificates.
pub(crate) struct Authorities {
    /// Those of the proxy, under every TlsSni.
    pub(crate) servers: CertificateAuthority,
    /// Those of the devices: the `ca` of every TlsSni.
    pub(crate) devices: CertificateAuthority,
}

impl Manifests {
    /// The manifests of a text, one or more YAML documents of our kinds.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let mut manifests = Self::default();
        for document in text.split("\n---\n") {
            manifests.add(document)?;
        }
        Ok(manifests)
    }

    /// The manifests of a file under `examples/`.
    pub(crate) fn example(path: &str) -> Result<Self> {
        let text = fs::read_to_string(workspace().join("examples").join(path)).with_context(|| path.to_owned())?;
        Self::read(&text)
    }

    /// Adds a route with this `spec`.
    pub(crate) fn add_route(&mut self, namespace: &str, name: &str, spec: &str) -> Result<()> {
        self.add(&config_dir::manifest("StreamRoute", namespace, name, spec))
    }

    fn add(&mut self, text: &str) -> Result<()> {
        let document = Document::parse(text).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        let word =
            |field: &str| document.text(field).map(str::to_owned).with_context(|| format!("no {field}:\n{text}"));
        let (kind, namespace, name) = (word("kind")?, word("metadata.namespace")?, word("metadata.name")?);
        let folder = match kind.as_str() {
            "TlsSni" => {
                self.tls_snis.push(read(text, &namespace, &name)?);
                "tlssnis"
            }
            "StreamRoute" => {
                self.stream_routes.push(read(text, &namespace, &name)?);
                "streamroutes"
            }
            other => bail!("a manifest of the kind {other}"),
        };
        self.files.push((format!("{folder}/{namespace}.{name}.yaml"), text.to_owned()));
        Ok(())
    }

    /// Adds what there must be besides: a TlsSni for routes, a route for TlsSnis.
    fn complete(&mut self) -> Result<()> {
        if self.tls_snis.is_empty() {
            let routes = &self.stream_routes;
            let namespace = routes.first().context("no manifest")?.reference().namespace;
            let names: Vec<String> =
                routes.iter().flat_map(|route| &route.spec.r#match.snis).map(|sni| format!("\"{sni}\"")).collect();
            let names = if names.is_empty() { "\"*\"".to_owned() } else { names.join(", ") };
            let spec = format!(
                "{{snis: [{names}], certificates: [{{secretName: stage}}], clientAuth: {{ca: {{configMapName: stage}}}}}}"
            );
            self.add(&config_dir::manifest("TlsSni", &namespace, "stage", &spec))?;
        }
        if self.stream_routes.is_empty() {
            let namespaces = self.tls_snis.iter().map(|tls_sni| tls_sni.reference().namespace);
            for namespace in namespaces.collect::<BTreeSet<_>>() {
                self.add_route(&namespace, "stage", "upstream: {services: [{name: broker, port: mqtt}]}")?;
            }
        }
        Ok(())
    }
}

impl Stage {
    /// Starts the proxy on an example, by its path under `examples/`.
    pub(crate) fn example(path: &str) -> Result<Self> {
        Self::start(Manifests::example(path)?).with_context(|| path.to_owned())
    }

    /// The same with a single worker, so that there is one turn of brokers.
    pub(crate) fn example_with_one_worker(path: &str) -> Result<Self> {
        Self::start_with(Manifests::example(path)?, &["--workers", "1"]).with_context(|| path.to_owned())
    }

    /// The same with further flags of the proxy.
    pub(crate) fn example_with_flags(path: &str, flags: &[&str]) -> Result<Self> {
        Self::start_with(Manifests::example(path)?, flags).with_context(|| path.to_owned())
    }

    /// Starts the proxy on manifests, with the listeners `mqtts` and `plain`.
    pub(crate) fn start(manifests: Manifests) -> Result<Self> {
        Self::start_with(manifests, &[])
    }

    fn start_with(mut manifests: Manifests, flags: &[&str]) -> Result<Self> {
        manifests.complete()?;
        let config = ConfigDir::new()?;
        let authorities = Authorities::new()?;
        for tls_sni in &manifests.tls_snis {
            authorities.mint(&config, tls_sni)?;
        }
        let mut brokers = BTreeMap::new();
        for (path, text) in &manifests.files {
            config.write(path, text.as_bytes())?;
        }
        for route in &manifests.stream_routes {
            start_services(&config, route, &mut brokers)?;
            start_nodes(&config, route, &mut brokers)?;
        }
        let listeners = [Listener::mqtts("mqtts"), Listener::mqtt("plain")];
        let proxy = Proxy::start_with(&config, &listeners, flags)?;
        let status = proxy.status();
        if status["refused"].as_array().is_none_or(|refused| !refused.is_empty()) {
            bail!("not all took effect: {status}");
        }
        Ok(Self { config, proxy, brokers, authorities })
    }

    /// A device with a certificate for this common name, which asks for a server name and is called by the common name.
    pub(crate) fn device(&self, name: &str, common_name: &str) -> Result<Device> {
        Ok(Device::new(common_name).named(name).certificate(self.authorities.devices.device(common_name)?))
    }

    /// Lets a device come and go.
    pub(crate) fn visit(&mut self, device: &Device) -> Result<Visit> {
        let before: BTreeMap<_, _> = self.brokers.iter().map(|(name, broker)| (name.clone(), broker.count())).collect();
        // The recorders end no connection by themselves.
        let end_at_brokers = || {
            for (name, broker) in &self.brokers {
                (before[name]..broker.count()).try_for_each(|index| broker.end_sending(index))?;
            }
            Ok(())
        };
        let visit = device.visit(&mut self.proxy, &self.authorities.servers, end_at_brokers)?;
        if let Some(endpoint) = visit.endpoint() {
            let now = self.brokers.get(endpoint).map(FakeBroker::count);
            ensure!(now > before.get(endpoint).copied(), "the access line names another broker: {}", visit.line);
        }
        Ok(visit)
    }
}

impl Authorities {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { servers: CertificateAuthority::new("Servers")?, devices: CertificateAuthority::new("Devices")? })
    }

    /// Makes what a TlsSni refers to. The second certificate of several is an RSA one.
    pub(crate) fn mint(&self, config: &ConfigDir, tls_sni: &TlsSni) -> Result<()> {
        let namespace = tls_sni.reference().namespace;
        let names: Vec<String> = tls_sni.spec.snis.iter().map(name_of).collect();
        let leaf = Leaf::server(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for (index, certificate) in tls_sni.spec.certificates.iter().enumerate() {
            let leaf = if index == 1 { leaf.clone().rsa() } else { leaf.clone() };
            config.secret(&namespace, &certificate.secret_name, &self.servers.issue(&leaf)?.tls_secret())?;
        }
        if let Some(ca) = &tls_sni.spec.client_auth.ca {
            let pem = self.devices.certificate_pem();
            let keys = [(ca.key(), pem.as_bytes())];
            if let Some(name) = &ca.config_map_name {
                config.config_map(&namespace, name, &keys)?;
            }
            if let Some(name) = &ca.secret_name {
                config.secret(&namespace, name, &keys)?;
            }
        }
        if let Some(crl) = &tls_sni.spec.client_auth.crl {
            let name = crl.config_map_name.as_deref().context("a list of an example is in a ConfigMap of its own")?;
            self.revoke(config, &namespace, name, &[])?;
        }
        Ok(())
    }

    /// Writes the list of the devices that are revoked, by their serial numbers, which ends tomorrow.
    pub(crate) fn revoke(&self, config: &ConfigDir, namespace: &str, name: &str, serials: &[u64]) -> Result<()> {
        let tomorrow = SystemTime::now() + Duration::from_hours(24);
        let list = self.devices.revocation_list(serials, tomorrow)?;
        config.config_map(namespace, name, &[("ca.crl", list.as_bytes())])?;
        Ok(())
    }

    /// A device's certificate.
    pub(crate) fn device(&self, leaf: &Leaf) -> Result<Credentials> {
        self.devices.issue(leaf)
    }
}

/// A name that a pattern of names means.
fn name_of(sni: &Sni) -> String {
    match sni {
        Sni::Exact(name) => name.clone(),
        Sni::Wildcard(_) => sni.to_string(),
        Sni::Any => "fallback.example".to_owned(),
    }
}

fn read<T: Manifest>(text: &str, namespace: &str, name: &str) -> Result<T> {
    manifest::read(name, namespace, name, text).map_err(|problems| {
        anyhow::anyhow!("{}\n{text}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// Three recorders for each service of a route.
fn start_services(config: &ConfigDir, route: &StreamRoute, brokers: &mut BTreeMap<String, FakeBroker>) -> Result<()> {
    let namespace = route.reference().namespace;
    for service in &route.spec.upstream.services {
        let mut documents = "apiVersion: v1\nkind: Service\nspec: {ports: [{name: mqtt, port: 1883}]}\n".to_owned();
        for index in 0..ENDPOINTS {
            let identity = format!("{}-{index}", service.name);
            let broker = FakeBroker::start(Answer::Bytes(CONNACK_V311.to_vec()))?;
            let port = broker.address().port();
            write!(
                documents,
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\nports: [{{name: mqtt, port: \
                 {port}}}]\nendpoints: [{{addresses: [127.0.0.1], targetRef: {{kind: Pod, name: {identity}}}}}]\n"
            )?;
            brokers.insert(identity, broker);
        }
        config.endpoints(&namespace, &service.name, &documents)?;
    }
    Ok(())
}

/// A recorder in the place of each node of a route, whose manifest is the same but for the addresses.
fn start_nodes(config: &ConfigDir, route: &StreamRoute, brokers: &mut BTreeMap<String, FakeBroker>) -> Result<()> {
    let mut manifest = serde_json::to_value(route)?;
    let Some(nodes) = manifest["spec"]["upstream"]["nodes"].as_array_mut() else { return Ok(()) };
    for (written, node) in route.spec.upstream.nodes.iter().zip(nodes) {
        let broker = FakeBroker::start(Answer::Bytes(CONNACK_V311.to_vec()))?;
        node["name"] = Value::String(written.identity());
        node["host"] = Value::String(broker.address().ip().to_string());
        node["port"] = Value::from(broker.address().port());
        brokers.insert(written.identity(), broker);
    }
    let object = route.reference();
    let path = format!("streamroutes/{}.{}.yaml", object.namespace, object.name);
    config.write(&path, manifest.to_string().as_bytes())?;
    Ok(())
}
