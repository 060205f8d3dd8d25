//! A proxy with one route, to be reached in plaintext and over mutual TLS alike: what most tests of what comes after the
//! handshake stand on.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::pki::{CertificateAuthority, Credentials, Leaf};
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wire::{self, Peer};
use streamgate_tests::{fake_broker, wait};

/// The name that the proxy's certificate is for; it is in every `/etc/hosts` too.
pub(crate) const SERVER_NAME: &str = "localhost";
/// The common name of the device's certificate.
pub(crate) const DEVICE_NAME: &str = "device-1";
/// The route, as logs and metrics name it.
pub(crate) const ROUTE: &str = "acme/devices";

/// How a device reaches the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Without TLS.
    Plain,
    /// Mutual TLS 1.2.
    Tls12,
    /// Mutual TLS 1.3.
    Tls13,
}

impl Way {
    /// The two that a proxy treats differently.
    pub(crate) const BOTH: [Self; 2] = [Self::Plain, Self::Tls13];
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Tls12, Self::Tls13];

    /// The listener for it.
    pub(crate) fn listener(self) -> &'static str {
        if self == Self::Plain { "plain" } else { "mqtts" }
    }
}

/// The proxy, its configuration, and the authority that the devices' certificates and the proxy's come from.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) config: ConfigDir,
    pub(crate) proxy: Proxy,
    authority: CertificateAuthority,
    client_12: TlsClient,
    client_13: TlsClient,
}

impl Site {
    /// With the route `acme/devices` of this `spec`; every client of the TLS listener must show a certificate.
    pub(crate) fn start(spec: &str) -> Result<Self> {
        Self::start_with_client_auth(spec, "Require")
    }

    /// The same with another mode of client authentication.
    pub(crate) fn start_with_client_auth(spec: &str, mode: &str) -> Result<Self> {
        Self::build(spec, mode, &[])
    }

    /// The same as [`Site::start`], with further flags of the proxy.
    pub(crate) fn start_with_flags(spec: &str, flags: &[&str]) -> Result<Self> {
        Self::build(spec, "Require", flags)
    }

    fn build(spec: &str, mode: &str, flags: &[&str]) -> Result<Self> {
        let config = ConfigDir::new()?;
        let authority = CertificateAuthority::new("Acme CA")?;
        config.secret("acme", "server", &authority.server(&[SERVER_NAME])?.tls_secret())?;
        config.config_map("acme", "ca", &[("ca.crt", authority.certificate_pem().as_bytes())])?;
        config.tls_sni(
            "acme",
            "devices",
            &format!(
                "
                snis: [{SERVER_NAME}]
                certificates: [{{secretName: server}}]
                clientAuth: {{mode: {mode}, ca: {{configMapName: ca}}}}
                "
            ),
        )?;
        config.stream_route("acme", "devices", spec)?;
        let listeners = [Listener::mqtt("plain"), Listener::mqtts("mqtts")];
        let proxy = Proxy::start_with(&config, &listeners, flags)?;
        let device = authority.device(DEVICE_NAME)?;
        let client = |version| TlsClient::with_versions(&authority, SERVER_NAME, Some(&device), &[version]);
        let (client_12, client_13) = (client(&rustls::version::TLS12)?, client(&rustls::version::TLS13)?);
        Ok(Self { config, proxy, authority, client_12, client_13 })
    }

    /// With a route that serves every version of MQTT and leads to these brokers.
    pub(crate) fn before(brokers: &[SocketAddr]) -> Result<Self> {
        Self::start(&format!("{ALL_LEVELS}\n{}", upstream(brokers)))
    }

    /// Connects a device, its handshake included.
    pub(crate) fn dial(&self, way: Way) -> Result<Box<dyn Peer + Send>> {
        let stream = wire::connect_tcp(self.proxy.address(way.listener()))?;
        Ok(match self.tls_client(way) {
            None => Box::new(stream),
            Some(client) => Box::new(client.handshake(stream)?),
        })
    }

    /// The device's TLS client; none without TLS. Its sessions are resumed.
    pub(crate) fn tls_client(&self, way: Way) -> Option<&TlsClient> {
        match way {
            Way::Plain => None,
            Way::Tls12 => Some(&self.client_12),
            Way::Tls13 => Some(&self.client_13),
        }
    }

    /// Connects a device with a certificate as described over TLS; with none, without.
    pub(crate) fn dial_as(&self, leaf: Option<&Leaf>) -> Result<Box<dyn Peer + Send>> {
        let client = match leaf {
            Some(leaf) => TlsClient::with_certificate(&self.authority, SERVER_NAME, &self.authority.issue(leaf)?)?,
            None => TlsClient::new(&self.authority, SERVER_NAME)?,
        };
        Ok(Box::new(client.connect(self.proxy.address("mqtts"))?))
    }

    /// A certificate for a device, for clients that read it from a file.
    pub(crate) fn device(&self) -> Result<Credentials> {
        self.authority.device(DEVICE_NAME)
    }

    /// The authority that both sides trust.
    pub(crate) fn authority(&self) -> &CertificateAuthority {
        &self.authority
    }

    /// Waits for the access line of the connection that came from this address on this way.
    pub(crate) fn access_line(&mut self, way: Way, source: SocketAddr) -> Result<Value> {
        let source = source.to_string();
        // Connections to other listeners may come from the same port.
        self.proxy.wait_for_connection(&format!("the access line of {source}"), |line| {
            line["source"] == source.as_str() && line["listener"] == way.listener()
        })
    }

    /// Waits until `count` connections on this way have ended as `end`, and gives their access lines.
    pub(crate) fn access_lines(&self, way: Way, end: &str, count: usize) -> Result<Vec<Value>> {
        wait::until(&format!("{count} access lines with {end}"), wait::SOON, || {
            let mut lines = self.proxy.events();
            lines.retain(|line| line["end"] == end && line["listener"] == way.listener());
            (lines.len() >= count).then_some(lines)
        })
    }

    /// Waits until the sum of all series of a counter that have these labels is `expected`.
    ///
    /// # Errors
    /// With what it was last.
    pub(crate) fn wait_for_counter(&self, name: &str, labels: &[(&str, &str)], expected: u64) -> Result<()> {
        let mut last = 0;
        wait::until(&format!("{name}{labels:?} to be {expected}"), wait::SOON, || {
            last = self.counter(name, labels).ok()?;
            (last == expected).then_some(())
        })
        .with_context(|| format!("it is {last}"))
    }

    /// The sum of all series of a counter that have these labels.
    pub(crate) fn counter(&self, name: &str, labels: &[(&str, &str)]) -> Result<u64> {
        let metrics = self.proxy.admin_get("/metrics")?.body;
        let mut sum = 0;
        for line in metrics.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let series_labels = series.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('{'));
            if let Some(found) = series_labels
                && labels.iter().all(|(label, value)| found.contains(&format!("{label}=\"{value}\"")))
            {
                sum += value.parse::<u64>().with_context(|| format!("no counter: {line}"))?;
            }
        }
        Ok(sum)
    }

    /// The proxy's resident memory, in bytes.
    pub(crate) fn memory_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.proxy.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kibibytes << 10)
    }
}

/// A device and a broker that have been brought together by the proxy, both in the test's hands.
pub(crate) struct Pair {
    pub(crate) site: Site,
    pub(crate) device: Box<dyn Peer + Send>,
    /// Where the device comes from.
    pub(crate) source: SocketAddr,
    pub(crate) broker: TcpStream,
}

impl Pair {
    /// Through a new proxy, with the CONNECT (of MQTT 3.1.1) answered by the broker and the answer read by the device.
    pub(crate) fn start(way: Way, connect: &[u8]) -> Result<Self> {
        Self::start_with(way, "", connect, &wire::CONNACK_V311)
    }

    /// The same with further fields of `upstream` and the broker's answer given.
    pub(crate) fn start_with(way: Way, more: &str, connect: &[u8], connack: &[u8]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let node = format!("{{name: broker-0, host: 127.0.0.1, port: {port}}}");
        let site = Site::start(&format!("{ALL_LEVELS}\nupstream: {{nodes: [{node}], {more}}}"))?;
        let mut device = site.dial(way)?;
        let broker = let_in(&listener, &mut device, connect, connack)?;
        let source = device.local_address()?;
        Ok(Self { site, device, source, broker })
    }
}

/// Has a device send its CONNECT and the broker at `listener` answer it, by this CONNACK. Gives the broker's side.
///
/// # Errors
/// When either gets something else than the other has sent.
pub(crate) fn let_in(
    listener: &TcpListener,
    device: &mut impl Peer,
    connect: &[u8],
    connack: &[u8],
) -> Result<TcpStream> {
    device.write_all(connect)?;
    device.flush()?;
    let mut broker = accept(listener)?;
    if wire::read_packet(&mut broker, wait::SOON)?.bytes != connect {
        bail!("the broker got another CONNECT");
    }
    broker.write_all(connack)?;
    if wire::read_packet(device, wait::SOON)?.bytes != connack {
        bail!("the device got another CONNACK");
    }
    Ok(broker)
}

/// Accepts one connection.
///
/// # Errors
/// When none comes.
pub(crate) fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let (stream, _) = wait::until("a connection to the broker", wait::SOON, || listener.accept().ok())?;
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A socket of this host, as `/proc/net/tcp` has it.
pub(crate) struct SocketState {
    /// How many bytes have come that nobody has read.
    pub(crate) unread_bytes: u32,
    /// What its timer is for: 0 for none, 1 for a retransmission, 2 for a keep-alive probe.
    pub(crate) timer: u8,
}

/// The established socket between these two addresses (IPv4); none where there is none.
pub(crate) fn socket_state(local: SocketAddr, remote: SocketAddr) -> Option<SocketState> {
    let wanted = [local, remote].map(|address| match address.ip() {
        IpAddr::V4(ip) => format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()),
        IpAddr::V6(_) => String::new(),
    });
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let socket = columns.into_iter().find(|columns| columns.get(1..4) == Some(&[&wanted[0], &wanted[1], "01"]))?;
    Some(SocketState {
        unread_bytes: u32::from_str_radix(socket.get(4)?.split_once(':')?.1, 16).ok()?,
        timer: socket.get(5)?.split_once(':')?.0.parse().ok()?,
    })
}

/// `mqtt` of a route that serves every version.
pub(crate) const ALL_LEVELS: &str = "mqtt: {protocolLevels: [3, 4, 5]}";

/// `upstream` of a route to these brokers, which are called `broker-0` and so on.
pub(crate) fn upstream(brokers: &[SocketAddr]) -> String {
    let node = |(index, address): (usize, &SocketAddr)| {
        format!("{{name: broker-{index}, host: {}, port: {}}}", address.ip(), address.port())
    };
    let nodes: Vec<String> = brokers.iter().enumerate().map(node).collect();
    format!("upstream: {{nodes: [{}]}}", nodes.join(", "))
}

/// A recorder that lets every client in, by the CONNACK of the version of `connect`.
pub(crate) fn recorder(version: wire::Version) -> Result<fake_broker::FakeBroker> {
    fake_broker::FakeBroker::start(fake_broker::Answer::Bytes(wire::accepting(version).to_vec()))
}
