//! Authorities and what they issue, for tests.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, TrustAnchor};

/// An authority of devices, with a key of its own whatever its name.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let (parameters, key) = (authority(name, 1), KeyPair::generate().expect("a key"));
        let certificate = parameters.self_signed(&key).expect("a certificate").der().clone();
        Self { issuer: Issuer::new(parameters, key), certificate }
    }

    /// An authority below this one, with a certificate of this serial number.
    pub(super) fn intermediate(&self, name: &str, serial: u64) -> Self {
        let (parameters, key) = (authority(name, serial), KeyPair::generate().expect("a key"));
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        Self { issuer: Issuer::new(parameters, key), certificate }
    }

    /// A device's certificate, from 2020 until 2040.
    pub(super) fn device(&self, name: &str, serial: u64) -> CertificateDer<'static> {
        self.issue(name, serial).0.der().clone()
    }

    /// The same with its key, for a host of this name too.
    pub(crate) fn issue(&self, name: &str, serial: u64) -> (rcgen::Certificate, KeyPair) {
        let mut parameters = CertificateParams::new([name.to_owned()]).expect("a name");
        parameters.distinguished_name = named(name);
        parameters.serial_number = Some(SerialNumber::from(serial));
        (parameters.not_before, parameters.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
        let key = KeyPair::generate().expect("a key");
        (parameters.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }

    /// A list, PEM, of these serial numbers, issued and due in these years.
    pub(super) fn revocation_list(&self, serials: &[u64], issued: i32, due: i32) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let parameters = CertificateRevocationListParams {
            this_update: date_time_ymd(issued, 1, 1),
            next_update: date_time_ymd(due, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        parameters.signed_by(&self.issuer).and_then(|list| list.pem()).expect("a list")
    }

    pub(crate) fn anchor(&self) -> TrustAnchor<'static> {
        webpki::anchor_from_trusted_cert(&self.certificate).expect("an authority").to_owned()
    }
}

fn authority(name: &str, serial: u64) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named(name);
    parameters.serial_number = Some(SerialNumber::from(serial));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
