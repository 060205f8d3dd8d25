//! What the YAML reader says, as a [`Problem`] that a person can act on.

use serde_saphyr::{Error, Location as Place, Spanned};
use streamgate_crds::problem::{Location, Problem};

/// The problem that kept `yaml`, the text of `file`, from being read.
pub(crate) fn problem(file: &str, yaml: &str, error: &Error) -> Problem {
    let error = error.without_snippet();
    let place = error.location();
    let key = place.map_or("", |place| key_of(yaml, place));
    let found = place.map_or_else(|| "this text".to_owned(), |place| text_at(yaml, place));
    let (field, found, wanted) = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            (field.as_str(), "an unknown field".to_owned(), one_of(expected))
        }
        Error::SerdeMissingField { field, .. } => (*field, "nothing".to_owned(), format!("`{field}: ...`")),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (key.as_str(), "this field a second time".to_owned(), "it once".to_owned())
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => (key, format!("`{variant}`"), one_of(expected)),
        Error::InvalidScalar { ty: wanted, .. } | Error::Unexpected { expected: wanted, .. } => {
            (key, found, in_words(wanted))
        }
        Error::Message { msg, .. } => (key, found, msg.clone()),
        other => (key, found, format!("well-formed YAML ({})", without_place(&other.to_string()))),
    };
    Problem {
        file: Some(file.to_owned()),
        object: None,
        field: field.to_owned(),
        found,
        wanted,
        location: place.map(location),
    }
}

/// Where a value stands in its file.
pub(crate) fn location_of<T>(value: &Spanned<T>) -> Location {
    location(value.referenced)
}

fn location(place: Place) -> Location {
    Location {
        line: u32::try_from(place.line()).unwrap_or(u32::MAX),
        column: u32::try_from(place.column()).unwrap_or(u32::MAX),
    }
}

/// The rest of the line from `place` on, which is the value or its beginning.
fn text_at(yaml: &str, place: Place) -> String {
    let (_, text) = split_line(yaml, place);
    match text.trim_end() {
        "" => "nothing".to_owned(),
        text => format!("`{}`", text.chars().take(MAX_FOUND_CHARACTERS).collect::<String>()),
    }
}

/// The key of the value at `place`, if it stands on the same line.
fn key_of(yaml: &str, place: Place) -> &str {
    let (before, _) = split_line(yaml, place);
    let key = before.trim_end().strip_suffix(':').unwrap_or("");
    let start = key.rfind([' ', '{', ',']).map_or(0, |at| at + 1);
    &key[start..]
}

fn split_line(yaml: &str, place: Place) -> (&str, &str) {
    let ordinal = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let line = yaml.lines().nth(ordinal(place.line())).unwrap_or("");
    let column = line
        .char_indices()
        .nth(ordinal(place.column()))
        .map_or(line.len(), |(at, _)| at);
    line.split_at(column)
}

fn one_of(expected: &[&str]) -> String {
    let words: Vec<String> = expected.iter().map(|word| format!("`{word}`")).collect();
    format!("one of {}", words.join(", "))
}

/// The reader's words for a type, as words for a person.
fn in_words(wanted: &str) -> String {
    match wanted {
        "u16" => "a number from 0 to 65535",
        "u32" | "u64" | "usize" => "a number, 0 or more",
        "string scalar" => "a string",
        "sequence start" => "a list",
        "mapping start" => "a mapping (`field: value`)",
        "boolean" | "bool" => "`true` or `false`",
        other => other,
    }
    .to_owned()
}

/// The message without " at line 1, column 2", which the problem says itself.
fn without_place(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message)
}

/// More of a line than this says no more.
const MAX_FOUND_CHARACTERS: usize = 80;
