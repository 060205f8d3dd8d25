//! Stage 6: bytes both ways, with back-pressure and half-close, and the end of it. While nothing moves, no buffer is held.

mod direction;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use streamgate_crds::stream_route::OnDrainWill;
use tokio::net::TcpStream;

use self::direction::{Direction, Side};
use super::end::End;
use super::record::Record;
use super::seats::{Moment, Seat};
use super::stream::ClientStream;
use super::{Ended, refuse};
use crate::config::snapshot::Route;
use crate::mqtt::disconnect::{self, Farewell};
use crate::mqtt::{Level, MaximumPacketSize};
use crate::upstream::load::Held;
use crate::worker::descriptors::Descriptor;

/// What was agreed on between client and broker, as far as the relay has to know it.
pub(super) struct Terms {
    pub(super) level: Level,
    /// Whether the broker has let the client in.
    pub(super) is_accepted: bool,
    /// In seconds; 0 is none.
    pub(super) keep_alive_seconds: u16,
    pub(super) maximum_packet_size: MaximumPacketSize,
    pub(super) route: Arc<Route>,
}

impl Terms {
    /// How long the client may say nothing.
    fn silence_limit(&self) -> Option<Duration> {
        // 3.1.2.10: one and a half times the keep-alive. The broker goes first, if it cares.
        let limit = Duration::from_secs(self.keep_alive_seconds.into()).mul_f32(1.5) + BROKER_FIRST;
        (self.keep_alive_seconds > 0).then_some(limit)
    }
}

/// A client and its broker, ready to be relayed.
pub(super) struct Pair<S> {
    pub(super) client: S,
    pub(super) broker: TcpStream,
    pub(super) terms: Terms,
    /// What the client has sent already, behind its CONNECT.
    pub(super) from_client: Vec<u8>,
    /// What the broker has sent already, its CONNACK first.
    pub(super) from_broker: Vec<u8>,
    /// Counts the connection as the endpoint's.
    pub(super) held: Held,
    /// Of the connection to the broker.
    pub(super) descriptor: Descriptor,
}
/// The DISCONNECT for a client that may get one here: MQTT 5.0, let in, between two packets.
fn farewell(terms: &Terms, down: &Direction, why: Farewell<'_>) -> Option<Vec<u8>> {
    let may_be_told = terms.level == Level::V5 && terms.is_accepted && down.is_at_rest();
    if may_be_told { disconnect::to_client(why, terms.maximum_packet_size) } else { None }
}

/// Why a relay is over.
pub(super) enum Parting {
    /// Both sides have ended, or one has broken.
    Ended,
    /// One side had ended, and the other was silent for too long.
    HalfClosed,
    /// The client said nothing for longer than its keep-alive allows.
    KeepAliveMissed,
    /// The proxy shuts down.
    HandedBack,
}

/// A client and its broker: passes on what either side has sent already, then all that they send, until both have ended or one
/// breaks, the client misses its keep-alive, or it is time to hand it back.
pub(super) struct Relay<S> {
    client: S,
    broker: TcpStream,
    terms: Terms,
    /// From the client to the broker.
    up: Direction,
    /// From the broker to the client.
    down: Direction,
    /// What ended first: all that follows, follows from it.
    first_end: Option<Box<Ended>>,
    seat: Seat,
    /// When something last came from the client.
    heard: Moment,
    /// When something last came from either side.
    moved: Moment,
    /// When the seat is to wake the relay.
    due: Option<Moment>,
    /// Since when it waits for the end of the packet that is under way, to hand the client back.
    stopping: Option<Moment>,
    record: Record,
    _held: Held,
    _descriptor: Descriptor,
}

impl<S: ClientStream> Relay<S> {
    pub(super) fn new(pair: Pair<S>, seat: Seat, record: Record) -> Self {
        let Pair { client, broker, terms, from_client, from_broker, held, descriptor } = pair;
        let now = seat.clock();
        Self {
            client,
            broker,
            terms,
            up: Direction::new(from_client),
            down: Direction::new(from_broker),
            first_end: None,
            seat,
            heard: now,
            moved: now,
            due: None,
            stopping: None,
            record,
            _held: held,
            _descriptor: descriptor,
        }
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Parting> {
        self.seat.register(context);
        let before = (self.up.read_bytes, self.down.read_bytes);
        let up = self.up.poll(context, &mut self.client, &mut self.broker);
        let down = self.down.poll(context, &mut self.broker, &mut self.client);
        let now = self.seat.clock();
        // Whom the broker makes wait is not silent.
        if before.0 != self.up.read_bytes || self.up.has_pending() {
            self.heard = now;
        }
        if before != (self.up.read_bytes, self.down.read_bytes) {
            self.moved = now;
        }
        if self.first_end.is_none() {
            self.first_end = first_end(&self.up, &self.down).map(Box::new);
        }
        let is_broken = |way: &Direction, polled: Poll<()>| polled.is_ready() && way.is_reader_broken();
        if (up.is_ready() && down.is_ready()) || is_broken(&self.up, up) || is_broken(&self.down, down) {
            return Poll::Ready(Parting::Ended);
        }
        self.look_at_the_clock(now, up.is_ready() || down.is_ready())
    }

    /// Ends what has taken too long, and has the seat wake the relay for the next that could.
    fn look_at_the_clock(&mut self, now: Moment, is_half_closed: bool) -> Poll<Parting> {
        if self.seat.is_to_hand_back() {
            let since = *self.stopping.get_or_insert(now);
            self.down.stop();
            // The broker is told something then too, between two packets.
            let is_broker_told = self.terms.route.spec.on_drain.will == OnDrainWill::Suppress;
            if is_broker_told {
                self.up.stop();
            }
            let are_at_rest = self.down.is_at_rest() && (!is_broker_told || self.up.is_at_rest());
            if are_at_rest || now >= since + STOP_PATIENCE {
                return Poll::Ready(Parting::HandedBack);
            }
        }
        if is_half_closed && now >= self.moved + HALF_CLOSE_PATIENCE {
            return Poll::Ready(Parting::HalfClosed);
        }
        let silence = self.terms.silence_limit().filter(|_| !is_half_closed).map(|limit| self.heard + limit);
        if silence.is_some_and(|end| now >= end) {
            return Poll::Ready(Parting::KeepAliveMissed);
        }
        let stopping = self.stopping.map(|since| since + STOP_PATIENCE);
        let half_closed = is_half_closed.then(|| self.moved + HALF_CLOSE_PATIENCE);
        let next = [stopping, half_closed, silence].into_iter().flatten().min();
        // Later is told when the seat wakes the relay too early.
        if self.due.is_none_or(|due| due <= now) || next.zip(self.due).is_some_and(|(next, due)| next < due) {
            self.due = next;
            self.seat.wake_at(next);
        }
        Poll::Pending
    }

    /// Ends a relay, in words where a side may have some, and tells of it.
    pub(super) async fn part(self, parting: Parting) {
        let Self { client, broker, terms, up, down, first_end, mut record, .. } = self;
        let mut sent_bytes = down.written_bytes;
        let ended = match parting {
            Parting::Ended => {
                // What either has said last is for the other to read.
                let of_broker = async {
                    if !down.has_ended() {
                        refuse::refuse(broker, None).await;
                    }
                };
                let of_client = async {
                    if !up.has_ended() {
                        refuse::refuse(client, None).await;
                    }
                };
                tokio::join!(of_client, of_broker);
                first_end.map_or_else(|| Ended::new(End::ClientClosed, ""), |ended| *ended)
            }
            Parting::HalfClosed => {
                let reason = format!("one side had ended, and the other did nothing for {HALF_CLOSE_PATIENCE:?}");
                Ended::new(End::HalfCloseTimeout, reason)
            }
            Parting::KeepAliveMissed => {
                let farewell = farewell(&terms, &down, Farewell::KeepAliveTimeout);
                sent_bytes += farewell.as_ref().map_or(0, Vec::len) as u64;
                tokio::join!(refuse::refuse(client, farewell.as_deref()), refuse::refuse(broker, None));
                let seconds = terms.keep_alive_seconds;
                Ended::new(
                    End::KeepAliveTimeout,
                    format!("nothing came for one and a half times its keep-alive of {seconds} s"),
                )
            }
            Parting::HandedBack => {
                let on_drain = &terms.route.spec.on_drain;
                let why = on_drain.server_reference.as_deref().map_or(Farewell::ShuttingDown, Farewell::UseAnother);
                let farewell = farewell(&terms, &down, why);
                sent_bytes += farewell.as_ref().map_or(0, Vec::len) as u64;
                let leaves_in_order = on_drain.will == OnDrainWill::Suppress && up.is_at_rest();
                let to_broker = leaves_in_order.then_some(&disconnect::NORMAL[..]);
                tokio::join!(refuse::refuse(client, farewell.as_deref()), refuse::refuse(broker, to_broker));
                Ended::new(End::HandedBack, "the proxy shuts down")
            }
        };
        record.received_bytes += up.read_bytes;
        record.sent_bytes += sent_bytes;
        record.finish(&ended);
    }
}

/// What ended the relay, if anything did. Who has left can't be written to, so of what is seen at once an end comes first.
fn first_end(up: &Direction, down: &Direction) -> Option<Ended> {
    let broken = |way: &Direction, side, end| match &way.error {
        Some((whose, error)) if *whose == side => Some(Ended::new(end, error.to_string())),
        _ => None,
    };
    broken(up, Side::Reader, End::ClientError)
        .or_else(|| broken(down, Side::Reader, End::BrokerError))
        .or_else(|| up.has_ended().then(|| Ended::new(End::ClientClosed, "the client ended the connection")))
        .or_else(|| down.has_ended().then(|| Ended::new(End::BrokerClosed, "the broker ended the connection")))
        .or_else(|| broken(up, Side::Writer, End::BrokerError))
        .or_else(|| broken(down, Side::Writer, End::ClientError))
}

/// How long one side may go on saying nothing after the other has ended.
const HALF_CLOSE_PATIENCE: Duration = Duration::from_mins(1);
/// By how much the broker is left to be the first to end a client that misses its keep-alive.
const BROKER_FIRST: Duration = Duration::from_secs(2);
/// How long the end of a packet is waited for.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
