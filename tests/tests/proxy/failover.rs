//! Brokers that take the connection and do not answer as a broker does: until one has, the client waits, and nothing that it
//! sent or got is lost or doubled.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Result;
use streamgate_tests::wire::Peer;

use crate::balancing::fleet;
use crate::site::{ALL_LEVELS, Site, Way};

mod authentication;
mod broken;
mod leaving;
mod many;
mod replay;

/// A node that nearly all clients would go to, by the hash of their id.
fn first(name: &str, address: SocketAddr) -> String {
    format!("{{name: {name}, host: 127.0.0.1, port: {}, weight: 65535}}", address.port())
}

/// A node to which they go once the first ones have failed.
fn last(name: &str, address: SocketAddr) -> String {
    format!("{{name: {name}, host: 127.0.0.1, port: {}, weight: 1}}", address.port())
}

/// `spec` of a route of these nodes, hashed by client id, with further fields of `upstream`.
fn spec(nodes: impl IntoIterator<Item = String>, more: &str) -> String {
    let upstream = fleet::upstream(nodes, &format!("loadBalancer: {{type: ConsistentHash}}, {more}"));
    format!("{ALL_LEVELS}\n{upstream}")
}

/// A device on this way that has sent these bytes.
fn device(site: &Site, way: Way, bytes: &[u8]) -> Result<Box<dyn Peer + Send>> {
    let mut device = site.dial(way)?;
    device.write_all(bytes)?;
    device.flush()?;
    Ok(device)
}
