use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::stage::{Site, TENANTS};

pub(super) fn write(site: &Site, change: usize) -> Result<()> {
    site.write_certificates(change)?;
    for tenant in TENANTS {
        let template = include_str!("../../peers/envoy-secret.yaml").replace("@TENANT@", tenant);
        site.write(&format!("envoy-secret-{tenant}.yaml"), &template, change)?;
    }
    for (name, template) in [
        ("envoy-clusters.yaml", include_str!("../../peers/envoy-clusters.yaml")),
        ("envoy-listeners.yaml", include_str!("../../peers/envoy-listeners.yaml")),
        (CONFIGURATION, include_str!("../../peers/envoy.yaml")),
    ] {
        site.write(name, template, change)?;
    }
    Ok(())
}

pub(super) fn command(site: &Site) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.arg("-c").arg(site.folder().join(CONFIGURATION));
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
    Ok(command)
}

pub(super) fn binary() -> Result<PathBuf> {
    super::from_pypi("envoy")
}

const CONFIGURATION: &str = "envoy.yaml";
