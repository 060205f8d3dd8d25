//! Brokers that tell each client which of them it has reached.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};
use streamgate_tests::fake_broker::{Answer, FakeBroker};
use streamgate_tests::tls_client::alert_of;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, Version};
use tokio::net::TcpSocket;
use tokio::runtime::Builder;

/// A recorder that lets every client of MQTT 3.1.1 in, and sends it its own name at once.
#[derive(Debug)]
pub(crate) struct NamedBroker {
    pub(crate) name: String,
    pub(crate) recorder: FakeBroker,
}

impl NamedBroker {
    pub(crate) fn start(name: &str) -> Result<Self> {
        let name_message = wire::publish(Version::V311, NAME_TOPIC, name.as_bytes(), 0, 0, false);
        let answer = [wire::CONNACK_V311.to_vec(), name_message].concat();
        Ok(Self { name: name.to_owned(), recorder: FakeBroker::start(Answer::Bytes(answer))? })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.recorder.address()
    }

    /// The node of a route that leads here, with further fields of it (`, weight: 2`).
    pub(crate) fn node(&self, more: &str) -> String {
        format!("{{name: {}, host: 127.0.0.1, port: {}{more}}}", self.name, self.address().port())
    }

    /// Stops it: when this returns, its port refuses connections.
    pub(crate) fn stop(self) -> Result<Stopped> {
        let address = self.address();
        drop(self);
        wait::until("the end of a broker", wait::SOON, || TcpStream::connect(address).err())?;
        Ok(Stopped { address, _held: hold(address)? })
    }
}

/// What a broker leaves: its port, which refuses connections as long as this is held. Nobody else can have it meanwhile.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) address: SocketAddr,
    _held: TcpSocket,
}

impl Stopped {
    /// A port at which there never was a broker.
    pub(crate) fn start() -> Result<Self> {
        let held = hold(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self { address: held.local_addr()?, _held: held })
    }

    /// The node of a route that leads here, with further fields of it.
    pub(crate) fn node(&self, name: &str, more: &str) -> String {
        format!("{{name: {name}, host: 127.0.0.1, port: {}{more}}}", self.address.port())
    }
}

/// A socket that has an address and does not listen there.
fn hold(address: SocketAddr) -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections of the one before may still be there.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Several of them: `broker-0` and so on.
#[derive(Debug)]
pub(crate) struct Fleet(pub(crate) Vec<NamedBroker>);

impl Fleet {
    pub(crate) fn start(count: usize) -> Result<Self> {
        let brokers = (0..count).map(|index| NamedBroker::start(&format!("broker-{index}")));
        Ok(Self(brokers.collect::<Result<_>>()?))
    }

    /// `upstream` of a route to all of them, with further fields of it.
    pub(crate) fn upstream(&self, more: &str) -> String {
        upstream(self.0.iter().map(|broker| broker.node("")), more)
    }

    /// The same with a weight for each.
    pub(crate) fn weighted(&self, weights: &[u32], more: &str) -> String {
        let nodes = self.0.iter().zip(weights);
        upstream(nodes.map(|(broker, weight)| broker.node(&format!(", weight: {weight}"))), more)
    }

    /// Stops one of them.
    pub(crate) fn stop(&mut self, name: &str) -> Result<Stopped> {
        let index = self.0.iter().position(|broker| broker.name == name).context("no such broker")?;
        self.0.remove(index).stop()
    }
}

/// `upstream` of these nodes, with further fields of it (`retries: 0`).
pub(crate) fn upstream(nodes: impl IntoIterator<Item = String>, more: &str) -> String {
    let nodes: Vec<String> = nodes.into_iter().collect();
    format!("upstream: {{nodes: [{}], {more}}}", nodes.join(", "))
}

/// An `EndpointSlice` of one pod at a broker's address: a document of its own, for every broker has a port of its own.
pub(crate) fn slice(pod: &str, address: SocketAddr, conditions: &str) -> String {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let mut text = format!("---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: {family}\n");
    // A String takes all that is written.
    let _ = write!(text, "ports: [{{name: mqtt, port: {}, protocol: TCP}}]\nendpoints:\n", address.port());
    let _ = write!(text, "- addresses: [\"{}\"]\n  conditions: {{{conditions}}}\n", address.ip());
    let _ = writeln!(text, "  targetRef: {{kind: Pod, name: {pod}}}");
    text
}

/// A Service with the port `mqtt`, 1883: the first document of its file.
pub(crate) const SERVICE: &str =
    "apiVersion: v1\nkind: Service\nspec: {type: ClusterIP, ports: [{name: mqtt, port: 1883}]}\n";

/// How a client fares: the name of the broker that it reached, `CONNACK 5` or `alert 112` by which it was turned away, or
/// else a sentence.
pub(crate) fn fate(peer: &mut impl Peer, connect: &Connect) -> String {
    let answer = match wire::connack(peer, connect) {
        Ok(answer) => answer,
        Err(error) => return fate_of_error(&error),
    };
    match answer.code() {
        Some(0) => {}
        Some(code) => return format!("CONNACK {code}"),
        None => return format!("{answer:?}"),
    }
    let message = wire::read_packet(peer, wait::SOON).ok().and_then(|packet| packet.message(Version::V311));
    message.map_or_else(|| "no name".to_owned(), |(_, name)| String::from_utf8_lossy(&name).into_owned())
}

/// The same of a client that did not come so far.
pub(crate) fn fate_of_error(error: &anyhow::Error) -> String {
    alert_of(error).map_or_else(|| format!("{error:#}"), |alert| format!("alert {alert}"))
}

/// Which broker a plaintext client with this id reaches.
pub(crate) fn reached(address: SocketAddr, client_id: &str) -> Result<String> {
    Ok(fate(&mut wire::connect_tcp(address)?, &Connect::new(Version::V311, client_id)))
}

/// Which brokers `count` plaintext clients reach, how often each.
pub(crate) fn shares(address: SocketAddr, count: usize) -> Result<BTreeMap<String, usize>> {
    let mut shares = BTreeMap::new();
    for number in 0..count {
        *shares.entry(reached(address, &format!("client-{number}"))?).or_default() += 1;
    }
    Ok(shares)
}

/// Which broker each of these client ids reaches.
pub(crate) fn placed(address: SocketAddr, client_ids: &[String]) -> Result<BTreeMap<String, String>> {
    client_ids.iter().map(|client_id| Ok((client_id.clone(), reached(address, client_id)?))).collect()
}

/// `count` client ids.
pub(crate) fn client_ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("sensor-{number}")).collect()
}

/// A plaintext connection that comes from this address of the host.
pub(crate) fn connect_from(source: &str, address: SocketAddr) -> Result<TcpStream> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let stream = runtime.block_on(async {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(source.parse().context("no address")?, 0))?;
        anyhow::Ok(socket.connect(address).await?.into_std()?)
    })?;
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

const NAME_TOPIC: &str = "broker/name";
