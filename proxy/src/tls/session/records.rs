//! Records in, records out: rustls' connection, and the steps that it asks for.

use std::io;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedStatus};
use rustls::{CommonState, Error, ServerConfig};

use super::{alerts, failure};

/// A connection of rustls. It holds keys and state, and no bytes: those that come belong to the caller, and those that go are
/// given to it.
pub(super) struct Records {
    connection: UnbufferedServerConnection,
    /// Whether the client speaks TLS 1.1 at most.
    is_outdated: bool,
    /// After an error there is nothing more to ask rustls for.
    has_failed: bool,
}

/// What records brought.
#[derive(Debug)]
pub(super) struct Opened {
    /// As many bytes, from the first on, are not needed any more. The others are to be shown again, before what comes next.
    pub(super) consumed: usize,
    /// Whether the client has said that nothing more will come (`close_notify`).
    pub(super) is_closed: bool,
    /// Why the connection can't go on. The alert for it, if there is one, is among what is to be sent.
    pub(super) failure: Option<Error>,
}

impl Records {
    pub(super) fn new(config: Arc<ServerConfig>, is_outdated: bool) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self { connection, is_outdated, has_failed: false })
    }

    /// What is agreed on.
    pub(super) fn state(&self) -> &CommonState {
        &self.connection
    }

    /// Opens all whole records in `incoming`; `outgoing` gets what is to be sent for them, `plaintext` is given what they carry.
    pub(super) fn open(
        &mut self,
        incoming: &mut [u8],
        outgoing: &mut Vec<u8>,
        mut plaintext: impl FnMut(&[u8]),
    ) -> Opened {
        let mut opened = Opened { consumed: 0, is_closed: false, failure: None };
        while !self.has_failed {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut incoming[opened.consumed..]);
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                plaintext(record.payload);
                            }
                            Err(error) => opened.failure = Some(error),
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(record)) => append(outgoing, record, self.is_outdated),
                // It is in the caller's hands.
                Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
                Ok(ConnectionState::PeerClosed) => opened.is_closed = true,
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) | ConnectionState::Closed) => {
                    is_done = true;
                }
                // Early data: never allowed.
                Ok(_) => opened.failure = Some(Error::General("unexpected early data".to_owned())),
                Err(error) => opened.failure = Some(error),
            }
            opened.consumed += discard;
            if opened.failure.is_some() {
                self.fail(outgoing);
            }
            if is_done {
                break;
            }
        }
        opened
    }

    /// Seals `plaintext` into the front of `into`, which has room for it, and tells how many bytes that takes. `incoming` is
    /// what [`Records::open`] has left.
    pub(super) fn seal(&mut self, incoming: &mut [u8], plaintext: &[u8], into: &mut [u8]) -> io::Result<usize> {
        if self.has_failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match self.connection.process_tls_records(incoming).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                traffic.encrypt(plaintext, into).map_err(io::Error::other)
            }
            Ok(_) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => Err(failure::as_io(error)),
        }
    }

    /// Says that nothing more will be sent (`close_notify`), unless an alert has ended the connection before.
    pub(super) fn close(&mut self, incoming: &mut [u8], outgoing: &mut Vec<u8>) {
        // What rustls has yet to send comes first.
        if self.open(incoming, outgoing, |_| {}).failure.is_some() || self.has_failed {
            return;
        }
        let state = self.connection.process_tls_records(incoming).state;
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            let mut record = [0; CLOSE_BYTES];
            if let Ok(length) = traffic.queue_close_notify(&mut record) {
                outgoing.extend_from_slice(&record[..length]);
            }
        }
    }

    /// Takes the last records that rustls has to send, an alert among them. It is asked for nothing more after an error.
    fn fail(&mut self, outgoing: &mut Vec<u8>) {
        self.has_failed = true;
        while self.connection.wants_write() {
            let state = self.connection.process_tls_records(&mut []).state;
            let Ok(ConnectionState::EncodeTlsData(record)) = state else { return };
            append(outgoing, record, self.is_outdated);
        }
    }
}

fn append<Data>(outgoing: &mut Vec<u8>, mut record: EncodeTlsData<'_, Data>, is_outdated: bool) {
    let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = record.encode(&mut []) else {
        return;
    };
    let start = outgoing.len();
    outgoing.resize(start + required_size, 0);
    let into = &mut outgoing[start..];
    // There is room for it now.
    let _ = record.encode(into);
    if let Some(replacement) = alerts::replacement(into, is_outdated) {
        into.copy_from_slice(&replacement);
    }
}

/// For a `close_notify` and an answer to a `KeyUpdate` before it.
const CLOSE_BYTES: usize = 256;
