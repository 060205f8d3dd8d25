//! What is read from files: again only when they changed, and with the last version that was good.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Something that was read from files, and the last version of it that was good.
#[derive(Debug)]
pub(super) struct Tracked<T, E> {
    stamps: Vec<Stamp>,
    /// Whether a change after the reading would show in the stamps.
    is_settled: bool,
    current: Result<Arc<T>, E>,
    last_good: Option<Arc<T>>,
}

impl<T: PartialEq, E> Tracked<T, E> {
    /// What `read` makes of the files that have these stamps now.
    pub(super) fn new(stamps: Vec<Stamp>, now: SystemTime, read: impl FnOnce() -> Result<T, E>) -> Self {
        let is_settled = stamps.iter().all(|stamp| stamp.is_settled(now));
        let current = read().map(Arc::new);
        Self { last_good: current.as_ref().ok().cloned(), stamps, is_settled, current }
    }

    /// Reads again if the files changed, or could not be read as they should: that may have been for a passing reason. A version equal to the last good one is that one: the same `Arc`.
    pub(super) fn refresh(&mut self, stamps: Vec<Stamp>, now: SystemTime, read: impl FnOnce() -> Result<T, E>) {
        if self.is_settled && self.stamps == stamps && self.current.is_ok() {
            return;
        }
        self.is_settled = stamps.iter().all(|stamp| stamp.is_settled(now));
        self.stamps = stamps;
        self.current = read().map(|new| match &self.last_good {
            Some(old) if **old == new => Arc::clone(old),
            _ => Arc::new(new),
        });
        if let Ok(new) = &self.current {
            self.last_good = Some(Arc::clone(new));
        }
    }

    /// The version that is there, else the last good one.
    pub(super) fn effective(&self) -> Option<&Arc<T>> {
        self.last_good.as_ref()
    }

    /// What is wrong with the version that is there.
    pub(super) fn error(&self) -> Option<&E> {
        self.current.as_ref().err()
    }
}

/// By what a file's change is known without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file there, or of the one that a symlink there leads to.
    ///
    /// # Errors
    ///
    /// There is none, or it is no regular file (a pipe would never end).
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        Ok(Self::from(&metadata))
    }

    /// Whether a file written right after its stamp was taken would get another one: the kernel's clock for files ticks
    /// some hundred times a second, and what is written within one tick looks the same.
    fn is_settled(&self, now: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let changed = u64::try_from(seconds)
            .ok()
            .zip(u32::try_from(nanoseconds).ok())
            .map(|(seconds, nanoseconds)| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds));
        changed.is_some_and(|changed| now.duration_since(changed).is_ok_and(|age| age > CLOCK_TICK))
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads a file of at most `most` bytes, without a second copy of it in memory.
///
/// # Errors
///
/// It can't be read, or is larger.
pub(super) fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(most)).unwrap_or(0) + 1);
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// More than a tick of the clock by which the kernel stamps files.
const CLOCK_TICK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(path: &Path) -> Result<String, String> {
        match fs::read_to_string(path) {
            Ok(text) if text.starts_with("bad") => Err(text),
            Ok(text) => Ok(text),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_last_good_version_outlives_a_bad_one() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        fs::write(&path, "one")?;
        let mut tracked = Tracked::new(vec![Stamp::of(&path)?], SystemTime::now(), || read(&path));
        fs::write(&path, "bad")?;
        tracked.refresh(vec![Stamp::of(&path)?], SystemTime::now(), || read(&path));
        assert_eq!(tracked.error().map(String::as_str), Some("bad"));
        assert_eq!(tracked.effective().map(|text| text.as_str()), Some("one"));
        fs::write(&path, "three")?;
        tracked.refresh(vec![Stamp::of(&path)?], SystemTime::now(), || read(&path));
        assert_eq!(tracked.error(), None);
        assert_eq!(tracked.effective().map(|text| text.as_str()), Some("three"));
        Ok(())
    }

    #[test]
    fn a_file_is_read_again_only_when_it_changed_and_had_settled() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        fs::write(&path, "one")?;
        let stamp = Stamp::of(&path)?;
        let later = SystemTime::now() + Duration::from_secs(1);
        let mut tracked = Tracked::new(vec![stamp], later, || read(&path));
        tracked.refresh(vec![stamp], later, || Err("was read again".to_owned()));
        assert_eq!(tracked.error(), None);

        let mut unsettled = Tracked::new(vec![stamp], SystemTime::UNIX_EPOCH, || read(&path));
        unsettled.refresh(vec![stamp], later, || Ok("was read again".to_owned()));
        assert_eq!(unsettled.effective().map(|text| text.as_str()), Some("was read again"));
        Ok(())
    }

    #[test]
    fn an_equal_version_is_the_same_one() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        fs::write(&path, "one")?;
        let mut tracked = Tracked::new(vec![], SystemTime::now(), || read(&path));
        let before = tracked.effective().cloned();
        tracked.refresh(vec![Stamp::of(&path)?], SystemTime::now(), || read(&path));
        assert!(before.zip(tracked.effective().cloned()).is_some_and(|(old, new)| Arc::ptr_eq(&old, &new)));
        Ok(())
    }

    #[test]
    fn a_folder_and_a_file_too_large_are_not_read() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        assert!(Stamp::of(folder.path()).is_err());
        let path = folder.path().join("file");
        fs::write(&path, "12345")?;
        assert!(read_bounded(&path, 4).is_err());
        assert_eq!(read_bounded(&path, 5)?, b"12345");
        Ok(())
    }
}
