//! The operator on a real API server, with no more permissions than its manifests give.

mod away;
mod events;
mod generated;
mod leader;
mod proxies;
mod quiet;
mod stage;
mod ticket_keys;
