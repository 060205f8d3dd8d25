use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::stage::Site;

pub(super) fn write(site: &Site, change: usize) -> Result<()> {
    site.write_certificates(change)?;
    fs::create_dir_all(site.folder().join("traefik"))?;
    site.write("traefik/dynamic.yaml", include_str!("../../peers/traefik-dynamic.yaml"), change)?;
    site.write(CONFIGURATION, include_str!("../../peers/traefik.yaml"), change)?;
    Ok(())
}

pub(super) fn command(site: &Site) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.arg("--configfile").arg(site.folder().join(CONFIGURATION)).env("GOMAXPROCS", "1");
    Ok(command)
}

pub(super) fn binary() -> Result<PathBuf> {
    super::from_pypi("traefik")
}

const CONFIGURATION: &str = "traefik.yaml";
