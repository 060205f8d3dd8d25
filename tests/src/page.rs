//! A page of the documentation: its blocks, tables and links.

use std::collections::BTreeSet;
use std::fs;

use crate::workspace;
use anyhow::{Context, Result, bail};

/// A Markdown file.
#[derive(Debug)]
pub struct Page {
    /// Its path in the repository: `docs/standalone.md`.
    pub name: String,
    text: String,
}

/// What stands between two lines of backticks.
#[derive(Debug)]
pub struct Block {
    /// The page and the line on which it begins, for messages.
    pub place: String,
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub text: String,
}

/// What a block is, by its first line. Viewers only look at the first word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `yaml`: one or more whole manifests.
    Manifests,
    /// `yaml route`: fields of a StreamRoute's `spec`, of which the required ones may be left out.
    Route,
    /// `yaml values`: values of the chart.
    Values,
    /// `yaml tlssni`: fields of a TlsSni's `spec`, of which the required ones may be left out.
    TlsSni,
    /// `<language> file=<path>`: a file, as the commands after it find it in their folder.
    File(String),
    /// `console`: commands (`$ `), each with all that it prints. `…` stands for what differs from run to run.
    Console,
    /// `console cluster`: the same by kubectl, on a control plane.
    ClusterConsole,
    /// `sh`: commands, all of which succeed.
    Shell,
    /// `sh cluster`: the same on a whole cluster, from the repository's folder.
    ClusterShell,
    /// `sh kind`: what is done to a cluster of kind, and to the reader's own machine, around them.
    KindShell,
    /// `sh manual`: commands that need the reader's own machine. Few, and each is known to a test.
    Manual,
    /// `text`: a picture.
    Picture,
}

impl Page {
    /// All pages: the README, that of the chart, and what is in `docs/`.
    pub fn all() -> Result<Vec<Self>> {
        let mut names = vec!["README.md".to_owned(), "charts/streamgate/README.md".to_owned()];
        for entry in fs::read_dir(workspace().join("docs"))? {
            let path = entry?.path();
            if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|extension| extension == "md"))
            {
                names.push(format!("docs/{}", name.display()));
            }
        }
        names.sort();
        names.iter().map(|name| Self::read(name)).collect()
    }

    /// One page, by its path in the repository.
    pub fn read(name: &str) -> Result<Self> {
        let text = fs::read_to_string(workspace().join(name)).with_context(|| format!("can't read {name}"))?;
        Ok(Self::of(name, &text))
    }

    /// A page with this text.
    pub fn of(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned() }
    }

    /// Its blocks.
    ///
    /// # Errors
    /// One is of no known kind, or has no end.
    pub fn blocks(&self) -> Result<Vec<Block>> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let Some(words) = line.strip_prefix("```") else { continue };
            let place = format!("{}:{}", self.name, number + 1);
            let kind = Kind::parse(words).with_context(|| place.clone())?;
            let mut text = String::new();
            loop {
                match lines.next() {
                    Some((_, "```")) => break,
                    Some((_, line)) => text.extend([line, "\n"]),
                    None => bail!("{place}: a block without an end"),
                }
            }
            blocks.push(Block { place, kind, text });
        }
        Ok(blocks)
    }

    /// The rows of all tables whose first column is headed so, as cells.
    pub fn table(&self, heading: &str) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let mut within = false;
        for line in self.prose() {
            let Some(line) = line.strip_prefix('|') else {
                within = false;
                continue;
            };
            let cells: Vec<String> = cells(line);
            let first = cells.first().map_or("", String::as_str);
            if first == heading {
                within = true;
            } else if within && !first.starts_with("---") {
                rows.push(cells);
            }
        }
        rows
    }

    /// What its links lead to.
    pub fn links(&self) -> Vec<String> {
        let text = self.prose().join("\n");
        text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
    }

    /// What its headings are called in links to them.
    pub fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose().into_iter().filter_map(|line| line.strip_prefix('#'));
        headings.map(|heading| anchor(heading.trim_start_matches('#'))).collect()
    }

    /// Its lines outside of blocks.
    fn prose(&self) -> Vec<&str> {
        let mut within = false;
        let outside = |line: &&str| {
            let fence = line.starts_with("```");
            within ^= fence;
            !within && !fence
        };
        self.text.lines().filter(outside).collect()
    }
}

impl Kind {
    fn parse(words: &str) -> Result<Self> {
        Ok(match words.split(' ').collect::<Vec<_>>().as_slice() {
            ["yaml"] => Self::Manifests,
            ["yaml", "route"] => Self::Route,
            ["yaml", "tlssni"] => Self::TlsSni,
            ["yaml", "values"] => Self::Values,
            ["console"] => Self::Console,
            ["console", "cluster"] => Self::ClusterConsole,
            ["sh"] => Self::Shell,
            ["sh", "cluster"] => Self::ClusterShell,
            ["sh", "kind"] => Self::KindShell,
            ["sh", "manual"] => Self::Manual,
            ["text"] => Self::Picture,
            [_, file] if file.starts_with("file=") => Self::File(file.trim_start_matches("file=").to_owned()),
            _ => bail!("a block of no known kind: `{words}`"),
        })
    }
}

/// The cells of a row; `\|` is a character of a cell.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim_end().trim_end_matches('|').replace("\\|", "\0");
    line.split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
}

/// As GitHub makes it: lower case, spaces to hyphens, and of the rest letters, digits, `-` and `_`.
fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    heading.trim().to_lowercase().chars().filter(kept).map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}
