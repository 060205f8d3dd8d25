//! What is in the image, and what it says of itself.

use anyhow::Result;
use serde_json::json;
use std::os::unix::fs::MetadataExt;
use streamgate_tests::image;

use crate::BINARIES;
use crate::unpacked::Unpacked;

#[test]
fn it_holds_three_binaries_and_nothing_else() -> Result<()> {
    let image = Unpacked::made()?;
    let mut found = Vec::new();
    for entry in image.root().read_dir()? {
        let entry = entry?;
        found.push((entry.file_name().to_string_lossy().into_owned(), format!("{:o}", entry.metadata()?.mode())));
    }
    found.sort();
    assert_eq!(found, BINARIES.map(|binary| (binary.to_owned(), "100755".to_owned())));
    Ok(())
}

#[test]
fn it_is_small() -> Result<()> {
    let image = Unpacked::made()?;
    assert!(image.layers_bytes < 30_000_000, "{} bytes are pulled", image.layers_bytes);
    Ok(())
}

#[test]
fn its_user_is_not_root_and_a_number() -> Result<()> {
    // By a name a kubelet can't tell that it is not root's.
    assert_eq!(Unpacked::made()?.config["config"]["User"], "65532:65532");
    Ok(())
}

#[test]
fn the_command_is_the_users_choice() -> Result<()> {
    let config = &Unpacked::made()?.config["config"];
    assert_eq!((config.get("Entrypoint"), config.get("Cmd")), (None, None));
    Ok(())
}

#[test]
fn its_labels_say_what_it_is() -> Result<()> {
    let image = Unpacked::made()?;
    let labels = &image.config["config"]["Labels"];
    let label = |name: &str| labels[format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("title"), "streamgate");
    assert_eq!(label("licenses"), "Apache-2.0");
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    for name in ["source", "documentation"] {
        assert!(label(name).as_str().is_some_and(|url| url.starts_with(env!("CARGO_PKG_REPOSITORY"))), "{labels}");
    }
    for name in ["description", "revision"] {
        assert!(label(name).as_str().is_some_and(|text| !text.is_empty() && !text.contains('$')), "{labels}");
    }
    Ok(())
}

#[test]
fn each_engine_finds_its_name() -> Result<()> {
    let image = Unpacked::made()?;
    let name = format!("{}:{}", image::NAME, env!("CARGO_PKG_VERSION"));
    let found = &image.index["manifests"][0];
    assert_eq!(found["annotations"]["io.containerd.image.name"], name);
    assert_eq!(found["annotations"]["org.opencontainers.image.ref.name"], env!("CARGO_PKG_VERSION"));
    assert_eq!(found["platform"], json!({"os": "linux", "architecture": image.config["architecture"]}));
    assert_eq!(image.docker_manifest[0]["RepoTags"], json!([name]));
    Ok(())
}
