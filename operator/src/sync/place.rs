//! Where in the configuration directory an object goes.

use std::path::PathBuf;

use crate::generated::{Folder, Source, TICKET_KEYS};

/// The kinds of objects that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Routes, names, endpoints and what ConfigMaps are referred to for.
    ConfigMaps,
    /// What Secrets are referred to for, and ticket keys.
    Secrets,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::ConfigMaps, Self::Secrets];

    /// As a label of a metric.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMaps => "ConfigMap",
            Self::Secrets => "Secret",
        }
    }

    /// The folders that objects of this kind are for; `None` is the directory itself.
    pub(super) fn folders(self) -> &'static [Option<Folder>] {
        match self {
            Self::ConfigMaps => {
                &[Some(Folder::ConfigMaps), Some(Folder::Endpoints), Some(Folder::TlsSnis), Some(Folder::StreamRoutes)]
            }
            Self::Secrets => &[None, Some(Folder::Secrets)],
        }
    }
}

/// A file or folder that an object is; what is referred to comes before what refers to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// `None`: the directory itself.
    folder: Option<Folder>,
    /// Its name there, without a separator.
    entry: String,
}

impl Place {
    /// Where the object of this kind and name goes.
    ///
    /// # Errors
    ///
    /// Why it is not one of the operator's.
    pub(super) fn of(kind: Kind, object_name: &str) -> Result<Self, Odd> {
        if object_name == TICKET_KEYS {
            return if kind == Kind::Secrets { Ok(Self::ticket_keys()) } else { Err(Odd::Kind) };
        }
        let source = Source::parse(object_name).ok_or(Odd::Name)?;
        if !is_label(&source.namespace) || !is_subdomain(&source.name) {
            return Err(Odd::Name);
        }
        if !kind.folders().contains(&Some(source.folder)) {
            return Err(Odd::Kind);
        }
        let entry = if source.folder.is_of_files() { source.file_name() } else { source.folder_name() };
        if entry.len() > MOST_ENTRY_BYTES {
            return Err(Odd::Name);
        }
        Ok(Self { folder: Some(source.folder), entry })
    }

    /// The folder of the keys for session tickets.
    pub(super) fn ticket_keys() -> Self {
        Self { folder: None, entry: TICKET_KEYS.to_owned() }
    }

    /// What stands at this name in a folder. It needs not be an object's.
    pub(super) fn found(folder: Folder, entry: String) -> Self {
        Self { folder: Some(folder), entry }
    }

    /// The value of the label that its object has.
    pub(super) fn label(&self) -> &'static str {
        self.folder.map_or(TICKET_KEYS, Folder::as_str)
    }

    /// The only key of its object, where it is a file.
    pub(super) fn only_key(&self) -> Option<&str> {
        self.folder.is_some_and(Folder::is_of_files).then_some(&self.entry)
    }

    /// The kind of its object.
    pub(super) fn kind(&self) -> Kind {
        if Kind::Secrets.folders().contains(&self.folder) { Kind::Secrets } else { Kind::ConfigMaps }
    }

    /// Whether what is there may refer to Secrets.
    pub(super) fn is_manifest(&self) -> bool {
        matches!(self.folder, Some(Folder::TlsSnis | Folder::StreamRoutes))
    }

    /// Whether a Secret of a namespace goes there.
    pub(super) fn is_secret(&self) -> bool {
        self.folder == Some(Folder::Secrets)
    }

    /// The namespace of its object.
    pub(super) fn namespace(&self) -> &str {
        self.entry.split('.').next().unwrap_or_default()
    }

    /// Within the directory.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.map_or_else(PathBuf::new, |folder| PathBuf::from(folder.as_str())).join(&self.entry)
    }
}

/// Why an object is none of the operator's, and is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Odd {
    /// Its name is of no source.
    #[error("its name is not `<folder>.<namespace>.<name>`")]
    Name,
    /// A Secret where a ConfigMap belongs, or the other way round.
    #[error("objects of this name are of another kind")]
    Kind,
    /// The label is of another folder than the name.
    #[error("its label names another folder than its name")]
    Label,
    /// Not the one key that it should have.
    #[error("it has not exactly one key, `<namespace>.<name>.yaml` in `data`")]
    OnlyKey,
    /// A key that can't be a file's name.
    #[error("one of its keys can't be the name of a file")]
    Key,
}

/// Whether the text is a label as of a DNS name, which a namespace's name is.
pub(super) fn is_label(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| alphanumeric(*byte) || *byte == b'-')
        && [bytes.first(), bytes.last()].into_iter().flatten().all(|byte| alphanumeric(*byte))
}

/// Whether the text is a DNS name in lower case, which the names of objects are.
pub(super) fn is_subdomain(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.split('-').next() != Some("") && !part.ends_with('-');
    text.len() <= 253
        && text.split('.').all(is_part)
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
}

/// Whether a key can be the name of a file.
pub(super) fn is_key(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text != "."
        && !text.starts_with("..")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// What Linux allows.
const MOST_ENTRY_BYTES: usize = 255;

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    fn path(kind: Kind, name: &str) -> Option<PathBuf> {
        Place::of(kind, name).ok().map(|place| place.path())
    }

    #[test]
    fn an_object_goes_where_the_proxy_looks_for_it() {
        for (kind, name, expected) in [
            (Kind::ConfigMaps, "streamroutes.acme.devices", "streamroutes/acme.devices.yaml"),
            (Kind::ConfigMaps, "tlssnis.acme.devices", "tlssnis/acme.devices.yaml"),
            (Kind::ConfigMaps, "endpoints.acme.broker", "endpoints/acme.broker.yaml"),
            (Kind::ConfigMaps, "configmaps.acme.ca.example.com", "configmaps/acme.ca.example.com"),
            (Kind::Secrets, "secrets.acme.tls", "secrets/acme.tls"),
            (Kind::Secrets, "ticket-keys", "ticket-keys"),
        ] {
            assert_eq!(path(kind, name).as_deref(), Some(Path::new(expected)));
        }
    }

    #[test]
    fn an_object_of_another_kind_than_its_name_says_goes_nowhere() {
        assert_eq!(path(Kind::ConfigMaps, "secrets.acme.tls"), None);
        assert_eq!(path(Kind::ConfigMaps, "ticket-keys"), None);
        assert_eq!(path(Kind::Secrets, "streamroutes.acme.devices"), None);
    }

    #[test]
    fn names_that_lead_elsewhere_go_nowhere() {
        for name in [
            "secrets.acme.../../x",
            "secrets.acme./x",
            "secrets.acme.x/..",
            "secrets../.x",
            "secrets.-.x",
            "secrets.a.x..y",
            "secrets.a.-x",
            "secrets.A.x",
            "secrets.a.x\0y",
            "secrets.a.x\n",
            &format!("secrets.a.{}", "x".repeat(254)),
        ] {
            assert_eq!(path(Kind::Secrets, name), None, "{name:?}");
        }
    }

    #[test]
    fn what_is_referred_to_comes_before_what_refers_to_it() {
        let places = [
            Place::ticket_keys(),
            Place::of(Kind::Secrets, "secrets.z.z").unwrap(),
            Place::of(Kind::ConfigMaps, "configmaps.z.z").unwrap(),
            Place::of(Kind::ConfigMaps, "endpoints.z.z").unwrap(),
            Place::of(Kind::ConfigMaps, "tlssnis.z.z").unwrap(),
            Place::of(Kind::ConfigMaps, "streamroutes.a.a").unwrap(),
        ];
        assert!(places.is_sorted());
    }

    #[test]
    fn kubelets_own_names_are_no_keys() {
        for key in ["..data", "..", ".", "", "a/b", "/", "a\0", "ä"] {
            assert!(!is_key(key), "{key:?}");
        }
        assert!(is_key("tls.crt") && is_key(".dockerconfigjson") && is_key("CA_2"));
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_directory(
            secret: bool,
            name in r"((secrets|configmaps|tlssnis|ticket-keys)[./a-z\x00-]{0,20}|.{0,40})",
        ) {
            let kind = if secret { Kind::Secrets } else { Kind::ConfigMaps };
            if let Some(path) = path(kind, &name) {
                prop_assert!(path.components().all(|component| matches!(component, Component::Normal(_))), "{path:?}");
                prop_assert!((1..=2).contains(&path.components().count()));
                let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
                prop_assert!(!hidden && path.starts_with(Place::of(kind, &name).unwrap().label()));
            }
        }

        #[test]
        fn no_key_leaves_its_folder(key in ".{0,8}|[./a]{0,4}") {
            if is_key(&key) {
                let components: Vec<_> = Path::new(&key).components().collect();
                prop_assert!(matches!(components[..], [Component::Normal(_)]));
            }
        }
    }
}
