//! What is in the cluster, to what the gateways' namespaces are to hold and what is to be said of each object. Pure: the same
//! store and the same time give the same.
//!
//! What becomes of an object whose references are wrong:
//!
//! - A StreamRoute that was accepted is passed on whatever its Services are. One that is missing, has no such port or may not
//!   be used has no endpoints, and its clients are answered so; the rest of the route goes on.
//! - A TlsSni that was accepted is passed on whatever its Secrets and ConfigMaps are: its names must stay its own, or the
//!   clients that ask for them would be served by another's wildcard. What can't be used stays as it was last good, which is
//!   the generated copy; where there is none, the proxy refuses the names.
//! - What a lost claim or a lost permission takes away is withdrawn at once.

mod attachments;
mod certificates;
mod copies;
mod difference;
mod judge;
mod judgement;
mod ledger;
mod materials;
mod objects;
mod outcome;
mod output;
mod pieces;
mod progress;
mod render;
mod services;
mod verdict;

#[cfg(test)]
mod tests;

pub use self::difference::{Content, File, Write, WriteAction};
pub use self::outcome::{Changed, Outcome, Wanted, Warning, resolve};
pub use self::verdict::{Said, Truth, Verdict};
