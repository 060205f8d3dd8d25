//! The admin port and the log: what the proxy tells of itself, and what it keeps to itself.

mod config;
mod http;
mod log;
mod metrics;
mod secrets;
mod text_log;
