//! What users do, in an order in which each finds what it needs.

pub(crate) mod brokers;
pub(crate) mod certificates;
pub(crate) mod claims;
pub(crate) mod deletion;
pub(crate) mod faults;
pub(crate) mod install;
pub(crate) mod monitoring;
pub(crate) mod pages;
pub(crate) mod proxies;
pub(crate) mod security;
pub(crate) mod upgrade;
