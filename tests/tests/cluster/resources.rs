//! The custom resources on a real API server: what it takes and what it refuses, what it fills in, what kubectl shows.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use streamgate_tests::control_plane::ControlPlane;

mod columns;
mod definitions;
mod examples;
mod fields;
mod rules;

/// The shared control plane, with the custom resources.
fn cluster() -> Result<&'static ControlPlane> {
    definitions_applied()?;
    ControlPlane::shared()
}

/// Applies the definitions once, and waits until they are served. What kubectl had to remark is returned.
fn definitions_applied() -> Result<&'static str> {
    static REMARKS: OnceLock<Result<String>> = OnceLock::new();
    REMARKS.get_or_init(apply_definitions).as_deref().map_err(|error| anyhow!("{error:#}"))
}

fn apply_definitions() -> Result<String> {
    let cluster = ControlPlane::shared()?;
    let mut remarks = String::new();
    for name in ["streamroutes", "tlssnis"] {
        let file = repository().join(format!("crds/{name}.yaml"));
        let file = file.to_str().context("a path of letters")?;
        let output = cluster.kubectl(&["apply", "-f", file], None)?.succeeded("kubectl apply")?;
        remarks.push_str(&output.stderr);
        let definition = format!("crd/{name}.streamgate.dev");
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", &definition];
        cluster.kubectl(&wait, None)?.succeeded("kubectl wait")?;
    }
    Ok(remarks)
}

/// The manifest of an object, in JSON.
fn manifest(kind: &str, namespace: &str, name: &str, spec: &serde_json::Value) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "streamgate.dev/v1alpha1",
        "kind": kind,
        "metadata": { "namespace": namespace, "name": name },
        "spec": spec,
    })
}

/// The `spec` that a kind can't do without.
fn least(kind: &str) -> Result<serde_json::Value> {
    match kind {
        "StreamRoute" => Ok(serde_json::json!({ "upstream": { "nodes": [{ "host": "broker", "port": 1883 }] } })),
        "TlsSni" => Ok(serde_json::json!({ "snis": ["a.example"], "certificates": [{ "secretName": "tls" }] })),
        other => Err(anyhow!("no kind {other}")),
    }
}

/// What kubectl printed, if it succeeded.
fn printed(cluster: &ControlPlane, arguments: &[&str]) -> Result<String> {
    let output = cluster.kubectl(arguments, None)?.succeeded(&arguments.join(" "))?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(!text.is_empty(), "nothing from {arguments:?}");
    Ok(text)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
