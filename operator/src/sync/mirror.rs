//! What the API server tells, batch by batch, into the directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kube::runtime::watcher::Event;

use super::directory::{Directory, Staged};
use super::metrics::Metrics;
use super::object::{Content, Object};
use super::place::{Kind, Place};
use super::references;
use crate::report::{ResourceVersion, Revision};

/// A directory that follows the objects of a namespace.
///
/// No object is remembered: whether one changed is told by the files that are there.
pub(super) struct Mirror {
    directory: Directory,
    config_maps: Followed,
    secrets: Followed,
    /// Whether the objects were compared with the directory since it was opened.
    is_compared: bool,
    /// What the next batch is to change.
    pending: BTreeMap<Place, Change>,
    /// Since when some of it waits for what the other watch is to tell.
    waits_since: Option<Instant>,
    metrics: Rc<Metrics>,
}

/// How far the objects of one kind are known.
struct Followed {
    /// The places of what was listed until now; `None` once the list is whole.
    listed: Option<BTreeSet<Place>>,
    /// The highest resourceVersion that was seen since the list began.
    version: ResourceVersion,
    /// Whether changes are not told at the moment.
    is_lost: bool,
}

enum Change {
    /// With the places of the Secrets that it refers to.
    Put(Staged, BTreeSet<Place>),
    Remove,
}

impl Mirror {
    /// A mirror in a directory, in which nothing changes until the objects of both kinds were listed.
    pub(super) fn open(root: &Path, metrics: Rc<Metrics>) -> io::Result<Self> {
        Ok(Self {
            directory: Directory::open(root)?,
            config_maps: Followed::default(),
            secrets: Followed::default(),
            is_compared: false,
            pending: BTreeMap::new(),
            waits_since: None,
            metrics,
        })
    }

    /// Whether the directory has been whole, now or in an earlier run.
    pub(super) fn has_been_whole(&self) -> bool {
        self.directory.revision().is_some()
    }

    /// Notes what was told of objects of a kind.
    ///
    /// # Errors
    ///
    /// The directory can't be read or written; then the mirror must be opened anew.
    pub(super) fn take(&mut self, kind: Kind, event: Event<Object>) -> io::Result<()> {
        if !matches!(event, Event::Init) {
            self.followed(kind).is_lost = false;
        }
        match event {
            Event::Init => {
                // The list says it all anew.
                let followed = self.followed(kind);
                *followed = Followed { is_lost: followed.is_lost, ..Followed::default() };
                let of_kind = self.pending.extract_if(.., |place, _| place.kind() == kind);
                let before: Vec<Change> = of_kind.map(|(_, change)| change).collect();
                before.iter().try_for_each(Change::discard)
            }
            Event::InitApply(object) | Event::Apply(object) => self.apply(kind, object),
            Event::InitDone => {
                let listed = self.followed(kind).listed.take().unwrap_or_default();
                let gone = self.directory.entries(kind)?.into_iter().filter(|place| !listed.contains(place));
                self.pending.extend(gone.map(|place| (place, Change::Remove)));
                Ok(())
            }
            Event::Delete(object) => {
                self.see(kind, object.version.as_ref());
                match object.place(kind) {
                    Ok(place) => self.change(place, Some(Change::Remove)),
                    Err(_) => Ok(()),
                }
            }
        }
    }

    /// Notes that changes of objects of a kind are not told at the moment.
    pub(super) fn lose(&mut self, kind: Kind) {
        self.followed(kind).is_lost = true;
    }

    /// Whether something waits for what the other watch is to tell.
    pub(super) fn waits(&self) -> bool {
        self.waits_since.is_some()
    }

    /// Whether there is something to commit, be it that nothing has to change, and all is known that is needed for it.
    pub(super) fn is_due(&self) -> bool {
        let is_whole = self.config_maps.listed.is_none() && self.secrets.listed.is_none();
        let is_same = || self.directory.revision() == Some(&self.revision().to_string());
        is_whole && !(self.is_compared && self.pending.is_empty() && is_same())
    }

    /// Changes the directory by what was told since the last time: what is referred to comes before what refers to it, and goes
    /// after it; `revision` comes last.
    ///
    /// # Errors
    ///
    /// The directory can't be written; then the mirror must be opened anew.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        let late = self.late()?;
        let mut pending = std::mem::take(&mut self.pending);
        self.pending = pending.extract_if(.., |place, _| late.contains(place)).collect();
        let (mut written, mut removed) = (0_usize, 0_usize);
        for (place, change) in &pending {
            if let Change::Put(staged, _) = change {
                self.directory.put(place, staged)?;
                self.metrics.written(place.label());
                written += 1;
            }
        }
        for (place, change) in pending.iter().rev() {
            if matches!(change, Change::Remove) && self.directory.remove(place)? {
                self.metrics.removed(place.label());
                removed += 1;
            }
        }
        if self.waits() {
            tracing::debug!(written, removed, waiting = late.len(), "some changes wait for others");
            return Ok(());
        }
        let revision = self.revision().to_string();
        if self.directory.revision() != Some(&revision) {
            self.directory.set_revision(revision.clone())?;
        }
        self.is_compared = true;
        tracing::info!(written, removed, revision, "the directory is what the objects say");
        Ok(())
    }

    /// What is to wait for the other watch, but not for ever: what refers to a Secret that is not there, and the end of a Secret
    /// that is referred to. Right after both lists there is nothing to wait for.
    fn late(&mut self) -> io::Result<BTreeSet<Place>> {
        let longest =
            if self.config_maps.is_lost || self.secrets.is_lost { LONGEST_WAIT_FOR_LOST } else { LONGEST_WAIT };
        let has_waited = self.waits_since.is_some_and(|since| since.elapsed() >= longest);
        let mut late = BTreeSet::new();
        if self.is_compared && !has_waited {
            self.find_dangling(&mut late)?;
        }
        self.waits_since = if late.is_empty() { None } else { self.waits_since.or_else(|| Some(Instant::now())) };
        Ok(late)
    }

    fn find_dangling(&self, late: &mut BTreeSet<Place>) -> io::Result<()> {
        let mut named = BTreeSet::new();
        for (place, change) in &self.pending {
            let Change::Put(_, secrets) = change else { continue };
            for secret in secrets {
                let comes = matches!(self.pending.get(secret), Some(Change::Put(..)));
                if !comes && !self.directory.has(secret)? {
                    late.insert(place.clone());
                }
            }
            named.extend(secrets.iter().cloned());
        }
        let removed = |(place, change): &(&Place, &Change)| place.is_secret() && matches!(change, Change::Remove);
        let removed: Vec<&Place> = self.pending.iter().filter(removed).map(|(place, _)| place).collect();
        if removed.is_empty() {
            return Ok(());
        }
        let namespaces: BTreeSet<&str> = removed.iter().map(|place| place.namespace()).collect();
        for place in self.directory.entries(Kind::ConfigMaps)? {
            let stays = late.contains(&place) || !self.pending.contains_key(&place);
            if stays && place.is_manifest() && namespaces.contains(place.namespace()) {
                // What can't be read refers to nothing.
                named.extend(references::secrets(&place, &self.directory.read(&place).unwrap_or_default()));
            }
        }
        late.extend(removed.into_iter().filter(|secret| named.contains(secret)).cloned());
        Ok(())
    }

    /// Takes away what nobody reads any more.
    pub(super) fn sweep(&mut self) -> io::Result<()> {
        self.directory.sweep(Instant::now())
    }

    fn apply(&mut self, kind: Kind, object: Object) -> io::Result<()> {
        self.see(kind, object.version.as_ref());
        let name = object.name.clone();
        let odd = match object.place(kind) {
            Ok(place) => {
                if let Some(listed) = &mut self.followed(kind).listed {
                    listed.insert(place.clone());
                }
                match object.content(&place) {
                    Ok(content) => {
                        let staged = self.directory.stage(&place, &content)?;
                        let put = staged.map(|staged| {
                            let secrets = match &content {
                                Content::File(manifest) if place.is_manifest() => references::secrets(&place, manifest),
                                _ => BTreeSet::new(),
                            };
                            Change::Put(staged, secrets)
                        });
                        return self.change(place, put);
                    }
                    // What it was before stays.
                    Err(odd) => odd,
                }
            }
            Err(odd) => odd,
        };
        self.metrics.odd(kind);
        tracing::warn!(kind = kind.as_str(), name, reason = %odd, "an object that is not the operator's is passed over");
        Ok(())
    }

    /// What is to become of a place; `None`: what stands there is right.
    fn change(&mut self, place: Place, change: Option<Change>) -> io::Result<()> {
        let before = match change {
            Some(change) => self.pending.insert(place, change),
            None => self.pending.remove(&place),
        };
        before.map_or(Ok(()), |before| before.discard())
    }

    fn see(&mut self, kind: Kind, version: Option<&ResourceVersion>) {
        let followed = self.followed(kind);
        if let Some(version) = version.filter(|version| **version > followed.version) {
            followed.version = version.clone();
        }
    }

    fn followed(&mut self, kind: Kind) -> &mut Followed {
        match kind {
            Kind::ConfigMaps => &mut self.config_maps,
            Kind::Secrets => &mut self.secrets,
        }
    }

    fn revision(&self) -> Revision {
        Revision { config_maps: self.config_maps.version.clone(), secrets: self.secrets.version.clone() }
    }
}

impl Change {
    fn discard(&self) -> io::Result<()> {
        match self {
            Self::Put(staged, _) => staged.discard(),
            Self::Remove => Ok(()),
        }
    }
}

impl Default for Followed {
    /// Nothing is known.
    fn default() -> Self {
        Self { listed: Some(BTreeSet::new()), version: ResourceVersion::default(), is_lost: false }
    }
}

/// How long a change waits for what the other watch is to tell.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// The same while one of them tells nothing.
const LONGEST_WAIT_FOR_LOST: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
