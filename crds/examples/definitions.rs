//! Writes the `CustomResourceDefinition`s beside the crate's manifest, as `make crds` does.

use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use streamgate_crds::{StreamRoute, TlsSni};

fn main() -> anyhow::Result<()> {
    for (file, text) in files()? {
        std::fs::write(file, text)?;
    }
    Ok(())
}

/// The files, each with its text.
pub(crate) fn files() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let written = |definition: CustomResourceDefinition| {
        let text = serde_saphyr::to_string(&definition)?;
        let file = folder.join(format!("{}.yaml", definition.spec.names.plural));
        Ok((file, format!("# Generated from the types by `make crds`.\n{text}")))
    };
    [StreamRoute::crd(), TlsSni::crd()].into_iter().map(written).collect()
}
