//! Certificates beside revocation lists.

use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;

use super::*;
use crate::tls::testing::Authority;

/// In 2027.
fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_001))
}

/// The judgement of a chain by authorities and a file of revocation lists.
fn judge(authorities: &[&Authority], lists: &[String], chain: &[&CertificateDer<'static>]) -> Result<(), Error> {
    let lists = RevocationLists::read("ca.crl", lists.concat().as_bytes()).expect("lists");
    let anchors = authorities.iter().map(|authority| authority.anchor()).collect();
    let algorithms = default_provider().signature_verification_algorithms;
    let verifier = ClientVerifier::new(&ClientAuth::default(), anchors, Some(Arc::new(lists)), algorithms);
    let above: Vec<_> = chain[1..].iter().map(|certificate| (*certificate).clone()).collect();
    verifier.verify_client_cert(chain[0], &above, now()).map(drop)
}

/// The sentence of a verdict for which rustls has no word.
fn sentence(verdict: &Result<(), Error>) -> String {
    match verdict {
        Err(Error::InvalidCertificate(CertificateError::Other(other))) => other.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_on_the_list_is_revoked_and_another_is_not() {
    let devices = Authority::new("Device CA");
    let list = devices.revocation_list(&[7], 2024, 2030);
    let known =
        [7, 8].map(|serial| judge(&[&devices], std::slice::from_ref(&list), &[&devices.device("sensor", serial)]));
    assert_eq!(known, [Err(CertificateError::Revoked.into()), Ok(())]);
}

#[test]
fn a_certificate_whose_issuer_has_no_list_is_good() {
    let (devices, others) = (Authority::new("Device CA"), Authority::new("Other CA"));
    let list = others.revocation_list(&[7], 2024, 2030);
    assert_eq!(judge(&[&devices, &others], &[list], &[&devices.device("sensor", 7)]), Ok(()));
}

#[test]
fn an_intermediate_on_the_list_is_revoked() {
    let root = Authority::new("Root CA");
    let devices = root.intermediate("Device CA", 7);
    let list = root.revocation_list(&[7], 2024, 2030);
    let verdict = judge(&[&root], &[list], &[&devices.device("sensor", 8), &devices.certificate]);
    assert_eq!(verdict, Err(CertificateError::Revoked.into()));
}

#[test]
fn a_list_past_its_end_lets_nobody_of_its_issuer_in() {
    let (devices, others) = (Authority::new("Device CA"), Authority::new("Other CA"));
    let lists = [devices.revocation_list(&[7], 2024, 2026), others.revocation_list(&[], 2024, 2030)];
    let sentence = sentence(&judge(&[&devices, &others], &lists, &[&devices.device("sensor", 8)]));
    assert!(sentence.contains("ended at 2026-01-01T00:00:00Z"), "{sentence}");
    assert_eq!(judge(&[&devices, &others], &lists, &[&others.device("sensor", 8)]), Ok(()));
}

#[test]
fn a_list_that_another_key_signed_lets_nobody_in() {
    let (devices, forger) = (Authority::new("Device CA"), Authority::new("Device CA"));
    let list = forger.revocation_list(&[], 2024, 2030);
    let sentence = sentence(&judge(&[&devices], &[list], &[&devices.device("sensor", 8)]));
    assert!(sentence.contains("can't be used"), "{sentence}");
}

#[test]
fn two_authorities_of_one_name_have_each_its_own_list() {
    let (one, other) = (Authority::new("Device CA"), Authority::new("Device CA"));
    let lists = [one.revocation_list(&[7], 2024, 2030), other.revocation_list(&[8], 2024, 2030)];
    let verdict = |issuer: &Authority, serial| judge(&[&one, &other], &lists, &[&issuer.device("sensor", serial)]);
    let verdicts = [verdict(&one, 7), verdict(&one, 9), verdict(&other, 8), verdict(&other, 9)];
    let revoked = || Err(CertificateError::Revoked.into());
    assert_eq!(verdicts, [revoked(), Ok(()), revoked(), Ok(())]);
}
