//! `status.json` as a report. The proxy faces the internet, so the file is read as if somebody hostile had written it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use streamgate_crds::problem::one_line;

use crate::report::{Applied, MOST_MESSAGE_CHARACTERS, MOST_REFUSALS, Refused, Report};

/// Opens the file of a proxy's status; `None` where it has written none yet. A symlink is not followed, and a pipe not waited for.
///
/// # Errors
///
/// It can't be opened, or is no regular file.
pub fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(Some(file))
}

/// What a proxy's status says, with all its texts and numbers within bounds. A revision that is none is left out, and a refusal
/// that is not in the proxy's words is counted alone.
///
/// # Errors
///
/// It is no status of a proxy, or larger than 16 MiB, which 10,000 refusals are not.
pub fn read(status: impl Read) -> Result<Report, NotAStatus> {
    let bounded = BufReader::new(status.take(MOST_BYTES));
    let status: Status = serde_json::from_reader(bounded).map_err(|error| NotAStatus::at(&error))?;
    let revision = status.revision.filter(|text| text.len() <= MOST_REVISION_BYTES);
    Ok(Report {
        revision: revision.and_then(|text| text.parse().ok()),
        generation: status.generation,
        applied: Applied {
            streamroutes: status.applied.streamroutes.min(MOST_OBJECTS),
            tlssnis: status.applied.tlssnis.min(MOST_OBJECTS),
        },
        refused_count: status.refused.count,
        refused: status.refused.first,
    })
}

/// The file is not what a proxy writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a proxy's status, from line {line}, column {column}")]
pub struct NotAStatus {
    /// From 1; 0 where it ends too soon.
    line: usize,
    column: usize,
}

impl NotAStatus {
    /// Without the text of the error, which repeats what the file says.
    fn at(error: &serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column() }
    }
}

#[derive(Deserialize)]
struct Status {
    revision: Option<String>,
    generation: u64,
    applied: Applied,
    refused: Refusals,
}

/// The first refusals, and how many there are.
struct Refusals {
    first: Vec<Refused>,
    count: usize,
}

impl<'de> Deserialize<'de> for Refusals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RefusalsVisitor)
    }
}

struct RefusalsVisitor;

impl<'de> Visitor<'de> for RefusalsVisitor {
    type Value = Refusals;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("refusals")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Refusals, A::Error> {
        let (mut first, mut count) = (Vec::with_capacity(MOST_REFUSALS), 0);
        while first.len() < MOST_REFUSALS {
            let Some(refused) = sequence.next_element::<Refused>()? else {
                return Ok(Refusals { first, count });
            };
            count += 1;
            first.extend(bounded(refused));
        }
        while sequence.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Refusals { first, count })
    }
}

/// A refusal with texts that can be shown; `None` where it is not in the proxy's words.
fn bounded(refused: Refused) -> Option<Refused> {
    let is_word = |text: &str| {
        (1..=MOST_REASON_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    let is_ours = ["StreamRoute", "TlsSni"].contains(&refused.kind.as_str()) && is_word(&refused.reason);
    is_ours.then(|| Refused {
        namespace: line(&refused.namespace, MOST_NAME_CHARACTERS),
        name: line(&refused.name, MOST_NAME_CHARACTERS),
        message: line(&refused.message, MOST_MESSAGE_CHARACTERS),
        ..refused
    })
}

fn line(text: &str, most_characters: usize) -> String {
    one_line(text).chars().take(most_characters).collect()
}

/// Far more than a proxy has to say.
const MOST_BYTES: u64 = 16 << 20;
/// Two resourceVersions of any length that will be.
const MOST_REVISION_BYTES: usize = 256;
/// More than a gateway serves.
const MOST_OBJECTS: usize = 1_000_000;
const MOST_REASON_BYTES: usize = 64;
const MOST_NAME_CHARACTERS: usize = 253;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn status(refused: &[Value]) -> Value {
        json!({
            "revision": "configmaps=12 secrets=9",
            "generation": 7,
            "appliedAt": "2026-01-01T00:00:00Z",
            "applied": {"streamroutes": 12, "tlssnis": 3},
            "refused": refused,
        })
    }

    fn refusal(name: &str) -> Value {
        json!({"kind": "TlsSni", "namespace": "a", "name": name, "reason": "Conflicted", "message": "b has it"})
    }

    fn report(status: &Value) -> Report {
        read(status.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_report_says_what_the_proxy_said() {
        let report = report(&status(&[refusal("b")]));
        let json = json!({
            "revision": "configmaps=12 secrets=9",
            "generation": 7,
            "applied": {"streamroutes": 12, "tlssnis": 3},
            "refusedCount": 1,
            "refused": [refusal("b")],
        });
        assert_eq!(serde_json::to_value(report).unwrap(), json);
    }

    #[test]
    fn a_revision_that_is_none_is_left_out() {
        let long = format!("configmaps=1{} secrets=1", "0".repeat(300));
        for revision in [json!(null), json!("by hand"), json!("configmaps=1\nsecrets=2"), json!(long)] {
            let mut status = status(&[]);
            status["revision"] = revision;
            assert_eq!(report(&status).revision, None);
        }
    }

    #[test]
    fn all_refusals_are_counted_and_the_first_named() {
        let refused: Vec<Value> = (0..5000).map(|number| refusal(&number.to_string())).collect();
        let report = report(&status(&refused));
        assert_eq!(report.refused_count, 5000);
        let names: Vec<_> = report.refused.iter().map(|refused| refused.name.as_str()).collect();
        assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    }

    #[test]
    fn a_refusal_that_is_not_in_the_proxys_words_is_counted_alone() {
        let with = |field: &str, text: &str| {
            let mut refusal = refusal("b");
            refusal[field] = text.into();
            refusal
        };
        let report =
            report(&status(&[with("kind", "Pod"), with("reason", "two words"), with("reason", ""), refusal("c")]));
        assert_eq!(report.refused_count, 4);
        assert_eq!(report.refused.len(), 1);
    }

    #[test]
    fn texts_are_single_lines_of_bounded_length() {
        let mut odd = refusal("b\u{1b}[2J");
        odd["message"] = format!("one\ntwo\u{202e}{}", "ä".repeat(1000)).into();
        let report = report(&status(&[odd]));
        assert_eq!(report.refused[0].name, "b\\u{1b}[2J");
        assert_eq!(report.refused[0].message.chars().count(), MOST_MESSAGE_CHARACTERS);
        assert!(report.refused[0].message.starts_with("one\\ntwo\\u{202e}ä"));
    }

    #[test]
    fn other_files_are_no_statuses_and_are_not_repeated() {
        let secret = "-----BEGIN PRIVATE KEY-----";
        let (text, nested) = (format!("\"{secret}\""), "[".repeat(100_000));
        for bytes in [b"".as_slice(), b"{", b"[]", b"null", b"{\"revision\": null}", text.as_bytes(), nested.as_bytes()]
        {
            let error = read(bytes).unwrap_err().to_string();
            assert!(!error.contains(secret), "{error}");
        }
    }

    #[test]
    fn a_file_without_end_is_not_read_to_the_end() {
        let spaces = io::repeat(b' ');
        assert!(read(spaces).is_err());
    }

    #[test]
    fn only_a_regular_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.json");
        assert!(open(&path).unwrap().is_none());
        fs::create_dir(&path).unwrap();
        assert!(open(&path).is_err(), "a folder");
        fs::remove_dir(&path).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "{}").unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(open(&path).is_err(), "a symlink");
        fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert!(open(&path).is_err(), "a pipe");
        fs::remove_file(&path).unwrap();
        fs::rename(elsewhere, &path).unwrap();
        assert!(open(&path).unwrap().is_some());
    }

    proptest! {
        #[test]
        fn whatever_the_texts_are_the_annotation_is_small_and_printable(
            texts in proptest::collection::vec((any::<String>(), any::<String>(), any::<String>()), 0..20),
            streamroutes: u64,
        ) {
            let refused: Vec<Value> = texts
                .iter()
                .map(|(namespace, name, message)| {
                    let (name, message) = (name.repeat(20), message.repeat(50));
                    json!({"kind": "TlsSni", "namespace": namespace, "name": name, "reason": "Invalid", "message": message})
                })
                .collect();
            let mut status = status(&refused);
            status["applied"]["streamroutes"] = streamroutes.into();
            let report = report(&status);
            prop_assert_eq!(report.refused_count, texts.len());
            prop_assert!(report.applied.streamroutes <= MOST_OBJECTS);
            let annotation = serde_json::to_string(&report).unwrap();
            prop_assert!(annotation.len() < 64 << 10);
            prop_assert!(!annotation.chars().any(char::is_control));
        }

        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..400) {
            let _ = read(bytes.as_slice());
            let text = status(&[refusal("b")]).to_string();
            let _ = read(&text.as_bytes()[..cut.min(text.len())]);
        }
    }
}
