//! An object of the gateway's namespace, and what of it becomes a file or a folder.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use zeroize::Zeroizing;

use super::place::{Kind, Odd, Place, is_key};
use crate::generated::FOLDER_LABEL;
use crate::report::ResourceVersion;

/// Bytes that may be a secret's.
pub(super) type Bytes = Zeroizing<Vec<u8>>;

/// A ConfigMap or a Secret, as far as it matters here.
#[derive(Default)]
pub(super) struct Object {
    pub(super) name: String,
    /// The value of [`FOLDER_LABEL`].
    pub(super) label: String,
    /// `None`: not one that can be compared.
    pub(super) version: Option<ResourceVersion>,
    pub(super) data: BTreeMap<String, Bytes>,
}

/// What a place holds. It may be secret, so that only tests can print it.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Clone, Debug))]
pub(super) enum Content {
    /// A file.
    File(Bytes),
    /// A folder of files by their names.
    Folder(BTreeMap<String, Bytes>),
}

impl Object {
    /// Where it goes and what it is there.
    ///
    /// # Errors
    ///
    /// Why it is not one of the operator's.
    pub(super) fn content(self, place: &Place) -> Result<Content, Odd> {
        if self.label != place.label() {
            return Err(Odd::Label);
        }
        let Some(only_key) = place.only_key() else {
            let is_whole = self.data.keys().all(|key| is_key(key));
            return if is_whole { Ok(Content::Folder(self.data)) } else { Err(Odd::Key) };
        };
        let mut data = self.data.into_iter();
        match (data.next(), data.next()) {
            (Some((key, file)), None) if key == only_key => Ok(Content::File(file)),
            _ => Err(Odd::OnlyKey),
        }
    }

    /// Where it goes.
    ///
    /// # Errors
    ///
    /// Why it is not one of the operator's.
    pub(super) fn place(&self, kind: Kind) -> Result<Place, Odd> {
        Place::of(kind, &self.name)
    }

    fn new(metadata: ObjectMeta, data: BTreeMap<String, Bytes>) -> Self {
        let label = metadata.labels.and_then(|mut labels| labels.remove(FOLDER_LABEL));
        Self {
            name: metadata.name.unwrap_or_default(),
            label: label.unwrap_or_default(),
            version: metadata.resource_version.and_then(|version| version.parse().ok()),
            data,
        }
    }
}

impl From<ConfigMap> for Object {
    fn from(object: ConfigMap) -> Self {
        let texts = object.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
        let binaries = object.binary_data.into_iter().flatten().map(|(key, ByteString(bytes))| (key, bytes));
        Self::new(object.metadata, texts.chain(binaries).map(|(key, bytes)| (key, Zeroizing::new(bytes))).collect())
    }
}

impl From<Secret> for Object {
    fn from(object: Secret) -> Self {
        let data = object.data.into_iter().flatten();
        Self::new(object.metadata, data.map(|(key, ByteString(bytes))| (key, Zeroizing::new(bytes))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(kind: Kind, name: &str, label: &str, keys: &[&str]) -> Result<Content, Odd> {
        let data = keys.iter().map(|key| ((*key).to_owned(), Zeroizing::new(key.as_bytes().to_vec()))).collect();
        let object = Object { name: name.to_owned(), label: label.to_owned(), version: None, data };
        let place = object.place(kind)?;
        object.content(&place)
    }

    #[test]
    fn a_file_is_the_only_key_of_its_object() {
        let found = content(Kind::ConfigMaps, "tlssnis.a.b", "tlssnis", &["a.b.yaml"]);
        assert_eq!(found, Ok(Content::File(Zeroizing::new(b"a.b.yaml".to_vec()))));
        for keys in [&[][..], &["b.a.yaml"], &["a.b.yaml", "more"]] {
            assert_eq!(content(Kind::ConfigMaps, "tlssnis.a.b", "tlssnis", keys), Err(Odd::OnlyKey), "{keys:?}");
        }
    }

    #[test]
    fn a_folder_has_all_keys_of_its_object_or_is_passed_over() {
        assert!(content(Kind::Secrets, "secrets.a.b", "secrets", &["tls.crt", "tls.key"]).is_ok());
        assert_eq!(content(Kind::Secrets, "secrets.a.b", "secrets", &["tls.crt", "..data"]), Err(Odd::Key));
    }

    #[test]
    fn a_label_of_another_folder_is_odd() {
        assert_eq!(content(Kind::Secrets, "secrets.a.b", "ticket-keys", &[]), Err(Odd::Label));
    }

    #[test]
    fn a_config_map_has_texts_and_binaries() {
        let json = serde_json::json!({
            "metadata": {"name": "configmaps.a.b", "resourceVersion": "7", "labels": {"streamgate.dev/folder": "configmaps"}},
            "data": {"text": "one"},
            "binaryData": {"binary": "/w=="},
        });
        let object = Object::from(serde_json::from_value::<ConfigMap>(json).unwrap());
        assert_eq!(object.version.as_ref().map(ToString::to_string).as_deref(), Some("7"));
        let place = object.place(Kind::ConfigMaps).unwrap();
        let expected = [("binary", vec![0xff]), ("text", b"one".to_vec())];
        let expected = expected.map(|(key, bytes)| (key.to_owned(), Zeroizing::new(bytes))).into();
        assert_eq!(object.content(&place), Ok(Content::Folder(expected)));
    }
}
