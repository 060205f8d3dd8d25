//! The image that users install: what is in it, and that it runs with nothing else around it.

mod binaries;
mod contents;
mod packing;
mod unpacked;

/// What a user runs by its path.
const BINARIES: [&str; 3] = ["streamgate-operator", "streamgate-proxy", "streamgate-sync"];
