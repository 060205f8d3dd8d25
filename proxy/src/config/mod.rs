//! The configuration directory, as what the workers read: an immutable snapshot.
//!
//! - [`load`]: the directory to a snapshot; each object keeps its last good version.
//! - [`snapshot`]: what is applied.
//! - [`watch`]: loads again when something changes, and swaps the snapshot in.
//! - [`status`]: `status.json`, the way back.
//! - [`endpoints`]: a file under `endpoints/`.

pub mod endpoints;
mod folder;
pub mod load;
mod material;
pub mod snapshot;
pub mod status;
mod ticket_keys;
mod tracked;
pub mod watch;
