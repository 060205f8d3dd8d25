//! docs/kubernetes.md beside the code of operator and config-sync.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use streamgate_crds::Reason;
use streamgate_operator::settings::Settings;
use streamgate_tests::page::{Kind, Page};
use streamgate_tests::{operator, sync, workspace};

use super::live::flags;
use super::reference::rows_agree;

fn page() -> Result<Page> {
    Page::read("docs/kubernetes.md")
}

fn code(words: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    words.into_iter().map(|word| format!("`{word}`")).collect()
}

#[test]
fn every_reason_of_a_condition_has_its_row_in_kubernetes() -> Result<()> {
    rows_agree(&page()?, "Reason", &code(Reason::ALL.iter().map(ToString::to_string)))?;
    for row in page()?.table("Reason") {
        let reason = Reason::ALL.iter().find(|reason| row[0] == format!("`{reason}`")).context("a reason")?;
        // What a Secret or a Service is too large or named too long for is said where it is referred to.
        let condition = match reason {
            Reason::NameTooLong | Reason::TooLarge => "ResolvedRefs",
            _ => reason.condition().as_str(),
        };
        ensure!(row[1] == format!("`{condition}`"), "{row:?}");
    }
    Ok(())
}

#[test]
fn the_settings_in_kubernetes_are_read_and_have_every_field() -> Result<()> {
    let files = page()?.blocks()?.into_iter().filter(|block| block.kind == Kind::File("operator.yaml".to_owned()));
    let text: String = files.map(|block| block.text).collect();
    Settings::parse("operator.yaml", &text).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let source = fs::read_to_string(workspace().join("operator/src/settings/read.rs"))?;
    for (heading, fields) in [("Setting", "struct File {"), ("Gateway setting", "struct GatewayFields {")] {
        let (_, fields) = source.split_once(fields).context("the fields in read.rs")?;
        let (fields, _) = fields.split_once("\n}").context("the end of the fields")?;
        let fields = fields.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let fields: Vec<String> = fields.filter_map(|line| Some(camel_case(line.split_once(": ")?.0))).collect();
        for field in &fields {
            ensure!(
                text.lines().any(|line| line.trim_start_matches([' ', '-']).starts_with(&format!("{field}:"))),
                "{field}"
            );
        }
        rows_agree(&page()?, heading, &code(fields))?;
    }
    Ok(())
}

#[test]
fn every_flag_of_operator_and_sync_has_its_row_in_kubernetes() -> Result<()> {
    for (heading, binary) in [("Operator flag", operator::binary()?), ("Sync flag", sync::binary()?)] {
        let known = ["--help", "--version"];
        let flags = flags(binary, &["--help"])?.into_iter().filter(|flag| !known.contains(&flag.as_str()));
        rows_agree(&page()?, heading, &code(flags))?;
    }
    Ok(())
}

#[test]
fn every_metric_of_operator_and_sync_has_its_row_in_kubernetes() -> Result<()> {
    for (heading, file, prefix) in [
        ("Operator metric", "operator/src/admin/metrics.rs", "streamgate_operator"),
        ("Sync metric", "operator/src/sync/metrics.rs", "streamgate_sync"),
    ] {
        let source = fs::read_to_string(workspace().join(file))?;
        let names = source.split("registry.register(").skip(1).filter_map(|rest| rest.split('"').nth(1));
        let names: BTreeSet<String> = names.map(|name| format!("`{prefix}_{name}`")).collect();
        ensure!(names.len() > 5, "no metrics in {file}");
        let rows = page()?.table(heading);
        let written: BTreeSet<String> = rows.iter().map(|row| row[0].replace("_total`", "`")).collect();
        ensure!(written == names, "{heading}: {names:?}, written {written:?}");
    }
    Ok(())
}

fn camel_case(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, rest) = word.split_at(word.len().min(1));
        format!("{name}{}{rest}", head.to_uppercase())
    })
}
