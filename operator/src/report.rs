//! What a proxy has applied, as config-sync puts it on the proxy's Lease and the operator reads it there.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The annotation of a proxy's Lease that carries its [`Report`], as JSON.
pub const STATUS_ANNOTATION: &str = "streamgate.dev/status";

/// The label of a proxy's Lease; its value is the gateway.
pub const PROXY_LABEL: &str = "streamgate.dev/proxy";

/// How long a proxy's Lease holds, in seconds.
pub const LEASE_SECONDS: i32 = 15;

/// How many refusals a report names.
pub const MOST_REFUSALS: usize = 8;

/// How long the message of a refusal is at most, in characters.
pub const MOST_MESSAGE_CHARACTERS: usize = 300;

/// What a proxy says of the configuration that it has applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Up to where it has applied what is in the gateway's namespace; absent while it has none of it.
    pub revision: Option<Revision>,
    /// How often the proxy has changed its configuration since it started.
    pub generation: u64,
    /// How many objects take effect.
    pub applied: Applied,
    /// How many refusals there are.
    pub refused_count: usize,
    /// The first of them.
    pub refused: Vec<Refused>,
}

/// How many objects take effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// StreamRoutes.
    pub streamroutes: usize,
    /// TlsSnis.
    pub tlssnis: usize,
}

/// An object, or one of its names, that takes no effect; in the proxy's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// `StreamRoute` or `TlsSni`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

/// Up to where a gateway's namespace was read: one resourceVersion for each kind, `configmaps=<version> secrets=<version>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision {
    /// The highest of a ConfigMap.
    pub config_maps: ResourceVersion,
    /// The highest of a Secret.
    pub secrets: ResourceVersion,
}

impl Revision {
    /// Whether whoever has read up to here has read up to `other` too.
    pub fn is_at_least(&self, other: &Self) -> bool {
        self.config_maps >= other.config_maps && self.secrets >= other.secrets
    }

    /// Up to where both have come.
    #[must_use]
    pub fn least(self, other: &Self) -> Self {
        let least = |one: ResourceVersion, other: &ResourceVersion| if one <= *other { one } else { other.clone() };
        Self { config_maps: least(self.config_maps, &other.config_maps), secrets: least(self.secrets, &other.secrets) }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "configmaps={} secrets={}", self.config_maps, self.secrets)
    }
}

impl FromStr for Revision {
    type Err = NotARevision;

    fn from_str(text: &str) -> Result<Self, NotARevision> {
        let (config_maps, secrets) = text.split_once(' ').ok_or(NotARevision)?;
        let config_maps = config_maps.strip_prefix("configmaps=").ok_or(NotARevision)?;
        let secrets = secrets.strip_prefix("secrets=").ok_or(NotARevision)?;
        Ok(Self { config_maps: config_maps.parse()?, secrets: secrets.parse()? })
    }
}

impl TryFrom<String> for Revision {
    type Error = NotARevision;

    fn try_from(text: String) -> Result<Self, NotARevision> {
        text.parse()
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> Self {
        revision.to_string()
    }
}

/// The text is no revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a revision; wanted `configmaps=<resourceVersion> secrets=<resourceVersion>`")]
pub struct NotARevision;

/// A resourceVersion: a decimal number of any length, greater than those before it of the same kind (KEP-5504). Default: `0`,
/// before all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResourceVersion(Box<str>);

impl Default for ResourceVersion {
    fn default() -> Self {
        Self("0".into())
    }
}

impl FromStr for ResourceVersion {
    type Err = NotARevision;

    fn from_str(text: &str) -> Result<Self, NotARevision> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = text == "0" || !text.starts_with('0');
        if is_number && is_plain { Ok(Self(text.into())) } else { Err(NotARevision) }
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Ord for ResourceVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for ResourceVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_versions_are_compared_as_numbers() {
        let version = |text: &str| text.parse::<ResourceVersion>().unwrap();
        assert!(
            version("9") < version("10") && version("10") < version("11") && ResourceVersion::default() < version("1")
        );
    }

    #[test]
    fn a_revision_reads_back_as_it_was_written() {
        let text = "configmaps=120 secrets=99";
        assert_eq!(text.parse::<Revision>().map(|revision| revision.to_string()).as_deref(), Ok(text));
    }

    #[test]
    fn other_texts_are_no_revisions() {
        for text in ["", "configmaps=1", "secrets=1 configmaps=1", "configmaps=01 secrets=1", "configmaps=x secrets=1"]
        {
            assert_eq!(text.parse::<Revision>(), Err(NotARevision), "{text}");
        }
    }
}
