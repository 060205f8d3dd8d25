//! Files of revocation lists, and what they say.

use std::time::Duration;

use super::*;
use crate::tls::testing::Authority;

fn read(files: &[String]) -> RevocationLists {
    RevocationLists::read("ca.crl", files.concat().as_bytes()).expect("lists")
}

fn in_year(year: i32) -> Timestamp {
    format!("{year}-06-01T00:00:00Z").parse().expect("a time")
}

fn clear(lists: &RevocationLists, certificate: &CertificateDer<'_>, year: i32) -> bool {
    let seconds = u64::try_from(in_year(year).as_second()).expect("after 1970");
    lists.clear(certificate, UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

#[test]
fn a_certificate_on_its_issuer_s_list_is_revoked_and_another_s_list_says_nothing() {
    let (devices, others) = (Authority::new("Device CA"), Authority::new("Other CA"));
    let lists = read(&[devices.revocation_list(&[7], 2024, 2030), others.revocation_list(&[8], 2024, 2030)]);
    let known = [7, 8].map(|serial| clear(&lists, &devices.device("sensor", serial), 2025));
    assert_eq!(known, [false, true]);
}

#[test]
fn of_two_lists_of_one_issuer_the_newer_counts_wherever_it_stands() {
    let devices = Authority::new("Device CA");
    let (old, new) = (devices.revocation_list(&[7], 2023, 2024), devices.revocation_list(&[8], 2024, 2030));
    for file in [[old.clone(), new.clone()], [new, old]] {
        let lists = read(&file);
        let known = [7, 8].map(|serial| clear(&lists, &devices.device("sensor", serial), 2025));
        assert_eq!(known, [true, false]);
        assert_eq!(lists.expired(in_year(2025)).count(), 0);
    }
}

#[test]
fn a_list_past_its_end_clears_nobody_and_is_named() {
    let devices = Authority::new("Device CA");
    let lists = read(&[devices.revocation_list(&[7], 2024, 2025)]);
    assert!(!clear(&lists, &devices.device("sensor", 8), 2025));
    let expired: Vec<ExpiredList> = lists.expired(in_year(2025)).collect();
    let next_update = "2025-01-01T00:00:00Z".parse().expect("a time");
    assert_eq!(expired, [ExpiredList { issuer: "CN=Device CA".to_owned(), next_update }]);
}

#[test]
fn two_issuers_of_one_name_are_tried_in_turn() {
    let (one, other) = (Authority::new("Device CA"), Authority::new("Device CA"));
    let lists = read(&[
        one.revocation_list(&[7], 2024, 2030),
        other.revocation_list(&[8], 2024, 2030),
        Authority::new("X").revocation_list(&[9], 2024, 2030),
    ]);
    let orders: Vec<_> = lists.orders().collect();
    assert_eq!(orders.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
    let first = |order: &Vec<&CertRevocationList<'static>>| {
        let of_name = order.iter().find(|list| list.issuer() == certificate_issuer(&one.device("sensor", 1)));
        of_name.is_some_and(|list| matches!(list.find_serial(&[7]), Ok(Some(_))))
    };
    assert_ne!(first(&orders[0]), first(&orders[1]));
}

fn certificate_issuer(certificate: &CertificateDer<'_>) -> Vec<u8> {
    EndEntityCert::try_from(certificate).expect("a certificate").issuer().to_vec()
}

#[test]
fn a_file_without_a_list_or_with_a_broken_one_is_refused() {
    let broken = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
    for file in ["", "text", broken] {
        let error = RevocationLists::read("ca.crl", file.as_bytes()).expect_err("no lists");
        assert!(error.to_string().starts_with("ca.crl: "), "{error}");
    }
}

#[test]
fn lists_of_the_same_file_are_equal() {
    let devices = Authority::new("Device CA");
    let (one, other) = (devices.revocation_list(&[7], 2024, 2030), devices.revocation_list(&[8], 2024, 2030));
    assert_eq!(read(std::slice::from_ref(&one)), read(std::slice::from_ref(&one)));
    assert_ne!(read(&[one]), read(&[other]));
}
