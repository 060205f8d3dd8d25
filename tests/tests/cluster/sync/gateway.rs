//! A gateway's namespace with generated objects, and a sync and a proxy that serve it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use streamgate_tests::chart::Permissions;
use streamgate_tests::config_dir::{ConfigDir, dedent, manifest};
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::pki::{CertificateAuthority, Credentials};
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::sync::Sync;
use streamgate_tests::tls_client::{TlsClient, TlsStream};
use streamgate_tests::wire::{Connect, Version};
use streamgate_tests::{wait, wire};

use super::api::Api;

/// The name that devices ask for.
pub(crate) const NAME: &str = "localhost";
/// The pod that sync and the proxy are in.
pub(crate) const POD: &str = "proxy-0";

/// Files by their paths.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A gateway of its own in a cluster, with what the operator would have written, and a directory for a proxy.
pub(crate) struct Gateway<'a> {
    pub(crate) cluster: &'a ControlPlane,
    pub(crate) api: Api,
    pub(crate) namespace: String,
    pub(crate) config: ConfigDir,
    pub(crate) authority: CertificateAuthority,
    /// Of the account of the proxies' pods.
    kubeconfig: PathBuf,
}

impl<'a> Gateway<'a> {
    /// An empty one, with the Role of sync.
    pub(crate) fn new(cluster: &'a ControlPlane) -> Result<Self> {
        let namespace = cluster.namespace("streamgate-sync")?;
        let pods = "streamgate-system";
        // Another test may be first.
        cluster.kubectl(&["create", "namespace", pods], None)?;
        let gateway = namespace.trim_start_matches("streamgate-");
        let permissions = Permissions { system: pods, gateway, watched: &[], by_label: false };
        cluster.kubectl(&["create", "serviceaccount", &namespace, "-n", pods], None)?.succeeded("create")?;
        cluster.apply(&permissions.manifests_in(&namespace)?)?;
        let kubeconfig = cluster.service_account_kubeconfig(pods, &namespace)?;
        Ok(Self {
            cluster,
            api: Api::of(cluster)?,
            namespace,
            config: ConfigDir::new()?,
            authority: CertificateAuthority::new("Acme CA")?,
            kubeconfig,
        })
    }

    /// One whose devices are led to this broker.
    pub(crate) fn before(cluster: &'a ControlPlane, broker: SocketAddr) -> Result<Self> {
        let gateway = Self::new(cluster)?;
        gateway.write_certificate(&gateway.authority.server(&[NAME])?)?;
        gateway.write("configmaps", "acme.ca", &[("ca.crt", &gateway.authority.certificate_pem())])?;
        gateway.write_file("endpoints", "acme.broker", &endpoints(broker))?;
        gateway.write_tls_sni("devices", NAME)?;
        gateway.write_route("devices", "")?;
        Ok(gateway)
    }

    pub(crate) fn name(&self) -> &str {
        self.namespace.trim_start_matches("streamgate-")
    }

    pub(crate) fn start_sync(&self) -> Result<Sync> {
        Sync::start(&self.kubeconfig, self.name(), POD, &self.config)
    }

    pub(crate) fn start_ready_sync(&self) -> Result<Sync> {
        Sync::start_ready(&self.kubeconfig, self.name(), POD, &self.config)
    }

    pub(crate) fn start_proxy(&self) -> Result<Proxy> {
        let listeners = [Listener::mqtts("mqtts"), Listener::mqtt("mqtt")];
        Proxy::start_with(&self.config, &listeners, &["--gateway", self.name()])
    }

    /// Writes an object as the operator does, and gives its resourceVersion. `source` is `<namespace>.<name>`.
    pub(crate) fn write(&self, folder: &str, source: &str, data: &[(&str, &str)]) -> Result<String> {
        self.api.write(&self.path(folder), &object(folder, source, data))
    }

    /// Writes an object that is a file.
    pub(crate) fn write_file(&self, folder: &str, source: &str, text: &str) -> Result<String> {
        self.write(folder, source, &[(&format!("{source}.yaml"), text)])
    }

    /// Writes a TlsSni of the namespace `acme`, with the certificate and the authority of this gateway.
    pub(crate) fn write_tls_sni(&self, name: &str, sni: &str) -> Result<String> {
        let spec = format!(
            "
            gateway: {}
            snis: [{sni}]
            certificates: [{{secretName: server}}]
            clientAuth: {{ca: {{configMapName: ca}}}}
            ",
            self.name()
        );
        self.write_file("tlssnis", &format!("acme.{name}"), &manifest("TlsSni", "acme", name, &spec))
    }

    /// Writes a StreamRoute of the namespace `acme` to the Service `broker`, with further fields.
    pub(crate) fn write_route(&self, name: &str, more: &str) -> Result<String> {
        self.write_file("streamroutes", &format!("acme.{name}"), &self.route(name, more))
    }

    pub(crate) fn route(&self, name: &str, more: &str) -> String {
        let upstream = "upstream: {services: [{name: broker, port: mqtt}]}";
        let spec = format!("gateway: {}\n{upstream}\n{}", self.name(), dedent(more));
        manifest("StreamRoute", "acme", name, &spec)
    }

    pub(crate) fn write_certificate(&self, credentials: &Credentials) -> Result<String> {
        let keys = credentials.tls_secret();
        let keys = keys.each_ref().map(|(key, pem)| std::str::from_utf8(pem).map(|pem| (*key, pem)));
        self.write("secrets", "acme.server", &keys.into_iter().collect::<Result<Vec<_>, _>>()?)
    }

    pub(crate) fn delete(&self, folder: &str, source: &str) -> Result<()> {
        self.api.delete(&self.path(folder), &format!("{folder}.{source}"))
    }

    /// The path of the list of ConfigMaps or Secrets in which the objects of a folder are.
    pub(crate) fn path(&self, folder: &str) -> String {
        let kind = if ["secrets", "ticket-keys"].contains(&folder) { "secrets" } else { "configmaps" };
        format!("/api/v1/namespaces/{}/{kind}", self.namespace)
    }

    /// The Lease of the proxy, once it is as wanted.
    pub(crate) fn wait_for_lease(&self, what: &str, wanted: impl Fn(&Value, &Value) -> bool) -> Result<(Value, Value)> {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{POD}", self.namespace);
        let mut last = Value::Null;
        wait::until(what, wait::SOON, || {
            let lease = self.api.read(&path).ok()?;
            let report = lease["metadata"]["annotations"]["streamgate.dev/status"].as_str();
            let report = report.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
            last = lease.clone();
            wanted(&lease, &report).then_some((lease, report))
        })
        .with_context(|| format!("the Lease is {last}"))
    }

    /// All that the proxy can read of the directory and the namespace would have there, by its path; equal once sync is done.
    pub(crate) fn files_and_objects(&self) -> Result<(Files, Files)> {
        let mut objects = BTreeMap::new();
        for (kind, folder) in [("configmaps", "configmaps"), ("secrets", "secrets")] {
            let list = self.api.read(&format!("{}?labelSelector=streamgate.dev/folder", self.path(folder)))?;
            for object in list["items"].as_array().context("a list")? {
                let name = object["metadata"]["name"].as_str().context("a name")?;
                let (folder, source) = name.split_once('.').unwrap_or((name, ""));
                for (key, value) in object["data"].as_object().into_iter().flatten() {
                    let text = value.as_str().context("text")?;
                    let bytes = if kind == "secrets" { from_base64(text)? } else { text.as_bytes().to_vec() };
                    let path = match folder {
                        "secrets" | "configmaps" => format!("{folder}/{source}/{key}"),
                        _ => format!("{folder}/{key}"),
                    };
                    objects.insert(path, bytes);
                }
            }
        }
        Ok((self.config.files()?, objects))
    }

    /// Waits until the directory is what the namespace says.
    pub(crate) fn wait_for_all(&self) -> Result<()> {
        let mut last = String::new();
        wait::until("the files to be the objects", wait::SOON, || {
            let (files, objects) = self.files_and_objects().ok()?;
            last = format!("{:?}\nand not\n{:?}", files.keys(), objects.keys());
            (files == objects).then_some(())
        })
        .context(last)
    }

    /// Connects a device over mutual TLS, and gives the code of its CONNACK.
    pub(crate) fn connect(&self, proxy: &Proxy) -> Result<(TlsStream, u8)> {
        self.connect_as(proxy, &self.authority)
    }

    /// The same, by a device that trusts `authority` for the proxy's certificate.
    pub(crate) fn connect_as(&self, proxy: &Proxy, authority: &CertificateAuthority) -> Result<(TlsStream, u8)> {
        let device = self.authority.device("device-1")?;
        let client = TlsClient::with_certificate(authority, NAME, &device)?;
        let mut stream = client.connect(proxy.address("mqtts"))?;
        let answer = wire::connack(&mut stream, &Connect::new(Version::V311, "device-1"))?;
        let code = answer.code().context("no CONNACK")?;
        Ok((stream, code))
    }
}

/// A generated object, as the operator writes it. Texts of Secrets are encoded here.
pub(crate) fn object(folder: &str, source: &str, data: &[(&str, &str)]) -> Value {
    let is_secret = ["secrets", "ticket-keys"].contains(&folder);
    let name = if source.is_empty() { folder.to_owned() } else { format!("{folder}.{source}") };
    let labels = json!({"streamgate.dev/folder": folder, "app.kubernetes.io/managed-by": "streamgate-operator"});
    let data: BTreeMap<&str, &str> = data.iter().copied().collect();
    json!({
        "apiVersion": "v1",
        "kind": if is_secret { "Secret" } else { "ConfigMap" },
        "metadata": {"name": name, "labels": labels},
        if is_secret { "stringData" } else { "data" }: data,
    })
}

/// What the Service `acme/broker` means: one pod.
pub(crate) fn endpoints(broker: SocketAddr) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{namespace: acme, name: broker}}
spec: {{type: ClusterIP, ports: [{{name: mqtt, port: 1883}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{namespace: acme, name: broker-1, labels: {{kubernetes.io/service-name: broker}}}}
addressType: IPv4
ports: [{{name: mqtt, port: {}, protocol: TCP}}]
endpoints:
- addresses: [{}]
  conditions: {{ready: true}}
  targetRef: {{kind: Pod, name: broker-0}}
",
        broker.port(),
        broker.ip()
    )
}

/// What `revision` says, in numbers: of ConfigMaps, and of Secrets.
pub(crate) fn revision(text: &str) -> Result<(u64, u64)> {
    let (config_maps, secrets) = text.trim().split_once(' ').context("two versions")?;
    let number = |text: &str, kind: &str| anyhow::Ok(text.strip_prefix(kind).context("a version")?.parse()?);
    Ok((number(config_maps, "configmaps=")?, number(secrets, "secrets=")?))
}

/// A file of a folder of the configuration, as text.
pub(crate) fn read(config: &ConfigDir, path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(config.path().join(path)).ok()
}

fn from_base64(text: &str) -> Result<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let Some(value) = DIGITS.iter().position(|other| *other == digit) else { bail!("no base64: {text}") };
        bits = bits << 6 | u32::try_from(value)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff)?);
        }
    }
    Ok(bytes)
}
