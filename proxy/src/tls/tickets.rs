//! Session tickets: none outlives the certificates that the handshake had judged.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ProducesTickets;
use x509_parser::prelude::{FromDer, X509Certificate};

tokio::task_local! {
    /// Until when the client of this handshake may come back, in seconds since the epoch.
    static GOOD_UNTIL: Cell<u64>;
}

/// Runs a handshake. Within it, the client's verifier tells the tickets by [`limit_to`] how long they may be good: rustls
/// shows neither to the other.
pub(super) async fn with_tickets<F: Future>(handshake: F) -> F::Output {
    GOOD_UNTIL.scope(Cell::new(u64::MAX), handshake).await
}

/// The client of this handshake may come back as long as all these certificates are in their time.
pub(super) fn limit_to<'a>(certificates: impl Iterator<Item = CertificateDer<'a>>) {
    let end = certificates.map(|certificate| not_after(&certificate)).min().unwrap_or(u64::MAX);
    // Outside of a handshake, as in a test, no ticket is given out either.
    let _ = GOOD_UNTIL.try_with(|good_until| good_until.set(end));
}

/// Seals tickets with keys of its own, which rotate, and opens those only that are still good.
pub(super) struct Tickets {
    sealed: Arc<dyn ProducesTickets>,
}

impl Tickets {
    /// With new keys.
    ///
    /// # Errors
    ///
    /// There are no random numbers.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        Ok(Self { sealed: aws_lc_rs::Ticketer::new()? })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.sealed.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.sealed.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let good_until = GOOD_UNTIL.try_with(Cell::get).ok()?;
        self.sealed.encrypt(&[&good_until.to_be_bytes(), plain].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let opened = self.sealed.decrypt(cipher)?;
        let (good_until, plain) = opened.split_first_chunk()?;
        let good_until = u64::from_be_bytes(*good_until);
        if UnixTime::now().as_secs() > good_until {
            return None;
        }
        // For the ticket that takes this one's place.
        GOOD_UNTIL.try_with(|limit| limit.set(good_until)).ok()?;
        Some(plain.to_vec())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

/// The end of a certificate, in seconds since the epoch. What can't be read is over.
fn not_after(certificate: &CertificateDer<'_>) -> u64 {
    X509Certificate::from_der(certificate)
        .ok()
        .and_then(|(_, certificate)| u64::try_from(certificate.validity().not_after.timestamp()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{GOOD_UNTIL, Tickets, UnixTime, with_tickets};
    use rustls::server::ProducesTickets;

    async fn ticket(tickets: &Tickets, good_until: u64) -> Vec<u8> {
        let sealed = with_tickets(async {
            GOOD_UNTIL.with(|limit| limit.set(good_until));
            tickets.encrypt(b"session")
        });
        sealed.await.expect("a ticket")
    }

    #[tokio::test]
    async fn a_ticket_is_good_until_its_end() {
        let tickets = Tickets::new().expect("tickets");
        let ticket = ticket(&tickets, UnixTime::now().as_secs() + 60).await;
        assert_eq!(with_tickets(async { tickets.decrypt(&ticket) }).await.as_deref(), Some(&b"session"[..]));
    }

    #[tokio::test]
    async fn a_ticket_is_not_good_after_its_end() {
        let tickets = Tickets::new().expect("tickets");
        let ticket = ticket(&tickets, UnixTime::now().as_secs() - 1).await;
        assert_eq!(with_tickets(async { tickets.decrypt(&ticket) }).await, None);
    }

    #[tokio::test]
    async fn the_ticket_that_takes_another_s_place_ends_with_it() {
        let tickets = Tickets::new().expect("tickets");
        let end = UnixTime::now().as_secs() + 60;
        let ticket = ticket(&tickets, end).await;
        let next = with_tickets(async {
            tickets.decrypt(&ticket);
            GOOD_UNTIL.with(std::cell::Cell::get)
        });
        assert_eq!(next.await, end);
    }

    #[tokio::test]
    async fn a_ticket_of_other_keys_is_not_opened() {
        let ticket = ticket(&Tickets::new().expect("tickets"), u64::MAX).await;
        let others = Tickets::new().expect("tickets");
        assert_eq!(with_tickets(async { others.decrypt(&ticket) }).await, None);
    }
}
