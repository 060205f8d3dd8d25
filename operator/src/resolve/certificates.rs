//! What a TlsSni refers to, looked at.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use streamgate_crds::{Reason, TlsSniSpec};
use streamgate_proxy::tls::revocation::ExpiredList;

use super::judgement::uses;
use super::materials::{self, Found, copy_has, find, in_service};
use super::outcome::Warning;
use super::verdict::Fault;
use crate::store::material::{Certificate, Reading};
use crate::store::{MaterialKey, Name, Store, Use};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
    pub(super) not_after: Option<Timestamp>,
    pub(super) subject_alt_names: Vec<String>,
    /// How many of the references a proxy is bound to find wrong.
    pub(super) expected_refusals: usize,
    /// Whether a proxy is bound to refuse the TlsSni for them.
    pub(super) is_refused: bool,
    /// Whether some of the references have not been looked at yet, so that nothing can be said.
    pub(super) is_pending: bool,
    /// When the passing of time alone changes something.
    pub(super) next_look: Option<Timestamp>,
}

/// Looks at what a TlsSni refers to.
pub(super) fn look(store: &Store, gateway: &Arc<str>, name: &Name, spec: &TlsSniSpec, now: Timestamp) -> Looked {
    let mut looked = Looked::default();
    for (material, usage) in uses(name, spec) {
        match find(store, &material, &usage, now) {
            Found::Pending => looked.is_pending = true,
            Found::Good(Reading::Revocation(lists)) => looked.add_lists(&material, lists, now),
            Found::Good(_) => {}
            Found::Bad(fault) => {
                looked.faults.push(fault);
                let key = materials::generated_key(gateway, &material);
                let is_refused = !copy_has(store, &key, &usage);
                looked.expected_refusals += usize::from(is_refused);
                looked.is_refused |= is_refused;
                // Those of the copy are in service.
                if let Use::Revocation(file) = &usage
                    && let Some(lists) = store.generated(&key).and_then(|copy| copy.revocation.get(file))
                {
                    looked.add_lists(&material, lists, now);
                }
            }
        }
        if usage == Use::Certificate {
            if let Some(certificate) = in_service(store, gateway, &material, now) {
                looked.add_certificate(&material, &certificate, now);
            }
            if let Some(begin) = materials::begin(store, &material) {
                looked.look_again(begin, now);
            }
        }
    }
    looked.subject_alt_names.sort();
    looked.subject_alt_names.dedup();
    looked.subject_alt_names.truncate(MOST_NAMES);
    looked
}

impl Looked {
    fn add_certificate(&mut self, material: &MaterialKey, certificate: &Certificate, now: Timestamp) {
        let Certificate { not_before, not_after, subject_alt_names } = certificate;
        self.not_after = Some(self.not_after.map_or(*not_after, |earlier| earlier.min(*not_after)));
        let short = subject_alt_names.iter().filter(|name| name.chars().count() <= MOST_NAME_CHARACTERS);
        self.subject_alt_names.extend(short.cloned());
        let ahead = (not_after.duration_since(*not_before) / 3).min(MOST_AHEAD);
        let soon = not_after.checked_sub(ahead).unwrap_or(Timestamp::MIN);
        self.look_again(soon, now);
        self.look_again(*not_after, now);
        if soon <= now {
            let message = format!(
                "{} `{}`: the certificate in tls.crt {} at {not_after}; wanted a new one",
                material.kind.as_str(),
                material.name.name,
                if *not_after <= now { "ended" } else { "ends" },
            );
            self.warnings.push(Warning { reason: EXPIRES_SOON, message });
        }
    }

    fn add_lists(&mut self, material: &MaterialKey, lists: &[ExpiredList], now: Timestamp) {
        for ExpiredList { issuer, next_update } in lists {
            self.look_again(*next_update, now);
            if *next_update <= now {
                let message = format!(
                    "{} `{}`: the revocation list of `{issuer}` ended at {next_update}, so that no client of that issuer is \
                     let in; wanted a newer list",
                    material.kind.as_str(),
                    material.name.name,
                );
                self.faults.push(Fault { reason: Reason::CrlExpired, message });
                self.expected_refusals += 1;
            }
        }
    }

    fn look_again(&mut self, at: Timestamp, now: Timestamp) {
        if at > now {
            self.next_look = Some(self.next_look.map_or(at, |earlier| earlier.min(at)));
        }
    }
}

/// How long before its end a certificate is warned of at most; of a short one it is the last third of its life.
const MOST_AHEAD: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The word of the warning.
const EXPIRES_SOON: &str = "CertificateExpiresSoon";

/// How many names of certificates a status has, and how long each is at most.
const MOST_NAMES: usize = 1024;
const MOST_NAME_CHARACTERS: usize = 1024;
