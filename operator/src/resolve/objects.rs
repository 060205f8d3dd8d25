//! StreamRoutes and TlsSnis as they are passed on.

use std::sync::Arc;

use serde::Serialize;
use streamgate_crds::manifest::Manifest;
use streamgate_crds::problem::Kind;
use streamgate_crds::{ObjectRef, Reason};

use super::outcome::Wanted;
use super::render;
use super::verdict::Fault;
use crate::generated::{Folder, MOST_BYTES, Source};
use crate::store::{Fingerprint, GeneratedKey, Name};

/// The generated object of a source.
pub(super) fn key(gateway: &Arc<str>, folder: Folder, name: &Name) -> GeneratedKey {
    GeneratedKey::of(gateway, &source(folder, name))
}

fn source(folder: Folder, name: &Name) -> Source {
    Source { folder, namespace: name.namespace.to_string(), name: name.name.to_string() }
}

pub(super) fn reference(kind: Kind, name: &Name) -> ObjectRef {
    ObjectRef { kind, namespace: name.namespace.to_string(), name: name.name.to_string() }
}

pub(super) fn name(object: &ObjectRef) -> Name {
    Name::new(&object.namespace, &object.name)
}

pub(super) fn folder(kind: Kind) -> Folder {
    match kind {
        Kind::StreamRoute => Folder::StreamRoutes,
        Kind::TlsSni => Folder::TlsSnis,
    }
}

/// What an object's generated one is to hold, as it fits.
pub(super) fn fingerprint<T: Manifest>(name: &Name, object: &T, spec: &impl Serialize) -> Result<Wanted, Fault> {
    let text = render::manifest(object, spec);
    if text.len() > MOST_BYTES {
        let message = format!("it has {} bytes; wanted at most {MOST_BYTES}", text.len());
        return Err(Fault { reason: Reason::TooLarge, message });
    }
    let source = source(folder(T::KIND), name);
    let object_name = source.object_name();
    if object_name.len() > crate::generated::MOST_NAME_CHARACTERS {
        let message =
            format!("its generated object would be called `{object_name}`, which is too long; wanted a shorter name");
        return Err(Fault { reason: Reason::NameTooLong, message });
    }
    let file = Fingerprint::of(text.as_bytes());
    Ok(Wanted::Content(Fingerprint::of_files([(source.file_name().as_str(), file)])))
}
