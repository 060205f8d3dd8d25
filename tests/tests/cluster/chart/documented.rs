//! The values: each documented, each in the schema, and the table of the README as they are.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use streamgate_tests::chart;

#[path = "../../../examples/chart-values.rs"]
#[expect(dead_code, reason = "an example has a main")]
mod chart_values;

#[test]
fn the_table_of_the_readme_is_that_of_the_values() -> Result<()> {
    let (path, text) = chart_values::readme()?;
    ensure!(fs::read_to_string(path)? == text, "the table is old: make chart");
    Ok(())
}

#[test]
fn every_value_of_the_schema_is_documented() -> Result<()> {
    let schema: Value = serde_json::from_str(&fs::read_to_string(chart::folder().join("values.schema.json"))?)?;
    let documented: BTreeSet<String> = chart_values::rows()?.into_iter().map(|row| row.key).collect();
    let mut undocumented = Vec::new();
    collect(&schema, &schema, "", &documented, &mut undocumented).context("the schema")?;
    // Only Helm sets these, for a chart that has this one in it.
    undocumented.retain(|key| !["global", "enabled"].contains(&key.as_str()));
    ensure!(undocumented.is_empty(), "{undocumented:?}");
    Ok(())
}

/// The properties below `schema` that neither themselves nor by what they are in have a comment.
fn collect(
    root: &Value,
    schema: &Value,
    path: &str,
    documented: &BTreeSet<String>,
    undocumented: &mut Vec<String>,
) -> Option<()> {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.strip_prefix('#')?)?,
        None => schema,
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if documented.contains(&key) {
            continue;
        }
        let before = undocumented.len();
        collect(root, property, &key, documented, undocumented)?;
        let has_documented = documented.iter().any(|other| other.starts_with(&format!("{key}.")));
        if undocumented.len() == before && !has_documented {
            undocumented.push(key);
        }
    }
    Some(())
}

#[test]
fn the_chart_is_of_the_version_of_the_programs() -> Result<()> {
    let chart: Value = serde_saphyr::from_str(&fs::read_to_string(chart::folder().join("Chart.yaml"))?)?;
    ensure!(chart["appVersion"] == env!("CARGO_PKG_VERSION") && chart["version"] == chart["appVersion"], "{chart:#}");
    Ok(())
}
