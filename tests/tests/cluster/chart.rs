//! The chart: what it renders, installs, upgrades, refuses and leaves behind.

mod accounts;
mod arrives;
mod device;
mod documented;
mod installed;
mod monitoring;
mod refused;
mod rendered;
mod volumes;

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;
use streamgate_tests::chart::{self, helm};
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::process::Output;
use streamgate_tests::workspace;

/// Values as a user would write them.
struct ValueSet {
    name: String,
    text: String,
}

impl ValueSet {
    /// Those of `chart/values/`, for a release in this namespace.
    fn all(namespace: &str) -> Result<Vec<Self>> {
        let mut sets = Vec::new();
        for entry in fs::read_dir(workspace().join("tests/tests/cluster/chart/values"))? {
            let path = entry?.path();
            let name = path.file_stem().context("a file")?.to_string_lossy().into_owned();
            sets.push(Self { name, text: fs::read_to_string(&path)?.replace("RELEASE", namespace) });
        }
        sets.sort_by(|one, other| one.name.cmp(&other.name));
        anyhow::ensure!(sets.len() >= 12, "{} value sets", sets.len());
        Ok(sets)
    }

    /// What the chart makes of them, as text.
    fn text(&self, namespace: &str) -> Result<String> {
        Ok(on_chart(None, &["template", "streamgate"], namespace, &self.text)?.succeeded(&self.name)?.text())
    }

    /// What the chart makes of them.
    fn render(&self, namespace: &str) -> Result<Vec<Value>> {
        manifests(&self.text(namespace)?)
    }
}

/// `helm template NAME`, `helm install NAME` and their like on the chart, with these values.
fn on_chart(cluster: Option<&ControlPlane>, command: &[&str], namespace: &str, values: &str) -> Result<Output> {
    let folder = chart::folder().to_string_lossy().into_owned();
    let arguments = [command, &[&folder, "--namespace", namespace, "--values", "-"]].concat();
    helm(cluster.map(ControlPlane::kubeconfig), &arguments, values)
}

fn manifests(text: &str) -> Result<Vec<Value>> {
    let manifests: Vec<Value> = serde_saphyr::from_multiple(text)?;
    Ok(manifests.into_iter().filter(|manifest| !manifest.is_null()).collect())
}

/// The one manifest of this kind and name.
fn find<'m>(manifests: &'m [Value], kind: &str, name: &str) -> Result<&'m Value> {
    let is_it = |manifest: &&Value| manifest["kind"] == kind && manifest["metadata"]["name"] == name;
    manifests.iter().find(is_it).with_context(|| format!("no {kind} {name}"))
}

/// Those of this kind.
fn of_kind<'m>(manifests: &'m [Value], kind: &str) -> impl Iterator<Item = &'m Value> {
    manifests.iter().filter(move |manifest| manifest["kind"] == kind)
}

fn name(manifest: &Value) -> &str {
    manifest["metadata"]["name"].as_str().unwrap_or_default()
}
