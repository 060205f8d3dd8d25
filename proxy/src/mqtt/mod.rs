//! MQTT 3.1, 3.1.1 and 5.0, as far as a proxy needs it: the CONNECT and the broker's answer are read, a refusal or a farewell
//! is written, and the packets after that are told apart.
//!
//! Bytes in, bytes and state out: nothing here opens a socket, waits or looks at the clock.
//!
//! Sections and rules like `[MQTT-3.1.2-22]` are those of the OASIS specifications of MQTT 3.1.1 and
//! 5.0; MQTT 3.1 is IBM's "MQTT V3.1 Protocol Specification".

pub mod answer;
pub mod connack;
pub mod connect;
pub mod disconnect;
pub mod framing;
pub mod level;
pub mod reason;

mod properties;
mod wire;

#[cfg(test)]
pub(crate) mod packets;

pub use connect::{Connect, ConnectDecoder, ConnectError, ConnectLimits, Progress};
pub use level::{Level, LevelSet};
pub use reason::{Form, MaximumPacketSize, Refusal};
