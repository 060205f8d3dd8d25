//! Secrets and ConfigMaps: which there are, and what those that are referred to hold, read as the proxy reads it.
//!
//! Contents are looked at once, when they are fetched. What stays is what they are known by and what was read; the bytes
//! are let go as soon as the generated copy has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::ObjectMeta;
use streamgate_proxy::tls::material::{ServerCertificate, read_authorities};
use streamgate_proxy::tls::revocation::{ExpiredList, RevocationLists};
use zeroize::Zeroizing;

use super::{Fingerprint, Name};
use crate::report::ResourceVersion;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MaterialKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

impl MaterialKind {
    /// The kind as a manifest has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// Which Secret or ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaterialKey {
    /// Which of the two.
    pub kind: MaterialKind,
    /// Its namespace and name.
    pub name: Name,
}

/// What a Secret or ConfigMap is referred to for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// A server's certificate and key: `tls.crt` and `tls.key`.
    Certificate,
    /// Who issued clients' certificates, in this key.
    Authorities(Box<str>),
    /// Which of those were called back, in this key.
    Revocation(Box<str>),
}

impl Use {
    /// The keys that it takes.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = match self {
            Self::Certificate => ["tls.crt", "tls.key"].map(Some),
            Self::Authorities(key) | Self::Revocation(key) => [Some(&**key), None],
        };
        keys.into_iter().flatten()
    }
}

/// A Secret or ConfigMap that is to be fetched, and for what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Which one.
    pub key: MaterialKey,
    /// For what.
    pub uses: BTreeSet<Use>,
}

/// Files by their key; wiped when they are dropped.
pub type Files = BTreeMap<Box<str>, Zeroizing<Vec<u8>>>;

/// What a Secret or ConfigMap held when it was fetched, as far as it is referred to.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The resourceVersion that was fetched.
    pub version: ResourceVersion,
    /// What each of the keys holds; those that are referred to and there.
    pub files: BTreeMap<Box<str>, Fingerprint>,
    /// What was read for each use.
    pub readings: BTreeMap<Use, Reading>,
    /// The contents of the files, until they are let go.
    pub bytes: Option<Arc<Files>>,
    /// How many bytes they are.
    pub size: usize,
}

/// What was read for a use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A certificate with its key.
    Certificate(Arc<Certificate>),
    /// Authorities.
    Authorities,
    /// Revocation lists, by when they end.
    Revocation(Arc<[ExpiredList]>),
    /// A key isn't there.
    NoKey(Box<str>),
    /// It can't be used; a sentence says why.
    Unusable(Box<str>),
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// When its validity begins.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// The names and addresses that it is for.
    pub subject_alt_names: Vec<String>,
}

impl Fetched {
    /// What was fetched for a reference. Of the contents only the keys that are referred to are kept; the others are wiped.
    pub fn new(reference: &Reference, version: ResourceVersion, contents: Files) -> Self {
        let keys: BTreeSet<&str> = reference.uses.iter().flat_map(Use::keys).collect();
        let bytes: Files = contents.into_iter().filter(|(key, _)| keys.contains(&**key)).collect();
        let files = bytes.iter().map(|(key, content)| (key.clone(), Fingerprint::of(content))).collect();
        let readings = reference.uses.iter().map(|usage| (usage.clone(), Reading::of(usage, &bytes))).collect();
        let size = bytes.values().map(|content| content.len()).sum();
        Self { version, files, readings, bytes: Some(Arc::new(bytes)), size }
    }

    /// The same of a Secret.
    pub fn of_secret(reference: &Reference, secret: Secret) -> Self {
        let contents = secret.data.into_iter().flatten().map(|(key, value)| (key.into(), Zeroizing::new(value.0)));
        Self::new(reference, version(&secret.metadata), contents.collect())
    }

    /// The same of a ConfigMap.
    pub fn of_config_map(reference: &Reference, config_map: ConfigMap) -> Self {
        let texts = config_map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
        let others = config_map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
        let contents = texts.chain(others).map(|(key, value)| (key.into(), Zeroizing::new(value)));
        Self::new(reference, version(&config_map.metadata), contents.collect())
    }

    /// Whether it answers a reference: nothing is asked for that was not looked at.
    pub fn answers(&self, uses: &BTreeSet<Use>) -> bool {
        uses.iter().all(|usage| self.readings.contains_key(usage))
    }
}

impl Reading {
    fn of(usage: &Use, files: &Files) -> Self {
        if let Some(missing) = usage.keys().find(|key| !files.contains_key(*key)) {
            return Self::NoKey(missing.into());
        }
        let file = |key: &str| files.get(key).map_or(&[][..], |content| content);
        let read = match usage {
            Use::Certificate => Certificate::read(file("tls.crt"), file("tls.key"))
                .map(|certificate| Self::Certificate(Arc::new(certificate))),
            Use::Authorities(key) => {
                read_authorities(key, file(key)).map(|_| Self::Authorities).map_err(|error| error.to_string())
            }
            Use::Revocation(key) => read_revocation(key, file(key)).map(Self::Revocation),
        };
        read.unwrap_or_else(|error| Self::Unusable(error.into()))
    }
}

impl Certificate {
    /// Reads `tls.crt` and `tls.key`, as the proxy does.
    pub(super) fn read(certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let certificate = ServerCertificate::read(certificate, key).map_err(|error| error.to_string())?;
        // Certificates may be for all time; a timestamp goes on to the end of the year 9999 alone.
        let time = |seconds: i64| {
            let seconds = seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
            Timestamp::from_second(seconds).unwrap_or_default()
        };
        Ok(Self {
            not_before: time(certificate.not_before),
            not_after: time(certificate.not_after),
            subject_alt_names: certificate.subject_alt_names(),
        })
    }
}

/// Reads revocation lists from the file of this key, by when they end: each does.
pub(super) fn read_revocation(key: &str, file: &[u8]) -> Result<Arc<[ExpiredList]>, String> {
    let lists = RevocationLists::read(key, file).map_err(|error| error.to_string())?;
    Ok(lists.expired(Timestamp::MAX).collect())
}

/// A version that is none is before all.
fn version(metadata: &ObjectMeta) -> ResourceVersion {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}
