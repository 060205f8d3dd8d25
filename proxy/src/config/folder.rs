//! A folder of files `<namespace>.<name>.yaml`, one object each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use streamgate_crds::problem::Problem;

use super::tracked::{Stamp, Tracked, read_bounded};

/// The objects of one folder, each with its last good version.
#[derive(Debug)]
pub(super) struct Folder<T> {
    /// The folder's name within the configuration directory.
    name: &'static str,
    path: PathBuf,
    read: Read<T>,
    objects: BTreeMap<Key, Tracked<T, Vec<Problem>>>,
    /// Files whose names say of no object, and the folder itself where it can't be read.
    strays: Vec<Problem>,
}

/// Makes an object of a file's path (for problems), its namespace, its name and its text.
type Read<T> = fn(&str, &str, &str, &str) -> Result<T, Vec<Problem>>;

/// Namespace and name.
pub(super) type Key = (String, String);

impl<T: PartialEq> Folder<T> {
    /// The folder `name` of a configuration directory, of which nothing is read yet.
    pub(super) fn new(config_dir: &Path, name: &'static str, read: Read<T>) -> Self {
        Self { name, path: config_dir.join(name), read, objects: BTreeMap::new(), strays: Vec::new() }
    }

    /// Reads what changed. An object whose file is gone is gone; if the folder can't be listed, all stays as it was.
    pub(super) fn refresh(&mut self) {
        self.strays.clear();
        let files = match list(&self.path) {
            Ok(files) => files,
            Err(error) => {
                let problem = Problem::new("", format!("a folder that can't be read ({error})"), "a readable folder");
                return self.strays.push(problem.in_file(self.name));
            }
        };
        let mut there = BTreeMap::new();
        for file in files {
            match key(&file) {
                Some(key) => {
                    there.insert(key, file);
                }
                None => self.strays.push(
                    Problem::new("", "a file whose name says of no object", "`<namespace>.<name>.yaml`")
                        .in_file(&format!("{}/{file}", self.name)),
                ),
            }
        }
        self.objects.retain(|key, _| there.contains_key(key));
        for (key, file) in there {
            self.refresh_object(key, &file);
        }
    }

    fn refresh_object(&mut self, key: Key, file: &str) {
        let path = self.path.join(file);
        let shown = format!("{}/{file}", self.name);
        let now = SystemTime::now();
        let stamp = match Stamp::of(&path) {
            // It went since the folder was listed. A symlink that leads nowhere is there still, and wrong.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
                self.objects.remove(&key);
                return;
            }
            stamp => stamp,
        };
        let (namespace, name) = key.clone();
        let stamps = stamp.as_ref().ok().copied().into_iter().collect();
        let read = || {
            stamp.and_then(|_| read_bounded(&path, MOST_BYTES)).map_err(|error| unreadable(&shown, &error)).and_then(
                |bytes| match String::from_utf8(bytes) {
                    Ok(text) => (self.read)(&shown, &namespace, &name, &text),
                    Err(_) => Err(vec![Problem::new("", "bytes that are not UTF-8", "YAML in UTF-8").in_file(&shown)]),
                },
            )
        };
        match self.objects.entry(key) {
            Entry::Occupied(mut tracked) => tracked.get_mut().refresh(stamps, now, read),
            Entry::Vacant(entry) => {
                entry.insert(Tracked::new(stamps, now, read));
            }
        }
    }

    /// The object, in its last good version.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        self.objects.get(&(namespace.to_owned(), name.to_owned()))?.effective()
    }

    /// All objects, in their last good versions.
    pub(super) fn effective(&self) -> impl Iterator<Item = &Arc<T>> {
        self.objects.values().filter_map(Tracked::effective)
    }

    /// What is wrong with the object's file.
    pub(super) fn problems_of(&self, namespace: &str, name: &str) -> &[Problem] {
        let tracked = self.objects.get(&(namespace.to_owned(), name.to_owned()));
        tracked.and_then(Tracked::error).map_or(&[], Vec::as_slice)
    }

    /// The objects whose files are wrong, with what is wrong.
    pub(super) fn problems(&self) -> impl Iterator<Item = (&Key, &[Problem])> {
        self.objects.iter().filter_map(|(key, tracked)| Some((key, tracked.error()?.as_slice())))
    }

    /// What is wrong with the folder itself.
    pub(super) fn strays(&self) -> &[Problem] {
        &self.strays
    }
}

/// The files of a folder that are meant as objects: hidden ones and an editor's leftovers are not. A folder that isn't there
/// is an empty one.
fn list(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with(['.', '#']) && !name.ends_with('~') {
            files.push(name);
        }
    }
    Ok(files)
}

fn key(file: &str) -> Option<Key> {
    let (namespace, name) = file.strip_suffix(".yaml")?.split_once('.')?;
    (!namespace.is_empty() && !name.is_empty()).then(|| (namespace.to_owned(), name.to_owned()))
}

fn unreadable(file: &str, error: &io::Error) -> Vec<Problem> {
    let wanted = format!("a readable file of at most {MOST_BYTES} bytes");
    vec![Problem::new("", format!("a file that can't be read ({error})"), wanted).in_file(file)]
}

/// More than an object in Kubernetes can have.
const MOST_BYTES: u64 = 2 << 20;
