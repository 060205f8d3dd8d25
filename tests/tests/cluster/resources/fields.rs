use anyhow::{Context, Result, ensure};
use kube::CustomResourceExt;
use serde_json::Value;
use streamgate_crds::{StreamRoute, TlsSni};

use super::{cluster, printed};

#[test]
fn kubectl_explain_says_something_on_every_field() -> Result<()> {
    let mut count = 0;
    for (definition, name) in [(StreamRoute::crd(), "streamroute"), (TlsSni::crd(), "tlssni")] {
        let definition = serde_json::to_value(definition)?;
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        for part in ["spec", "status"] {
            count += explained(&schema["properties"][part], &format!("{name}.{part}"))?;
        }
    }
    ensure!(count > 60, "{count} fields");
    Ok(())
}

#[test]
fn kubectl_explain_lists_all_fields_at_once() -> Result<()> {
    let text = printed(cluster()?, &["explain", "sr", "--recursive"])?;
    for field in ["sourceRanges", "certificateField", "connackTimeout", "serverReference", "observedGeneration"] {
        ensure!(text.contains(field), "{field}: {text}");
    }
    Ok(())
}

/// That kubectl explains what is within this mapping or list of mappings, and within that; how many fields those are.
fn explained(schema: &Value, path: &str) -> Result<usize> {
    let schema = if schema["items"].is_object() { &schema["items"] } else { schema };
    let Some(properties) = schema["properties"].as_object() else { return Ok(0) };
    let text = printed(cluster()?, &["explain", path])?;
    ensure!(!text.contains("no description"), "{path}: {text}");
    let mut count = properties.len();
    for (name, property) in properties {
        let description = property["description"].as_str().context("a description")?;
        let begin = description.split_whitespace().next().context("a word")?;
        let (_, told) = text.split_once(&format!("  {name}\t<")).with_context(|| format!("{path}.{name}: {text}"))?;
        ensure!(told.contains(begin), "{path}.{name}: {text}");
        count += explained(property, &format!("{path}.{name}"))?;
    }
    Ok(count)
}
