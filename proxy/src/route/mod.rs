//! Which `TlsSni` and which `StreamRoute` a client is for. Pure: names, addresses and tables.
//!
//! - [`names`]: the server name that a client asks for, to the `TlsSni` that serves it.
//! - [`table`]: name, source and listener, to the route.
//! - [`rank`]: the same rule said of one route at a time, with why it is not the one.

pub mod names;
pub mod rank;
pub mod table;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::config::snapshot::TlsService;

/// A client, as far as it decides on its route.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The name of the listener that it came by.
    pub listener: &'a str,
    /// Its address.
    pub source: IpAddr,
    /// What it said in its `ClientHello`; `None` on a plaintext listener.
    pub tls: Option<ClientTls<'a>>,
}

/// What a client said in its `ClientHello`.
#[derive(Clone, Copy, Debug)]
pub struct ClientTls<'a> {
    /// The name it asked for, in lower case and without a trailing dot.
    pub sni: Option<&'a str>,
    /// The `TlsSni` that was chosen for it.
    pub service: &'a TlsService,
}
