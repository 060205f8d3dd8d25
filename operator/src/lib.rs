//! The operator, which resolves StreamRoutes, TlsSnis and what they refer to into the objects of a gateway's namespace, and
//! config-sync, which brings those to the proxy as files and what the proxy says of them back.
//!
//! - [`generated`]: the objects in a gateway's namespace, as the operator writes them and config-sync reads them.
//! - [`store`]: what is in the cluster, slimmed.
//! - [`resolve`]: what follows from it: what is generated, and what is said of each object.
//! - [`programmed`]: whether proxies have applied an object.
//! - [`watch`], [`run`], [`write`]: the shell: what is in the cluster comes in, what follows from it goes out.
//! - [`election`]: which replica leads. [`ticket_keys`]: the shared keys of session tickets.
//! - [`settings`]: what the operator starts with. [`admin`]: what it tells. [`log`]: how both programs log.
//! - [`report`]: what config-sync puts on a proxy's Lease, and the operator reads there.
//! - [`sync`]: config-sync itself, objects to files and the status to a Lease.

pub mod admin;
pub mod client;
pub mod election;
pub mod generated;
pub mod log;
pub mod programmed;
pub mod reason;
pub mod report;
pub mod resolve;
pub mod run;
pub mod settings;
pub mod store;
pub mod sync;
pub mod ticket_keys;
pub mod watch;
pub mod write;
