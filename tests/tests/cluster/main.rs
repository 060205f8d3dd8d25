//! What is true only on a real Kubernetes control plane.

mod chart;
mod control_plane;
mod convergence;
mod gateways;
mod operator;
mod resources;
mod sync;
mod whole;
