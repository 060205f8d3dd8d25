//! The language of streamgate: the resources `StreamRoute` and `TlsSni` (`streamgate.dev/v1alpha1`), the words that
//! their fields are made of, their defaults and validation, and the one judge of which of them hold together.
//!
//! Everything here is a function of its arguments: no file, no socket, no clock.
//!
//! - [`stream_route`], [`tls_sni`]: the two resources.
//! - [`sni`], [`cidr`], [`duration`], [`size`], [`subject`]: the words, each parsed once and right from then on.
//! - [`name`]: what a name may look like, in Kubernetes and in DNS.
//! - [`manifest`]: YAML in, a resource out, or problems with line and column. [`yaml`] is the reader beneath it, for any
//!   other file that a person writes.
//! - [`admit`]: which of a set of resources take effect, and why the others don't.
//! - [`condition`]: the words of a status.
//! - [`problem`]: what is wrong, where, and what would be right.

pub mod admit;
pub mod cidr;
pub mod condition;
pub mod duration;
pub mod manifest;
pub mod name;
pub mod problem;
mod schema;
pub mod size;
pub mod sni;
pub mod stream_route;
pub mod subject;
pub mod tls_sni;
mod validation;
mod word;
pub mod yaml;

pub use admit::{Admitted, Objects, Policy, Refusal, admit};
pub use cidr::Cidr;
pub use condition::{ConditionType, Reason};
pub use duration::Duration;
pub use problem::{Kind, Location, ObjectRef, Problem, WordError};
pub use size::Size;
pub use sni::Sni;
pub use stream_route::{StreamRoute, StreamRouteSpec, StreamRouteStatus};
pub use subject::SubjectPattern;
pub use tls_sni::{TlsSni, TlsSniSpec, TlsSniStatus};
