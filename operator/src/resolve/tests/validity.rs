//! When certificates and revocation lists are valid.

use super::certificates::{SECRET, devices};
use super::*;

/// A certificate, which is not valid yet, and when it is.
fn with_early_certificate() -> (Cluster, &'static str, Timestamp) {
    let mut cluster = Cluster::with_acme();
    let [certificate, key] = credentials(&["x.example"], 2030, 2040);
    cluster.secret("acme/tls", &[certificate, key]);
    cluster.rest();
    assert_ne!(cluster.file(SECRET, "tls.crt"), Some(certificate.1));
    (cluster, certificate.1, "2030-01-01T00:00:00Z".parse().unwrap())
}

#[test]
fn a_certificate_that_was_there_before_its_time_is_used_from_then_on() {
    let (mut cluster, certificate, begin) = with_early_certificate();
    assert_eq!(cluster.outcome.next_look(), Some(begin));
    cluster.now = begin;
    cluster.rest();
    assert_eq!(cluster.conditions(&devices())[1], "ResolvedRefs=True: ResolvedRefs");
    assert_eq!(cluster.file(SECRET, "tls.crt"), Some(certificate));
}

#[test]
fn a_certificate_near_its_end_is_warned_of_and_told_when_it_is_past_it() {
    let mut cluster = Cluster::with_acme();
    let [certificate, key] = credentials(&["x.example"], 2026, 2027);
    cluster.secret("acme/tls", &[certificate, key]);
    cluster.rest();
    assert!(cluster.outcome.warnings.is_empty());
    let soon: Timestamp = "2026-12-18T00:00:00Z".parse().unwrap();
    assert_eq!(cluster.outcome.next_look(), Some(soon));
    cluster.now = soon;
    let changed = cluster.outcome.update(&cluster.store, &Touched::default(), soon);
    assert_eq!(changed.warnings, BTreeSet::from([devices()]));
    let warnings = &cluster.outcome.warnings[&devices()];
    assert_eq!(
        warnings[0].message,
        "Secret `tls`: the certificate in tls.crt ends at 2027-01-01T00:00:00Z; wanted a new one"
    );
    let end: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(cluster.outcome.next_look(), Some(end));
    cluster.now = end;
    cluster.rest();
    assert_eq!(cluster.conditions(&devices())[1], "ResolvedRefs=False: CertificateExpired");
    assert_eq!((cluster.outcome.next_look(), &cluster.written[..]), (None, &[][..]));
    cluster.secret("acme/tls", &credentials(&["x.example"], 2020, 2040));
    cluster.rest();
    assert!(cluster.outcome.warnings.is_empty());
}

#[test]
fn a_certificates_time_comes_while_something_else_is_being_fetched() {
    let (mut cluster, certificate, begin) = with_early_certificate();
    cluster.secret("acme/more", &credentials(&["x.example"], 2020, 2040));
    let certificates = json!([{"secretName": "tls"}, {"secretName": "more"}]);
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": certificates}));
    let touched = std::mem::take(&mut cluster.touched);
    let changed = cluster.outcome.update(&cluster.store, &touched, cluster.now);
    cluster.touched.statuses.extend(changed.statuses);
    assert_eq!(cluster.outcome.next_look(), Some(begin));
    cluster.now = begin;
    cluster.outcome.update(&cluster.store, &Touched::default(), cluster.now);
    assert!(cluster.outcome.next_look().is_none_or(|at| at > cluster.now), "a look that is due is due for ever");
    cluster.rest();
    assert_eq!(cluster.file(SECRET, "tls.crt"), Some(certificate));
}

#[test]
fn the_last_good_revocation_list_is_told_and_bound_to_be_refused_when_it_is_past_its_end() {
    let mut cluster = Cluster::with_acme();
    let [authority, _] = credentials(&["ca"], 2020, 2040);
    cluster.secret("acme/ca", &[("ca.crt", authority.1), ("crl.pem", revocation_list(2030))]);
    let client_auth = json!({"ca": {"secretName": "ca"}, "crl": {"secretName": "ca", "key": "crl.pem"}});
    cluster.tls_sni(
        "acme/devices",
        json!({"snis": ["x.example"], "certificates": [{"secretName": "tls"}], "clientAuth": client_auth}),
    );
    cluster.rest();
    assert_eq!(cluster.conditions(&devices())[1], "ResolvedRefs=True: ResolvedRefs");
    cluster.secret("acme/ca", &[("ca.crt", authority.1), ("crl.pem", "garbage")]);
    cluster.rest();
    assert_eq!(cluster.outcome.verdicts[&devices()].expected_refusals, 0);
    let end: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(cluster.outcome.next_look(), Some(end));
    cluster.now = end;
    cluster.rest();
    assert_eq!(cluster.outcome.verdicts[&devices()].expected_refusals, 1);
    assert!(cluster.message(&devices(), "ResolvedRefs").contains("ended at 2030-01-01T00:00:00Z"));
    cluster.restart();
    assert_eq!(cluster.outcome.verdicts[&devices()].expected_refusals, 1);
}
