//! The image, as `make image` leaves it.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// What the image is called, without its tag, which is the workspace's version.
pub const NAME: &str = "ghcr.io/streamgate/streamgate";

/// Where the image's archive is: what `STREAMGATE_IMAGE` says, else in `CARGO_TARGET_DIR` or the workspace's `target`.
///
/// # Errors
/// When it is not there, with the command that makes it.
pub fn archive() -> Result<PathBuf> {
    let path = match (std::env::var_os("STREAMGATE_IMAGE"), std::env::var_os("CARGO_TARGET_DIR")) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(target)) => PathBuf::from(target).join(IN_TARGET),
        (None, None) => crate::workspace().join("target").join(IN_TARGET),
    };
    if !path.is_file() {
        bail!("there is no {}: make it by `make image`, or name it in STREAMGATE_IMAGE", path.display());
    }
    Ok(path)
}

const IN_TARGET: &str = "image/streamgate.tar";
