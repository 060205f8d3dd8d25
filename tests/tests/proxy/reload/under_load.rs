//! A thousand clients that publish all the time, while routes, endpoints, certificates and authorities change under them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use streamgate_tests::echo::Echo;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::proxy::Proxy;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Packet, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::balancing::change;
use crate::balancing::fleet::{NamedBroker, SERVICE, reached, slice};
use crate::routing::place::{MQTTS, PLAIN, Place, by_client, by_source};

/// Half of them in plaintext, half over mutual TLS.
const CLIENTS: usize = 1_000;
/// How often the configuration changes.
const CHANGES: usize = 200;
/// So many clients connect at a time.
const AT_ONCE: usize = 32;
/// Between two pairs of messages of one client.
const PAUSE: Duration = Duration::from_millis(800);

const A: &str = "a.devices.example";
const B: &str = "b.devices.example";

/// What one client has done when it is over.
struct Done {
    /// Its address when it had connected.
    source: SocketAddr,
    listener: &'static str,
    /// Its CONNECT and its messages.
    sent_bytes: usize,
    /// The CONNACK, and its messages again.
    received_bytes: usize,
}

/// The clients, all in one thread.
struct Clients {
    thread: JoinHandle<Result<Vec<Done>>>,
    is_over: Arc<AtomicBool>,
}

impl Clients {
    /// Connects them; each has begun to publish when this returns.
    fn start(proxy: &Proxy, client: &TlsClient) -> Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let addresses = [PLAIN, MQTTS].map(|listener| proxy.address(listener));
        let (connector, over) = (TlsConnector::from(client.config()), Arc::clone(&is_over));
        let thread = thread::Builder::new().name("clients".to_owned()).spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, publish_all(addresses, connector, over, tell))
        })?;
        let established = told.recv_timeout(8 * wait::SOON);
        // Where the sender is gone, the thread says why.
        if established == Err(mpsc::RecvTimeoutError::Disconnected) {
            thread.join().map_err(|_| anyhow!("the clients panicked"))??;
            bail!("the clients are over before they are all connected");
        }
        established.context("the clients are not all connected")?;
        Ok(Self { thread, is_over })
    }

    /// Has each send its last message and end its connection when that is back.
    fn finish(self) -> Result<Vec<Done>> {
        self.is_over.store(true, Ordering::SeqCst);
        self.thread.join().map_err(|_| anyhow!("the clients panicked"))?
    }
}

async fn publish_all(
    addresses: [SocketAddr; 2],
    connector: TlsConnector,
    is_over: Arc<AtomicBool>,
    tell: mpsc::Sender<()>,
) -> Result<Vec<Done>> {
    let (gate, established) = (Rc::new(Semaphore::new(AT_ONCE)), Rc::new(Cell::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (connector, is_over, gate) = (connector.clone(), Arc::clone(&is_over), Rc::clone(&gate));
        let (established, tell) = (Rc::clone(&established), tell.clone());
        clients.spawn_local(async move {
            let permit = gate.acquire().await?;
            let is_tls = number % 2 == 1;
            let tcp = TcpStream::connect(addresses[usize::from(is_tls)]).await?;
            tcp.set_nodelay(true)?;
            let source = tcp.local_addr()?;
            let is_in = || {
                drop(permit);
                established.set(established.get() + 1);
                if established.get() == CLIENTS {
                    // One that waits no more has failed already.
                    let _ = tell.send(());
                }
            };
            let name = format!("client {number}");
            let (sent_bytes, received_bytes) = if is_tls {
                let stream = connector.connect(A.try_into()?, tcp).await.with_context(|| name.clone())?;
                live(stream, number, &is_over, is_in).await.context(name)?
            } else {
                live(tcp, number, &is_over, is_in).await.context(name)?
            };
            let listener = if is_tls { MQTTS } else { PLAIN };
            anyhow::Ok(Done { source, listener, sent_bytes, received_bytes })
        });
    }
    drop(tell);
    let mut done = Vec::with_capacity(CLIENTS);
    while let Some(client) = clients.join_next().await {
        done.push(client??);
    }
    Ok(done)
}

/// Is let in, publishes numbered messages until it is over, and reads each of them again, in their order and nothing else.
/// Gives how much it sent and read.
async fn live(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    number: usize,
    is_over: &AtomicBool,
    is_in: impl FnOnce(),
) -> Result<(usize, usize)> {
    let connect = Connect::new(Version::V311, &format!("client-{number}")).bytes();
    stream.write_all(&connect).await?;
    stream.flush().await?;
    let mut connack = [0; wire::CONNACK_V311.len()];
    timeout(4 * wait::SOON, stream.read_exact(&mut connack)).await.context("no CONNACK")??;
    ensure!(connack == wire::CONNACK_V311, "{connack:x?}");
    is_in();
    let topic = format!("up/{number}");
    // How many messages there are, once it is known.
    let total = Cell::new(None);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        let mut bytes = 0;
        // Not all at the same moment.
        sleep(PAUSE * u32::try_from(number)? / u32::try_from(CLIENTS)?).await;
        for sequence in 0_u32.. {
            if is_over.load(Ordering::SeqCst) {
                total.set(Some(sequence + 1));
            }
            let message = wire::publish(Version::V311, &topic, sequence.to_string().as_bytes(), 0, 0, false);
            writer.write_all(&message).await.with_context(|| format!("sending message {sequence}"))?;
            writer.flush().await?;
            bytes += message.len();
            if total.get().is_some() {
                break;
            }
            if sequence % 2 == 1 {
                sleep(PAUSE).await;
            }
        }
        anyhow::Ok(bytes)
    };
    let read = async {
        let mut bytes = 0;
        for sequence in 0_u32.. {
            let packet = timeout(4 * wait::SOON, read_packet(&mut reader)).await;
            let packet = packet.context("it is lost")?.with_context(|| format!("reading message {sequence}"))?;
            bytes += packet.bytes.len();
            let expected = Some((topic.clone(), sequence.to_string().into_bytes()));
            ensure!(packet.message(Version::V311) == expected, "in place of message {sequence} came {packet:?}");
            if total.get() == Some(sequence + 1) {
                break;
            }
        }
        anyhow::Ok(bytes)
    };
    let (sent, read) = tokio::try_join!(write, read)?;
    writer.shutdown().await?;
    let mut rest = Vec::new();
    timeout(4 * wait::SOON, reader.read_to_end(&mut rest)).await.context("it is not ended")??;
    ensure!(rest.is_empty(), "after the last message came {rest:x?}");
    Ok((connect.len() + sent, connack.len() + read))
}

/// A packet of less than 128 bytes.
async fn read_packet(reader: &mut (impl AsyncRead + Unpin)) -> Result<Packet> {
    let mut head = [0; 2];
    reader.read_exact(&mut head).await?;
    let mut body = vec![0; usize::from(head[1])];
    reader.read_exact(&mut body).await?;
    let bytes = [&head[..], &body].concat();
    Ok(Packet { first_byte: head[0], body, bytes })
}

/// Who changes the configuration, and looks after each change how the next client fares.
struct Operator<'a> {
    place: &'a Place,
    proxy: &'a Proxy,
    authorities: [CertificateAuthority; 2],
    brokers: [NamedBroker; 2],
    /// Which authority counts, and which broker the service leads to.
    authority: usize,
    broker: usize,
}

impl Operator<'_> {
    /// One change, of each kind in turn.
    fn change(&mut self, number: usize) -> Result<()> {
        let is_odd = number / 6 % 2 == 1;
        match number % 6 {
            0 => self.move_endpoint(),
            1 => self.renew_certificate(),
            2 => self.replace_authority(),
            3 => self.change_route(is_odd),
            4 => self.add_or_remove_route(is_odd),
            _ => self.add_or_remove_tls_sni(is_odd),
        }
    }

    fn apply(&self, make: impl FnOnce(&Place) -> Result<()>) -> Result<()> {
        change(self.proxy, || make(self.place))
    }

    fn move_endpoint(&mut self) -> Result<()> {
        self.broker = 1 - self.broker;
        let slice = slice("pod", self.brokers[self.broker].address(), "");
        self.apply(|place| place.config.endpoints("acme", "broker", &format!("{SERVICE}{slice}")).map(drop))?;
        ensure!(reached(self.proxy.address(PLAIN), "probe")? == self.broker());
        Ok(())
    }

    fn renew_certificate(&self) -> Result<()> {
        let renewed = self.place.authority.server(&[A])?;
        self.apply(|place| place.config.secret("acme", "names-tls", &renewed.tls_secret()).map(drop))?;
        let served = self.device(self.authority)?.connect(self.proxy.address(MQTTS))?;
        ensure!(served.conn.peer_certificates() == Some(&renewed.chain_der()[..]), "another certificate is served");
        Ok(())
    }

    fn replace_authority(&mut self) -> Result<()> {
        self.authority = 1 - self.authority;
        let pem = self.authorities[self.authority].certificate_pem();
        self.apply(|place| place.config.config_map("acme", "ca", &[("ca.crt", pem.as_bytes())]).map(drop))?;
        ensure!(self.by_device(self.authority)? == self.broker());
        ensure!(self.by_device(1 - self.authority)? == "alert 48");
        Ok(())
    }

    fn change_route(&self, is_odd: bool) -> Result<()> {
        let (level, expected) = if is_odd { (4, "globex/changed") } else { (5, "CONNACK 1") };
        self.apply(|place| {
            let rest = format!("match: {{sourceRanges: [127.18.0.0/16]}}\nmqtt: {{protocolLevels: [{level}]}}");
            place.route("globex/changed", &rest).map(drop)
        })?;
        ensure!(by_source(self.proxy.address(PLAIN), "127.18.0.1")? == expected);
        Ok(())
    }

    fn add_or_remove_route(&self, is_there: bool) -> Result<()> {
        self.apply(|place| {
            if is_there {
                return place.config.remove_stream_route("globex", "added").map(drop);
            }
            place.route("globex/added", "match: {sourceRanges: [127.17.0.0/16]}").map(drop)
        })?;
        let expected = if is_there { self.broker() } else { "globex/added" };
        ensure!(by_source(self.proxy.address(PLAIN), "127.17.0.1")? == expected);
        Ok(())
    }

    fn add_or_remove_tls_sni(&self, is_there: bool) -> Result<()> {
        self.apply(|place| {
            if is_there {
                return place.config.remove_tls_sni("acme", "others").map(drop);
            }
            place.tls_sni("acme/others", &[B], "").map(drop)
        })?;
        let expected = if is_there { "alert 112" } else { self.broker() };
        ensure!(self.place.by_name(self.proxy.address(MQTTS), B)? == expected);
        Ok(())
    }

    /// Takes away what the clients came by, and puts it there again: four changes.
    fn remove_all_and_add_it_again(&self) -> Result<()> {
        self.apply(|place| place.config.remove_stream_route("acme", "all").map(drop))?;
        ensure!(reached(self.proxy.address(PLAIN), "probe")? == "CONNACK 5");
        self.apply(|place| place.config.remove_tls_sni("acme", "names").map(drop))?;
        ensure!(self.by_device(self.authority)? == "alert 112");
        self.apply(add_names)?;
        ensure!(self.by_device(self.authority)? == "CONNACK 5");
        self.apply(add_route)?;
        ensure!(reached(self.proxy.address(PLAIN), "probe")? == self.broker());
        Ok(())
    }

    /// The name of the broker that the service leads to.
    fn broker(&self) -> &str {
        &self.brokers[self.broker].name
    }

    /// A client with a new certificate of this authority.
    fn device(&self, authority: usize) -> Result<TlsClient> {
        TlsClient::with_certificate(&self.place.authority, A, &self.authorities[authority].device("device")?)
    }

    fn by_device(&self, authority: usize) -> Result<String> {
        Ok(by_client(&self.device(authority)?, self.proxy.address(MQTTS)))
    }
}

fn add_route(place: &Place) -> Result<()> {
    place.config.stream_route("acme", "all", "upstream: {services: [{name: broker, port: mqtt}]}").map(drop)
}

fn add_names(place: &Place) -> Result<()> {
    let client_auth = "clientAuth: {ca: {configMapName: ca}}";
    let spec = format!("snis: [{A}]\ncertificates: [{{secretName: names-tls}}]\n{client_auth}");
    place.config.tls_sni("acme", "names", &spec).map(drop)
}

/// Waits for the access lines of all of these, by listener and source.
fn access_lines(proxy: &Proxy, done: &[Done]) -> Result<BTreeMap<(String, String), Value>> {
    wait::until("an access line of each client", 4 * wait::SOON, || {
        let lines = proxy.events().into_iter().filter(|line| line["message"] == "connection");
        let key =
            |line: &Value| [&line["listener"], &line["source"]].map(|field| field.as_str().unwrap_or("-").to_owned());
        let lines: BTreeMap<_, _> = lines.map(|line| (key(&line).into(), line)).collect();
        let is_there = |one: &Done| lines.contains_key(&(one.listener.to_owned(), one.source.to_string()));
        done.iter().all(is_there).then_some(lines)
    })
}

#[test]
fn a_thousand_clients_lose_nothing_while_two_hundred_changes_count_at_once() -> Result<()> {
    let place = Place::new()?;
    let echo = Echo::start()?;
    let authorities = [CertificateAuthority::new("Device CA 1")?, CertificateAuthority::new("Device CA 2")?];
    place.config.secret("acme", "names-tls", &place.authority.server(&[A])?.tls_secret())?;
    place.config.config_map("acme", "ca", &[("ca.crt", authorities[0].certificate_pem().as_bytes())])?;
    place.config.endpoints("acme", "broker", &format!("{SERVICE}{}", slice("pod", echo.address(), "")))?;
    add_names(&place)?;
    add_route(&place)?;
    let proxy = place.start()?;
    let device = TlsClient::with_certificate(&place.authority, A, &authorities[0].device("device")?)?;
    let clients = Clients::start(&proxy, &device)?;

    let brokers = [NamedBroker::start("one")?, NamedBroker::start("other")?];
    let (place, proxy) = (&place, &proxy);
    let mut operator = Operator { place, proxy, authorities, brokers, authority: 0, broker: 0 };
    let before = proxy.generation();
    for number in 0..CHANGES - 4 {
        operator.change(number).with_context(|| format!("change {number}"))?;
    }
    operator.remove_all_and_add_it_again()?;
    assert!(proxy.generation() >= before + u64::try_from(CHANGES)?);

    let done = clients.finish()?;
    assert_eq!((done.len(), echo.count()), (CLIENTS, CLIENTS));
    let lines = access_lines(proxy, &done)?;
    for one in &done {
        let line = &lines[&(one.listener.to_owned(), one.source.to_string())];
        assert_eq!(line["end"], "ClientClosed", "{line}");
        assert_eq!(line["received_bytes"], one.sent_bytes, "{line}");
        assert_eq!(line["sent_bytes"], one.received_bytes, "{line}");
    }
    // An access line a connection, the probes' too, and a few for each change: none for a message.
    let told = proxy.events().len();
    assert!(told < 2 * CLIENTS + 20 * CHANGES, "{told} log lines");
    Ok(())
}
