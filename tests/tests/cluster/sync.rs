//! config-sync between a real API server and a real proxy.

mod api;
mod gateway;
mod load;
mod objects;
mod outages;
mod traffic;
mod way_back;
