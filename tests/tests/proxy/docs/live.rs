//! The tables of the pages beside a proxy that runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use streamgate_tests::wire::Version;
use streamgate_tests::{process, proxy, wait, workspace};

use super::reference::rows_agree;
use crate::examples::device::{Device, Met};
use crate::examples::stage::{Manifests, Stage};
use streamgate_tests::page::{Kind, Page};

/// What appears at `/metrics` only when something goes wrong that no test can cause.
const NEVER_SEEN: &str = "`streamgate_accept_errors_total`";

/// A proxy that has seen all that there is to count: devices let in and refused, with TLS and without, and a manifest that
/// can't be read.
fn a_full_day() -> Result<(Stage, Vec<serde_json::Value>)> {
    let mut manifests = Manifests::example("routes/hash-by-client-id.yaml")?;
    manifests.add_route("acme", "plain", "{listeners: [plain], upstream: {services: [{name: broker, port: mqtt}]}}")?;
    let mut stage = Stage::start(manifests)?;
    let generation = stage.proxy.generation();
    stage.config.write("streamroutes/acme.broken.yaml", b"kind: StreamRoute")?;
    stage.proxy.wait_for_generation_after(generation)?;
    let device = stage.device("devices.acme.example", "sensor-1")?;
    let lines = [
        stage.visit(&device)?,
        stage.visit(&device.called(Version::V31, "sensor-2"))?,
        stage.visit(&Device::new("sensor-3").at("plain"))?,
    ]
    .map(|visit| visit.line);
    Ok((stage, lines.into()))
}

#[test]
fn every_metric_has_its_row_in_standalone() -> Result<()> {
    let (stage, _) = a_full_day()?;
    let text = stage.proxy.admin_get("/metrics")?.body;
    let mut metrics = BTreeSet::from([NEVER_SEEN.to_owned()]);
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        metrics.insert(match line.split_once(' ') {
            Some((name, "counter")) => format!("`{name}_total`"),
            Some((name, _)) => format!("`{name}`"),
            None => continue,
        });
    }
    rows_agree(&Page::read("docs/standalone.md")?, "Metric", &metrics)
}

#[test]
fn every_label_of_a_metric_stands_in_its_row() -> Result<()> {
    let (stage, _) = a_full_day()?;
    let rows = Page::read("docs/standalone.md")?.table("Metric");
    for line in stage.proxy.admin_get("/metrics")?.body.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once('{').map_or_else(
            || (line.split(' ').next().unwrap_or(line), ""),
            |(name, rest)| (name, rest.rsplit_once('}').map_or(rest, |(labels, _)| labels)),
        );
        let labels: BTreeSet<&str> = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
        let row = rows.iter().find(|row| row[0] == format!("`{name}`"));
        let written: BTreeSet<&str> = row
            .map_or("", |row| &row[2])
            .split(", ")
            .map(|word| word.trim_matches('`'))
            .filter(|w| *w != "none")
            .collect();
        ensure!(labels == written, "{name}: {labels:?}, written {written:?}");
    }
    Ok(())
}

#[test]
fn every_field_of_the_access_line_has_its_row_in_standalone() -> Result<()> {
    let (_stage, lines) = a_full_day()?;
    let keys = lines.iter().filter_map(|line| line.as_object()).flat_map(|line| line.keys());
    // These are of every line of the log.
    let fields =
        keys.filter(|key| !["timestamp", "level", "message"].contains(&key.as_str())).map(|key| format!("`{key}`"));
    rows_agree(&Page::read("docs/standalone.md")?, "Access field", &fields.collect())
}

#[test]
fn every_key_of_status_json_has_its_row_in_standalone() -> Result<()> {
    let (stage, _) = a_full_day()?;
    let status = stage.proxy.status();
    let keys = status.as_object().into_iter().flatten().map(|(key, _)| format!("`{key}`"));
    rows_agree(&Page::read("docs/standalone.md")?, "Key", &keys.collect())
}

#[test]
fn every_flag_of_run_has_its_row_in_standalone() -> Result<()> {
    let page = Page::read("docs/standalone.md")?;
    let rows = page.table("Bootstrap field");
    let mut written: BTreeSet<String> = rows.iter().map(|row| row[1].trim_matches('`').to_owned()).collect();
    written.extend(["--bootstrap".to_owned(), "--help".to_owned()]);
    let flags = flags(proxy::binary()?, &["run", "--help"])?;
    ensure!(flags == written, "the flags are {flags:?}, in the page {written:?}");
    Ok(())
}

#[test]
fn every_bootstrap_field_is_its_flag_in_camel_case() -> Result<()> {
    for row in Page::read("docs/standalone.md")?.table("Bootstrap field") {
        let (field, flag) = (row[0].trim_matches('`'), row[1].trim_matches('`'));
        let kebab: String = field.chars().fold(String::new(), |flag, letter| {
            let dash = if letter.is_ascii_uppercase() { "-" } else { "" };
            format!("{flag}{dash}{}", letter.to_ascii_lowercase())
        });
        ensure!(flag == format!("--{kebab}") || (field, flag) == ("listeners", "--listener"), "{field}: {flag}");
    }
    Ok(())
}

#[test]
fn the_example_of_the_bootstrap_file_has_every_field() -> Result<()> {
    let page = Page::read("docs/standalone.md")?;
    let fields = page.table("Bootstrap field");
    let files = page.blocks()?.into_iter().filter(|block| block.kind == Kind::File("every-field.yaml".to_owned()));
    let text: String = files.map(|block| block.text).collect();
    for row in fields {
        let field = row[0].trim_matches('`');
        ensure!(text.lines().any(|line| line.starts_with(&format!("{field}:"))), "no {field}");
    }
    Ok(())
}

#[test]
fn every_flag_of_explain_has_its_row_in_standalone() -> Result<()> {
    let flags = flags(proxy::binary()?, &["explain", "--help"])?
        .into_iter()
        .filter(|flag| flag != "--help")
        .map(|flag| format!("`{flag}`"));
    rows_agree(&Page::read("docs/standalone.md")?, "Explain flag", &flags.collect())
}

#[test]
fn every_path_of_the_admin_port_has_its_row_in_standalone() -> Result<()> {
    let stage = Stage::example("routes/hash-by-client-id.yaml")?;
    let rows = Page::read("docs/standalone.md")?.table("Path");
    ensure!(rows.len() == 4, "{rows:?}");
    for row in rows {
        let status = stage.proxy.admin_get(row[0].trim_matches('`'))?.status;
        ensure!(status == 200, "{}: {status}", row[0]);
    }
    Ok(())
}

#[test]
fn every_word_for_an_attempt_has_its_row_in_refusals() -> Result<()> {
    let source = fs::read_to_string(workspace().join("proxy/src/connection/dial.rs"))?;
    let words = source.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
    let words: BTreeSet<String> = words.map(|(word, _)| format!("`{word}`")).collect();
    ensure!(words.len() > 3, "no words in dial.rs");
    rows_agree(&Page::read("docs/refusals.md")?, "Attempt", &words)
}

#[test]
fn a_device_gets_in_by_each_manifest_of_from_apisix() -> Result<()> {
    let mut count = 0;
    for block in Page::read("docs/from-apisix.md")?.blocks()? {
        match &block.kind {
            Kind::Manifests => {}
            Kind::File(path) if path.contains("/streamroutes/") => {}
            _ => continue,
        }
        let mut stage = Stage::start(Manifests::read(&block.text)?)?;
        let device = match Manifests::read(&block.text)?.tls_snis.first() {
            Some(tls_sni) => stage.device(&tls_sni.spec.snis[0].to_string(), "sensor-1")?,
            None => Device::new("sensor-1").at("plain"),
        };
        let visit = stage.visit(&device)?;
        ensure!(visit.met == Met::Code(0), "{}: {visit:?}", block.place);
        let met = stage.visit(&device.called(Version::V5, "sensor-1"))?.met;
        ensure!(met == Met::Code(0x84), "{}: {met:?}", block.place);
        count += 1;
    }
    ensure!(count == 3, "{count} manifests");
    Ok(())
}

/// The flags of a binary, as its help has them.
pub(super) fn flags(binary: PathBuf, help: &[&str]) -> Result<BTreeSet<String>> {
    let mut run = Command::new(binary);
    run.args(help);
    let help = process::run(run, wait::SOON)?.text();
    let lines = help.lines().filter_map(|line| line.find("--").map(|at| (line, at)));
    let flags = lines.filter(|(line, at)| line[..*at].trim_start_matches("  -h, ").trim().is_empty());
    Ok(flags.filter_map(|(line, at)| line[at..].split([' ', '=']).next()).map(str::to_owned).collect())
}
