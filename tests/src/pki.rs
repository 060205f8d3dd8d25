//! Certificate authorities and what they issue, made anew for each test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate authority: a root, or one below another.
#[derive(Debug)]
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    /// What must be shown beside a certificate of this authority: itself and those above it, without the root.
    intermediates: Vec<rcgen::Certificate>,
    serial: u64,
    common_name: String,
}

impl CertificateAuthority {
    /// A root with a name and an ECDSA P-256 key.
    pub fn new(common_name: &str) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let (parameters, serial) = numbered(authority_parameters(common_name));
        let common_name = common_name.to_owned();
        let certificate = parameters.self_signed(&key)?;
        Ok(Self { issuer: Issuer::new(parameters, key), certificate, intermediates: Vec::new(), serial, common_name })
    }

    /// An authority below this one. What it issues carries it in the chain.
    pub fn intermediate(&self, common_name: &str) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let (parameters, serial) = numbered(authority_parameters(common_name));
        let common_name = common_name.to_owned();
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let mut intermediates = vec![certificate.clone()];
        intermediates.extend(self.intermediates.iter().cloned());
        Ok(Self { issuer: Issuer::new(parameters, key), certificate, intermediates, serial, common_name })
    }

    /// Its certificate issued anew, with the same name and key.
    pub fn renewed(&self) -> Result<Self> {
        let key = KeyPair::try_from(self.issuer.key().serialize_der())?;
        let common_name = self.common_name.clone();
        let (parameters, serial) = numbered(authority_parameters(&common_name));
        let certificate = parameters.self_signed(&key)?;
        Ok(Self { issuer: Issuer::new(parameters, key), certificate, intermediates: Vec::new(), serial, common_name })
    }

    /// A device of this authority that issues certificates, as it may not: its own is none of an authority.
    pub fn device_that_issues(&self, common_name: &str) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let (parameters, serial) = numbered(Leaf::device(common_name).parameters);
        let common_name = common_name.to_owned();
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let mut intermediates = vec![certificate.clone()];
        intermediates.extend(self.intermediates.iter().cloned());
        Ok(Self { issuer: Issuer::new(parameters, key), certificate, intermediates, serial, common_name })
    }

    /// Its own certificate, PEM.
    pub fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    /// Its own certificate, DER.
    pub fn certificate_der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// Writes its certificate to `<folder>/<stem>.crt` and returns that path.
    pub fn write(&self, folder: &Path, stem: &str) -> Result<PathBuf> {
        write_file(folder, &format!("{stem}.crt"), &self.certificate_pem())
    }

    /// A server's certificate (ECDSA P-256) for these DNS names.
    pub fn server(&self, names: &[&str]) -> Result<Credentials> {
        self.issue(&Leaf::server(names))
    }

    /// A device's certificate (ECDSA P-256) with this common name.
    pub fn device(&self, common_name: &str) -> Result<Credentials> {
        self.issue(&Leaf::device(common_name))
    }

    /// A certificate as described.
    pub fn issue(&self, leaf: &Leaf) -> Result<Credentials> {
        let algorithm = if leaf.rsa { &PKCS_RSA_SHA256 } else { &PKCS_ECDSA_P256_SHA256 };
        let key = KeyPair::generate_for(algorithm)?;
        let (parameters, serial) = numbered(leaf.parameters.clone());
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let mut chain = vec![certificate];
        chain.extend(self.intermediates.iter().cloned());
        Ok(Credentials {
            chain_pem: chain.iter().map(rcgen::Certificate::pem).collect(),
            key_pem: key.serialize_pem(),
            chain: chain.iter().map(|certificate| certificate.der().clone()).collect(),
            key: key.serialize_der(),
            serial,
        })
    }

    /// A list, PEM, of certificates of this authority that it has revoked, by their [serial numbers](Credentials::serial).
    /// Issued in 2021; the next one is due at `next_update`.
    pub fn revocation_list(&self, serials: &[u64], next_update: SystemTime) -> Result<String> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let parameters = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: next_update.into(),
            crl_number: SerialNumber::from(NEXT_SERIAL.fetch_add(1, Ordering::Relaxed)),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(parameters.signed_by(&self.issuer)?.pem()?)
    }

    /// The serial number of its own certificate.
    pub fn serial(&self) -> u64 {
        self.serial
    }
}

/// What is to stand in a certificate.
#[derive(Clone, Debug)]
pub struct Leaf {
    parameters: CertificateParams,
    rsa: bool,
}

impl Leaf {
    /// For a server of these DNS names; the first is the common name too. Valid from 2020 to 2090.
    pub fn server(names: &[&str]) -> Self {
        let mut leaf = Self::named(names.first().copied().unwrap_or("server"), ExtendedKeyUsagePurpose::ServerAuth);
        for name in names {
            leaf = leaf.dns_san(name);
        }
        leaf
    }

    /// For a client with this common name. Valid from 2020 to 2090.
    pub fn device(common_name: &str) -> Self {
        Self::named(common_name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// With an organization (O) in the subject.
    #[must_use]
    pub fn organization(mut self, name: &str) -> Self {
        self.parameters.distinguished_name.push(DnType::OrganizationName, name);
        self
    }

    /// With an organizational unit (OU) in the subject.
    #[must_use]
    pub fn organizational_unit(mut self, name: &str) -> Self {
        self.parameters.distinguished_name.push(DnType::OrganizationalUnitName, name);
        self
    }

    /// With a further DNS name among the subject's alternative names.
    ///
    /// # Panics
    /// If the name is not ASCII.
    #[must_use]
    pub fn dns_san(self, name: &str) -> Self {
        let name = name.try_into().unwrap_or_else(|_| panic!("a DNS name is ASCII: {name}"));
        self.san(SanType::DnsName(name))
    }

    /// With a URI among the subject's alternative names.
    ///
    /// # Panics
    /// If it is not ASCII.
    #[must_use]
    pub fn uri_san(self, uri: &str) -> Self {
        let uri = uri.try_into().unwrap_or_else(|_| panic!("a URI is ASCII: {uri}"));
        self.san(SanType::URI(uri))
    }

    /// With a mail address among the subject's alternative names.
    ///
    /// # Panics
    /// If it is not ASCII.
    #[must_use]
    pub fn email_san(self, address: &str) -> Self {
        let address = address.try_into().unwrap_or_else(|_| panic!("a mail address is ASCII: {address}"));
        self.san(SanType::Rfc822Name(address))
    }

    /// Valid until 2021: over.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.parameters.not_after = date_time_ymd(2021, 1, 1);
        self
    }

    /// Valid until this moment.
    #[must_use]
    pub fn until(mut self, end: SystemTime) -> Self {
        self.parameters.not_after = end.into();
        self
    }

    /// Valid from 2089.
    #[must_use]
    pub fn not_yet_valid(mut self) -> Self {
        self.parameters.not_before = date_time_ymd(2089, 1, 1);
        self
    }

    /// With an RSA key of 2048 bits in place of ECDSA P-256.
    #[must_use]
    pub fn rsa(mut self) -> Self {
        self.rsa = true;
        self
    }

    /// Without an extended key usage, or with one for the other side: `ServerAuth` on a client's certificate is wrong.
    #[must_use]
    pub fn usages(mut self, usages: Vec<ExtendedKeyUsagePurpose>) -> Self {
        self.parameters.extended_key_usages = usages;
        self
    }

    fn named(common_name: &str, usage: ExtendedKeyUsagePurpose) -> Self {
        let mut parameters = parameters(common_name);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![usage];
        parameters.use_authority_key_identifier_extension = true;
        Self { parameters, rsa: false }
    }

    fn san(mut self, name: SanType) -> Self {
        self.parameters.subject_alt_names.push(name);
        self
    }
}

/// A certificate with its chain (without the root) and its key.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The certificate, then the intermediates, PEM.
    pub chain_pem: String,
    /// The private key, PKCS#8 PEM.
    pub key_pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    serial: u64,
}

impl Credentials {
    /// The certificate, then the intermediates, DER.
    pub fn chain_der(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    /// The serial number of the certificate.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The private key, PKCS#8 DER.
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    /// The same certificate without the intermediates.
    #[must_use]
    pub fn without_intermediates(mut self) -> Self {
        self.chain.truncate(1);
        let end = "-----END CERTIFICATE-----";
        if let Some(at) = self.chain_pem.find(end) {
            self.chain_pem.truncate(at + end.len());
            self.chain_pem.push('\n');
        }
        self
    }

    /// The keys and values of a `kubernetes.io/tls` Secret: `tls.crt` and `tls.key`.
    pub fn tls_secret(&self) -> [(&'static str, &[u8]); 2] {
        [("tls.crt", self.chain_pem.as_bytes()), ("tls.key", self.key_pem.as_bytes())]
    }

    /// Writes `<folder>/<stem>.crt` and `<folder>/<stem>.key`.
    pub fn write(&self, folder: &Path, stem: &str) -> Result<CredentialFiles> {
        Ok(CredentialFiles {
            certificate: write_file(folder, &format!("{stem}.crt"), &self.chain_pem)?,
            key: write_file(folder, &format!("{stem}.key"), &self.key_pem)?,
        })
    }
}

/// Where [`Credentials::write`] wrote.
#[derive(Clone, Debug)]
pub struct CredentialFiles {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

fn authority_parameters(common_name: &str) -> CertificateParams {
    let mut parameters = parameters(common_name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    parameters
}

fn parameters(common_name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2090, 1, 1);
    parameters
}

/// With a serial number that no other certificate of this process has.
fn numbered(mut parameters: CertificateParams) -> (CertificateParams, u64) {
    let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
    parameters.serial_number = Some(SerialNumber::from(serial));
    (parameters, serial)
}

static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

fn write_file(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
    Ok(path)
}
