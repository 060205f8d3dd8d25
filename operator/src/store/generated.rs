//! What is in the gateways' own namespaces.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::ObjectMeta;
use streamgate_crds::manifest;
use streamgate_crds::stream_route::ServiceRef;
use streamgate_crds::{StreamRoute, TlsSni};
use streamgate_proxy::tls::revocation::ExpiredList;

use super::material::{Certificate, read_revocation};
use super::{Fingerprint, MaterialKind};
use crate::generated::{FOLDER_LABEL, Folder, MANAGED_BY, Source};
use crate::report::ResourceVersion;

/// Which generated object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GeneratedKey {
    /// Whose namespace it is in.
    pub gateway: Arc<str>,
    /// Which kind it is.
    pub kind: MaterialKind,
    /// Its name.
    pub name: Box<str>,
}

impl GeneratedKey {
    /// The object of a source.
    pub fn of(gateway: &Arc<str>, source: &Source) -> Self {
        let kind = if source.folder == Folder::Secrets { MaterialKind::Secret } else { MaterialKind::ConfigMap };
        Self { gateway: Arc::clone(gateway), kind, name: source.object_name().into() }
    }

    /// What it is of; `None` where no source has an object of this name and kind.
    pub fn source(&self) -> Option<Source> {
        Source::parse(&self.name).filter(|source| Self::of(&self.gateway, source).kind == self.kind)
    }
}

/// A generated object as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// Its resourceVersion.
    pub version: ResourceVersion,
    /// What it holds and is labelled.
    pub fingerprint: Fingerprint,
    /// Whether it is labelled as it is to be; else no watch shows it.
    pub is_labelled: bool,
    /// What each of its keys holds, where they are more than one file.
    pub files: BTreeMap<Box<str>, Fingerprint>,
    /// The certificate in `tls.crt`, where it can be used.
    pub certificate: Option<Arc<Certificate>>,
    /// The revocation lists in each of its keys that has some, by when they end.
    pub revocation: BTreeMap<Box<str>, Arc<[ExpiredList]>>,
    /// What was passed on, where that is a StreamRoute or TlsSni that can be read.
    pub passed: Option<Passed>,
}

/// A StreamRoute or TlsSni that was passed on.
#[derive(Clone, Debug, PartialEq)]
pub enum Passed {
    /// Of a StreamRoute the Services that it refers to, which are of its namespace.
    StreamRoute(Arc<[ServiceRef]>),
    /// A TlsSni.
    TlsSni(Arc<TlsSni>),
}

impl Passed {
    /// The object of a source, out of its file.
    fn read(source: &Source, file: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(file).ok()?;
        let Source { namespace, name, .. } = source;
        match source.folder {
            Folder::StreamRoutes => {
                let route: StreamRoute = manifest::read("", namespace, name, text).ok()?;
                Some(Self::StreamRoute(route.spec.upstream.services.into()))
            }
            Folder::TlsSnis => Some(Self::TlsSni(Arc::new(manifest::read("", namespace, name, text).ok()?))),
            Folder::Endpoints | Folder::Secrets | Folder::ConfigMaps => None,
        }
    }
}

impl Generated {
    /// A generated ConfigMap; `None` where its resourceVersion is none.
    pub fn of_config_map(config_map: &ConfigMap) -> Option<Self> {
        let texts = config_map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
        let others = config_map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
        let files = || texts.clone().chain(others.clone());
        let source = config_map.metadata.name.as_deref().and_then(Source::parse);
        let is_of_files = source.as_ref().is_some_and(|source| source.folder.is_of_files());
        let revocation = files().filter(|_| !is_of_files).filter_map(|(key, value)| revocation(key, value)).collect();
        let passed = source.and_then(|source| {
            let file_name = source.file_name();
            let (_, file) = files().find(|(key, _)| *key == file_name)?;
            Passed::read(&source, file)
        });
        let files = files().map(|(key, value)| (key.into(), Fingerprint::of(value))).collect();
        Some(Self { revocation, passed, ..Self::new(&config_map.metadata, files, None)? })
    }

    /// A generated Secret; `None` where its resourceVersion is none. Its contents are the caller's to wipe.
    pub fn of_secret(secret: &Secret) -> Option<Self> {
        let data = secret.data.iter().flatten();
        let files = data.map(|(key, value)| (key.as_str().into(), Fingerprint::of(&value.0))).collect();
        let file = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|value| value.0.as_slice());
        let certificate = file("tls.crt").zip(file("tls.key"));
        let certificate = certificate.and_then(|(certificate, key)| Certificate::read(certificate, key).ok());
        let others = secret.data.iter().flatten().filter(|(key, _)| *key != "tls.key");
        let revocation = others.filter_map(|(key, value)| revocation(key, &value.0)).collect();
        Some(Self { revocation, ..Self::new(&secret.metadata, files, certificate.map(Arc::new))? })
    }

    fn new(
        metadata: &ObjectMeta,
        files: BTreeMap<Box<str>, Fingerprint>,
        certificate: Option<Arc<Certificate>>,
    ) -> Option<Self> {
        let version = metadata.resource_version.as_deref()?.parse().ok()?;
        let label = |name: &str| metadata.labels.as_ref().and_then(|labels| labels.get(name)).map(String::as_str);
        let folder = metadata.name.as_deref().and_then(Source::parse).map(|source| source.folder);
        let is_labelled =
            label(FOLDER_LABEL) == folder.map(Folder::as_str) && label(MANAGED_BY.0) == Some(MANAGED_BY.1);
        let mut all: Vec<(&str, Fingerprint)> = files.iter().map(|(key, file)| (&**key, *file)).collect();
        if !is_labelled {
            all.push(("", Fingerprint::of(b"its labels are others")));
        }
        let fingerprint = Fingerprint::of_files(all);
        let files = if folder.is_some_and(Folder::is_of_files) { BTreeMap::new() } else { files };
        Some(Self { version, fingerprint, is_labelled, files, certificate, revocation: BTreeMap::new(), passed: None })
    }
}

/// A key with the revocation lists in its file, if there are any.
fn revocation(key: &str, file: &[u8]) -> Option<(Box<str>, Arc<[ExpiredList]>)> {
    Some((key.into(), read_revocation(key, file).ok()?))
}
