//! A connection's way through the proxy, one file a stage.
//!
//! - [`accept`]: sockets in.
//! - [`handshake`]: TLS by the name that the client asks for.
//! - [`connect`]: its CONNECT.
//! - [`pick`]: an endpoint for it.
//! - [`dial`]: the connection to that.
//! - [`relay`]: bytes both ways.
//! - [`refuse`]: the end of a client that is turned away.
//! - [`end`]: how it can end; [`record`]: what is told of it then.

pub(crate) mod accept;
mod connect;
mod dial;
pub mod end;
mod handshake;
pub(crate) mod pick;
mod record;
mod refuse;
mod relay;
mod stream;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use streamgate_crds::stream_route::ClientIdPolicy;
use tokio::net::TcpStream;

use self::accept::Entrance;
use self::connect::Unreceived;
use self::end::End;
use self::handshake::Handshaken;
use self::pick::Seeker;
use self::record::Record;
use self::stream::ClientStream;
use crate::bootstrap::Protocol;
use crate::config::snapshot::{Route, Snapshot, TlsService};
use crate::mqtt::{Connect, ConnectLimits, Level, LevelSet, Refusal, connack};
use crate::route::{Client, ClientTls};
use crate::tls::client_certificate::ClientCertificate;
use crate::tls::session::Peer;
use crate::worker::Worker;

/// How a connection ended, and why in a sentence.
pub(crate) struct Ended {
    end: End,
    reason: String,
}

impl Ended {
    fn new(end: End, reason: impl Into<String>) -> Self {
        Self { end, reason: reason.into() }
    }
}

/// Takes a connection from its first byte to its end, and tells of it.
pub(crate) async fn serve(worker: Rc<Worker>, entrance: Rc<Entrance>, stream: TcpStream, source: SocketAddr) {
    let mut record = Record::begin(&worker, &entrance, source);
    let ended = match entrance.protocol {
        Protocol::Mqtt => serve_mqtt(&worker, &entrance, stream, None, &mut record).await,
        Protocol::Mqtts => {
            let timeout = worker.shared.client_hello_timeout;
            match handshake::accept(&worker, stream, timeout, &mut record).await {
                Ok(Handshaken { session, tls }) => {
                    serve_mqtt(&worker, &entrance, session, Some(tls), &mut record).await
                }
                Err(ended) => ended,
            }
        }
    };
    record.finish(&ended);
}

/// What the handshake told of a client.
struct Tls {
    sni: Option<String>,
    service: Arc<TlsService>,
    peer: Peer,
}

/// From the first byte of MQTT on.
async fn serve_mqtt<S: ClientStream>(
    worker: &Worker,
    entrance: &Entrance,
    mut stream: S,
    tls: Option<Tls>,
    record: &mut Record<'_>,
) -> Ended {
    let route = find_route(&worker.shared.snapshot.load(), entrance, record.source.ip(), tls.as_ref());
    let (limits, timeout) = match &route {
        Some(route) => (route.connect_limits(), route.spec.mqtt.connect_timeout.into()),
        None => (LIMITS_WITHOUT_ROUTE, TIMEOUT_WITHOUT_ROUTE),
    };
    record.route = route.map(|route| Arc::clone(&route.label));
    let received = match connect::receive(&mut stream, limits, timeout).await {
        Ok(received) => received,
        Err(Unreceived { ended, connack, client_id, received_bytes }) => {
            record.client_id = client_id;
            record.received_bytes = received_bytes;
            record.sent_bytes = connack.as_ref().map_or(0, Vec::len) as u64;
            refuse::refuse(stream, connack.as_deref()).await;
            return ended;
        }
    };
    let Some(connect) = received.connect() else {
        return Ended::new(End::MalformedConnect, "the CONNECT could not be read again");
    };
    record.client_id = Some(connect.client_id.to_owned());
    record.level = Some(connect.level);
    record.received_bytes = connect.packet.len() as u64;
    // What has changed since counts.
    let snapshot = worker.shared.snapshot.load_full();
    let route = find_route(&snapshot, entrance, record.source.ip(), tls.as_ref());
    record.route = route.as_ref().map(|route| Arc::clone(&route.label));
    let certificate = tls.as_ref().and_then(|tls| tls.peer.certificate.as_ref());
    let route = match judge(route, &connect, certificate) {
        Ok(route) => route,
        Err((refusal, reason)) => return turn_away(stream, &connect, refusal, &reason, record).await,
    };
    worker.shared.metrics.connects(&entrance.name, &route.label, connect.level).inc();
    let seeker = Seeker {
        client_id: connect.client_id,
        username: connect.username,
        subject: certificate.map(ClientCertificate::subject),
        sni: tls.as_ref().and_then(|tls| tls.sni.as_deref()),
        source: record.source.ip(),
    };
    let reached = match dial::reach(worker, &snapshot, &route, &seeker, record).await {
        Ok(reached) => reached,
        Err(reason) => return turn_away(stream, &connect, Refusal::NoEndpoint, &reason, record).await,
    };
    drop((snapshot, route, tls));
    let relayed = relay::relay(stream, reached, received.into_bytes()).await;
    record.received_bytes = relayed.received_bytes;
    record.sent_bytes = relayed.sent_bytes;
    relayed.ended
}

/// The route for a client. A client that was let in by one `TlsSni` is never another's, though its name is by now.
fn find_route(snapshot: &Snapshot, entrance: &Entrance, source: IpAddr, tls: Option<&Tls>) -> Option<Arc<Route>> {
    let tls = match tls {
        None => None,
        Some(Tls { sni, service, .. }) => {
            let now = snapshot.names.find(sni.as_deref())?;
            if now.object != service.object {
                return None;
            }
            Some(ClientTls { sni: sni.as_deref(), service: now })
        }
    };
    snapshot.routes.find(&Client { listener: &entrance.name, source, tls }).cloned()
}

/// Whether a client may take the route, by its CONNECT.
fn judge(
    route: Option<Arc<Route>>,
    connect: &Connect<'_>,
    certificate: Option<&ClientCertificate>,
) -> Result<Arc<Route>, (Refusal, String)> {
    let route =
        route.ok_or_else(|| (Refusal::NoRoute, "no route for this name, source address and listener".to_owned()))?;
    let client_id = &route.spec.mqtt.client_id;
    if connect.client_id.is_empty() {
        if client_id.policy != ClientIdPolicy::Any {
            return Err((Refusal::ClientIdRequired, "a client id is required, and this one is empty".to_owned()));
        }
        if !connect.empty_client_id_allowed() {
            let reason = match connect.level {
                Level::V3_1 => "MQTT 3.1 allows no empty client id".to_owned(),
                level => format!("{level} allows an empty client id only together with Clean Session"),
            };
            return Err((Refusal::ClientIdRequired, reason));
        }
    }
    if client_id.policy == ClientIdPolicy::MatchesCertificate {
        let field = client_id.certificate_field;
        let is_same = certificate.is_some_and(|certificate| certificate.values(field).contains(&connect.client_id));
        if !is_same {
            return Err((
                Refusal::ClientIdMismatch,
                format!("the client id is not the {field:?} of the client's certificate"),
            ));
        }
    }
    Ok(route)
}

/// Tells a client whose CONNECT is whole that it is turned away.
async fn turn_away<S: ClientStream>(
    stream: S,
    connect: &Connect<'_>,
    refusal: Refusal,
    reason: &str,
    record: &mut Record<'_>,
) -> Ended {
    let connack = connack::refusal(connect.form(), refusal, reason);
    record.sent_bytes = connack.as_ref().map_or(0, Vec::len) as u64;
    refuse::refuse(stream, connack.as_deref()).await;
    Ended::new(refusal.into(), reason)
}

/// What a CONNECT may be, and how long it may take, where no route says it: that of a client that will be told so.
const LIMITS_WITHOUT_ROUTE: ConnectLimits = ConnectLimits { max_packet_bytes: 64 << 10, levels: LevelSet::ALL };
const TIMEOUT_WITHOUT_ROUTE: Duration = Duration::from_secs(10);
