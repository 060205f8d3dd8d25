//! The commands of `streamgate-proxy`.

pub mod check;
pub mod explain;
pub mod run;
mod stop;
