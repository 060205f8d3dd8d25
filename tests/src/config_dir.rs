//! A configuration directory, as a person or config-sync fills it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A configuration directory and a status directory in a temporary folder, which goes with it.
///
/// Every file is written elsewhere and renamed into its place, so that a watcher sees whole files only. The methods return
/// the directory again, to be chained with `?`.
#[derive(Debug)]
pub struct ConfigDir {
    folder: TempDir,
    counter: AtomicU64,
}

impl ConfigDir {
    /// An empty one, with the folders that the proxy reads.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("streamgate-").tempdir()?;
        for name in ["streamroutes", "tlssnis", "endpoints", "secrets", "configmaps"] {
            fs::create_dir_all(folder.path().join("config").join(name))?;
        }
        fs::create_dir(folder.path().join("status"))?;
        fs::create_dir(folder.path().join("staging"))?;
        Ok(Self { folder, counter: AtomicU64::new(0) })
    }

    /// What `--config-dir` is given.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// All files that the proxy can read, by their paths; `revision` aside.
    pub fn files(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let root = self.path();
        let mut files = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                let name = path.strip_prefix(&root)?.display().to_string();
                if name.starts_with('.') || name == "revision" {
                } else if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(name, fs::read(path)?);
                }
            }
        }
        Ok(files)
    }

    /// What `--status-dir` is given.
    pub fn status_dir(&self) -> PathBuf {
        self.folder.path().join("status")
    }

    /// Room for a test's own files (certificates, sessions), outside of what the proxy sees.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a `TlsSni` whose `spec` is this YAML (indented as one likes).
    pub fn tls_sni(&self, namespace: &str, name: &str, spec: &str) -> Result<&Self> {
        self.write(&tls_sni_path(namespace, name), manifest("TlsSni", namespace, name, spec).as_bytes())
    }

    /// Takes a `TlsSni` away.
    pub fn remove_tls_sni(&self, namespace: &str, name: &str) -> Result<&Self> {
        self.remove(&tls_sni_path(namespace, name))
    }

    /// Writes a `StreamRoute` whose `spec` is this YAML (indented as one likes).
    pub fn stream_route(&self, namespace: &str, name: &str, spec: &str) -> Result<&Self> {
        self.write(&stream_route_path(namespace, name), manifest("StreamRoute", namespace, name, spec).as_bytes())
    }

    /// Takes a `StreamRoute` away.
    pub fn remove_stream_route(&self, namespace: &str, name: &str) -> Result<&Self> {
        self.remove(&stream_route_path(namespace, name))
    }

    /// Writes what a service means: the documents of its Service and `EndpointSlices`.
    pub fn endpoints(&self, namespace: &str, service: &str, documents: &str) -> Result<&Self> {
        self.write(&endpoints_path(namespace, service), dedent(documents).as_bytes())
    }

    /// Takes a service's file away.
    pub fn remove_endpoints(&self, namespace: &str, service: &str) -> Result<&Self> {
        self.remove(&endpoints_path(namespace, service))
    }

    /// Writes a Secret, all keys at once, by a symlink swap as kubelet does it.
    pub fn secret(&self, namespace: &str, name: &str, keys: &[(&str, &[u8])]) -> Result<&Self> {
        self.swap(&format!("secrets/{namespace}.{name}"), keys)
    }

    /// Takes a Secret away.
    pub fn remove_secret(&self, namespace: &str, name: &str) -> Result<&Self> {
        self.remove(&format!("secrets/{namespace}.{name}"))
    }

    /// Writes a `ConfigMap`, all keys at once, by a symlink swap as kubelet does it.
    pub fn config_map(&self, namespace: &str, name: &str, keys: &[(&str, &[u8])]) -> Result<&Self> {
        self.swap(&format!("configmaps/{namespace}.{name}"), keys)
    }

    /// Takes a `ConfigMap` away.
    pub fn remove_config_map(&self, namespace: &str, name: &str) -> Result<&Self> {
        self.remove(&format!("configmaps/{namespace}.{name}"))
    }

    /// Writes keys of session tickets, all files at once: `current`, `next`, `previous`, 64 bytes each.
    pub fn ticket_keys(&self, keys: &[(&str, &[u8])]) -> Result<&Self> {
        self.swap("ticket-keys", keys)
    }

    /// Writes any file of the configuration directory as it is, by rename: `tlssnis/a.b.yaml`, `revision`,
    /// `secrets/a.b/tls.crt` (the way a person edits a folder by hand).
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<&Self> {
        let target = self.path().join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        let staged = self.staged();
        fs::write(&staged, bytes)?;
        fs::rename(&staged, &target).with_context(|| format!("can't write {}", target.display()))?;
        Ok(self)
    }

    /// Takes any file or folder of the configuration directory away.
    pub fn remove(&self, path: &str) -> Result<&Self> {
        let target = self.path().join(path);
        // Out of sight at once, and then gone, so that no watcher meets half a folder.
        let staged = self.staged();
        fs::rename(&target, &staged).with_context(|| format!("can't remove {}", target.display()))?;
        if staged.is_dir() {
            fs::remove_dir_all(&staged)?;
        } else {
            fs::remove_file(&staged)?;
        }
        Ok(self)
    }

    /// Copies a folder of manifests (as in `examples/`) over this directory.
    pub fn copy_from(&self, source: &Path) -> Result<&Self> {
        copy_folder(source, &self.path())?;
        Ok(self)
    }

    fn staged(&self) -> PathBuf {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        self.folder.path().join("staging").join(number.to_string())
    }

    fn swap(&self, path: &str, keys: &[(&str, &[u8])]) -> Result<&Self> {
        let folder = self.path().join(path);
        fs::create_dir_all(&folder)?;
        let version = format!("..{}", self.counter.fetch_add(1, Ordering::Relaxed));
        fs::create_dir(folder.join(&version))?;
        for (key, bytes) in keys {
            fs::write(folder.join(&version).join(key), bytes)?;
        }
        let before = fs::read_link(folder.join("..data")).ok();
        symlink(&version, folder.join("..data_tmp"))?;
        fs::rename(folder.join("..data_tmp"), folder.join("..data"))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("..") && !keys.iter().any(|(key, _)| *key == name) {
                fs::remove_file(entry.path())?;
            }
        }
        for (key, _) in keys {
            let link = folder.join(key);
            if fs::symlink_metadata(&link).is_ok_and(|found| !found.is_symlink()) {
                fs::remove_file(&link)?;
            }
            if fs::symlink_metadata(&link).is_err() {
                symlink(Path::new("..data").join(key), &link)?;
            }
        }
        if let Some(before) = before {
            fs::remove_dir_all(folder.join(before))?;
        }
        Ok(self)
    }
}

/// The text of a manifest around this `spec`.
pub fn manifest(kind: &str, namespace: &str, name: &str, spec: &str) -> String {
    let spec = dedent(spec).trim_end().replace('\n', "\n  ");
    format!(
        "apiVersion: streamgate.dev/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n  {spec}\n"
    )
}

/// The text without the indentation that all its lines share and without empty lines around it, so that YAML in a test may
/// stand as deep as the code.
pub fn dedent(text: &str) -> String {
    let indentation = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start_matches(' ').len())
        .min()
        .unwrap_or(0);
    let lines: Vec<&str> = text.lines().map(|line| line.get(indentation..).unwrap_or("")).collect();
    format!("{}\n", lines.join("\n").trim_matches('\n').trim_end())
}

fn tls_sni_path(namespace: &str, name: &str) -> String {
    format!("tlssnis/{namespace}.{name}.yaml")
}

fn stream_route_path(namespace: &str, name: &str) -> String {
    format!("streamroutes/{namespace}.{name}.yaml")
}

fn endpoints_path(namespace: &str, service: &str) -> String {
    format!("endpoints/{namespace}.{service}.yaml")
}

fn copy_folder(source: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(target)?;
    for entry in fs::read_dir(source).with_context(|| format!("can't read {}", source.display()))? {
        let entry = entry?;
        let to = target.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
