use std::process::Command;

use anyhow::Result;

use crate::stage::Site;

pub(super) fn write(site: &Site, change: usize) -> Result<()> {
    site.write_certificates(change)?;
    site.write("mqtt.js", include_str!("../../peers/mqtt.js"), change)?;
    site.write(CONFIGURATION, include_str!("../../peers/nginx.conf"), change)?;
    Ok(())
}

pub(super) fn command(site: &Site) -> Command {
    let mut command = program();
    command.arg("-p").arg(site.folder()).arg("-c").arg(site.folder().join(CONFIGURATION));
    command
}

/// Debian keeps it where only root's PATH looks.
pub(super) fn program() -> Command {
    Command::new("/usr/sbin/nginx")
}

const CONFIGURATION: &str = "nginx.conf";
