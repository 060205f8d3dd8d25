//! The same binaries make the same image.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use streamgate_tests::{image, process, workspace};
use tempfile::TempDir;

use crate::BINARIES;
use crate::unpacked::Unpacked;

#[test]
fn who_packs_it_and_when_makes_no_difference() -> Result<()> {
    let image = Unpacked::made()?;
    let folder = TempDir::new()?;
    let one = pack(&image, &folder.path().join("one"), 0o755, SystemTime::now())?;
    let other = pack(&image, &folder.path().join("other"), 0o700, SystemTime::UNIX_EPOCH)?;
    assert!(fs::read(one)? == fs::read(other)?, "the same binaries were packed into two different archives");
    Ok(())
}

#[test]
fn other_binaries_make_another_image() -> Result<()> {
    let image = Unpacked::made()?;
    let folder = TempDir::new()?;
    let one = pack(&image, &folder.path().join("one"), 0o755, SystemTime::UNIX_EPOCH)?;
    fs::write(image.root().join(BINARIES[0]), "another")?;
    let other = pack(&image, &folder.path().join("other"), 0o755, SystemTime::UNIX_EPOCH)?;
    let digest =
        |archive: &Path| Ok::<_, anyhow::Error>(Unpacked::open(archive)?.index["manifests"][0]["digest"].clone());
    assert_ne!(digest(&one)?, digest(&other)?);
    Ok(())
}

/// Packs what is in `image` once more, as files with these permissions and times.
fn pack(image: &Unpacked, folder: &Path, mode: u32, modified: SystemTime) -> Result<PathBuf> {
    let binaries = folder.join("binaries");
    fs::create_dir_all(&binaries)?;
    for binary in BINARIES {
        fs::copy(image.root().join(binary), binaries.join(binary))?;
        fs::set_permissions(binaries.join(binary), Permissions::from_mode(mode))?;
        File::options().append(true).open(binaries.join(binary))?.set_modified(modified)?;
    }
    let archive = folder.join("image.tar");
    let mut pack = Command::new(workspace().join("scripts/image/pack"));
    pack.args([&binaries, &archive]);
    pack.env("IMAGE", image::NAME)
        .env("VERSION", "0.1.0")
        .env("REVISION", "unknown")
        .env("SOURCE_DATE_EPOCH", "1767225600");
    process::run(pack, Duration::from_mins(1))?.succeeded("scripts/image/pack")?;
    Ok(archive)
}
