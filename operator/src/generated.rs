//! The generated objects of a gateway's namespace: their names, labels and keys, and which files they are.
//!
//! The operator writes one object for each file or folder that the proxy reads; config-sync writes each object back as that
//! file or folder. An object's name says which: `<folder>.<namespace>.<name>`. Neither a folder nor a namespace has a dot, so
//! that no two sources have one name.

use std::fmt;

/// The label that makes an object a generated one; its value is the folder, or [`TICKET_KEYS`].
pub const FOLDER_LABEL: &str = "streamgate.dev/folder";

/// The name, and the folder, of the Secret of the keys for session tickets.
pub const TICKET_KEYS: &str = "ticket-keys";

/// The label of who manages the object (Kubernetes' recommended labels), and its value.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "streamgate-operator");

/// How long the name of an object may be, in characters.
pub const MOST_NAME_CHARACTERS: usize = 240;

/// How much an object may carry, in bytes. The API server takes 1 MiB in a Secret or ConfigMap.
pub const MOST_BYTES: usize = 1_000_000;

/// The namespace of a gateway's generated objects.
pub fn namespace(gateway: &str) -> String {
    format!("streamgate-{gateway}")
}

/// A folder of the configuration directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// What Secrets are referred to for: a Secret each.
    Secrets,
    /// What ConfigMaps are referred to for: a ConfigMap each.
    ConfigMaps,
    /// Services and their EndpointSlices: a ConfigMap each.
    Endpoints,
    /// TlsSnis: a ConfigMap each.
    TlsSnis,
    /// StreamRoutes: a ConfigMap each.
    StreamRoutes,
}

impl Folder {
    /// All of them, what is referred to before what refers to it.
    pub const ALL: [Self; 5] = [Self::Secrets, Self::ConfigMaps, Self::Endpoints, Self::TlsSnis, Self::StreamRoutes];

    /// The folder's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::ConfigMaps => "configmaps",
            Self::Endpoints => "endpoints",
            Self::TlsSnis => "tlssnis",
            Self::StreamRoutes => "streamroutes",
        }
    }

    /// The folder of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|folder| folder.as_str() == name)
    }

    /// Whether each source is a file of its own here, and not a folder with a file for each key.
    pub fn is_of_files(self) -> bool {
        matches!(self, Self::Endpoints | Self::TlsSnis | Self::StreamRoutes)
    }
}

/// Which source a generated object, or file, is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Where it goes.
    pub folder: Folder,
    /// The source's namespace.
    pub namespace: String,
    /// The source's name.
    pub name: String,
}

impl Source {
    /// The name of the generated object. It may be longer than [`MOST_NAME_CHARACTERS`], and is refused then.
    pub fn object_name(&self) -> String {
        self.to_string()
    }

    /// Which source the object of this name is of; `None` where it is the name of no such object.
    pub fn parse(object_name: &str) -> Option<Self> {
        let (folder, rest) = object_name.split_once('.')?;
        let (namespace, name) = rest.split_once('.')?;
        let is_whole = !namespace.is_empty() && !name.is_empty();
        is_whole.then(|| Folder::parse(folder))?.map(|folder| Self {
            folder,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The name of its file in the folder, and the only key of its object, where [`Folder::is_of_files`].
    pub fn file_name(&self) -> String {
        format!("{}.{}.yaml", self.namespace, self.name)
    }

    /// The name of its folder in the folder, where not [`Folder::is_of_files`]; its files are the object's keys.
    pub fn folder_name(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.folder.as_str(), self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_source_it_is_of_even_if_that_has_dots() {
        for name in ["streamroutes.acme.devices", "secrets.acme.tls.example.com", "endpoints.a.b"] {
            assert_eq!(Source::parse(name).map(|source| source.object_name()).as_deref(), Some(name));
        }
    }

    #[test]
    fn other_names_are_of_no_source() {
        for name in ["", "ticket-keys", "streamroutes.acme", "pods.acme.devices", "secrets..x", "secrets.x."] {
            assert_eq!(Source::parse(name), None, "{name}");
        }
    }
}
