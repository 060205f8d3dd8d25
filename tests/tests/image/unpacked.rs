//! An archive of an image, as an engine takes it apart: by the digests that one part has of the next.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use streamgate_tests::{image, process};
use tempfile::TempDir;

pub(crate) struct Unpacked {
    /// `index.json`.
    pub index: Value,
    /// `manifest.json`, by which Docker loads it.
    pub docker_manifest: Value,
    /// The image's configuration.
    pub config: Value,
    /// The compressed layers together.
    pub layers_bytes: u64,
    root: PathBuf,
    _folder: TempDir,
}

impl Unpacked {
    /// The image of `make image`.
    pub(crate) fn made() -> Result<Self> {
        Self::open(&image::archive()?)
    }

    pub(crate) fn open(archive: &Path) -> Result<Self> {
        let folder = TempDir::new()?;
        let layout = folder.path().join("layout");
        untar(archive, &layout)?;
        let index = json(&layout.join("index.json"))?;
        let manifest = json(&blob(&layout, &index["manifests"][0])?)?;
        let root = folder.path().join("root");
        let mut layers_bytes = 0;
        for layer in manifest["layers"].as_array().context("a manifest without layers")? {
            let layer = blob(&layout, layer)?;
            layers_bytes += layer.metadata()?.len();
            untar(&layer, &root)?;
        }
        Ok(Self {
            config: json(&blob(&layout, &manifest["config"])?)?,
            docker_manifest: json(&layout.join("manifest.json"))?,
            index,
            layers_bytes,
            root,
            _folder: folder,
        })
    }

    /// The folder that is a container's `/`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A command that is as in a container: it has nothing but the image around it, and the image's user.
    pub(crate) fn command(&self, binary: &str) -> Result<Command> {
        let user = self.config["config"]["User"].as_str().context("no user")?;
        let mut command = Command::new("chroot");
        command.arg(format!("--userspec={user}")).arg(&self.root).arg(format!("/{binary}")).env_clear();
        // Where chroot is looked for, and what an engine gives to a container too.
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        Ok(command)
    }
}

/// What a descriptor tells of, where it is that to the byte.
fn blob(layout: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = descriptor["digest"].as_str().context("a descriptor without digest")?;
    let hex = digest.strip_prefix("sha256:").with_context(|| format!("a digest that is no SHA-256: {digest}"))?;
    let path = layout.join("blobs/sha256").join(hex);
    ensure!(Some(path.metadata()?.len()) == descriptor["size"].as_u64(), "{digest} has another size");
    let mut sha256sum = Command::new("sha256sum");
    sha256sum.arg(&path);
    let sum = process::run(sha256sum, A_MINUTE)?.succeeded("sha256sum")?.text();
    ensure!(sum.starts_with(hex), "{digest} has another digest: {sum}");
    Ok(path)
}

fn untar(archive: &Path, into: &Path) -> Result<()> {
    std::fs::create_dir_all(into)?;
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(into);
    process::run(tar, A_MINUTE)?.succeeded("tar")?;
    Ok(())
}

fn json(path: &Path) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

const A_MINUTE: Duration = Duration::from_mins(1);
