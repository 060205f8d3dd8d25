//! The streamgate proxy: it accepts devices over mutual TLS, reads their CONNECT, and relays them to a broker.
//!
//! Its whole input is a directory of manifests and a small bootstrap file. The folders follow the way that data takes:
//!
//! - [`bootstrap`]: what it starts with.
//! - [`config`]: the directory to an immutable snapshot.
//! - [`tls`], [`mqtt`], [`route`], [`balance`], [`upstream`]: what a stage decides by; pure, sockets aside.
//! - [`connection`]: a connection's way, one file a stage.
//! - [`admin`], [`log`]: what it tells.
//! - [`commands`]: `run`, `check` and `explain`.

pub mod admin;
pub mod balance;
pub mod bootstrap;
pub mod commands;
pub mod config;
pub mod connection;
#[cfg(test)]
mod guards;
mod kept;
pub mod log;
mod more;
pub mod mqtt;
pub mod route;
pub mod tls;
pub mod upstream;
mod worker;
