//! What is wrong with an object: where, what was found, and what would be right.

use std::fmt;

/// How many problems of one object are told at once. A person has enough to do with the first of them.
pub(crate) const MOST_PROBLEMS: usize = 20;

/// One thing that is wrong with what a person wrote.
///
/// Displays as one line: `FILE:LINE:COLUMN: KIND NAMESPACE/NAME: FIELD: found FOUND; wanted WANTED`, of which what is
/// unknown is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the reader was told it.
    pub file: Option<String>,
    /// The object, where it is known.
    pub object: Option<ObjectRef>,
    /// The field's path, `spec.upstream.nodes[0].port`; empty where the problem is the document's.
    pub field: String,
    /// What is there, as a phrase: `the port 0`.
    pub found: String,
    /// What would be right, as a phrase: `a port from 1 to 65535`.
    pub wanted: String,
    /// Where in the file.
    pub location: Option<Location>,
}

impl Problem {
    /// A problem of a field, as yet of no file and no object.
    pub fn new(field: impl Into<String>, found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self {
            file: None,
            object: None,
            field: field.into(),
            found: found.into(),
            wanted: wanted.into(),
            location: None,
        }
    }

    /// The same problem, in this file.
    #[must_use]
    pub fn in_file(mut self, file: &str) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    /// The same problem, of this object.
    #[must_use]
    pub fn of(mut self, object: ObjectRef) -> Self {
        self.object = Some(object);
        self
    }

    /// The same problem, at this place of its file.
    #[must_use]
    pub fn at(mut self, location: Option<Location>) -> Self {
        self.location = location;
        self
    }

    /// The problem without its place: `FIELD: found FOUND; wanted WANTED`, for where object and file are named already.
    ///
    /// One line, whatever was found: of a long part the beginning, and no character that ends a line or turns it round.
    pub fn sentence(&self) -> String {
        let [field, found, wanted] = [&self.field, &self.found, &self.wanted].map(|part| one_line(part));
        if field.is_empty() {
            format!("found {found}; wanted {wanted}")
        } else {
            format!("{field}: found {found}; wanted {wanted}")
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_deref().map(one_line), self.location) {
            (Some(file), Some(location)) => write!(f, "{file}:{location}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, Some(location)) => write!(f, "{location}: ")?,
            (None, None) => {}
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        f.write_str(&self.sentence())
    }
}

impl std::error::Error for Problem {}

/// A part of a sentence as part of a line: cut where it is long, with what a terminal or a log would obey written out.
pub fn one_line(text: &str) -> String {
    const MOST_CHARACTERS: usize = 500;

    let mut line = String::with_capacity(text.len().min(MOST_CHARACTERS));
    for (count, character) in text.chars().enumerate() {
        match character {
            _ if count == MOST_CHARACTERS => {
                line.push('…');
                break;
            }
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                line.extend(character.escape_default());
            }
            _ if character.is_control() => line.extend(character.escape_default()),
            _ => line.push(character),
        }
    }
    line
}

/// A place in a text. Both numbers count from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1, in characters.
    pub column: u64,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Which object. Displays as `StreamRoute namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Which of the two resources.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// The resources of streamgate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Which clients go to which broker.
    StreamRoute,
    /// Which names are served, with which certificate, for which clients.
    TlsSni,
}

impl Kind {
    /// The kind as a manifest's `kind` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StreamRoute => "StreamRoute",
            Self::TlsSni => "TlsSni",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is not the word that it should be: an SNI, a range, a duration and so on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {found}; wanted {wanted}")]
pub struct WordError {
    /// What is there, as a phrase.
    pub found: String,
    /// What would be right, as a phrase.
    pub wanted: String,
}

impl WordError {
    /// An error out of its two phrases.
    pub fn new(found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self { found: found.into(), wanted: wanted.into() }
    }

    /// The same as the problem of a field.
    pub fn problem(self, field: impl Into<String>) -> Problem {
        Problem::new(field, self.found, self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_one_line_from_file_to_remedy() {
        let problem = Problem::new("spec.upstream.nodes[0].port", "the port 0", "a port from 1 to 65535");
        assert_eq!(problem.to_string(), "spec.upstream.nodes[0].port: found the port 0; wanted a port from 1 to 65535");

        let object = ObjectRef { kind: Kind::StreamRoute, namespace: "acme".into(), name: "sensors".into() };
        let problem =
            problem.of(object).in_file("streamroutes/acme.sensors.yaml").at(Some(Location { line: 9, column: 15 }));
        assert_eq!(
            problem.to_string(),
            "streamroutes/acme.sensors.yaml:9:15: StreamRoute acme/sensors: spec.upstream.nodes[0].port: \
             found the port 0; wanted a port from 1 to 65535"
        );
    }

    #[test]
    fn a_problem_is_one_line_whatever_was_found() {
        let problem = Problem::new("a\nb", "`x\r\n\u{1b}[2J\u{202e}\0`", "`ü`\u{2028}");
        assert_eq!(problem.to_string(), "a\\nb: found `x\\r\\n\\u{1b}[2J\\u{202e}\\u{0}`; wanted `ü`\\u{2028}");
    }

    #[test]
    fn a_long_part_of_a_problem_is_cut() {
        let problem = Problem::new("x".repeat(1_000_000), "y".repeat(1_000_000), "z".repeat(1_000_000));
        let part = |letter: &str| format!("{}…", letter.repeat(500));
        assert_eq!(problem.sentence(), format!("{}: found {}; wanted {}", part("x"), part("y"), part("z")));
    }

    #[test]
    fn a_problem_of_the_whole_document_names_no_field() {
        assert_eq!(Problem::new("", "nothing", "one object").to_string(), "found nothing; wanted one object");
    }
}
