//! TLS as the manifests have it: which `TlsSni` a ClientHello is for, with which certificate, for which clients.
//!
//! - [`material`]: certificates, keys and authorities out of files.
//! - [`authorities`]: who may have issued a client's certificate.
//! - [`budget`]: how much of a worker's time handshakes may take.
//! - [`revocation`]: which certificates were called back.
//! - [`client_auth`]: the judgement of a client's certificate, when it is shown and when its session goes on.
//! - [`client_certificate`]: what a client's certificate says about it.
//! - [`server`]: what is served under one `TlsSni`.
//! - [`tickets`]: how a client comes back without a full handshake.
//! - [`session`]: the handshake and the stream after it; the one place that knows how rustls is driven.

mod authorities;
mod budget;
pub(crate) mod client_auth;
pub(crate) mod client_certificate;
pub mod material;
pub mod revocation;
pub mod server;
pub(crate) mod session;
#[cfg(test)]
pub(crate) mod testing;
pub mod tickets;
