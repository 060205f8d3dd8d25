//! Which route a client goes by: the name that it asks for, where it comes from, the listener that it comes by, and whose
//! the name is.

mod listeners;
mod names;
pub(crate) mod place;
mod sources;
mod tenants;
mod withdrawn;
