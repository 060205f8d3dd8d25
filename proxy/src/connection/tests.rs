//! What a task of a connection holds; a panic ends its connection and nothing else: the worker goes on, and it is counted and
//! told.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::panic;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use super::accept::{Accepted, Entrance, accept};
use super::relay::Relay;
use super::stream::ClientStream;
use super::{serve, serve_tls};
use crate::bootstrap::Protocol;
use crate::commands::run::tell_of_panic;
use crate::config::load::Loader;
use crate::config::snapshot::Snapshot;
use crate::more::{KnowsEnd, WriteMore};
use crate::tls::session::TlsSession;
use crate::worker::{Phase, Worker};

/// A client's connection with a fault: when a PINGREQ comes, reading it panics.
struct Faulty(TcpStream);

impl AsyncRead for Faulty {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.get_mut().0).poll_read(context, buffer))?;
        assert!(buffer.filled() != PINGREQ, "what should never be");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}

impl KnowsEnd for Faulty {
    fn is_at_end(&self) -> bool {
        self.0.is_at_end()
    }
}

impl WriteMore for Faulty {
    fn poll_write_more(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_more(context, bytes)
    }
}

impl ClientStream for Faulty {
    fn into_tcp(self) -> TcpStream {
        self.0
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells of panics of this thread as the proxy does, and then of all as before.
fn tell_of_panics_here() {
    let (here, before) = (thread::current().id(), panic::take_hook());
    panic::set_hook(Box::new(move |panicked| {
        if thread::current().id() == here {
            tell_of_panic(panicked);
        }
        before(panicked);
    }));
}

/// A broker that lets everybody in and sends back what it gets; counts who is there.
async fn be_broker(listener: TcpListener, there: Rc<Cell<usize>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let there = Rc::clone(&there);
        spawn_local(async move {
            there.set(there.get() + 1);
            let mut buffer = [0; 64];
            if stream.read_exact(&mut buffer[..CONNECT.len()]).await.is_ok() {
                let _ = stream.write_all(CONNACK).await;
            }
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let _ = stream.write_all(&buffer[..count]).await;
            }
            there.set(there.get() - 1);
        });
    }
}

/// A worker that sends everybody to this broker.
fn worker(broker: SocketAddr, phase: watch::Receiver<Phase>) -> io::Result<Rc<Worker>> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("streamroutes"))?;
    let route = format!(
        "apiVersion: streamgate.dev/v1alpha1\nkind: StreamRoute\nmetadata: {{name: all, namespace: acme}}\n\
         spec: {{upstream: {{nodes: [{{host: 127.0.0.1, port: {}}}]}}}}\n",
        broker.port()
    );
    std::fs::write(folder.path().join("streamroutes/acme.all.yaml"), route)?;
    let snapshot = Loader::new(folder.path(), None, None).load()?.unwrap_or_else(|| Arc::new(Snapshot::empty()));
    Ok(Worker::with(snapshot, phase))
}

/// Sends something, and waits for as much.
async fn ask(stream: &mut TcpStream, question: &[u8], answer: &[u8]) -> io::Result<()> {
    stream.write_all(question).await?;
    let mut read = vec![0; answer.len()];
    timeout(SOON, stream.read_exact(&mut read)).await??;
    assert_eq!(read, answer);
    Ok(())
}

async fn until(condition: impl Fn() -> bool) -> io::Result<()> {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    Ok(timeout(SOON, wait).await?)
}

async fn panic_beside_another() -> io::Result<()> {
    let log = Log::default();
    let writer = log.clone();
    let logged = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _logged = tracing::subscriber::set_default(logged);
    tell_of_panics_here();
    let brokers = TcpListener::bind("127.0.0.1:0").await?;
    let (at_broker, (_serving, phase)) = (Rc::new(Cell::new(0)), watch::channel(Phase::Serving));
    let worker = worker(brokers.local_addr()?, phase)?;
    spawn_local(be_broker(brokers, Rc::clone(&at_broker)));
    let entrance = Rc::new(Entrance { name: "plain".into(), protocol: Protocol::Mqtt });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    spawn_local(accept(Rc::clone(&worker), Rc::clone(&entrance), listener));
    let mut beside = TcpStream::connect(address).await?;
    ask(&mut beside, CONNECT, CONNACK).await?;

    let pair = TcpListener::bind("127.0.0.1:0").await?;
    let mut device = TcpStream::connect(pair.local_addr()?).await?;
    let (stream, source) = pair.accept().await?;
    let accepted = Accepted { stream: Faulty(stream), source, descriptor: worker.shared.descriptors.count() };
    let served = spawn_local(serve(Rc::clone(&worker), entrance, accepted));
    ask(&mut device, CONNECT, CONNACK).await?;
    assert_eq!((at_broker.get(), worker.seats.taken()), (2, 2));
    device.write_all(PINGREQ).await?;

    // It alone ends, at both sides, and leaves nothing.
    assert_eq!(timeout(SOON, device.read(&mut [0; 1])).await??, 0);
    assert!(served.await.is_err_and(|error| error.is_panic()));
    until(|| at_broker.get() == 1).await?;
    assert_eq!(worker.seats.taken(), 1);
    // The other and the next one go on.
    ask(&mut beside, PINGREQ, PINGREQ).await?;
    let mut next = TcpStream::connect(address).await?;
    ask(&mut next, CONNECT, CONNACK).await?;
    ask(&mut next, PINGREQ, PINGREQ).await?;

    let metrics = worker.shared.metrics.encode(&worker.shared.snapshot.load());
    let ended = "streamgate_connections_ended_total{listener=\"plain\",route=\"acme/all\",reason=\"Panicked\"} 1";
    let active = "streamgate_connections_active{listener=\"plain\"} 2";
    for series in ["streamgate_panics_total 1", ended, active] {
        assert!(metrics.lines().any(|line| line == series), "no {series} in {metrics}");
    }
    let text = log.text();
    let told: Vec<&str> = text.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(matches!(told[..], [line] if line.contains("what should never be") && line.contains(file!())), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("end=\"Panicked\"")).collect();
    let source = format!("source={source}");
    assert!(matches!(lines[..], [line] if line.contains(&source) && line.contains("client_id=\"d\"")), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_panic_ends_its_connection_and_nothing_else_and_is_counted_and_told() -> io::Result<()> {
    LocalSet::new().run_until(panic_beside_another()).await
}

/// Of MQTT 3.1.1, with the client id `d`.
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01d";
const CONNACK: &[u8] = &[0x20, 2, 0, 0];
const PINGREQ: &[u8] = &[0xc0, 0];
/// On a busy machine.
const SOON: Duration = Duration::from_secs(15);

/// The size of what a function makes of three arguments, in bytes.
fn size_of_made<A, B, C, Made>(_: impl FnOnce(A, B, C) -> Made) -> usize {
    size_of::<Made>()
}

#[test]
fn a_task_holds_little_more_than_one_relay() {
    let plain = size_of_made(serve::<TcpStream>) - size_of::<Relay<TcpStream>>();
    let tls = size_of_made(serve_tls) - size_of::<Relay<TlsSession>>();
    assert!(plain <= 64 && tls <= 64, "plain {plain}, TLS {tls} more");
}
