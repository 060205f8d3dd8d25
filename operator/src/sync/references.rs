//! Which Secrets a manifest refers to.
//!
//! Secrets and the manifests that refer to them are of two watches, and one may be told before the other.

use std::collections::BTreeSet;

use serde_json::Value;
use streamgate_crds::yaml::Document;

use super::place::{Kind, Place};
use crate::generated::{Folder, Source};

/// The places of the Secrets that the manifest at a place refers to; none where it can't be read.
pub(super) fn secrets(place: &Place, manifest: &[u8]) -> BTreeSet<Place> {
    let mut names = BTreeSet::new();
    let text = std::str::from_utf8(manifest).unwrap_or_default();
    if let Some(value) = Document::parse(text).ok().and_then(|document| document.read::<Value>().ok()) {
        collect(&value, &mut names);
    }
    let namespace = place.namespace();
    let secret = |name| {
        let source = Source { folder: Folder::Secrets, namespace: namespace.to_owned(), name };
        Place::of(Kind::Secrets, &source.object_name()).ok()
    };
    names.into_iter().filter_map(secret).collect()
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
        Value::Object(fields) => {
            names.extend(fields.get("secretName").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, names));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_that_a_manifest_names_is_one_of_its_own_namespace() {
        let place = Place::of(Kind::ConfigMaps, "tlssnis.acme.devices").unwrap();
        let manifest =
            b"spec: {certificates: [{secretName: ecdsa}, {secretName: rsa.1}], clientAuth: {ca: {secretName: ca}}}";
        let wanted = ["secrets.acme.ca", "secrets.acme.ecdsa", "secrets.acme.rsa.1"];
        let wanted: BTreeSet<Place> = wanted.map(|name| Place::of(Kind::Secrets, name).unwrap()).into();
        assert_eq!(secrets(&place, manifest), wanted);
        assert!(secrets(&place, b"[").is_empty() && secrets(&place, &[0xff]).is_empty());
    }
}
