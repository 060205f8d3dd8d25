//! After many connections of every kind: nothing is left of them.

use std::fs;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::balancing::change;
use crate::balancing::fleet::{Stopped, upstream};
use crate::site::{ALL_LEVELS, SERVER_NAME, Site, Way};

/// How a broker treats each of many clients.
#[derive(Clone, Copy, Debug)]
enum Treatment {
    LetsIn,
    Refuses,
    ClosesAtOnce,
    ClosesWithinConnack,
    Garbage,
    Hangs,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Waits for the answer, and leaves in order.
    Leaves,
    /// Waits for the answer, and drops the connection.
    Drops,
    /// Drops the connection at once.
    DropsAtOnce,
}

/// Brokers that keep nothing of their clients, in a thread of their own that ends with this.
struct Brokers {
    addresses: Vec<SocketAddr>,
    counts: Vec<Arc<AtomicUsize>>,
    _end: oneshot::Sender<()>,
}

impl Brokers {
    fn start(treatments: &[Treatment]) -> Result<Self> {
        let (mut addresses, mut counts) = (Vec::new(), Vec::new());
        let mut listeners = Vec::new();
        for &treatment in treatments {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            addresses.push(listener.local_addr()?);
            let count = Arc::default();
            counts.push(Arc::clone(&count));
            listeners.push((listener, treatment, count));
        }
        let (end, ended) = oneshot::channel();
        thread::spawn(move || -> Result<()> {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, async {
                for (listener, treatment, count) in listeners {
                    spawn_local(serve(TcpListener::from_std(listener)?, treatment, count));
                }
                // That the sender is dropped is the end.
                let _ = ended.await;
                Ok(())
            })
        });
        Ok(Self { addresses, counts, _end: end })
    }

    /// How many connections one has had.
    fn count(&self, index: usize) -> usize {
        self.counts[index].load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, treatment: Treatment, count: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        count.fetch_add(1, Ordering::SeqCst);
        // A client that leaves meanwhile is no matter.
        spawn_local(async move { drop(treat(stream, treatment).await) });
    }
}

async fn treat(mut stream: TcpStream, treatment: Treatment) -> Result<()> {
    if matches!(treatment, Treatment::ClosesAtOnce) {
        return Ok(());
    }
    let mut buffer = [0; 256];
    let _ = stream.read(&mut buffer).await?;
    match treatment {
        Treatment::LetsIn => stream.write_all(&wire::CONNACK_V311).await?,
        Treatment::Refuses => return Ok(stream.write_all(&[0x20, 2, 0, 5]).await?),
        Treatment::ClosesWithinConnack => return Ok(stream.write_all(&wire::CONNACK_V311[..3]).await?),
        Treatment::Garbage => stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?,
        Treatment::ClosesAtOnce | Treatment::Hangs => {}
    }
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// One client's life: whether it got an answer. Who gets neither that nor an end is an error.
async fn live(mut stream: impl AsyncRead + AsyncWrite + Unpin, manner: Manner) -> Result<bool> {
    stream.write_all(&Connect::new(Version::V311, "device").bytes()).await?;
    stream.flush().await?;
    if matches!(manner, Manner::DropsAtOnce) {
        return Ok(false);
    }
    let mut connack = [0; 4];
    timeout(wait::SOON * 2, stream.read_exact(&mut connack)).await.context("no answer and no end")??;
    if matches!(manner, Manner::Leaves) {
        stream.write_all(&wire::DISCONNECT).await?;
        stream.shutdown().await?;
    }
    Ok(connack == wire::CONNACK_V311)
}

/// `count` clients, [`AT_ONCE`] at a time; gives how many were let in.
async fn crowd(site: &Site, count: usize, tls_share: usize, manners: &'static [Manner]) -> Result<usize> {
    let connector = TlsConnector::from(site.tls_client(Way::Tls13).context("TLS")?.config());
    let next = Rc::new(std::cell::Cell::new(0));
    let addresses = [Way::Plain, Way::Tls13].map(|way| site.proxy.address(way.listener()));
    let mut clients = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (connector, next) = (connector.clone(), Rc::clone(&next));
        clients.spawn_local(async move {
            let mut let_in = 0;
            while next.get() < count {
                let number = next.replace(next.get() + 1);
                let manner = manners[number % manners.len()];
                let is_tls = tls_share > 0 && number % tls_share == 0;
                let tcp = TcpStream::connect(addresses[usize::from(is_tls)]).await?;
                let was_let_in = if is_tls {
                    live(connector.connect(SERVER_NAME.try_into()?, tcp).await?, manner).await?
                } else {
                    live(tcp, manner).await?
                };
                let_in += usize::from(was_let_in);
            }
            anyhow::Ok(let_in)
        });
    }
    let mut let_in = 0;
    while let Some(one) = clients.join_next().await {
        let_in += one??;
    }
    Ok(let_in)
}

const AT_ONCE: usize = 64;
/// What the allocator may keep of it all.
const LEFT_BYTES: u64 = 8 << 20;

fn open_files(site: &Site) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", site.proxy.id()))?.count())
}

/// Lets clients come, a few first (a proxy that is ready may have workers that are not yet), then in two lots: what the second
/// one leaves behind must be nothing.
fn leave_nothing(site: &Site, count: usize, mut lot: impl FnMut(usize) -> Result<()>) -> Result<()> {
    lot(count / 10)?;
    site.wait_for_counter("streamgate_connections_active", &[], 0)?;
    let files = fewest_open_files(site)?;
    let mut memory = Vec::new();
    for _ in 0..2 {
        lot(count)?;
        site.wait_for_counter("streamgate_connections_active", &[], 0)?;
        let mut last = 0;
        wait::until("as many open files as before", wait::SOON, || {
            last = open_files(site).ok()?;
            (last <= files).then_some(())
        })
        .with_context(|| format!("there are {last}, and were {files}"))?;
        memory.push(site.memory_bytes()?);
    }
    assert!(memory[1] < memory[0] + LEFT_BYTES, "the proxy grew from {} to {} bytes", memory[0], memory[1]);
    Ok(())
}

/// The last of a connection may be closed a moment after it was counted out.
fn fewest_open_files(site: &Site) -> Result<usize> {
    let mut fewest = open_files(site)?;
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(50));
        fewest = fewest.min(open_files(site)?);
    }
    Ok(fewest)
}

#[test]
fn thousands_that_are_let_in_leave_nothing_behind() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let brokers = Brokers::start(&[Treatment::LetsIn; 2])?;
    let node =
        |index: usize| format!("{{name: broker-{index}, host: 127.0.0.1, port: {}}}", brokers.addresses[index].port());
    let least = "loadBalancer: {type: LeastConnections}";
    let site = Site::start(&upstream([node(0)], least))?;
    leave_nothing(&site, 25_000, |count| {
        let manners = &[Manner::Leaves, Manner::Drops];
        let let_in = LocalSet::new().block_on(&runtime, crowd(&site, count, 10, manners))?;
        assert_eq!(let_in, count);
        Ok(())
    })?;
    // A broker that is new gets no more than its half: the other one counts as having none.
    change(&site.proxy, || {
        site.config.stream_route("acme", "devices", &upstream([node(0), node(1)], least)).map(drop)
    })?;
    let before = brokers.count(0);
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut device = site.dial(Way::Plain)?;
        assert_eq!(wire::connack(&mut device, &Connect::new(Version::V311, "after"))?.code(), Some(0));
        held.push(device);
    }
    assert_eq!((brokers.count(0) - before, brokers.count(1)), (10, 10));
    Ok(())
}

#[test]
fn thousands_of_every_kind_leave_nothing_behind() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let gone = Stopped::start()?;
    let brokers = Brokers::start(&[
        Treatment::LetsIn,
        Treatment::Refuses,
        Treatment::ClosesAtOnce,
        Treatment::ClosesWithinConnack,
        Treatment::Garbage,
        Treatment::Hangs,
    ])?;
    let mut nodes = vec![gone.node("gone", "")];
    for (index, address) in brokers.addresses.iter().enumerate() {
        nodes.push(format!("{{name: broker-{index}, host: 127.0.0.1, port: {}}}", address.port()));
    }
    // Some are told that none answers: of seven, three are tried.
    let site = Site::start(&format!("{ALL_LEVELS}\n{}", upstream(nodes, "connackTimeout: 500ms, retries: 2")))?;
    let manners = &[Manner::Leaves, Manner::Drops, Manner::Leaves, Manner::Drops, Manner::DropsAtOnce];
    leave_nothing(&site, 1_500, |count| {
        let let_in = LocalSet::new().block_on(&runtime, crowd(&site, count, 7, manners))?;
        assert!(let_in > count / 15, "only {let_in} were let in");
        Ok(())
    })?;
    for reason in ["Answered", "Refused", "ClosedWithoutConnack", "NotConnack", "ConnackTimedOut"] {
        let attempts = site.counter("streamgate_upstream_attempts_total", &[("reason", reason)])?;
        assert!(attempts > 100, "{reason}: {attempts}");
    }
    Ok(())
}
