//! The folder `ticket-keys`: what session tickets are sealed with by every replica that has the same files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use streamgate_crds::problem::Problem;
use zeroize::Zeroizing;

use super::material::Keys;
use super::tracked::{Tracked, read_bounded};
use crate::tls::tickets::keys::{TICKET_KEY_BYTES, TicketKeys};

/// The keys of the folder in their last good version. Without any, the process has keys of its own.
#[derive(Debug)]
pub(super) struct TicketKeyFiles {
    config_dir: PathBuf,
    /// `None`: there are no files.
    shared: Option<Tracked<TicketKeys, Vec<Problem>>>,
    own: Option<Arc<TicketKeys>>,
}

/// The bytes of a key; `None` where there is no such file.
type Found = Option<Zeroizing<[u8; TICKET_KEY_BYTES]>>;

impl TicketKeyFiles {
    /// Those of a configuration directory, of which nothing is read yet.
    pub(super) fn new(config_dir: &Path) -> Self {
        Self { config_dir: config_dir.to_owned(), shared: None, own: None }
    }

    /// Reads the files if they changed, and gives the keys that count.
    ///
    /// # Errors
    ///
    /// There are no random numbers.
    pub(super) fn refresh(&mut self) -> io::Result<Arc<TicketKeys>> {
        let files = Keys::open(&self.config_dir, Path::new(FOLDER), &NAMES);
        let is_absent =
            |stamp: &io::Result<_>| stamp.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if files.files().all(|(_, _, stamp)| is_absent(stamp)) {
            self.shared = None;
            return self.own();
        }
        let now = SystemTime::now();
        let read = || read(&files);
        match &mut self.shared {
            Some(shared) => shared.refresh(files.stamps(), now, read),
            None => self.shared = Some(Tracked::new(files.stamps(), now, read)),
        }
        match self.shared.as_ref().and_then(Tracked::effective) {
            Some(keys) => Ok(Arc::clone(keys)),
            None => self.own(),
        }
    }

    /// What is wrong with the files.
    pub(super) fn problems(&self) -> &[Problem] {
        self.shared.as_ref().and_then(Tracked::error).map_or(&[], Vec::as_slice)
    }

    fn own(&mut self) -> io::Result<Arc<TicketKeys>> {
        if let Some(own) = &self.own {
            return Ok(Arc::clone(own));
        }
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
        let own = Arc::new(TicketKeys::own(now).map_err(io::Error::other)?);
        self.own = Some(Arc::clone(&own));
        Ok(own)
    }
}

fn read(files: &Keys) -> Result<TicketKeys, Vec<Problem>> {
    let mut keys: [Found; NAMES.len()] = [None, None, None];
    let mut problems = Vec::new();
    for ((name, path, stamp), key) in files.files().zip(&mut keys) {
        let shown = format!("{FOLDER}/{name}");
        let outcome = match stamp {
            Ok(_) => read_bounded(path, MOST_BYTES).map(Zeroizing::new).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && name != CURRENT => continue,
            Err(error) => Err(error.to_string()),
        };
        let found = match outcome {
            Ok(bytes) => match <[u8; TICKET_KEY_BYTES]>::try_from(&bytes[..]) {
                Ok(bytes) => {
                    *key = Some(Zeroizing::new(bytes));
                    continue;
                }
                Err(_) => format!("{} bytes", bytes.len()),
            },
            Err(error) => format!("a file that can't be read ({error})"),
        };
        problems.push(Problem::new("", found, format!("{TICKET_KEY_BYTES} random bytes")).in_file(&shown));
    }
    let [Some(current), next, previous] = &keys else {
        return Err(problems);
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    TicketKeys::shared(current, next.as_deref(), previous.as_deref())
        .map_err(|error| vec![Problem::new("", error.to_string(), "keys that can be used").in_file(FOLDER)])
}

const FOLDER: &str = "ticket-keys";
const CURRENT: &str = "current";
const NAMES: [&str; 3] = [CURRENT, "next", "previous"];

/// More than a key has, so that a file that is too long is told by its length.
const MOST_BYTES: u64 = 4096;
