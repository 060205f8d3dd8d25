//! The real proxy binary against real brokers, clients and hostile bytes.

mod admin;
mod balancing;
mod certificates;
mod commands;
mod connect;
mod deadlines;
mod docs;
mod drain;
mod examples;
mod failover;
mod keep_alive;
mod limits;
mod mosquitto;
mod moving;
mod refusals;
mod relay;
mod reload;
mod resumption;
mod routing;
mod site;
mod storm;
mod tls;
