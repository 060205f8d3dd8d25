//! The handshake and the stream after it. Nothing else knows how rustls is driven: by its interface without buffers, so that a
//! connection at rest holds no records.
//!
//! - [`hello`]: the `ClientHello`, and the name in it.
//! - [`handshake`]: the rest of the handshake, and what it tells.
//! - [`stream`]: bytes both ways after it.
//! - [`records`]: records in, records out.
//! - [`scratch`]: the memory that all connections of a worker take turns with.
//! - [`alerts`]: the alerts that are not as rustls has them.
//! - [`failure`]: why there is no session.

mod alerts;
mod failure;
mod handshake;
mod hello;
mod records;
mod scratch;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use self::failure::Failure;
pub(crate) use self::handshake::Peer;
pub(crate) use self::hello::read_hello;
pub(crate) use self::stream::TlsSession;
