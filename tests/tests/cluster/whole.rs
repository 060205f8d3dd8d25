//! From `kubectl apply` to devices that connect: the operator, config-syncs, proxies and brokers as processes.

mod away;
mod changes;
mod docs;
mod examples;
mod fleet;
mod programmed;
mod reasons;
mod silence;
mod stage;
