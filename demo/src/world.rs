//! What the demo runs on: the example's manifests and what they refer to, in a folder or a cluster, the brokers, the proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result, bail};
use streamgate_crds::Kind;
use streamgate_crds::manifest::{self, Manifest};
use streamgate_crds::stream_route::{LoadBalancerType, StreamRoute};
use streamgate_crds::tls_sni::TlsSni;
use streamgate_crds::{Problem, Sni};
use streamgate_tests::broker::{free_address, machine_address};
use streamgate_tests::config_dir::{self, ConfigDir};
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::pki::{CertificateAuthority, Credentials, Leaf};
use streamgate_tests::process::Output;
use streamgate_tests::proxy::{self, Listener, Proxy};
use streamgate_tests::tls_client::TlsClient;

use crate::brokers::{Broker, Make};
use crate::cluster::{self, Cluster};
use crate::story::{Story, say};

/// The name of the proxy's one listener.
const LISTENER: &str = "mqtts";
/// Where the example's brokers are.
pub(crate) const BROKER_HOSTS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 0, 11), Ipv4Addr::new(127, 0, 0, 12), Ipv4Addr::new(127, 0, 0, 13)];
/// The port that the example's manifests name.
pub(crate) const BROKER_PORT: u16 = 21883;
/// The port that MQTT over TLS has.
const LISTENER_PORT: u16 = 8883;

/// All that runs. Ended, and the folder taken away, on drop.
pub(crate) struct World<'a> {
    /// The running proxy.
    pub(crate) proxy: Proxy,
    /// The running brokers.
    pub(crate) brokers: Vec<Broker>,
    /// Who shares the port. At least two; the first one's devices stay with a broker by client id.
    pub(crate) tenants: Vec<Tenant>,
    /// Signs the servers' certificates; what devices trust.
    pub(crate) server_authority: CertificateAuthority,
    /// The directory that the proxy reads: the demo's to write, or in a cluster config-sync's.
    pub(crate) config: ConfigDir,
    /// The cluster, where the manifests are applied to one.
    pub(crate) cluster: Option<Cluster<'a>>,
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

impl<'a> World<'a> {
    /// Lays everything out and starts it, on a control plane where there is one.
    pub(crate) fn start(story: &mut Story, embedded: bool, plane: Option<&'a ControlPlane>) -> Result<Self> {
        match plane {
            Some(plane) => Self::start_in_cluster(story, embedded, plane),
            None => Self::start_in_folder(story, embedded),
        }
    }

    fn start_in_folder(story: &mut Story, embedded: bool) -> Result<Self> {
        // First, since without it nothing else is of use.
        proxy::binary()?;
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
        let tenants = mint(&Place { config: &config, cluster: None }, &server_authority, &tls_snis, &routes)?;
        let make = Make::choose(embedded);
        let mut brokers = Vec::new();
        for (number, host) in (1..).zip(BROKER_HOSTS) {
            let name = node_name(&routes, host).unwrap_or_else(|| format!("broker-{number}"));
            let broker = Broker::start(make, &name, SocketAddr::from((host, port)))?;
            say(&format!("broker {name} at {} ({})", broker.address(), make.describe()));
            brokers.push(broker);
        }
        let proxy = Proxy::start(&config, &[listener()])?;
        describe(story, &proxy, &config)?;
        let status = proxy.status();
        let applied = status["applied"].clone();
        story.check(
            applied["tlssnis"] == tls_snis.len() && applied["streamroutes"] == routes.len(),
            &format!("status.json has all of the example applied: {applied}"),
        );
        Ok(Self { proxy, brokers, tenants, server_authority, config, cluster: None })
    }

    fn start_in_cluster(story: &mut Story, embedded: bool, plane: &'a ControlPlane) -> Result<Self> {
        proxy::binary()?;
        let example = streamgate_tests::workspace().join("examples/standalone/config");
        story.step("A cluster with the operator, three brokers, and a proxy with its config-sync")?;
        let mut cluster = Cluster::start(plane)?;
        let make = Make::choose(embedded);
        // Loopback is no upstream in a cluster.
        let host = machine_address()?;
        let mut brokers = Vec::new();
        for number in 0..BROKER_HOSTS.len() {
            let broker = Broker::start(make, &format!("broker-{number}"), free_address(host)?)?;
            say(&format!("broker {} at {} ({})", broker.name, broker.address(), make.describe()));
            brokers.push(broker);
        }
        let (config, proxy) = cluster.start_pod(listener())?;
        describe(story, &proxy, &config)?;
        story.check(cluster.operator.leads(), "the operator is ready and leads");

        story.step("The manifests of examples/standalone, by `kubectl apply`")?;
        let read = ConfigDir::new()?;
        read.copy_from(&example)?;
        let (tls_snis, routes) =
            (read_all::<TlsSni>(&read, "tlssnis")?, read_all::<StreamRoute>(&read, "streamroutes")?);
        let namespaces: BTreeSet<String> = tls_snis.iter().map(|tls_sni| tls_sni.reference().namespace).collect();
        for namespace in &namespaces {
            cluster.create_namespace(namespace)?;
            cluster.apply_brokers(namespace, &brokers, |_| true)?;
        }
        let server_authority = CertificateAuthority::new("Demo Server CA")?;
        let place = Place { config: &config, cluster: Some(&cluster) };
        let tenants = mint(&place, &server_authority, &tls_snis, &routes)?;
        for object in tls_snis.iter().map(Manifest::reference).chain(routes.iter().map(Manifest::reference)) {
            let folder = if object.kind == Kind::TlsSni { "tlssnis" } else { "streamroutes" };
            let file = example.join(format!("{folder}/{}.{}.yaml", object.namespace, object.name));
            cluster.apply(&object.namespace, &cluster::relocated(&file, &brokers)?)?;
        }
        for namespace in &namespaces {
            let waited = cluster.wait_until_programmed(namespace, &["streamroutes,tlssnis", "--all"])?;
            story.check(waited.success(), &format!("kubectl wait in {namespace}: {}", one_line(&waited)));
        }
        cluster.show(story)?;
        Ok(Self { proxy, brokers, tenants, server_authority, config, cluster: Some(cluster) })
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

    /// Where a route leads, as YAML in flow style: to all brokers.
    pub(crate) fn upstream(&self) -> String {
        match self.cluster {
            Some(_) => "services: [{name: broker, port: mqtt}]".to_owned(),
            None => format!("nodes: {}", self.nodes()),
        }
    }

    /// Writes or applies a TlsSni or StreamRoute.
    pub(crate) fn write(&self, kind: Kind, namespace: &str, name: &str, spec: &str) -> Result<()> {
        match (&self.cluster, kind) {
            (Some(cluster), _) => {
                cluster.apply(namespace, &config_dir::manifest(&kind.to_string(), namespace, name, spec))
            }
            (None, Kind::TlsSni) => self.config.tls_sni(namespace, name, spec).map(drop),
            (None, _) => self.config.stream_route(namespace, name, spec).map(drop),
        }
    }

    /// Writes or applies a ConfigMap.
    pub(crate) fn config_map(&self, namespace: &str, name: &str, keys: &[(&str, &[u8])]) -> Result<()> {
        self.place().config_map(namespace, name, keys)
    }

    /// A Secret with a certificate for these names.
    pub(crate) fn server_secret(&self, namespace: &str, name: &str, names: &[&str]) -> Result<()> {
        self.place().secret(namespace, name, &self.server_authority.server(names)?.tls_secret())
    }

    /// Has the Services of a cluster say which brokers are ready, as their pods would.
    pub(crate) fn tell_of_brokers(&self, is_ready: impl Fn(&Broker) -> bool) -> Result<()> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let tell = |tenant: &Tenant| cluster.apply_brokers(&tenant.namespace, &self.brokers, &is_ready);
        self.tenants.iter().try_for_each(tell)
    }

    fn place(&self) -> Place<'_> {
        Place { config: &self.config, cluster: self.cluster.as_ref() }
    }
}

/// Where what manifests refer to is put: into the cluster where there is one, else into the folder.
struct Place<'a> {
    config: &'a ConfigDir,
    cluster: Option<&'a Cluster<'a>>,
}

impl Place<'_> {
    fn secret(&self, namespace: &str, name: &str, keys: &[(&str, &[u8])]) -> Result<()> {
        match self.cluster {
            Some(cluster) => cluster.apply_secret(namespace, name, keys),
            None => self.config.secret(namespace, name, keys).map(drop),
        }
    }

    fn config_map(&self, namespace: &str, name: &str, keys: &[(&str, &[u8])]) -> Result<()> {
        match self.cluster {
            Some(cluster) => cluster.apply_config_map(namespace, name, keys),
            None => self.config.config_map(namespace, name, keys).map(drop),
        }
    }
}

/// What kubectl said, without its lines' ends.
pub(crate) fn one_line(output: &Output) -> String {
    let all = format!("{}{}", output.text(), output.stderr);
    all.lines().collect::<Vec<_>>().join("; ")
}

/// The proxy's listener: at the port of MQTT over TLS, or at any that is free.
fn listener() -> Listener {
    let port = if is_free(Ipv4Addr::LOCALHOST.into(), LISTENER_PORT) { LISTENER_PORT } else { 0 };
    if port == 0 {
        say(&format!("port {LISTENER_PORT} is taken: the proxy listens at a free one"));
    }
    Listener::mqtts(LISTENER).at(&format!("127.0.0.1:{port}"))
}

fn describe(story: &mut Story, proxy: &Proxy, config: &ConfigDir) -> Result<()> {
    say(&format!("proxy  {}", proxy::binary()?.display()));
    say(&format!("       listens at {}, admin port at {}", proxy.address(LISTENER), proxy.admin()));
    say(&format!("       reads {}", config.path().display()));
    let ready = proxy.admin_get("/readyz")?;
    story.check(ready.status == 200, &format!("the proxy is ready: GET /readyz says {}", ready.status));
    Ok(())
}

/// Makes what the `TlsSni`s refer to: certificates for their names, an authority for each one's devices.
fn mint(
    place: &Place<'_>,
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
            place.secret(namespace, &certificate.secret_name, &credentials.tls_secret())?;
        }
        if !authorities.contains_key(namespace) {
            let authority = CertificateAuthority::new(&format!("Demo Device CA of {namespace}"))?;
            authorities.insert(namespace.to_owned(), authority);
        }
        let pem = authorities[namespace].certificate_pem();
        if let Some(reference) = &tls_sni.spec.client_auth.ca {
            let keys = [(reference.key(), pem.as_bytes())];
            if let Some(name) = &reference.config_map_name {
                place.config_map(namespace, name, &keys)?;
            }
            if let Some(name) = &reference.secret_name {
                place.secret(namespace, name, &keys)?;
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
