//! The configuration directory, changed so that whoever reads it sees each file and each folder as it was before or as it is
//! after.
//!
//! A file is renamed into its place. A folder is a symlink to a version of it under `.versions`, and the symlink is renamed into
//! its place; who has followed the one before can read on there for a while.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::object::{Bytes, Content};
use super::place::{Kind, Place};
use crate::generated::Folder;

/// A configuration directory that nobody else writes to.
pub(super) struct Directory {
    root: PathBuf,
    /// What the file `revision` says.
    revision: Option<String>,
    /// Versions of folders that no symlink leads to any more, and since when.
    retired: Vec<(Instant, PathBuf)>,
}

/// New content, written, that waits to be put in its place.
pub(super) struct Staged {
    /// The file or the symlink.
    path: PathBuf,
    /// Where the symlink leads to.
    version: Option<PathBuf>,
}

impl Staged {
    /// Drops it.
    pub(super) fn discard(&self) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        self.version.as_deref().map_or(Ok(()), remove_all)
    }
}

impl Directory {
    /// Opens it, and makes what is not there. What an earlier run left in its place stays; what it had not put there goes.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        for folder in Folder::ALL.map(Folder::as_str).into_iter().chain([STAGING, VERSIONS]) {
            match make_folder(&root.join(folder)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        for entry in fs::read_dir(root.join(STAGING))? {
            remove_all(&entry?.path())?;
        }
        let mut directory = Self { root: root.to_owned(), revision: None, retired: Vec::new() };
        directory.revision = match fs::read(root.join(REVISION)) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            bytes => Some(String::from_utf8_lossy(&bytes?).trim_end_matches('\n').to_owned()),
        };
        directory.retire_unused()?;
        Ok(directory)
    }

    /// What the file `revision` says; `None` where nothing whole was ever written.
    pub(super) fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// Writes the file `revision`.
    pub(super) fn set_revision(&mut self, revision: String) -> io::Result<()> {
        let staged = self.staging();
        write_file(&staged, format!("{revision}\n").as_bytes())?;
        fs::rename(staged, self.root.join(REVISION))?;
        self.revision = Some(revision);
        Ok(())
    }

    /// Writes what a place is to hold, beside it; `None` where it holds just that.
    pub(super) fn stage(&self, place: &Place, content: &Content) -> io::Result<Option<Staged>> {
        if self.holds(place, content)? {
            return Ok(None);
        }
        let path = self.staging();
        match content {
            Content::File(bytes) => {
                write_file(&path, bytes)?;
                Ok(Some(Staged { path, version: None }))
            }
            Content::Folder(files) => {
                let name = unused_name();
                let version = self.root.join(VERSIONS).join(&name);
                make_folder(&version)?;
                for (key, bytes) in files {
                    write_file(&version.join(key), bytes)?;
                }
                symlink(link(place, &name), &path)?;
                Ok(Some(Staged { path, version: Some(version) }))
            }
        }
    }

    /// Puts what is staged in its place.
    pub(super) fn put(&mut self, place: &Place, staged: &Staged) -> io::Result<()> {
        let path = self.root.join(place.path());
        let before = self.version_of(place)?;
        if is_folder(&path)? {
            self.remove_folder(&path)?;
        }
        fs::rename(&staged.path, &path)?;
        self.retire(before);
        Ok(())
    }

    /// Takes away what stands at a place. Whether anything did.
    pub(super) fn remove(&mut self, place: &Place) -> io::Result<bool> {
        let path = self.root.join(place.path());
        let before = self.version_of(place)?;
        if is_folder(&path)? {
            self.remove_folder(&path)?;
            return Ok(true);
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            removed => removed?,
        }
        self.retire(before);
        Ok(true)
    }

    /// Whether something stands at a place.
    pub(super) fn has(&self, place: &Place) -> io::Result<bool> {
        Ok(metadata(&self.root.join(place.path()))?.is_some())
    }

    /// The file at a place.
    pub(super) fn read(&self, place: &Place) -> io::Result<Vec<u8>> {
        fs::read(self.root.join(place.path()))
    }

    /// All that stands where objects of this kind go, whatever it is.
    pub(super) fn entries(&self, kind: Kind) -> io::Result<Vec<Place>> {
        let mut places = Vec::new();
        for folder in kind.folders() {
            let Some(folder) = *folder else {
                let place = Place::ticket_keys();
                if metadata(&self.root.join(place.path()))?.is_some() {
                    places.push(place);
                }
                continue;
            };
            for entry in fs::read_dir(self.root.join(folder.as_str()))? {
                // No object has a name that isn't UTF-8; nor does the proxy read such a file.
                if let Ok(name) = entry?.file_name().into_string() {
                    places.push(Place::found(folder, name));
                }
            }
        }
        Ok(places)
    }

    /// Takes away the versions that nobody can be reading any more.
    pub(super) fn sweep(&mut self, now: Instant) -> io::Result<()> {
        let is_over = |since: Instant| now.saturating_duration_since(since) > READ_ON;
        let over: Vec<PathBuf> =
            self.retired.extract_if(.., |(since, _)| is_over(*since)).map(|(_, path)| path).collect();
        over.iter().try_for_each(|path| remove_all(path))
    }

    fn holds(&self, place: &Place, content: &Content) -> io::Result<bool> {
        match content {
            Content::File(bytes) => holds_file(&self.root.join(place.path()), bytes),
            Content::Folder(files) => match self.version_of(place)? {
                Some(version) => holds_files(&version, files),
                None => Ok(false),
            },
        }
    }

    /// The version that the symlink at a place leads to; `None` where there is no such symlink.
    fn version_of(&self, place: &Place) -> io::Result<Option<PathBuf>> {
        let path = self.root.join(place.path());
        if !metadata(&path)?.is_some_and(|found| found.is_symlink()) {
            return Ok(None);
        }
        let target = fs::read_link(&path)?;
        let name = target.file_name().and_then(|name| name.to_str());
        let version = name.filter(|name| link(place, name) == target).map(|name| self.root.join(VERSIONS).join(name));
        Ok(version.filter(|version| version.is_dir()))
    }

    fn retire(&mut self, version: Option<PathBuf>) {
        self.retired.extend(version.map(|version| (Instant::now(), version)));
    }

    fn retire_unused(&mut self) -> io::Result<()> {
        let mut used = Vec::new();
        for kind in Kind::ALL {
            for place in self.entries(kind)? {
                used.extend(self.version_of(&place)?);
            }
        }
        used.sort();
        for entry in fs::read_dir(self.root.join(VERSIONS))? {
            let path = entry?.path();
            if used.binary_search(&path).is_err() {
                self.retire(Some(path));
            }
        }
        Ok(())
    }

    /// A folder goes out of sight at once, and is gone then.
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let staged = self.staging();
        fs::rename(path, &staged)?;
        remove_all(&staged)
    }

    fn staging(&self) -> PathBuf {
        self.root.join(STAGING).join(unused_name())
    }
}

/// The symlink at a place to a version.
fn link(place: &Place, version: &str) -> PathBuf {
    let up = place.path().components().skip(1).map(|_| "..").collect::<PathBuf>();
    up.join(VERSIONS).join(version)
}

fn holds_file(path: &Path, bytes: &Bytes) -> io::Result<bool> {
    match metadata(path)? {
        Some(found) if found.is_file() && found.len() == bytes.len() as u64 => {
            Ok(Zeroizing::new(fs::read(path)?) == *bytes)
        }
        _ => Ok(false),
    }
}

fn holds_files(folder: &Path, files: &BTreeMap<String, Bytes>) -> io::Result<bool> {
    if fs::read_dir(folder)?.count() != files.len() {
        return Ok(false);
    }
    for (key, bytes) in files {
        if !holds_file(&folder.join(key), bytes)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Of what stands there itself, not of what it leads to.
fn metadata(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn is_folder(path: &Path) -> io::Result<bool> {
    Ok(metadata(path)?.is_some_and(|found| found.is_dir()))
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

fn remove_all(path: &Path) -> io::Result<()> {
    if is_folder(path)? { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn unused_name() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// What is written and not yet in its place.
const STAGING: &str = ".staging";
/// What symlinks lead to.
const VERSIONS: &str = ".versions";
const REVISION: &str = "revision";

/// For how long a version can be read that is no longer in its place: more than the proxy takes to read all.
const READ_ON: Duration = Duration::from_secs(10);
