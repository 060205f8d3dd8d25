//! A message there and back: the turns of the connection's task. Client and broker are tasks of the same thread, so that the
//! order of events is the same each time.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use streamgate_crds::Sni;
use streamgate_crds::problem::{Kind, ObjectRef};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::credentials::{Credentials, server_name};
use super::{Guarded, route, tell};
use crate::bootstrap::Protocol;
use crate::config::snapshot::{Snapshot, TlsService, label};
use crate::connection::accept::{Entrance, accept};
use crate::mqtt::packets::{ConnectPacket, packet, string};
use crate::route::table::RouteTable;
use crate::tls::server::TlsServer;
use crate::upstream::{Endpoint, Members, Target};
use crate::worker::{Phase, Worker};

const TIMES: usize = 100;

/// One route to this broker, and a `TlsSni` for all names.
fn snapshot(broker: SocketAddr, server: TlsServer) -> Snapshot {
    let endpoint =
        Endpoint { identity: "broker".into(), target: Target::Addresses(vec![broker]), load: Arc::default() };
    let members = Members { identity: "broker".into(), weight: 1, endpoints: vec![endpoint] };
    let text = json!({"upstream": {"nodes": [{"host": "127.0.0.1", "port": broker.port()}]}});
    let object = ObjectRef { kind: Kind::TlsSni, namespace: "acme".to_owned(), name: "devices".to_owned() };
    let service =
        TlsService { label: label(&object), object, spec: Credentials::spec(), server: Some(Arc::new(server)) };
    let mut snapshot = Snapshot::empty();
    snapshot.names.add(&Sni::Any, Arc::new(service));
    snapshot.routes = RouteTable::new(vec![route("devices".to_owned(), text, vec![members])]);
    snapshot
}

/// A broker of one client, to whom it sends back what it gets.
async fn be_broker(listener: TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept().await?;
    let mut buffer = [0; 256];
    stream.read_exact(&mut buffer[..ConnectPacket::v3_1_1().bytes().len()]).await?;
    stream.write_all(CONNACK).await?;
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        stream.write_all(&buffer[..count]).await?;
    }
    Ok(())
}

/// A client that sends messages, each when the one before is back.
async fn be_client(mut stream: impl AsyncRead + AsyncWrite + Unpin, is_counting: Arc<AtomicBool>) -> io::Result<()> {
    stream.write_all(&ConnectPacket::v3_1_1().bytes()).await?;
    stream.read_exact(&mut [0; CONNACK.len()]).await?;
    let message = packet(0x30, [string("devices/sensor-0042/temperature"), vec![b'x'; 64]].concat());
    let mut back = vec![0; message.len()];
    for number in 0..=TIMES {
        // Once for what is done the first time alone.
        is_counting.store(number > 0, Ordering::Relaxed);
        stream.write_all(&message).await?;
        stream.read_exact(&mut back).await?;
        assert_eq!(back, message);
    }
    is_counting.store(false, Ordering::Relaxed);
    Ok(())
}

async fn count_messages(protocol: Protocol) -> io::Result<()> {
    let (brokers, listener) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let address = listener.local_addr()?;
    let credentials = Credentials::new();
    let (_serving, phase) = watch::channel(Phase::Serving);
    let worker = Worker::with(Arc::new(snapshot(brokers.local_addr()?, credentials.server())), phase);
    let is_counting = Arc::new(AtomicBool::new(false));
    let entrance = Rc::new(Entrance { name: "devices".into(), protocol });
    let proxy = LocalSet::new();
    proxy.spawn_local(accept(worker, entrance, listener));
    tokio::spawn(be_broker(brokers));
    let (device, counting) = (credentials.device(false), Arc::clone(&is_counting));
    let client = tokio::spawn(async move {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match protocol {
            Protocol::Mqtt => be_client(stream, counting).await,
            Protocol::Mqtts => be_client(device.connect(server_name(), stream).await?, counting).await,
        }
    });
    tokio::select! {
        biased;
        () = Guarded::new(proxy, &is_counting) => unreachable!("it serves as long as it is asked to"),
        client = client => client??,
    }
    tell(TIMES);
    Ok(())
}

#[tokio::test]
async fn relay_step() -> io::Result<()> {
    count_messages(Protocol::Mqtt).await
}

#[tokio::test]
async fn relay_step_over_tls() -> io::Result<()> {
    count_messages(Protocol::Mqtts).await
}

const CONNACK: &[u8] = &[0x20, 2, 0, 0];
