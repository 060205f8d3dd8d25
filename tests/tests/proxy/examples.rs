//! Every manifest of `examples/` does what its comment says.

pub(crate) mod device;
mod holding;
pub(crate) mod ports;
mod routes;
pub(crate) mod stage;
mod standalone;
mod tlssnis;

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use streamgate_tests::workspace;

#[test]
fn no_example_is_left_out() -> Result<()> {
    let tests = concat!(
        include_str!("examples/routes.rs"),
        include_str!("examples/holding.rs"),
        include_str!("examples/tlssnis.rs")
    );
    for folder in ["routes", "tlssnis"] {
        for entry in fs::read_dir(workspace().join("examples").join(folder))? {
            let path = format!("\"{folder}/{}\"", entry?.file_name().to_string_lossy());
            ensure!(tests.contains(&path), "no test runs {path}");
        }
    }
    Ok(())
}

#[test]
fn there_are_no_other_examples() -> Result<()> {
    // The two tenants, and what makes certificates for one, are the end-to-end tests'.
    let known = ["acme-certificates", "acme.yaml", "globex.yaml", "routes", "standalone", "tlssnis"];
    for entry in fs::read_dir(workspace().join("examples"))? {
        let name = entry?.file_name();
        ensure!(known.iter().any(|known| Path::new(known) == Path::new(&name)), "{}", name.display());
    }
    Ok(())
}
