//! Whose a name is, of several `TlsSni`s.

use std::collections::HashMap;

use super::{Reason, Refusal, take_names};
use crate::manifest::Manifest;
use crate::problem::ObjectRef;
use crate::sni::Sni;
use crate::tls_sni::TlsSni;

/// Gives each name to the first that claims it, and leaves out those that have none left.
pub(super) fn settle(oldest_first: Vec<TlsSni>, refusals: &mut Vec<Refusal>) -> Vec<TlsSni> {
    let mut gateways: HashMap<String, HashMap<Sni, ObjectRef>> = HashMap::new();
    let mut kept = Vec::with_capacity(oldest_first.len());
    for mut tls_sni in oldest_first {
        let object = tls_sni.reference();
        let holders = gateways.entry(tls_sni.spec.gateway.clone()).or_default();
        let mut lost = Vec::new();
        tls_sni.spec.snis.retain(|sni| match holders.get(sni) {
            Some(holder) => {
                let message = format!("`{sni}` is served by {holder}, which is older");
                lost.push((Reason::Conflicted, message));
                false
            }
            None => true,
        });
        holders.extend(tls_sni.spec.snis.iter().map(|sni| (sni.clone(), object.clone())));
        if take_names(&object, lost, !tls_sni.spec.snis.is_empty(), refusals) {
            kept.push(tls_sni);
        }
    }
    kept
}
