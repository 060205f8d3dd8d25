//! Writes the `CustomResourceDefinition`s beside the crate's manifest and into the chart, as `make crds` does.

use std::path::{Path, PathBuf};

use kube::CustomResourceExt;
use streamgate_crds::{StreamRoute, TlsSni};

fn main() -> anyhow::Result<()> {
    for (file, text) in files()? {
        std::fs::write(file, text)?;
    }
    Ok(())
}

/// The files, each with its text. A chart takes no file from outside of its folder, so it has copies.
pub(crate) fn files() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [crate_folder.to_owned(), crate_folder.join("../charts/streamgate/files/crds")];
    let mut files = Vec::new();
    for definition in [StreamRoute::crd(), TlsSni::crd()] {
        let text = format!("# Generated from the types by `make crds`.\n{}", serde_saphyr::to_string(&definition)?);
        let name = format!("{}.yaml", definition.spec.names.plural);
        files.extend(folders.iter().map(|folder| (folder.join(&name), text.clone())));
    }
    Ok(files)
}
