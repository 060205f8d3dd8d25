use std::process::Command;

use anyhow::Result;

use crate::stage::Site;

pub(super) const HASH: &str = include_str!("../../peers/haproxy-hash.cfg");
pub(super) const TABLE: &str = include_str!("../../peers/haproxy-table.cfg");

pub(super) fn write(site: &Site, template: &str, change: usize) -> Result<()> {
    site.write_certificates(change)?;
    site.write("haproxy.list", include_str!("../../peers/haproxy.list"), change)?;
    site.write(CONFIGURATION, template, change)?;
    Ok(())
}

/// Only a process that has a master can load its configuration again.
pub(super) fn command(site: &Site, changes: bool) -> Command {
    let mut command = Command::new("/usr/sbin/haproxy");
    command.arg(if changes { "-W" } else { "-db" }).arg("-f").arg(site.folder().join(CONFIGURATION));
    command
}

const CONFIGURATION: &str = "haproxy.cfg";
