//! What is passed on of a Secret or ConfigMap that is referred to.
//!
//! Each use is looked at by itself, so that a bad one disturbs no other: the keys of a good one are those of the source, the
//! keys of a bad one stay as they are in the generated copy, which is the last good one. Where a key is of both, the good one
//! takes it, and of the bad one nothing stays: a key must not meet another's certificate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use streamgate_crds::Reason;

use super::difference::{Content, File};
use super::outcome::Wanted;
use super::verdict::Fault;
use crate::generated::{Folder, MOST_BYTES, MOST_NAME_CHARACTERS, Source};
use crate::store::material::{Certificate, Reading};
use crate::store::{Fetched, Fingerprint, GeneratedKey, MaterialKey, MaterialKind, Store, Use};

/// What there is of a use.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// It has not been looked at yet.
    Pending,
    /// It can be used.
    Good(&'a Reading),
    /// It can't.
    Bad(Fault),
}

/// Where a key of the generated object is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Source,
    Copy,
}

/// The generated object of a Secret or ConfigMap.
pub(super) fn generated_key(gateway: &Arc<str>, key: &MaterialKey) -> GeneratedKey {
    GeneratedKey::of(gateway, &source(key))
}

/// The Secret or ConfigMap that a generated object is of.
pub(super) fn material_of(source: &Source) -> Option<MaterialKey> {
    let kind = match source.folder {
        Folder::Secrets => MaterialKind::Secret,
        Folder::ConfigMaps => MaterialKind::ConfigMap,
        Folder::Endpoints | Folder::TlsSnis | Folder::StreamRoutes => return None,
    };
    Some(MaterialKey { kind, name: crate::store::Name::new(&source.namespace, &source.name) })
}

fn source(key: &MaterialKey) -> Source {
    let folder = match key.kind {
        MaterialKind::Secret => Folder::Secrets,
        MaterialKind::ConfigMap => Folder::ConfigMaps,
    };
    Source { folder, namespace: key.name.namespace.to_string(), name: key.name.name.to_string() }
}

/// What there is of a use.
pub(super) fn find<'a>(store: &'a Store, key: &MaterialKey, usage: &Use, now: Timestamp) -> Found<'a> {
    let (kind, name) = (key.kind.as_str(), &key.name.name);
    let bad = |reason, message| Found::Bad(Fault { reason, message });
    let object_name = source(key).object_name();
    if object_name.len() > MOST_NAME_CHARACTERS {
        let longest = MOST_NAME_CHARACTERS.saturating_sub(object_name.len() - name.len());
        let message = format!(
            "{kind} `{name}`: its name has {} characters; wanted at most {longest} in this namespace",
            name.len()
        );
        return bad(Reason::NameTooLong, message);
    }
    if !store.materials.contains_key(key) {
        return bad(Reason::RefNotFound, format!("{kind} `{name}`: there is none in this namespace"));
    }
    let Some(fetched) = store.fetched.get(key) else { return Found::Pending };
    if fetched.size > MOST_BYTES {
        let message = format!(
            "{kind} `{name}`: the keys that are referred to have {} bytes; wanted at most {MOST_BYTES}",
            fetched.size
        );
        return bad(Reason::TooLarge, message);
    }
    match fetched.readings.get(usage) {
        None => Found::Pending,
        Some(Reading::NoKey(missing)) => {
            bad(Reason::RefNotFound, format!("{kind} `{name}`: there is no key `{missing}` in it"))
        }
        Some(Reading::Unusable(why)) => bad(Reason::InvalidCertificate, format!("{kind} `{name}`: {why}")),
        Some(Reading::Certificate(certificate)) if certificate.not_after <= now => bad(
            Reason::CertificateExpired,
            format!("{kind} `{name}`: the certificate in tls.crt ended at {}; wanted a new one", certificate.not_after),
        ),
        Some(Reading::Certificate(certificate)) if certificate.not_before > now => bad(
            Reason::InvalidCertificate,
            format!(
                "{kind} `{name}`: the certificate in tls.crt is valid from {} on; wanted one that is valid now",
                certificate.not_before
            ),
        ),
        Some(good) => Found::Good(good),
    }
}

/// When a certificate that is there becomes valid.
pub(super) fn begin(store: &Store, key: &MaterialKey) -> Option<Timestamp> {
    match store.fetched.get(key)?.readings.get(&Use::Certificate)? {
        Reading::Certificate(certificate) => Some(certificate.not_before),
        _ => None,
    }
}

/// Whether the generated copy has all of a use.
pub(super) fn copy_has(store: &Store, key: &GeneratedKey, usage: &Use) -> bool {
    store.generated.get(key).is_some_and(|copy| usage.keys().all(|file| copy.files.contains_key(file)))
}

/// The certificate that is in service: the source's, else the generated copy's.
pub(super) fn in_service(
    store: &Store,
    gateway: &Arc<str>,
    key: &MaterialKey,
    now: Timestamp,
) -> Option<Arc<Certificate>> {
    match find(store, key, &Use::Certificate, now) {
        Found::Good(Reading::Certificate(certificate)) => Some(Arc::clone(certificate)),
        _ => store.generated.get(&generated_key(gateway, key))?.certificate.clone(),
    }
}

/// What the generated object is to hold. `None` where it is to be none.
pub(super) fn wanted(
    store: &Store,
    gateway: &Arc<str>,
    key: &MaterialKey,
    uses: &BTreeSet<Use>,
    now: Timestamp,
) -> Option<Wanted> {
    if source(key).object_name().len() > MOST_NAME_CHARACTERS {
        return None;
    }
    let is_pending = |usage| matches!(find(store, key, usage, now), Found::Pending);
    if uses.iter().any(is_pending) {
        return Some(Wanted::Kept);
    }
    let files = files(store, gateway, key, uses, now);
    if files.values().all(|(origin, _)| *origin == Origin::Copy) {
        // With nothing to hold, too: what was there may have been good for what will be referred to again.
        return Some(Wanted::Kept);
    }
    Some(Wanted::Content(Fingerprint::of_files(files.iter().map(|(file, (_, fingerprint))| (*file, *fingerprint)))))
}

/// The same with the contents; `None` where they have been let go.
pub(super) fn content(
    store: &Store,
    gateway: &Arc<str>,
    key: &MaterialKey,
    uses: &BTreeSet<Use>,
    now: Timestamp,
) -> Option<Content> {
    let bytes = store.fetched.get(key).and_then(|fetched| fetched.bytes.as_ref());
    let mut content = Content { files: BTreeMap::new() };
    for (file, (origin, _)) in files(store, gateway, key, uses, now) {
        let file_content = match origin {
            Origin::Copy => File::AsItIs,
            Origin::Source => File::Bytes(bytes?.get(file)?.clone()),
        };
        content.files.insert(file.into(), file_content);
    }
    Some(content)
}

/// The files of the generated object, each with where it is from.
fn files<'a>(
    store: &'a Store,
    gateway: &Arc<str>,
    key: &MaterialKey,
    uses: &'a BTreeSet<Use>,
    now: Timestamp,
) -> BTreeMap<&'a str, (Origin, Fingerprint)> {
    let mut files: BTreeMap<&str, (Origin, Fingerprint)> = BTreeMap::new();
    let (good, bad): (Vec<&Use>, Vec<&Use>) =
        uses.iter().partition(|usage| matches!(find(store, key, usage, now), Found::Good(_)));
    let fetched: Option<&Fetched> = store.fetched.get(key);
    for file in good.iter().flat_map(|usage| usage.keys()) {
        if let Some(fingerprint) = fetched.and_then(|fetched| fetched.files.get(file)) {
            files.insert(file, (Origin::Source, *fingerprint));
        }
    }
    let Some(copy) = store.generated.get(&generated_key(gateway, key)) else { return files };
    for usage in bad {
        let of_copy: Option<Vec<_>> =
            usage.keys().map(|file| copy.files.get(file).map(|fingerprint| (file, *fingerprint))).collect();
        let fits =
            |(file, fingerprint): &(&str, Fingerprint)| files.get(file).is_none_or(|(_, taken)| taken == fingerprint);
        if let Some(of_copy) = of_copy.filter(|of_copy| of_copy.iter().all(fits)) {
            for (file, fingerprint) in of_copy {
                files.entry(file).or_insert((Origin::Copy, fingerprint));
            }
        }
    }
    files
}
