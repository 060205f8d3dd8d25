//! Whose a name is, of several `TlsSni`s.

use std::collections::HashMap;

use super::{Reason, Refusal, precedence, take_names};
use crate::manifest::Manifest;
use crate::sni::Sni;
use crate::tls_sni::TlsSni;

/// Gives each name to the first that claims it, and leaves out those that have none left.
pub(super) fn settle(oldest_first: Vec<TlsSni>, refusals: &mut Vec<Refusal>) -> Vec<TlsSni> {
    let mut gateways: HashMap<String, HashMap<Sni, usize>> = HashMap::new();
    let mut kept: Vec<TlsSni> = Vec::with_capacity(oldest_first.len());
    for mut tls_sni in oldest_first {
        let holders = gateways.entry(tls_sni.spec.gateway.clone()).or_default();
        let (free, taken): (Vec<_>, Vec<_>) = tls_sni.spec.snis.drain(..).partition(|sni| !holders.contains_key(sni));
        let mut lost = Vec::new();
        for sni in taken {
            if let Some(holder) = holders.get(&sni).and_then(|holder| kept.get(*holder)) {
                let holder = precedence(holder, &tls_sni);
                lost.push((
                    Reason::Conflicted,
                    format!("`{sni}` is served by {holder}; take it out of one of the two"),
                ));
            }
        }
        holders.extend(free.iter().map(|sni| (sni.clone(), kept.len())));
        tls_sni.spec.snis = free;
        if take_names(&tls_sni.reference(), lost, !tls_sni.spec.snis.is_empty(), refusals) {
            kept.push(tls_sni);
        }
    }
    kept
}
