//! Gateways that are nobody else's, on the control plane that all tests share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, anyhow};
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::gateway::{Gateway, Terms, apply_custom_resources};

/// The control plane that all tests share, with the custom resources.
pub(crate) fn shared() -> Result<&'static ControlPlane> {
    static APPLIED: OnceLock<Result<()>> = OnceLock::new();

    let cluster = ControlPlane::shared()?;
    let applied = APPLIED.get_or_init(|| apply_custom_resources(cluster));
    applied.as_ref().map(|()| cluster).map_err(|error| anyhow!("the custom resources: {error:#}"))
}

/// A gateway of a name that no other test has.
pub(crate) fn install<'a>(cluster: &'a ControlPlane, terms: Terms<'_>) -> Result<Gateway<'a>> {
    static GATEWAYS: AtomicU32 = AtomicU32::new(0);

    let name = format!("gateway-{}", GATEWAYS.fetch_add(1, Ordering::Relaxed));
    Gateway::new(cluster, &name, &cluster.namespace("system")?, terms)
}
