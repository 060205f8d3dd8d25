//! Writes the table of values into the chart's README.md, as `make chart` does, from the comments of its values.yaml: what
//! follows `# --` is about the key below, and a comment line after it goes on with it.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use streamgate_tests::chart;

fn main() -> Result<()> {
    let (path, text) = readme()?;
    Ok(fs::write(path, text)?)
}

/// A value that can be set.
#[derive(Debug)]
pub(crate) struct Row {
    /// `operator.replicas`.
    pub(crate) key: String,
    description: String,
    default: Value,
}

/// The chart's README with the table as it is to be.
pub(crate) fn readme() -> Result<(PathBuf, String)> {
    let path = chart::folder().join("README.md");
    let text = fs::read_to_string(&path).context("the chart's README.md")?;
    let (before, rest) = text.split_once(BEGIN).context("no begin of the table")?;
    let (_, after) = rest.split_once(END).context("no end of the table")?;
    let mut table = String::from("| Value | Default | Meaning |\n|---|---|---|\n");
    for Row { key, description, default } in rows()? {
        writeln!(table, "| `{key}` | `{default}` | {} |", description.replace('|', "\\|"))?;
    }
    Ok((path, format!("{before}{BEGIN}\n{table}{END}{after}")))
}

/// The documented values, in the order of values.yaml.
///
/// # Errors
/// A value that no comment is about.
pub(crate) fn rows() -> Result<Vec<Row>> {
    let text = fs::read_to_string(chart::folder().join("values.yaml")).context("the chart's values.yaml")?;
    let values: Value = serde_saphyr::from_str(&text)?;
    let mut rows: Vec<Row> = Vec::new();
    // The keys above the line, each with its indentation.
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut description: Option<String> = None;
    for line in text.lines() {
        let content = line.trim_start();
        let indentation = line.len() - content.len();
        if let Some(comment) = content.strip_prefix('#') {
            let comment = comment.trim();
            match (comment.strip_prefix("-- "), &mut description) {
                (Some(first), _) => description = Some(first.to_owned()),
                (None, Some(begun)) => begun.extend([" ", comment]),
                (None, None) => {}
            }
            continue;
        }
        let Some((key, rest)) = content.split_once(':').filter(|_| !content.starts_with("- ")) else { continue };
        above.retain(|(column, _)| *column < indentation);
        above.push((indentation, key.to_owned()));
        let path: Vec<&str> = above.iter().map(|(_, key)| key.as_str()).collect();
        let key = path.join(".");
        let is_within = rows.iter().any(|row| key.starts_with(&format!("{}.", row.key)));
        match description.take() {
            Some(description) => {
                let default = values.pointer(&format!("/{}", path.join("/"))).context(key.clone())?.clone();
                rows.push(Row { key, description, default });
            }
            None if is_within || rest.trim().is_empty() => {}
            None => bail!("values.yaml says nothing about `{key}`"),
        }
    }
    Ok(rows)
}

const BEGIN: &str = "<!-- Generated from values.yaml by `make chart`. -->";
const END: &str = "<!-- End of the values. -->";
