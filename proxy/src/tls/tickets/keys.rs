//! The keys that tickets are sealed with: shared ones out of a folder, or the process's own.
//!
//! A sealed ticket is `name of the key | nonce | AES-256-GCM-SIV`. The cipher's key is derived from the key and the `TlsSni`'s
//! name, so that every replica with the same keys opens it and no other `TlsSni` does. The cipher takes random nonces
//! without a bound that a busy fleet could reach before a key is changed.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

/// How many random bytes a key has.
pub const TICKET_KEY_BYTES: usize = 64;

/// What seals tickets and opens them again.
pub struct TicketKeys(Keys);

enum Keys {
    /// Those of a folder.
    Shared(Ring),
    /// The process's own, changed by the clock.
    Own(RwLock<OwnRing>),
}

struct Ring {
    /// What tickets are sealed with.
    current: Key,
    /// What opens them besides: the one before, and the one to come, with which another replica may seal already.
    others: Vec<Key>,
}

struct OwnRing {
    ring: Ring,
    /// When the current key was made, in seconds since the epoch.
    since: u64,
}

impl TicketKeys {
    /// Keys that every replica has.
    ///
    /// # Errors
    ///
    /// The library for cryptography refuses.
    pub fn shared(
        current: &[u8; TICKET_KEY_BYTES],
        next: Option<&[u8; TICKET_KEY_BYTES]>,
        previous: Option<&[u8; TICKET_KEY_BYTES]>,
    ) -> Result<Self, rustls::Error> {
        let keys = |bytes: &[u8; TICKET_KEY_BYTES]| Key::new(bytes).map_err(refused);
        let others = next.into_iter().chain(previous).map(keys).collect::<Result<_, _>>()?;
        Ok(Self(Keys::Shared(Ring { current: keys(current)?, others })))
    }

    /// Keys of this process alone, made now (in seconds since the epoch) and changed every [`OWN_KEY_SECONDS`]; the one
    /// before opens for as long again.
    ///
    /// # Errors
    ///
    /// There are no random numbers.
    pub fn own(now: u64) -> Result<Self, rustls::Error> {
        let ring = Ring { current: Key::random().map_err(refused)?, others: Vec::new() };
        Ok(Self(Keys::Own(RwLock::new(OwnRing { ring, since: now }))))
    }

    /// Seals for this `TlsSni`. `None` if the cipher refuses.
    pub(super) fn seal(&self, tls_sni: &str, plain: Vec<u8>, now: u64) -> Option<Vec<u8>> {
        self.with_ring(now, |ring| ring.current.seal(tls_sni, plain))
    }

    /// Opens what was sealed for this `TlsSni` with one of the keys. `None` if that can't be.
    pub(super) fn open(&self, tls_sni: &str, sealed: &[u8], now: u64) -> Option<Zeroizing<Vec<u8>>> {
        let (name, sealed) = sealed.split_first_chunk()?;
        self.with_ring(now, |ring| ring.named(name)?.open(tls_sni, sealed))
    }

    fn with_ring<T>(&self, now: u64, act: impl FnOnce(&Ring) -> Option<T>) -> Option<T> {
        let own = match &self.0 {
            Keys::Shared(ring) => return act(ring),
            Keys::Own(own) => own,
        };
        let held = own.read().unwrap_or_else(PoisonError::into_inner);
        if !held.is_due(now) {
            return act(&held.ring);
        }
        drop(held);
        let mut held = own.write().unwrap_or_else(PoisonError::into_inner);
        // Another worker may have been first.
        if held.is_due(now) {
            held.change(now).ok()?;
        }
        act(&held.ring)
    }
}

impl PartialEq for TicketKeys {
    /// By the names, which are derived from the keys.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Keys::Shared(one), Keys::Shared(other)) => one.names().eq(other.names()),
            _ => std::ptr::eq(self, other),
        }
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Keys::Shared(_) => "TicketKeys::Shared",
            Keys::Own(_) => "TicketKeys::Own",
        })
    }
}

impl Ring {
    fn names(&self) -> impl Iterator<Item = &Name> {
        [&self.current].into_iter().chain(&self.others).map(|key| &key.name)
    }

    fn named(&self, name: &Name) -> Option<&Key> {
        [&self.current].into_iter().chain(&self.others).find(|key| key.name == *name)
    }
}

impl OwnRing {
    fn is_due(&self, now: u64) -> bool {
        now.saturating_sub(self.since) >= OWN_KEY_SECONDS
    }

    fn change(&mut self, now: u64) -> Result<(), Unspecified> {
        let before = std::mem::replace(&mut self.ring.current, Key::random()?);
        self.ring.others.clear();
        if now.saturating_sub(self.since) < 2 * OWN_KEY_SECONDS {
            self.ring.others.push(before);
        }
        self.since = now;
        Ok(())
    }
}

/// How a ticket says which key opens it.
type Name = [u8; NAME_BYTES];

/// One key. What is secret of it is wiped when it is dropped.
struct Key {
    name: Name,
    secret: Prk,
}

impl Key {
    fn new(bytes: &[u8; TICKET_KEY_BYTES]) -> Result<Self, Unspecified> {
        let secret = Salt::new(HKDF_SHA256, SALT).extract(bytes);
        let mut name = [0; NAME_BYTES];
        derive(&secret, &[b"name"], &mut name)?;
        Ok(Self { name, secret })
    }

    fn random() -> Result<Self, Unspecified> {
        let mut bytes = Zeroizing::new([0; TICKET_KEY_BYTES]);
        rand::fill(&mut bytes[..])?;
        Self::new(&bytes)
    }

    fn seal(&self, tls_sni: &str, mut plain: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = self.cipher(tls_sni)?.seal_in_place_append_tag(Aad::from(self.name), &mut plain).ok()?;
        Some([&self.name[..], nonce.as_ref(), &plain].concat())
    }

    fn open(&self, tls_sni: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let cipher = self.cipher(tls_sni)?;
        let length = cipher.open_in_place(Nonce::from(nonce), Aad::from(self.name), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }

    /// The cipher for tickets of one `TlsSni`. Deriving it costs a small part of what the handshake does.
    fn cipher(&self, tls_sni: &str) -> Option<RandomizedNonceKey> {
        let mut key = Zeroizing::new([0; CIPHER_KEY_BYTES]);
        derive(&self.secret, &[b"TlsSni ", tls_sni.as_bytes()], &mut key[..]).ok()?;
        RandomizedNonceKey::new(&AES_256_GCM_SIV, &key[..]).ok()
    }
}

fn derive(secret: &Prk, info: &[&[u8]], into: &mut [u8]) -> Result<(), Unspecified> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    secret.expand(info, Length(into.len()))?.fill(into)
}

fn refused(_: Unspecified) -> rustls::Error {
    rustls::Error::General("no keys for session tickets can be made".to_owned())
}

/// As long as a ticket is good, so that none ends before its time.
const OWN_KEY_SECONDS: u64 = super::LIFETIME_SECONDS as u64;

/// Another form of what is sealed takes another one, so that old tickets are not read as new ones.
const SALT: &[u8] = b"streamgate session ticket 1";

const NAME_BYTES: usize = 16;
const CIPHER_KEY_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const SNI: &str = "acme/devices";

    fn bytes(of: u8) -> [u8; TICKET_KEY_BYTES] {
        [of; TICKET_KEY_BYTES]
    }

    fn shared(current: u8, next: Option<u8>, previous: Option<u8>) -> TicketKeys {
        let (next, previous) = (next.map(bytes), previous.map(bytes));
        TicketKeys::shared(&bytes(current), next.as_ref(), previous.as_ref()).expect("keys")
    }

    fn sealed(keys: &TicketKeys) -> Vec<u8> {
        keys.seal(SNI, b"session".to_vec(), 0).expect("a ticket")
    }

    fn opens(keys: &TicketKeys, sealed: &[u8], now: u64) -> bool {
        keys.open(SNI, sealed, now).is_some_and(|opened| **opened == *b"session")
    }

    #[test]
    fn another_process_with_the_same_keys_opens_a_ticket() {
        let ticket = sealed(&shared(1, None, None));
        assert!(opens(&shared(1, Some(2), None), &ticket, 0));
    }

    #[test]
    fn the_next_and_the_previous_key_open_too_and_no_other() {
        let keys = shared(1, Some(2), Some(3));
        let opened = [1, 2, 3, 4].map(|of| opens(&keys, &sealed(&shared(of, None, None)), 0));
        assert_eq!(opened, [true, true, true, false]);
    }

    #[test]
    fn a_ticket_of_one_tls_sni_opens_under_no_other() {
        let keys = shared(1, None, None);
        assert!(keys.open("acme/others", &sealed(&keys), 0).is_none());
    }

    #[test]
    fn a_ticket_with_any_byte_changed_does_not_open() {
        let keys = shared(1, None, None);
        let ticket = sealed(&keys);
        for index in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[index] ^= 1;
            assert!(!opens(&keys, &changed, 0), "byte {index}");
            assert!(!opens(&keys, &ticket[..index], 0), "{index} bytes");
        }
    }

    #[test]
    fn nothing_of_the_session_shows_and_no_two_tickets_are_alike() {
        let keys = shared(1, None, None);
        let (one, other) = (sealed(&keys), sealed(&keys));
        assert!(!one.windows(7).any(|part| part == b"session"));
        assert_ne!(one[NAME_BYTES..], other[NAME_BYTES..]);
    }

    #[test]
    fn own_keys_open_until_they_have_changed_twice() {
        let keys = TicketKeys::own(0).expect("keys");
        let ticket = sealed(&keys);
        assert!(opens(&keys, &ticket, OWN_KEY_SECONDS));
        assert!(opens(&keys, &ticket, 2 * OWN_KEY_SECONDS - 1));
        assert!(!opens(&keys, &ticket, 2 * OWN_KEY_SECONDS));
    }

    #[test]
    fn own_keys_that_were_not_used_for_long_open_nothing_any_more() {
        let keys = TicketKeys::own(0).expect("keys");
        let ticket = sealed(&keys);
        assert!(!opens(&keys, &ticket, 2 * OWN_KEY_SECONDS));
    }

    #[test]
    fn equal_are_shared_keys_of_the_same_bytes() {
        let keys = shared(1, Some(2), None);
        assert!(keys == shared(1, Some(2), None));
        assert!(keys != shared(1, Some(3), None));
        assert!(keys != shared(1, None, None));
    }

    #[test]
    fn no_byte_of_a_key_is_in_what_is_logged() {
        let keys = shared(35, None, None);
        assert_eq!(format!("{keys:?}"), "TicketKeys::Shared");
    }
}
