//! What the demo runs on: a folder with the example's manifests and what they refer to, the brokers, the proxy.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result, bail};
use streamgate_crds::manifest::{self, Manifest};
use streamgate_crds::stream_route::{LoadBalancerType, StreamRoute};
use streamgate_crds::tls_sni::TlsSni;
use streamgate_crds::{Problem, Sni};
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::pki::{CertificateAuthority, Credentials, Leaf};
use streamgate_tests::proxy::{self, Listener, Proxy};
use streamgate_tests::tls_client::TlsClient;

use crate::brokers::{Broker, Make};
use crate::story::{Story, say};

/// The name of the proxy's one listener.
const LISTENER: &str = "mqtts";
/// Where the example's brokers are.
const BROKER_HOSTS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 0, 11), Ipv4Addr::new(127, 0, 0, 12), Ipv4Addr::new(127, 0, 0, 13)];
/// The port that the example's manifests name.
const BROKER_PORT: u16 = 21883;
/// The port that MQTT over TLS has.
const LISTENER_PORT: u16 = 8883;

/// All that runs. Ended, and the folder taken away, on drop.
pub(crate) struct World {
    /// The running proxy.
    pub(crate) proxy: Proxy,
    /// The running brokers.
    pub(crate) brokers: Vec<Broker>,
    /// Who shares the port. At least two; the first one's devices stay with a broker by client id.
    pub(crate) tenants: Vec<Tenant>,
    /// Signs the servers' certificates; what devices trust.
    pub(crate) server_authority: CertificateAuthority,
    /// The directory that the proxy reads.
    pub(crate) config: ConfigDir,
}

/// Whose names and routes they are: a namespace.
pub(crate) struct Tenant {
    /// The namespace.
    pub(crate) namespace: String,
    /// A name that its `TlsSni` serves.
    pub(crate) server_name: String,
    /// Signs its devices' certificates.
    pub(crate) authority: CertificateAuthority,
    /// The name of its `StreamRoute`.
    pub(crate) route: String,
    sticky: bool,
}

impl Tenant {
    /// A device's certificate, with its client id as common name and the namespace as organization.
    pub(crate) fn device(&self, client_id: &str) -> Result<Credentials> {
        self.authority.issue(&Leaf::device(client_id).organization(&self.namespace))
    }
}

impl World {
    /// Lays everything out and starts it.
    pub(crate) fn start(story: &mut Story, embedded: bool) -> Result<Self> {
        // First, since without it nothing else is of use.
        let binary = proxy::binary()?;
        let example = streamgate_tests::workspace().join("examples/standalone/config");
        story.step("Three brokers, certificates, and the proxy on the manifests of examples/standalone")?;
        let config = ConfigDir::new()?;
        config.copy_from(&example)?;
        let port = broker_port()?;
        if port != BROKER_PORT {
            say(&format!("port {BROKER_PORT} is taken: the copied manifests say {port} in its place"));
            rewrite(&config.path(), &BROKER_PORT.to_string(), &port.to_string())?;
        }
        let (tls_snis, routes) = (read_all::<TlsSni>(&config, "tlssnis")?, read_all(&config, "streamroutes")?);
        let server_authority = CertificateAuthority::new("Demo Server CA")?;
        let tenants = mint(&config, &server_authority, &tls_snis, &routes)?;
        let make = Make::choose(embedded);
        let mut brokers = Vec::new();
        for (number, host) in (1..).zip(BROKER_HOSTS) {
            let name = node_name(&routes, host).unwrap_or_else(|| format!("broker-{number}"));
            let broker = Broker::start(make, &name, SocketAddr::from((host, port)))?;
            say(&format!("broker {name} at {} ({})", broker.address(), make.describe()));
            brokers.push(broker);
        }
        let listener_port = if is_free(Ipv4Addr::LOCALHOST.into(), LISTENER_PORT) { LISTENER_PORT } else { 0 };
        let proxy = Proxy::start(&config, &[Listener::mqtts(LISTENER).at(&format!("127.0.0.1:{listener_port}"))])?;
        if listener_port == 0 {
            say(&format!("port {LISTENER_PORT} is taken: the proxy listens at a free one"));
        }
        say(&format!("proxy  {}", binary.display()));
        say(&format!("       listens at {}, admin port at {}", proxy.address(LISTENER), proxy.admin()));
        say(&format!("       reads {}", config.path().display()));
        let ready = proxy.admin_get("/readyz")?;
        story.check(ready.status == 200, &format!("the proxy is ready: GET /readyz says {}", ready.status));
        let status = proxy.status();
        let applied = status["applied"].clone();
        story.check(
            applied["tlssnis"] == tls_snis.len() && applied["streamroutes"] == routes.len(),
            &format!("status.json has all of the example applied: {applied}"),
        );
        Ok(Self { proxy, brokers, tenants, server_authority, config })
    }

    /// Where devices connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.proxy.address(LISTENER)
    }

    /// A device of a tenant, with a certificate of its own.
    pub(crate) fn device(&self, tenant: &Tenant, client_id: &str) -> Result<TlsClient> {
        let certificate = tenant.device(client_id)?;
        TlsClient::with_certificate(&self.server_authority, &tenant.server_name, &certificate)
    }

    /// The nodes of a route, as YAML in flow style: all brokers.
    pub(crate) fn nodes(&self) -> String {
        let node = |broker: &Broker| {
            let address = broker.address();
            format!("{{name: {}, host: {}, port: {}}}", broker.name, address.ip(), address.port())
        };
        format!("[{}]", self.brokers.iter().map(node).collect::<Vec<_>>().join(", "))
    }

    /// A Secret with a certificate for these names.
    pub(crate) fn server_secret(&self, namespace: &str, name: &str, names: &[&str]) -> Result<()> {
        let credentials = self.server_authority.server(names)?;
        self.config.secret(namespace, name, &credentials.tls_secret())?;
        Ok(())
    }
}

/// Makes what the `TlsSni`s refer to: certificates for their names, an authority for each one's devices.
fn mint(
    config: &ConfigDir,
    server_authority: &CertificateAuthority,
    tls_snis: &[TlsSni],
    routes: &[StreamRoute],
) -> Result<Vec<Tenant>> {
    let mut authorities: BTreeMap<String, CertificateAuthority> = BTreeMap::new();
    let mut names_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for tls_sni in tls_snis {
        let object = tls_sni.reference();
        let namespace = object.namespace.as_str();
        let names: Vec<String> = tls_sni.spec.snis.iter().map(example_name).collect();
        let leaf = Leaf::server(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for (number, certificate) in tls_sni.spec.certificates.iter().enumerate() {
            // The second of several is the RSA one, for devices that can do no better.
            let leaf = if number == 1 { leaf.clone().rsa() } else { leaf.clone() };
            let credentials = server_authority.issue(&leaf)?;
            config.secret(namespace, &certificate.secret_name, &credentials.tls_secret())?;
        }
        if !authorities.contains_key(namespace) {
            let authority = CertificateAuthority::new(&format!("Demo Device CA of {namespace}"))?;
            authorities.insert(namespace.to_owned(), authority);
        }
        let pem = authorities[namespace].certificate_pem();
        if let Some(reference) = &tls_sni.spec.client_auth.ca {
            let keys = [(reference.key(), pem.as_bytes())];
            if let Some(name) = &reference.config_map_name {
                config.config_map(namespace, name, &keys)?;
            }
            if let Some(name) = &reference.secret_name {
                config.secret(namespace, name, &keys)?;
            }
        }
        names_of.entry(namespace.to_owned()).or_insert(names);
    }
    let mut tenants = Vec::new();
    for (namespace, authority) in authorities {
        let route = routes.iter().find(|route| route.reference().namespace == namespace);
        let server_name = names_of.get(&namespace).and_then(|names| names.first());
        if let (Some(route), Some(server_name)) = (route, server_name) {
            tenants.push(Tenant {
                server_name: server_name.clone(),
                route: route.reference().name,
                sticky: route.spec.upstream.load_balancer.r#type == LoadBalancerType::ConsistentHash,
                namespace,
                authority,
            });
        }
    }
    tenants.sort_by_key(|tenant| !tenant.sticky);
    match tenants.as_slice() {
        [first, _, ..] if first.sticky => Ok(tenants),
        _ => bail!("the example is to have two namespaces with a route and a TlsSni, one of them with ConsistentHash"),
    }
}

/// A name that is covered: itself, or one below a wildcard.
fn example_name(sni: &Sni) -> String {
    match sni {
        Sni::Exact(name) => name.clone(),
        Sni::Wildcard(domain) => format!("devices.{domain}"),
        Sni::Any => "fallback.example".to_owned(),
    }
}

fn node_name(routes: &[StreamRoute], host: Ipv4Addr) -> Option<String> {
    let nodes = routes.iter().flat_map(|route| &route.spec.upstream.nodes);
    nodes.filter(|node| node.host.parse() == Ok(host)).find_map(|node| node.name.clone())
}

fn read_all<T: Manifest>(config: &ConfigDir, folder: &str) -> Result<Vec<T>> {
    let folder = config.path().join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder)?.collect::<std::io::Result<_>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    let mut objects = Vec::new();
    for file in files {
        let file_name = file.file_name().to_string_lossy().into_owned();
        let Some((namespace, name)) = file_name.strip_suffix(".yaml").and_then(|stem| stem.split_once('.')) else {
            continue;
        };
        let yaml = fs::read_to_string(file.path())?;
        match manifest::read(&file_name, namespace, name, &yaml) {
            Ok(object) => objects.push(object),
            Err(problems) => {
                bail!("{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
            }
        }
    }
    Ok(objects)
}

/// A port that is free at every broker's host: the one of the manifests if possible.
fn broker_port() -> Result<u16> {
    let free_at_all = |port| BROKER_HOSTS.iter().all(|&host| is_free(host.into(), port));
    if free_at_all(BROKER_PORT) {
        return Ok(BROKER_PORT);
    }
    for _ in 0..20 {
        let probe = TcpListener::bind((BROKER_HOSTS[0], 0))
            .with_context(|| format!("can't listen at {}, where the example has a broker", BROKER_HOSTS[0]))?;
        let port = probe.local_addr()?.port();
        drop(probe);
        if free_at_all(port) {
            return Ok(port);
        }
    }
    bail!("found no port that is free at {BROKER_HOSTS:?}")
}

fn is_free(host: IpAddr, port: u16) -> bool {
    TcpListener::bind((host, port)).is_ok()
}

/// Replaces a word in every file of a folder.
fn rewrite(folder: &Path, from: &str, to: &str) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rewrite(&path, from, to)?;
        } else {
            let text = fs::read_to_string(&path)?;
            fs::write(&path, text.replace(from, to))?;
        }
    }
    Ok(())
}
