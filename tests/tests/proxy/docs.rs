//! The documentation says what is: its manifests are read, its commands run, and its tables are those of the code.

mod kubernetes;
mod live;
mod reference;
mod told;
mod transcript;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use streamgate_crds::{StreamRoute, TlsSni};
use streamgate_tests::page::{Kind, Page};
use streamgate_tests::{chart, workspace};

use crate::examples::stage;

#[test]
fn every_block_is_of_a_known_kind() -> Result<()> {
    for page in Page::all()? {
        page.blocks()?;
    }
    Ok(())
}

#[test]
fn every_manifest_can_be_read() -> Result<()> {
    for page in Page::all()? {
        for block in page.blocks()? {
            let text = match block.kind {
                Kind::Manifests => block.text,
                Kind::Route => reference::whole("StreamRoute", &block.text),
                Kind::TlsSni => reference::whole("TlsSni", &block.text),
                Kind::File(path) if path.contains("/streamroutes/") || path.contains("/tlssnis/") => block.text,
                _ => continue,
            };
            stage::Manifests::read(&text).with_context(|| block.place)?;
        }
    }
    Ok(())
}

#[test]
fn every_relative_link_leads_somewhere() -> Result<()> {
    for page in Page::all()? {
        for link in page.links().iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = workspace().join(&page.name);
            let file = if path.is_empty() { file } else { file.with_file_name("").join(path) };
            ensure!(file.exists(), "{}: there is no {link}", page.name);
            if !anchor.is_empty() {
                let file = file.canonicalize()?;
                let name = file.strip_prefix(workspace().canonicalize()?)?.to_string_lossy().into_owned();
                ensure!(Page::read(&name)?.anchors().contains(anchor), "{}: there is no {link}", page.name);
            }
        }
    }
    Ok(())
}

#[test]
fn the_commands_of_the_readme_print_what_it_says() -> Result<()> {
    transcript::run(&Page::read("README.md")?)
}

#[test]
fn the_commands_of_standalone_print_what_it_says() -> Result<()> {
    transcript::run(&Page::read("docs/standalone.md")?)
}

#[test]
fn the_commands_of_streamroute_print_what_it_says() -> Result<()> {
    transcript::run(&Page::read("docs/streamroute.md")?)
}

#[test]
fn the_commands_of_tlssni_print_what_it_says() -> Result<()> {
    transcript::run(&Page::read("docs/tlssni.md")?)
}

#[test]
fn the_commands_of_refusals_print_what_it_says() -> Result<()> {
    transcript::run(&Page::read("docs/refusals.md")?)
}

#[test]
fn the_commands_of_from_apisix_print_what_it_says() -> Result<()> {
    transcript::run(&Page::read("docs/from-apisix.md")?)
}

#[test]
fn the_commands_of_kubernetes_that_need_no_cluster_print_what_it_says() -> Result<()> {
    transcript::run(&Page::read("docs/kubernetes.md")?)
}

#[test]
fn no_page_is_left_out() -> Result<()> {
    let tests = include_str!("docs.rs");
    for page in Page::all()? {
        if !page.blocks()?.iter().any(|block| matches!(block.kind, Kind::Shell | Kind::Console)) {
            continue;
        }
        ensure!(tests.contains(&format!("transcript::run(&Page::read(\"{}\")?)", page.name)), "{}", page.name);
    }
    Ok(())
}

#[test]
fn the_chart_takes_every_values_file() -> Result<()> {
    let folder = chart::folder();
    let arguments = ["template", "streamgate", &folder.to_string_lossy(), "-n", "streamgate-system", "--values", "-"];
    let mut count = 0;
    for page in Page::all()? {
        for block in page.blocks()?.into_iter().filter(|block| block.kind == Kind::Values) {
            chart::helm(None, &arguments, &block.text)?.succeeded(&block.place)?;
            count += 1;
        }
    }
    ensure!(count > 0, "no values");
    Ok(())
}

#[test]
fn every_alert_has_its_heading_in_operations() -> Result<()> {
    let mut alerts = BTreeSet::new();
    for entry in fs::read_dir(chart::folder().join("files/alerts"))? {
        let text = fs::read_to_string(entry?.path())?;
        alerts.extend(text.lines().filter_map(|line| line.strip_prefix("- alert: ")).map(str::to_lowercase));
    }
    ensure!(alerts.len() > 5, "no alerts");
    let headings = Page::read("docs/operations.md")?.anchors();
    let headings: BTreeSet<String> = headings.into_iter().filter(|anchor| anchor.starts_with("streamgate")).collect();
    ensure!(headings == alerts, "alerts {alerts:?}, headings {headings:?}");
    Ok(())
}

#[test]
fn what_only_a_reader_can_run_exists() -> Result<()> {
    let makefile = fs::read_to_string(workspace().join("Makefile"))?;
    let known = |command: &str| {
        let target = command.strip_prefix("make ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        !target.is_empty() && makefile.lines().any(|line| line.starts_with(&format!("{target}:")))
    };
    for page in Page::all()? {
        for block in page.blocks()?.into_iter().filter(|block| block.kind == Kind::Manual) {
            for line in block.text.lines() {
                let command = line.split_once(" #").map_or(line, |(command, _)| command).trim_end();
                ensure!(known(command), "{}: `{command}` is none that may go unrun", block.place);
            }
        }
    }
    Ok(())
}

#[test]
fn every_field_of_a_streamroute_stands_in_its_page_with_its_default() -> Result<()> {
    reference::fields_agree::<StreamRoute>(&Page::read("docs/streamroute.md")?)
}

#[test]
fn every_field_of_a_tlssni_stands_in_its_page_with_its_default() -> Result<()> {
    reference::fields_agree::<TlsSni>(&Page::read("docs/tlssni.md")?)
}

#[test]
fn every_field_of_a_streamroute_has_an_example_in_its_page() -> Result<()> {
    reference::examples_agree::<StreamRoute>(&Page::read("docs/streamroute.md")?)
}

#[test]
fn every_field_of_a_tlssni_has_an_example_in_its_page() -> Result<()> {
    reference::examples_agree::<TlsSni>(&Page::read("docs/tlssni.md")?)
}

#[test]
fn every_end_has_its_row_in_refusals() -> Result<()> {
    let source = fs::read_to_string(workspace().join("proxy/src/connection/end.rs"))?;
    let (_, ends) = source.split_once("\nends! {").context("the ends in end.rs")?;
    let (ends, _) = ends.split_once("\n}").context("the end of the ends")?;
    let ends = ends.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.is_empty());
    let ends: BTreeSet<String> = ends.map(|line| format!("`{}`", line.trim_end_matches(','))).collect();
    reference::rows_agree(&Page::read("docs/refusals.md")?, "`end`", &ends)
}

#[test]
fn every_reason_of_a_status_has_its_row_in_refusals() -> Result<()> {
    let mut reasons = BTreeSet::new();
    for file in [
        "crds/src/admit.rs",
        "crds/src/admit/cover.rs",
        "crds/src/admit/names.rs",
        "crds/src/admit/overlap.rs",
        "proxy/src/config/load.rs",
        "proxy/src/config/load/routes.rs",
        "proxy/src/config/load/tls.rs",
        "proxy/src/config/material.rs",
    ] {
        let source = fs::read_to_string(workspace().join(file))?;
        let words =
            source.split("Reason::").skip(1).filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next());
        reasons.extend(words.map(|word| format!("`{word}`")));
    }
    ensure!(reasons.len() > 3, "no reasons");
    reference::rows_agree(&Page::read("docs/refusals.md")?, "`reason`", &reasons)
}

#[test]
fn every_code_of_a_refusal_stands_in_refusals() -> Result<()> {
    let source = fs::read_to_string(workspace().join("proxy/src/mqtt/reason.rs"))?;
    let codes: BTreeSet<&str> = source.split("Some(").skip(1).filter_map(|rest| rest.get(..4)).collect();
    ensure!(codes.len() > 5, "no codes in reason.rs");
    let written = Page::read("docs/refusals.md")?.table("CONNACK").concat().join(" ");
    for code in codes {
        ensure!(written.contains(code), "{code}");
    }
    Ok(())
}
