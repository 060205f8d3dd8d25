//! The table, for people; figures.json, for programs; and the plot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::{Figures, Plan, plot};
use crate::figure::{Aim, Figure, Measured, thousands};
use crate::machine;
use crate::peer::Peer;

pub(super) struct Report<'a> {
    plan: &'a Plan,
    versions: BTreeMap<Peer, String>,
    figures: Figures,
    doubts: Vec<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(plan: &'a Plan) -> Result<Self> {
        let versions = plan.peers.iter().map(|peer| Ok((*peer, peer.version()?))).collect::<Result<_>>()?;
        Ok(Self { plan, versions, figures: Figures::new(), doubts: Vec::new() })
    }

    pub(super) fn add(&mut self, peer: Peer, measured: Vec<Measured>) {
        for one in measured {
            self.figures.entry(one.figure).or_default().entry(peer).or_default().push(one);
        }
    }

    /// Says what makes the figures doubtful, now and below the table.
    pub(super) fn doubt(&mut self, doubt: String) {
        eprintln!("{doubt}");
        self.doubts.push(doubt);
    }

    pub(super) fn has_doubts(&self) -> bool {
        !self.doubts.is_empty()
    }

    /// Writes figures.json and the plot, which it gives, of what was measured until now.
    pub(super) fn save(&self) -> Result<String> {
        let folder = folder()?;
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("figures.json"), format!("{:#}\n", self.json()))?;
        let plot = plot::svg(&self.medians());
        fs::write(folder.join("benchmarks.svg"), &plot)?;
        Ok(plot)
    }

    /// Prints the table and saves all; the plot and the table go into the documentation where all was measured in full.
    pub(super) fn finish(&self) -> Result<()> {
        let table = self.table(|_| true);
        println!("{table}\n{}", self.capacity_table());
        for doubt in &self.doubts {
            println!("- {doubt}");
        }
        let plot = self.save()?;
        eprintln!("figures.json and benchmarks.svg are in {}", folder()?.display());
        if self.plan.is_full() && !self.has_doubts() {
            let root = streamgate_tests::workspace();
            fs::write(root.join("docs/benchmarks.svg"), plot)?;
            let capacity = self.capacity_table();
            let all = format!("![The rows with an aim, as a plot](benchmarks.svg)\n\n{table}\n{capacity}");
            write_between_markers(&root.join("docs/benchmarks.md"), &all)?;
            let few = self.table(|figure| figure.aim().is_some());
            let few = format!("![The same as a plot](docs/benchmarks.svg)\n\n{few}");
            write_between_markers(&root.join("README.md"), &few)?;
            eprintln!("README.md, docs/benchmarks.md and docs/benchmarks.svg show them");
        }
        Ok(())
    }

    /// The median of each row's rounds.
    fn medians(&self) -> BTreeMap<Figure, BTreeMap<Peer, Measured>> {
        let of = |peers: &BTreeMap<Peer, Vec<Measured>>| {
            peers.iter().filter_map(|(peer, rounds)| Some((*peer, median(rounds)?))).collect()
        };
        self.figures.iter().map(|(figure, peers)| (*figure, of(peers))).collect()
    }

    /// Of the rows that are shown.
    fn table(&self, is_shown: impl Fn(Figure) -> bool) -> String {
        let mut text = String::from("| |");
        for (peer, version) in &self.versions {
            let _ = write!(text, " {} {version} |", peer.name());
        }
        text.push_str(" to the best peer |\n|---|");
        text.push_str(&"---|".repeat(self.versions.len() + 1));
        text.push('\n');
        let medians = self.medians();
        let mut is_slower = false;
        for (figure, peers) in medians.iter().filter(|(figure, _)| is_shown(**figure)) {
            let _ = write!(text, "| {} |", figure.title());
            for peer in self.versions.keys() {
                let Some(measured) = peers.get(peer) else {
                    text.push_str(" – |");
                    continue;
                };
                let sign = if measured.at_least { "over " } else { "" };
                let star = if measured.load_was_slower() { "\\*" } else { "" };
                is_slower |= measured.load_was_slower();
                let _ = write!(text, " {sign}{}{star} |", figure.text(measured.value));
            }
            let _ = writeln!(text, " {} |", last_column(*figure, peers, &medians));
        }
        if is_slower {
            text.push_str("\n\\* The load was slower: the proxy used less than 90 % of its core.\n");
        }
        let _ = writeln!(text, "\nOn {}.", machine::description());
        text
    }

    /// What the medians mean to somebody who sizes a fleet.
    fn capacity_table(&self) -> String {
        let mut text = String::from("| by these medians |");
        for peer in self.versions.keys() {
            let _ = write!(text, " {} |", peer.name());
        }
        text.push_str("\n|---|");
        text.push_str(&"---|".repeat(self.versions.len()));
        text.push('\n');
        for (figure, peers) in &self.medians() {
            let Some((title, one)) = figure.capacity() else { continue };
            let _ = write!(text, "| {title} |");
            for peer in self.versions.keys() {
                let held = peers.get(peer).map_or_else(|| "–".to_owned(), |median| thousands(one / median.value));
                let _ = write!(text, " {held} |");
            }
            text.push('\n');
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let versions: serde_json::Map<_, _> =
            self.versions.iter().map(|(peer, version)| (peer.name().to_owned(), json!(version))).collect();
        let figures: Vec<_> = self
            .medians()
            .into_iter()
            .flat_map(|(figure, peers)| peers.into_iter().map(move |(peer, median)| (figure, peer, median)))
            .map(|(figure, peer, median)| {
                let rounds = &self.figures[&figure][&peer];
                json!({
                    "figure": figure,
                    "title": figure.title(),
                    "peer": peer.name(),
                    "median": median.value,
                    "atLeast": median.at_least,
                    "core": median.core,
                    "rounds": rounds.iter().map(|round| round.value).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "machine": machine::description(), "quick": self.plan.is_quick, "busy": self.plan.is_busy,
            "versions": versions, "figures": figures, "doubts": self.doubts,
        })
    }
}

/// streamgate's ratio to the best peer where there is one, and the aim.
fn last_column(
    figure: Figure,
    peers: &BTreeMap<Peer, Measured>,
    all: &BTreeMap<Figure, BTreeMap<Peer, Measured>>,
) -> String {
    let Some(own) = peers.get(&Peer::Streamgate) else { return String::new() };
    let others = peers.iter().filter(|(peer, _)| **peer != Peer::Streamgate);
    let ratio = others
        .map(|(_, other)| figure.ratio(own.value, other.value))
        .filter(|ratio| ratio.is_finite())
        .max_by(f64::total_cmp)
        .map(|ratio| format!("{ratio:.2}"));
    let aim = match figure.aim() {
        Some(Aim::Ratio(aim)) => Some(format!("aim {aim}")),
        Some(Aim::None) => Some("aim: none".to_owned()),
        Some(Aim::Most(most)) => Some(format!("aim: under {}", figure.text(most))),
        Some(Aim::TwiceOf(before)) => all
            .get(&before)
            .and_then(|peers| peers.get(&Peer::Streamgate))
            .map(|before| format!("{:.2} of its own before, aim 2", own.value / before.value)),
        None => None,
    };
    let parts: Vec<String> = ratio.into_iter().chain(aim).collect();
    parts.join(", ")
}

fn median(rounds: &[Measured]) -> Option<Measured> {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(|one, other| one.value.total_cmp(&other.value));
    sorted.get(sorted.len() / 2).copied()
}

/// Beside what cargo builds.
fn folder() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.ancestors().nth(2).context("the binary is in no target directory")?.join("bench"))
}

fn write_between_markers(page: &Path, table: &str) -> Result<()> {
    let text = fs::read_to_string(page)?;
    let markers = || format!("{} has no {START} and {END}", page.display());
    let (before, rest) = text.split_once(START).with_context(markers)?;
    let (_, after) = rest.split_once(END).with_context(markers)?;
    fs::write(page, format!("{before}{START}\n{table}{END}{after}"))?;
    Ok(())
}

const START: &str = "<!-- comparison -->";
const END: &str = "<!-- /comparison -->";
