//! When a certificate is valid.

use super::certificates::{SECRET, devices};
use super::*;

#[test]
fn a_certificate_that_was_there_before_its_time_is_used_from_then_on() {
    let mut cluster = Cluster::with_acme();
    let [certificate, key] = credentials(&["x.example"], 2030, 2040);
    cluster.secret("acme/tls", &[certificate, key]);
    cluster.rest();
    assert_ne!(cluster.file(SECRET, "tls.crt"), Some(certificate.1));
    let begin: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(cluster.outcome.next_look(), Some(begin));
    cluster.now = begin;
    cluster.rest();
    assert_eq!(cluster.conditions(&devices())[1], "ResolvedRefs=True: ResolvedRefs");
    assert_eq!(cluster.file(SECRET, "tls.crt"), Some(certificate.1));
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
