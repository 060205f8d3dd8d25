//! TLS as the manifests have it: names, versions, protocols, certificates, and `ClientHello`s of every form.

mod alpn;
mod hello;
mod identity;
mod names;
mod versions;

pub(crate) mod fixture;
pub(crate) mod lenient_broker;
