//! What is to be written so that the gateways' namespaces hold what they are to hold.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::report::ResourceVersion;
use crate::store::GeneratedKey;

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which object.
    pub key: GeneratedKey,
    /// What is done to it.
    pub action: WriteAction,
}

/// What is done to a generated object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteAction {
    /// It is created.
    Create(Content),
    /// It is replaced where it is of this version.
    Replace(ResourceVersion, Content),
    /// It is deleted where it is of this version.
    Delete(ResourceVersion),
}

/// What a generated object holds: files by their keys, labelled with the folder that its name begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The files.
    pub files: BTreeMap<Box<str>, File>,
}

/// A key of a generated object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// It is to hold this.
    Bytes(Zeroizing<Vec<u8>>),
    /// It stays as it is in the object that is replaced: the last good one.
    AsItIs,
}
