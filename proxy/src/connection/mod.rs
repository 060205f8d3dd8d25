//! A connection's way through the proxy, one file a stage.
//!
//! - [`accept`]: sockets in.
//! - [`handshake`]: TLS by the name that the client asks for.
//! - [`connect`]: its CONNECT.
//! - [`pick`]: an endpoint for it.
//! - [`reach`]: one that answers the CONNECT; [`dial`]: one attempt at that; [`authenticate`]: AUTH on the way to the CONNACK.
//! - [`patience`]: the client that waits for that.
//! - [`relay`]: bytes both ways; [`seats`]: what wakes a relay when nothing moves.
//! - [`refuse`]: the end of a client that is turned away.
//! - [`end`]: how it can end; [`record`]: what is told of it then.

pub(crate) mod accept;
mod authenticate;
mod connect;
mod dial;
pub mod end;
mod handshake;
mod patience;
pub(crate) mod pick;
mod reach;
mod record;
mod refuse;
mod relay;
pub(crate) mod seats;
mod stream;

use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use streamgate_crds::stream_route::ClientIdPolicy;

use self::accept::{Accepted, Entrance};
use self::authenticate::authenticate;
use self::connect::Unreceived;
use self::end::End;
use self::handshake::Handshaken;
use self::pick::Seeker;
use self::reach::Reached;
use self::record::Record;
use self::relay::{Pair, Relay, Terms};
use self::stream::ClientStream;
use crate::config::snapshot::{Route, Snapshot, TlsService};
use crate::mqtt::answer::Answer;
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
fn serve<S: ClientStream>(
    worker: Rc<Worker>,
    entrance: Rc<Entrance>,
    accepted: Accepted<S>,
) -> impl Future<Output = ()> {
    let Accepted { stream, source, descriptor } = accepted;
    relay(async move {
        let mut record = Record::begin(Rc::clone(&worker), Rc::clone(&entrance), source, descriptor);
        let led = lead_up(&worker, &entrance, stream, None, &mut record).await;
        take_seat(&worker, led, record)
    })
}

/// The same, over TLS.
fn serve_tls(worker: Rc<Worker>, entrance: Rc<Entrance>, accepted: Accepted) -> impl Future<Output = ()> {
    let Accepted { stream, source, descriptor } = accepted;
    relay(async move {
        let mut record = Record::begin(Rc::clone(&worker), Rc::clone(&entrance), source, descriptor);
        let limit = worker.shared.client_hello_timeout;
        let led = match handshake::accept(&worker, stream, limit, &mut record).await {
            Ok(Handshaken { session, tls }) => lead_up(&worker, &entrance, session, Some(tls), &mut record).await,
            Err(ended) => Err(ended),
        };
        take_seat(&worker, led, record)
    })
}

/// The relay of a connection that came so far; one that has ended before is told of.
fn take_seat<S: ClientStream>(worker: &Worker, led: Result<Pair<S>, Ended>, record: Record) -> Option<Relay<S>> {
    match led {
        Ok(pair) => Some(Relay::new(pair, worker.seats.take(), record)),
        Err(ended) => {
            record.finish(&ended);
            None
        }
    }
}

/// Relays what is led up to, and tells of it at its end. What comes before and after is boxed: an idle connection has the
/// memory of its relay alone.
fn relay<S: ClientStream>(led_up: impl Future<Output = Option<Relay<S>>>) -> impl Future<Output = ()> {
    let led_up = Box::pin(led_up);
    async {
        // Not moved before its end: the task would have room for each place where it may be.
        let mut led = led_up.await;
        let Some(relay) = &mut led else { return };
        let parting = poll_fn(|context| relay.poll(context)).await;
        if let Some(relay) = led {
            Box::pin(relay.part(parting)).await;
        }
    }
}

/// What the handshake told of a client.
struct Tls {
    sni: Option<String>,
    service: Arc<TlsService>,
    peer: Peer,
}

/// From the first byte of MQTT to the broker's answer.
async fn lead_up<S: ClientStream>(
    worker: &Worker,
    entrance: &Entrance,
    mut stream: S,
    tls: Option<Tls>,
    record: &mut Record,
) -> Result<Pair<S>, Ended> {
    let route = find_route(&worker.shared.snapshot.load(), entrance, record.source.ip(), tls.as_ref());
    let (limits, timeout) = match &route {
        Some(route) => (route.connect_limits(), route.spec.mqtt.connect_timeout.into()),
        None => (LIMITS_WITHOUT_ROUTE, TIMEOUT_WITHOUT_ROUTE),
    };
    record.route = route.map(|route| Arc::clone(&route.label));
    let received = match connect::receive(&mut stream, limits, timeout).await {
        Ok(received) => received,
        Err(Unreceived { ended, connack, client_id, received_bytes }) => {
            record.client_id = client_id.map(String::into_boxed_str);
            record.received_bytes = received_bytes;
            record.sent_bytes = connack.as_ref().map_or(0, Vec::len) as u64;
            refuse::refuse(stream, connack.as_deref()).await;
            return Err(ended);
        }
    };
    let Some(connect) = received.connect() else {
        return Err(Ended::new(End::MalformedConnect, "the CONNECT could not be read again"));
    };
    record.client_id = Some(connect.client_id.into());
    record.level = Some(connect.level);
    record.received_bytes = connect.packet.len() as u64;
    // What has changed since counts.
    let snapshot = worker.shared.snapshot.load_full();
    let route = find_route(&snapshot, entrance, record.source.ip(), tls.as_ref());
    record.route = route.as_ref().map(|route| Arc::clone(&route.label));
    let certificate = tls.as_ref().and_then(|tls| tls.peer.certificate.as_ref());
    let route = match judge(route, &connect, certificate) {
        Ok(route) => route,
        Err((refusal, reason)) => return Err(turn_away(stream, &connect, refusal, &reason, record).await),
    };
    worker.shared.metrics.connects(&entrance.name, &route.label, connect.level).inc();
    let seeker = Seeker {
        client_id: connect.client_id,
        username: connect.username,
        subject: certificate.map(ClientCertificate::subject),
        sni: tls.as_ref().and_then(|tls| tls.sni.as_deref()),
        source: record.source.ip(),
    };
    let Some(descriptor) = worker.shared.descriptors.take_for_broker() else {
        let reason = "the proxy has as many connections as it can have";
        return Err(turn_away(stream, &connect, Refusal::Overloaded, reason, record).await);
    };
    let (mut from_client, has_left) = (received.rest().to_vec(), Cell::new(false));
    let reached = tokio::select! {
        biased;
        reached = reach::reach(worker, &snapshot, &route, &connect, &seeker, &has_left, record) => reached,
        ended = patience::watch(&mut stream, &mut from_client, &has_left) => return Err(ended),
    };
    let reached = match reached {
        Ok(reached) => reached,
        Err(reason) => {
            let told = turn_away(stream, &connect, Refusal::NoEndpoint, &reason, record).await;
            let left = || Ended::new(End::ClientClosed, "the client left before a broker had answered");
            return Err(if has_left.get() { left() } else { told });
        }
    };
    drop((snapshot, tls));
    let Reached { stream: mut broker, mut answered, held } = reached;
    let mut terms = Terms {
        level: connect.level,
        is_accepted: false,
        keep_alive_seconds: connect.keep_alive_seconds,
        maximum_packet_size: connect.maximum_packet_size.into(),
        route,
    };
    // The memory of the CONNECT.
    drop(received);
    if matches!(answered.answer, Answer::Auth { .. }) {
        let spec = &terms.route.spec;
        let limits = authenticate::Limits {
            client: spec.mqtt.connect_timeout.into(),
            broker: spec.upstream.connack_timeout.into(),
            most_client_bytes: terms.route.connect_limits().max_packet_bytes,
        };
        let counts = (&mut record.received_bytes, &mut record.sent_bytes);
        answered = match authenticate(&mut stream, &mut broker, answered, &mut from_client, limits, counts).await {
            Ok(answered) => answered,
            Err(ended) => {
                refuse::refuse(stream, None).await;
                return Err(ended);
            }
        };
    }
    if let Answer::Connack { is_accepted, server_keep_alive_seconds, .. } = answered.answer {
        terms.is_accepted = is_accepted;
        terms.keep_alive_seconds = server_keep_alive_seconds.unwrap_or(terms.keep_alive_seconds);
    }
    Ok(Pair { client: stream, broker, terms, from_client, from_broker: answered.bytes, held, descriptor })
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
    record: &mut Record,
) -> Ended {
    let connack = connack::refusal(connect.form(), refusal, reason);
    record.sent_bytes = connack.as_ref().map_or(0, Vec::len) as u64;
    refuse::refuse(stream, connack.as_deref()).await;
    Ended::new(refusal.into(), reason)
}

/// What a CONNECT may be, and how long it may take, where no route says it: that of a client that will be told so.
const LIMITS_WITHOUT_ROUTE: ConnectLimits = ConnectLimits { max_packet_bytes: 64 << 10, levels: LevelSet::ALL };
const TIMEOUT_WITHOUT_ROUTE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
