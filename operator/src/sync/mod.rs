//! config-sync: the generated objects of a gateway's namespace as the files of a proxy's configuration directory, and what the
//! proxy says of them on its Lease.
//!
//! - [`run`]: arguments, what starts, and when it ends.
//! - [`watch`]: what the API server tells of ConfigMaps and Secrets.
//! - [`object`], [`place`]: which file or folder an object is; pure.
//! - [`mirror`]: what was told, batch by batch, into the directory.
//! - [`directory`]: files and folders, changed so that a reader sees each before or after.
//! - [`status`]: `status.json` as a report; pure.
//! - [`lease`]: the report on the Lease.
//! - [`admin`], [`metrics`]: the admin port.

mod admin;
mod directory;
mod lease;
mod metrics;
mod mirror;
mod object;
mod place;
mod references;
pub mod run;
pub mod status;
mod watch;
