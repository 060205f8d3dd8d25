//! Session tickets: a device comes back to any replica without a full handshake, as long as all that let it in holds today.
//!
//! - [`keys`]: what tickets are sealed with.
//! - [`session_value`]: what rustls has in them.
//!
//! Before rustls' own there is in a ticket when the session began and which authorities were trusted then. When it comes back
//! the client's certificates are judged again by today's [`ClientVerifier`], all but the signatures, which do not change. What
//! does not hold, or can't be told, is not opened: then the handshake is a full one, with its own alert.

pub mod keys;
mod session_value;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use self::keys::TicketKeys;
use self::session_value::SessionValue;
use super::authorities::{FINGERPRINT_BYTES, Fingerprint};
use super::client_auth::ClientVerifier;

/// The tickets of one `TlsSni`.
pub(super) struct Tickets {
    keys: Arc<TicketKeys>,
    /// `namespace/name`.
    tls_sni: String,
    /// `None`: clients are asked for no certificate.
    clients: Option<Arc<ClientVerifier>>,
}

impl Tickets {
    /// Sealed with these keys, for clients that are judged so.
    pub(super) fn new(keys: Arc<TicketKeys>, tls_sni: &str, clients: Option<Arc<ClientVerifier>>) -> Self {
        Self { keys, tls_sni: tls_sni.to_owned(), clients }
    }

    fn seal(&self, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        let session = SessionValue::read(plain)?;
        let began = if session.is_tls12 { Opened::began(session.secret).unwrap_or(now) } else { now };
        let trusted = self.clients.as_ref().map_or(&[][..], |clients| clients.authorities().to_remember());
        let length = HEAD_BYTES + trusted.len() * FINGERPRINT_BYTES + plain.len();
        if length > MOST_BYTES {
            return None;
        }
        let mut sealed = Vec::with_capacity(length + ROOM_FOR_TAG);
        sealed.extend(began.to_be_bytes());
        sealed.extend(u16::try_from(trusted.len()).ok()?.to_be_bytes());
        sealed.extend(trusted.as_flattened());
        sealed.extend(plain);
        self.keys.seal(&self.tls_sni, sealed, now)
    }

    fn open(&self, sealed: &[u8], now: UnixTime) -> Option<Vec<u8>> {
        let seconds = now.as_secs();
        let opened: Zeroizing<Vec<u8>> = self.keys.open(&self.tls_sni, sealed, seconds)?;
        let (began, rest) = opened.split_first_chunk()?;
        let began = u64::from_be_bytes(*began);
        // Another replica's clock may be ahead.
        if seconds.saturating_sub(began) >= u64::from(LIFETIME_SECONDS) {
            return None;
        }
        let (count, rest) = rest.split_first_chunk()?;
        let (trusted, plain) = rest.split_at_checked(usize::from(u16::from_be_bytes(*count)) * FINGERPRINT_BYTES)?;
        let (trusted, _): (&[Fingerprint], _) = trusted.as_chunks();
        let session = SessionValue::read(plain)?;
        let holds = match &self.clients {
            Some(clients) => clients.holds_still(trusted, &session.certificates, now),
            None => trusted.is_empty() && session.certificates.is_empty(),
        };
        if !holds {
            return None;
        }
        if session.is_tls12 {
            Opened::remember(session.secret, began);
        }
        Some(plain.to_vec())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, UnixTime::now().as_secs())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, UnixTime::now())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("tls_sni", &self.tls_sni).finish_non_exhaustive()
    }
}

/// The session of TLS 1.2 that this thread opened last. In TLS 1.2 a session that goes on keeps its secret and gets a new
/// ticket in the same step; that ticket must not make it last longer. In TLS 1.3 each ticket has a secret of its own.
#[derive(Clone, Copy)]
struct Opened {
    secret: [u8; 32],
    began: u64,
}

thread_local! {
    static LAST_OPENED: Cell<Option<Opened>> = const { Cell::new(None) };
}

impl Opened {
    fn remember(secret: &[u8], began: u64) {
        LAST_OPENED.set(fingerprint_of(secret).map(|secret| Self { secret, began }));
    }

    /// When the session with this secret began, if it is the one that was opened last.
    fn began(secret: &[u8]) -> Option<u64> {
        let opened = LAST_OPENED.take()?;
        (Some(opened.secret) == fingerprint_of(secret)).then_some(opened.began)
    }
}

fn fingerprint_of(secret: &[u8]) -> Option<[u8; 32]> {
    digest(&SHA256, secret).as_ref().try_into().ok()
}

/// How long a session may go on without a full handshake: in TLS 1.2 from that on, in TLS 1.3 from the last time it went on.
const LIFETIME_SECONDS: u32 = 12 * 60 * 60;

/// When it began, and how many authorities follow.
const HEAD_BYTES: usize = 8 + 2;

/// A ticket comes back in a `ClientHello`, which has to stay of a size that clients can send. Who has so many certificates
/// shows them each time.
const MOST_BYTES: usize = 16_000;

/// What the cipher puts at the end.
const ROOM_FOR_TAG: usize = 16;

#[cfg(test)]
pub(super) mod testing;

#[cfg(test)]
mod tests;
