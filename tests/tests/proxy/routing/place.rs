//! A configuration directory of several tenants, each of whose routes leads to a broker that is called as the route.

use std::cell::RefCell;
use std::net::SocketAddr;

use anyhow::Result;
use streamgate_tests::config_dir::{ConfigDir, dedent, manifest};
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wire::{Connect, Version};

use crate::balancing::fleet::{NamedBroker, connect_from, fate, fate_of_error};

/// The listener without TLS.
pub(crate) const PLAIN: &str = "plain";
/// The listener with TLS.
pub(crate) const MQTTS: &str = "mqtts";

pub(crate) struct Place {
    pub(crate) config: ConfigDir,
    pub(crate) authority: CertificateAuthority,
    brokers: RefCell<Vec<NamedBroker>>,
}

impl Place {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            config: ConfigDir::new()?,
            authority: CertificateAuthority::new("Server CA")?,
            brokers: RefCell::default(),
        })
    }

    /// A `TlsSni` for these names, with a certificate, and further YAML of its spec.
    pub(crate) fn tls_sni(&self, object: &str, snis: &[&str], rest: &str) -> Result<&Self> {
        self.tls_sni_created(object, None, snis, rest)
    }

    /// The same, created at this time.
    pub(crate) fn tls_sni_created(
        &self,
        object: &str,
        created: Option<&str>,
        snis: &[&str],
        rest: &str,
    ) -> Result<&Self> {
        let (namespace, name) = parts(object);
        let names: Vec<&str> = snis.iter().map(|&sni| if sni == "*" { FALLBACK_NAME } else { sni }).collect();
        self.config.secret(namespace, &format!("{name}-tls"), &self.authority.server(&names)?.tls_secret())?;
        let spec = format!("snis: {snis:?}\ncertificates: [{{secretName: {name}-tls}}]\n{}", dedent(rest));
        let text = with_time(&manifest("TlsSni", namespace, name, &spec), created);
        self.config.write(&format!("tlssnis/{namespace}.{name}.yaml"), text.as_bytes())?;
        Ok(self)
    }

    /// A `StreamRoute` to a broker of its own, with further YAML of its spec.
    pub(crate) fn route(&self, object: &str, rest: &str) -> Result<&Self> {
        self.route_created(object, None, rest)
    }

    /// The same, created at this time.
    pub(crate) fn route_created(&self, object: &str, created: Option<&str>, rest: &str) -> Result<&Self> {
        let (namespace, name) = parts(object);
        let broker = NamedBroker::start(object)?;
        let node = format!("{{host: 127.0.0.1, port: {}}}", broker.address().port());
        self.brokers.borrow_mut().push(broker);
        let spec = format!("upstream: {{nodes: [{node}]}}\n{}", dedent(rest));
        let text = with_time(&manifest("StreamRoute", namespace, name, &spec), created);
        self.config.write(&format!("streamroutes/{namespace}.{name}.yaml"), text.as_bytes())?;
        Ok(self)
    }

    /// A proxy with the two listeners.
    pub(crate) fn start(&self) -> Result<Proxy> {
        Proxy::start(&self.config, &[Listener::mqtt(PLAIN), Listener::mqtts(MQTTS)])
    }

    /// A client without a certificate that asks for this name.
    pub(crate) fn client(&self, name: &str) -> Result<TlsClient> {
        TlsClient::new(&self.authority, name)
    }

    /// How a client fares that asks for this name.
    pub(crate) fn by_name(&self, address: SocketAddr, name: &str) -> Result<String> {
        Ok(by_client(&self.client(name)?, address))
    }

    /// How a client fares that asks for no name.
    pub(crate) fn by_no_name(&self, address: SocketAddr) -> Result<String> {
        Ok(by_client(&self.client(FALLBACK_NAME)?.without_sni(), address))
    }
}

/// How a client over TLS fares.
pub(crate) fn by_client(client: &TlsClient, address: SocketAddr) -> String {
    match client.connect(address) {
        Ok(mut stream) => fate(&mut stream, &connect()),
        Err(error) => fate_of_error(&error),
    }
}

/// How a plaintext client fares that comes from this address.
pub(crate) fn by_source(address: SocketAddr, source: &str) -> Result<String> {
    Ok(fate(&mut connect_from(source, address)?, &connect()))
}

/// What all of these clients send.
pub(crate) fn connect() -> Connect {
    Connect::new(Version::V311, "device")
}

/// The reasons for which an object is refused in `status.json`.
pub(crate) fn refusals(proxy: &Proxy, object: &str) -> Vec<String> {
    let (namespace, name) = parts(object);
    let status = proxy.status();
    let refused = status["refused"].as_array().cloned().unwrap_or_default();
    let of_object = refused.iter().filter(|refusal| refusal["namespace"] == namespace && refusal["name"] == name);
    of_object.map(|refusal| refusal["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

fn parts(object: &str) -> (&str, &str) {
    object.split_once('/').unwrap_or((object, ""))
}

fn with_time(manifest: &str, created: Option<&str>) -> String {
    match created {
        Some(time) => manifest.replacen("metadata:\n", &format!("metadata:\n  creationTimestamp: {time}\n"), 1),
        None => manifest.to_owned(),
    }
}

/// What a `TlsSni` for `"*"` has its certificate for.
const FALLBACK_NAME: &str = "fallback.example";
