//! What `secretName` and `configMapName` mean: folders of keys under `secrets/` and `configmaps/`.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::TrustAnchor;
use streamgate_crds::Reason;
use streamgate_crds::tls_sni::{CaRef, CrlRef};
use zeroize::Zeroizing;

use super::tracked::{Stamp, Tracked, read_bounded};
use crate::tls::material::{self, ServerCertificate};
use crate::tls::revocation::RevocationLists;

/// The certificates, authorities and revocation lists that the `TlsSni`s refer to, each with its last good version.
#[derive(Debug)]
pub(super) struct Materials {
    config_dir: PathBuf,
    certificates: HashMap<PathBuf, Tracked<ServerCertificate, Fault>>,
    authorities: HashMap<(PathBuf, String), Tracked<Authorities, Fault>>,
    revocation: HashMap<(PathBuf, String), Tracked<RevocationLists, Fault>>,
}

/// The authorities of one file.
pub(super) type Authorities = Vec<TrustAnchor<'static>>;

/// Why something that a `TlsSni` refers to can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// Something in its last good version, and what is wrong with the present one.
pub(super) type Lookup<T> = (Option<Arc<T>>, Option<Fault>);

impl Materials {
    pub(super) fn new(config_dir: &Path) -> Self {
        Self {
            config_dir: config_dir.to_owned(),
            certificates: HashMap::new(),
            authorities: HashMap::new(),
            revocation: HashMap::new(),
        }
    }

    /// The certificate and key of a Secret, read again if they changed.
    pub(super) fn certificate(&mut self, namespace: &str, secret: &str) -> Lookup<ServerCertificate> {
        let folder = Path::new("secrets").join(format!("{namespace}.{secret}"));
        let keys = Keys::open(&self.config_dir, &folder, &["tls.crt", "tls.key"]);
        let read = || {
            let [certificate, key] = keys.read()?;
            ServerCertificate::read(&certificate, &key).map_err(|error| fault(&folder, &error))
        };
        look_up(&mut self.certificates, folder.clone(), keys.stamps(), read)
    }

    /// The authorities of a Secret or `ConfigMap`, read again if they changed.
    pub(super) fn authorities(&mut self, namespace: &str, ca: &CaRef) -> Lookup<Authorities> {
        let folder = folder_of(namespace, ca.config_map_name.as_deref(), ca.secret_name.as_deref());
        let keys = Keys::open(&self.config_dir, &folder, &[ca.key()]);
        let read = || {
            let [authorities] = keys.read()?;
            material::read_authorities(ca.key(), &authorities).map_err(|error| fault(&folder, &error))
        };
        look_up(&mut self.authorities, (folder.clone(), ca.key().to_owned()), keys.stamps(), read)
    }

    /// The revocation lists of a Secret or `ConfigMap`, read again if they changed.
    pub(super) fn revocation(&mut self, namespace: &str, crl: &CrlRef) -> Lookup<RevocationLists> {
        let folder = folder_of(namespace, crl.config_map_name.as_deref(), crl.secret_name.as_deref());
        let keys = Keys::open(&self.config_dir, &folder, &[crl.key()]);
        let read = || {
            let [lists] = keys.read()?;
            RevocationLists::read(crl.key(), &lists).map_err(|error| fault(&folder, &error))
        };
        look_up(&mut self.revocation, (folder.clone(), crl.key().to_owned()), keys.stamps(), read)
    }

    /// Forgets what nothing refers to any more.
    pub(super) fn keep_only(&mut self, is_used: impl Fn(&Path) -> bool) {
        self.certificates.retain(|folder, _| is_used(folder));
        self.authorities.retain(|(folder, _), _| is_used(folder));
        self.revocation.retain(|(folder, _), _| is_used(folder));
    }
}

/// The folder of a `ConfigMap` or a Secret.
pub(super) fn folder_of(namespace: &str, config_map: Option<&str>, secret: Option<&str>) -> PathBuf {
    match (config_map, secret) {
        (Some(name), _) => Path::new("configmaps").join(format!("{namespace}.{name}")),
        (None, name) => Path::new("secrets").join(format!("{namespace}.{}", name.unwrap_or_default())),
    }
}

/// Keys of one folder, all of one version of it.
pub(super) struct Keys {
    folder: PathBuf,
    files: Vec<(String, PathBuf, io::Result<Stamp>)>,
}

impl Keys {
    /// Follows the symlinks first: kubelet and config-sync swap a folder by its `..data`, a person by a link in its place, and
    /// a key must never meet the certificate of another version.
    pub(super) fn open(config_dir: &Path, folder: &Path, keys: &[&str]) -> Self {
        let within = config_dir.join(folder);
        let version = within.join("..data").canonicalize().or_else(|_| within.canonicalize());
        let file = |key: &&str| {
            let there = version.as_ref().map(|version| version.join(key)).ok().filter(|path| path.exists());
            let path = there.unwrap_or_else(|| within.join(key));
            let stamp = Stamp::of(&path);
            ((*key).to_owned(), path, stamp)
        };
        Self { folder: folder.to_owned(), files: keys.iter().map(file).collect() }
    }

    pub(super) fn stamps(&self) -> Vec<Stamp> {
        self.files.iter().filter_map(|(_, _, stamp)| stamp.as_ref().ok().copied()).collect()
    }

    /// Each of the files by itself, for who can do without some.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &Path, &io::Result<Stamp>)> {
        self.files.iter().map(|(key, path, stamp)| (key.as_str(), path.as_path(), stamp))
    }

    fn read<const N: usize>(&self) -> Result<[Zeroizing<Vec<u8>>; N], Fault> {
        let mut contents = Vec::with_capacity(N);
        for (key, path, stamp) in &self.files {
            let shown = self.folder.join(key).display().to_string();
            let read = match stamp {
                Ok(_) => read_bounded(path, MOST_BYTES).map_err(|error| (error.kind(), error.to_string())),
                Err(error) => Err((error.kind(), error.to_string())),
            };
            contents.push(Zeroizing::new(read.map_err(|(kind, error)| match kind {
                io::ErrorKind::NotFound => {
                    Fault { reason: Reason::RefNotFound, message: format!("there is no file {shown}") }
                }
                _ => Fault {
                    reason: Reason::InvalidCertificate,
                    message: format!(
                        "{shown} can't be read ({error}); wanted a readable file of at most {MOST_BYTES} bytes"
                    ),
                },
            })?));
        }
        contents.try_into().map_err(|_| Fault {
            reason: Reason::RefNotFound,
            message: format!("{} lacks a key", self.folder.display()),
        })
    }
}

fn look_up<K: std::hash::Hash + Eq, T: PartialEq>(
    known: &mut HashMap<K, Tracked<T, Fault>>,
    key: K,
    stamps: Vec<Stamp>,
    read: impl FnOnce() -> Result<T, Fault>,
) -> Lookup<T> {
    let now = SystemTime::now();
    let tracked = match known.entry(key) {
        std::collections::hash_map::Entry::Occupied(tracked) => {
            let tracked = tracked.into_mut();
            tracked.refresh(stamps, now, read);
            tracked
        }
        std::collections::hash_map::Entry::Vacant(entry) => entry.insert(Tracked::new(stamps, now, read)),
    };
    (tracked.effective().cloned(), tracked.error().cloned())
}

fn fault(folder: &Path, error: &material::MaterialError) -> Fault {
    Fault { reason: Reason::InvalidCertificate, message: format!("{}: {error}", folder.display()) }
}

/// More than a Secret in Kubernetes can have.
const MOST_BYTES: u64 = 1 << 20;
