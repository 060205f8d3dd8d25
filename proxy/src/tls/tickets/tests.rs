//! When a session goes on, and when it does not.

use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use streamgate_crds::tls_sni::{ClientAuth, ClientAuthMode};

use super::*;
use crate::tls::revocation::RevocationLists;
use crate::tls::testing::Authority;

const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// A revocation list of these serial numbers, until this year.
fn lists(authority: &Authority, serials: &[u64], until: i32) -> Arc<RevocationLists> {
    let pem = authority.revocation_list(serials, 2021, until);
    Arc::new(RevocationLists::read("ca.crl", pem.as_bytes()).expect("lists"))
}

/// What a `TlsSni` asks of its clients.
#[derive(Clone, Default)]
struct Judge {
    auth: ClientAuth,
    authorities: Vec<TrustAnchor<'static>>,
    lists: Option<Arc<RevocationLists>>,
}

impl Judge {
    fn by(authorities: &[&Authority]) -> Self {
        let auth = ClientAuth { mode: Some(ClientAuthMode::Require), ..ClientAuth::default() };
        Self { auth, ..Self::default() }.trusting(authorities)
    }

    fn trusting(mut self, authorities: &[&Authority]) -> Self {
        self.authorities = authorities.iter().map(|authority| authority.anchor()).collect();
        self
    }

    fn mode(mut self, mode: ClientAuthMode) -> Self {
        self.auth.mode = Some(mode);
        self
    }

    fn with(mut self, lists: Arc<RevocationLists>) -> Self {
        self.lists = Some(lists);
        self
    }

    /// The tickets of today's `TlsSni`, with the same keys as all others here.
    fn tickets(&self) -> Tickets {
        let keys = TicketKeys::shared(&[7; keys::TICKET_KEY_BYTES], None, None).expect("keys");
        let clients = ClientVerifier::new(
            &self.auth,
            self.authorities.clone(),
            self.lists.clone(),
            default_provider().signature_verification_algorithms,
        );
        let clients = (self.auth.mode() != ClientAuthMode::None).then(|| Arc::new(clients));
        Tickets::new(Arc::new(keys), "acme/devices", clients)
    }
}

/// What rustls has in a ticket of TLS 1.2 or 1.3 after these certificates were shown.
fn session(version: u8, certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    let mut plain = vec![0, 3, version, 0, 1, 4, 1, 2, 3, 4, 1, u8::from(!certificates.is_empty())];
    let length = |bytes: usize| u32::try_from(bytes).expect("few bytes").to_be_bytes()[1..].to_vec();
    let listed = |one: &CertificateDer<'_>| [length(one.len()), one.to_vec()].concat();
    let list: Vec<u8> = certificates.iter().flat_map(listed).collect();
    if !certificates.is_empty() {
        plain.extend([length(list.len()), list].concat());
    }
    // No protocol, no data, its times.
    plain.extend([0; 1 + 2 + 8 + 4]);
    plain
}

const TLS12: u8 = 3;
const TLS13: u8 = 4;

/// Whether a session of these certificates, begun under one judge, goes on under another.
fn goes_on(then: &Judge, certificates: &[CertificateDer<'_>], today: &Judge) -> bool {
    let plain = session(TLS13, certificates);
    let ticket = then.tickets().seal(&plain, NOW).expect("a ticket");
    let opened = today.tickets().open(&ticket, at(NOW + 1));
    assert!(opened.as_ref().is_none_or(|opened| *opened == plain));
    opened.is_some()
}

#[test]
fn a_session_goes_on_while_all_is_as_it_was() {
    let devices = Authority::new("Device CA");
    let judge = Judge::by(&[&devices]);
    assert!(goes_on(&judge, &[devices.device("sensor-1", 7)], &judge));
}

#[test]
fn a_further_authority_costs_no_session_and_one_taken_away_costs_all() {
    let (devices, others) = (Authority::new("Device CA"), Authority::new("Other CA"));
    let shown = [devices.device("sensor-1", 7)];
    let (one, both) = (Judge::by(&[&devices]), Judge::by(&[&others, &devices]));
    assert!(goes_on(&one, &shown, &both));
    assert!(!goes_on(&both, &shown, &one));
    assert!(!goes_on(&one, &shown, &Judge::by(&[&others])));
    assert!(!goes_on(&one, &shown, &Judge::by(&[&Authority::new("Device CA")])));
}

#[test]
fn a_revoked_certificate_and_a_list_past_its_end_end_a_session_and_a_list_reissued_does_not() {
    let devices = Authority::new("Device CA");
    let shown = [devices.device("sensor-1", 7)];
    let then = Judge::by(&[&devices]).with(lists(&devices, &[1], 2039));
    let today = |of: Arc<RevocationLists>| goes_on(&then, &shown, &Judge::by(&[&devices]).with(of));
    assert!(today(lists(&devices, &[1, 2], 2040)));
    assert!(!today(lists(&devices, &[1, 7], 2040)));
    assert!(!today(lists(&devices, &[1], 2022)));
    // A list of somebody else says nothing about the device.
    assert!(today(lists(&Authority::new("Other CA"), &[7], 2022)));
}

#[test]
fn a_certificate_out_of_its_time_ends_a_session() {
    let devices = Authority::new("Device CA");
    let judge = Judge::by(&[&devices]);
    // 2019, 2030 and 2041.
    for (seconds, expected) in [(1_560_000_000, false), (1_900_000_000, true), (2_250_000_000, false)] {
        let ticket =
            judge.tickets().seal(&session(TLS13, &[devices.device("sensor-1", 7)]), seconds).expect("a ticket");
        assert_eq!(judge.tickets().open(&ticket, at(seconds)).is_some(), expected, "{seconds}");
    }
}

#[test]
fn a_subject_that_is_not_allowed_any_more_ends_a_session() {
    let devices = Authority::new("Device CA");
    let mut today = Judge::by(&[&devices]);
    today.auth.allowed_subjects = vec!["CN=sensor-2".parse().expect("a pattern")];
    assert!(!goes_on(&Judge::by(&[&devices]), &[devices.device("sensor-1", 7)], &today));
    assert!(goes_on(&Judge::by(&[&devices]), &[devices.device("sensor-2", 7)], &today));
}

#[test]
fn more_intermediates_than_allowed_end_a_session_and_a_root_that_is_sent_along_does_not_count() {
    let (root, devices) = (Authority::new("Root CA"), Authority::new("Device CA"));
    let mut today = Judge::by(&[&root]);
    today.auth.max_depth = 0;
    let device = root.device("sensor-1", 7);
    let intermediate = [device.clone(), devices.certificate.clone()];
    assert!(!goes_on(&Judge::by(&[&root]), &intermediate, &today));
    assert!(goes_on(&Judge::by(&[&root]), &[device, root.certificate.clone()], &today));
}

#[test]
fn a_session_without_certificate_goes_on_only_where_none_is_asked_of_it_anew() {
    let devices = Authority::new("Device CA");
    let none = Judge::default();
    let (required, optional) = (Judge::by(&[&devices]), Judge::by(&[&devices]).mode(ClientAuthMode::Optional));
    let both = optional.clone().trusting(&[&devices, &Authority::new("Other CA")]);
    let cases = [
        (&none, &none, true),
        (&optional, &optional, true),
        (&optional, &required, false),
        (&none, &required, false),
        (&none, &optional, false),
        (&optional, &none, false),
        (&optional, &both, false),
    ];
    for (index, (then, today, expected)) in cases.into_iter().enumerate() {
        assert_eq!(goes_on(then, &[], today), expected, "case {index}");
    }
}

#[test]
fn a_session_with_a_certificate_does_not_go_on_where_nobody_judges_it() {
    let devices = Authority::new("Device CA");
    let judge = Judge::by(&[&devices]);
    let shown = [devices.device("sensor-1", 7)];
    assert!(!goes_on(&judge, &shown, &Judge::default()));
    assert!(!goes_on(&Judge::default(), &shown, &judge));
}

#[test]
fn a_certificate_that_cannot_be_read_ends_a_session() {
    let devices = Authority::new("Device CA");
    let judge = Judge::by(&[&devices]);
    let unreadable = CertificateDer::from(vec![0; 8]);
    assert!(!goes_on(&judge, &[devices.device("sensor-1", 7), unreadable], &judge));
}

#[test]
fn a_session_ends_after_its_time() {
    let tickets = Judge::default().tickets();
    let ticket = tickets.seal(&session(TLS13, &[]), NOW).expect("a ticket");
    let lifetime = u64::from(LIFETIME_SECONDS);
    let opens = |seconds| tickets.open(&ticket, at(seconds)).is_some();
    // A replica's clock may be behind.
    assert_eq!([NOW - 60, NOW + lifetime - 1, NOW + lifetime].map(opens), [true, true, false]);
}

#[test]
fn in_tls_1_2_a_new_ticket_makes_its_session_no_longer() {
    let tickets = Judge::default().tickets();
    let lifetime = u64::from(LIFETIME_SECONDS);
    for (version, expected) in [(TLS12, false), (TLS13, true)] {
        let plain = session(version, &[]);
        let ticket = tickets.seal(&plain, NOW).expect("a ticket");
        let half = NOW + lifetime / 2;
        assert!(tickets.open(&ticket, at(half)).is_some());
        let renewed = tickets.seal(&plain, half).expect("a ticket");
        assert_eq!(tickets.open(&renewed, at(NOW + lifetime)).is_some(), expected, "version {version}");
    }
}

#[test]
fn a_session_too_large_for_a_ticket_gets_none() {
    let tickets = Judge::default().tickets();
    let shown = CertificateDer::from(vec![0; MOST_BYTES]);
    assert_eq!(tickets.seal(&session(TLS13, &[shown]), NOW), None);
}

#[test]
fn what_rustls_would_not_have_written_is_not_sealed() {
    assert_eq!(Judge::default().tickets().seal(b"session", NOW), None);
}
