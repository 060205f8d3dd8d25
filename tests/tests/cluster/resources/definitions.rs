use anyhow::Result;

use super::{cluster, definitions_applied};

#[test]
fn the_definitions_apply_without_a_remark_and_hold() -> Result<()> {
    assert_eq!(definitions_applied()?, "");
    for name in ["streamroutes.streamgate.dev", "tlssnis.streamgate.dev"] {
        let definition = cluster()?.json(&["get", "crd", name])?;
        let conditions = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is = |condition: &str| conditions.iter().any(|each| each["type"] == condition && each["status"] == "True");
        assert!(is("Established") && is("NamesAccepted"), "{conditions:?}");
        assert!(!is("NonStructuralSchema"), "{conditions:?}");
    }
    Ok(())
}
