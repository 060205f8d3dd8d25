//! The tables of a page beside what they are about.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use kube::CustomResourceExt;
use serde_json::Value;
use streamgate_crds::manifest::Manifest;
use streamgate_crds::yaml::Document;
use streamgate_tests::config_dir;

use streamgate_tests::page::{Kind, Page};

/// What the schema says of a field.
struct Field {
    /// The default that it writes down, if it does.
    default: Option<Value>,
    required: bool,
}

/// The whole manifest for some fields of its `spec`; what it can't do without is put in.
pub(super) fn whole(kind: &str, fields: &str) -> String {
    let needed: &[(&str, &str)] = match kind {
        "TlsSni" => &[("snis:", "snis: [a.example]"), ("certificates:", "certificates: [{secretName: a}]")],
        _ => &[("upstream:", "upstream: {nodes: [{host: 192.0.2.10, port: 1883}]}")],
    };
    let mut spec = fields.to_owned();
    for (field, line) in needed {
        if !fields.lines().any(|line| line.starts_with(field)) {
            spec = format!("{spec}{line}\n");
        }
    }
    config_dir::manifest(kind, "acme", "example", &spec)
}

/// That the tables headed `Field` have every field of the schema and no other, with the schema's default.
pub(super) fn fields_agree<T: Manifest + CustomResourceExt>(page: &Page) -> Result<()> {
    let fields = fields::<T>()?;
    let rows = page.table("Field");
    let paths: BTreeSet<String> = fields.keys().map(|path| format!("`{path}`")).collect();
    rows_agree(page, "Field", &paths)?;
    for row in rows {
        let (Some(path), Some(default)) = (row.first(), row.get(1)) else { continue };
        let field = fields.get(path.trim_matches('`')).with_context(|| format!("{path} is no field"))?;
        ensure!(!default.is_empty(), "{path} says nothing of its default");
        ensure!(field.required == (default == "required"), "{path}: `{default}`, but the schema has it otherwise");
        if let Some(wanted) = &field.default {
            let wanted = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
            ensure!(default == &format!("`{wanted}`"), "{path}: the default is {wanted}, not {default}");
        }
    }
    Ok(())
}

/// That every field of the schema is used by an example of the page.
pub(super) fn examples_agree<T: Manifest + CustomResourceExt>(page: &Page) -> Result<()> {
    let mut used = BTreeSet::new();
    for block in page.blocks()? {
        let kind = T::kind(&());
        let text = match block.kind {
            Kind::Manifests | Kind::File(_) => block.text,
            Kind::Route if kind == "StreamRoute" => whole("StreamRoute", &block.text),
            Kind::TlsSni if kind == "TlsSni" => whole("TlsSni", &block.text),
            _ => continue,
        };
        for document in Document::parse_all(&text).map_err(|problem| anyhow::anyhow!("{}: {problem}", block.place))? {
            if document.text("kind") == Some(kind.as_ref()) {
                let spec: Value = document.read_part("spec").map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
                collect_paths("", &spec, &mut used);
            }
        }
    }
    for path in fields::<T>()?.keys() {
        ensure!(used.contains(path), "{}: no example has `{path}`", page.name);
    }
    Ok(())
}

/// That the first column of the tables headed so has all of these words and no other.
pub(super) fn rows_agree(page: &Page, heading: &str, wanted: &BTreeSet<String>) -> Result<()> {
    let rows = page.table(heading);
    let found: BTreeSet<String> = rows.iter().filter_map(|row| row.first().cloned()).collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    let beyond: Vec<_> = found.difference(wanted).collect();
    ensure!(
        missing.is_empty() && beyond.is_empty(),
        "{}, tables headed {heading}: not there: {missing:?}; there and unknown: {beyond:?}",
        page.name
    );
    ensure!(rows.len() == found.len(), "{}, tables headed {heading}: a word is there twice", page.name);
    for row in rows {
        ensure!(row.len() > 1 && row.iter().all(|cell| !cell.is_empty()), "{}: an empty cell in {row:?}", page.name);
    }
    Ok(())
}

/// The fields of the `spec` by their paths (`upstream.nodes[].host`), those without fields of their own.
fn fields<T: CustomResourceExt>() -> Result<BTreeMap<String, Field>> {
    let definition = serde_json::to_value(T::crd())?;
    let spec = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut fields = BTreeMap::new();
    collect_fields("", spec, false, &mut fields);
    ensure!(fields.len() > 8, "no schema: {definition}");
    Ok(fields)
}

fn collect_fields(path: &str, schema: &Value, required: bool, into: &mut BTreeMap<String, Field>) {
    if schema["items"]["properties"].is_object() {
        return collect_fields(&format!("{path}[]"), &schema["items"], required, into);
    }
    let Some(properties) = schema["properties"].as_object() else {
        into.insert(path.to_owned(), Field { default: schema.get("default").cloned(), required });
        return;
    };
    for (name, schema_of_field) in properties {
        let required = schema["required"].as_array().is_some_and(|names| names.iter().any(|word| word == name));
        collect_fields(&join(path, name), schema_of_field, required, into);
    }
}

fn collect_paths(path: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                collect_paths(&join(path, name), value, into);
            }
        }
        Value::Array(elements) if elements.iter().all(Value::is_object) => {
            for element in elements {
                collect_paths(&format!("{path}[]"), element, into);
            }
        }
        _ => {
            into.insert(path.to_owned());
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
