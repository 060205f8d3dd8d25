//! What is true only on a real Kubernetes control plane.

mod control_plane;
mod resources;
