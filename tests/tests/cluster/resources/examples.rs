use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use streamgate_crds::yaml::Document;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::gateway::apply_custom_resources;

use super::{cluster, repository};

#[test]
fn every_example_applies() -> Result<()> {
    let folders = ["routes", "tlssnis", "standalone/config/streamroutes", "standalone/config/tlssnis"];
    let mut manifests = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(repository().join("examples").join(folder))? {
            manifests.push(std::fs::read_to_string(entry?.path())?);
        }
    }
    ensure!(manifests.len() >= 25, "{} examples", manifests.len());
    let mut namespaces = BTreeSet::new();
    for manifest in &manifests {
        let document = Document::parse(manifest).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        namespaces.insert(document.text("metadata.namespace").context("a namespace")?.to_owned());
    }
    let cluster = cluster()?;
    for namespace in namespaces {
        cluster.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"))?;
    }
    cluster.apply(&manifests.join("\n---\n"))
}

/// As the quickstart has it: the two tenants, each with its namespace, and nothing of the folders below.
#[test]
fn the_folder_of_examples_applies_by_itself() -> Result<()> {
    let cluster = ControlPlane::start()?;
    apply_custom_resources(&cluster)?;
    let folder = repository().join("examples");
    let folder = folder.to_str().context("a path")?;
    let applied = cluster.kubectl(&["apply", "-f", folder], None)?.succeeded("kubectl apply -f examples/")?.text();
    for object in
        ["tlssni.streamgate.dev/devices", "streamroute.streamgate.dev/devices", "tlssni.streamgate.dev/meters"]
    {
        ensure!(applied.contains(&format!("{object} created")), "{applied}");
    }
    ensure!(!applied.contains("wildcard"), "{applied}");
    Ok(())
}
