//! TLS as the manifests have it: which `TlsSni` a ClientHello is for, with which certificate, for which clients.
//!
//! - [`material`]: certificates, keys and authorities out of files.
//! - [`client_auth`]: the judgement of a client's certificate.
//! - [`client_certificate`]: what a client's certificate says about it.
//! - [`server`]: what is served under one `TlsSni`.
//! - [`tickets`]: how long a client may come back without a full handshake.
//! - [`session`]: the handshake and the stream after it; the one place that knows how rustls is driven.

pub(crate) mod client_auth;
pub(crate) mod client_certificate;
pub mod material;
pub mod server;
pub(crate) mod session;
mod tickets;
