//! The authorities that clients' certificates must come from, and which of them a ticket remembers.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::{CertificateDer, TrustAnchor};

/// The authorities of a `TlsSni`.
pub(super) struct TrustedAuthorities {
    anchors: Vec<TrustAnchor<'static>>,
    /// All that a ticket may remember and be good.
    known: BTreeSet<Fingerprint>,
    /// What a ticket of today remembers.
    to_remember: Vec<Fingerprint>,
}

/// What an authority is known by: its name, its key and what it may vouch for. So it stays the same when it is issued anew.
pub(super) type Fingerprint = [u8; FINGERPRINT_BYTES];

impl TrustedAuthorities {
    pub(super) fn new(anchors: Vec<TrustAnchor<'static>>) -> Self {
        let mut known: BTreeSet<Fingerprint> = anchors.iter().map(fingerprint).collect();
        let mut to_remember: Vec<Fingerprint> = known.iter().copied().collect();
        if to_remember.len() > MOST_TO_REMEMBER {
            to_remember = vec![truncated(&[to_remember.as_flattened()])];
            known.extend(&to_remember);
        }
        Self { anchors, known, to_remember }
    }

    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// What a ticket carries: each authority, or one fingerprint for all where they are many.
    pub(super) fn to_remember(&self) -> &[Fingerprint] {
        &self.to_remember
    }

    /// Whether all that were trusted when a ticket was sealed are trusted still.
    pub(super) fn include(&self, remembered: &[Fingerprint]) -> bool {
        remembered.iter().all(|fingerprint| self.known.contains(fingerprint))
    }

    /// Whether this certificate, as a client shows it, is one of them: that of a root, sent along.
    pub(super) fn has(&self, certificate: &CertificateDer<'_>) -> bool {
        webpki::anchor_from_trusted_cert(certificate).is_ok_and(|anchor| self.known.contains(&fingerprint(&anchor)))
    }
}

fn fingerprint(anchor: &TrustAnchor<'_>) -> Fingerprint {
    let constraints = anchor.name_constraints.as_ref().map_or(&[][..], AsRef::as_ref);
    truncated(&[anchor.subject.as_ref(), anchor.subject_public_key_info.as_ref(), constraints])
}

/// The first half of SHA-256 over the parts, each after its length.
fn truncated(parts: &[&[u8]]) -> Fingerprint {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    let mut fingerprint = [0; FINGERPRINT_BYTES];
    fingerprint.copy_from_slice(&digest.as_ref()[..FINGERPRINT_BYTES]);
    fingerprint
}

pub(super) const FINGERPRINT_BYTES: usize = 16;

/// A ticket stays of a size that every client takes. Beyond it, any change of the authorities makes older tickets void.
const MOST_TO_REMEMBER: usize = 128;

#[cfg(test)]
mod tests {
    use rustls::pki_types::Der;

    use super::*;

    fn anchor(name: usize, key: u8) -> TrustAnchor<'static> {
        TrustAnchor {
            subject: Der::from(name.to_be_bytes().to_vec()),
            subject_public_key_info: Der::from(vec![key; 8]),
            name_constraints: None,
        }
    }

    fn of(anchors: impl IntoIterator<Item = TrustAnchor<'static>>) -> TrustedAuthorities {
        TrustedAuthorities::new(anchors.into_iter().collect())
    }

    #[test]
    fn a_further_authority_leaves_what_was_remembered_good() {
        let (before, now) = (of([anchor(1, 1)]), of([anchor(2, 2), anchor(1, 1)]));
        assert!(now.include(before.to_remember()));
        assert!(!before.include(now.to_remember()));
    }

    #[test]
    fn an_authority_with_another_key_or_other_constraints_is_another() {
        let before = of([anchor(1, 1)]);
        let constrained = TrustAnchor { name_constraints: Some(Der::from(vec![1])), ..anchor(1, 1) };
        for other in [anchor(1, 2), anchor(2, 1), constrained] {
            assert!(!of([other.clone()]).include(before.to_remember()), "{other:?}");
        }
    }

    #[test]
    fn many_authorities_are_remembered_as_one_and_hold_while_they_are_the_same() {
        let many = || (0..=MOST_TO_REMEMBER).map(|name| anchor(name, 1));
        let before = of(many());
        assert_eq!(before.to_remember().len(), 1);
        assert!(of(many().rev()).include(before.to_remember()));
        assert!(!of(many().chain([anchor(9999, 1)])).include(before.to_remember()));
        assert!(!of(many().skip(1)).include(before.to_remember()));
    }

    #[test]
    fn what_few_authorities_remembered_holds_once_they_are_many() {
        let before = of([anchor(1, 1)]);
        assert!(of((0..=MOST_TO_REMEMBER).map(|name| anchor(name, 1))).include(before.to_remember()));
    }
}
