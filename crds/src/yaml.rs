//! YAML that a person wrote, read into types, with line and column of whatever is wrong.
//!
//! A text becomes a tree of nodes that know their places ([`Document`]), and a node becomes a type by serde
//! ([`Document::read`]). JSON is YAML. What an alias stands for is counted as if it were written out, and bounded.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::problem::{Location, Problem};

mod reader;

#[cfg(test)]
mod tests;

/// One document of a text.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    root: Node<'a>,
}

impl<'a> Document<'a> {
    /// The document of a text that has exactly one. The problem is one of syntax, with its place.
    pub fn parse(text: &'a str) -> Result<Self, Problem> {
        let mut documents = Self::parse_all(text)?;
        match (documents.pop(), documents.pop()) {
            (Some(document), None) => Ok(document),
            (None, _) => Err(Problem::new("", "nothing", "one document").at(Some(START))),
            (Some(second), Some(_)) => {
                let wanted = "a single document; others go into files of their own";
                Err(Problem::new("", "more than one document", wanted).at(Some(second.root.location)))
            }
        }
    }

    /// The documents of a text, without those that are empty. The problem is one of syntax, with its place.
    pub fn parse_all(text: &'a str) -> Result<Vec<Self>, Problem> {
        let documents: Result<Vec<Spanned<Value<'a>>>, _> =
            serde_saphyr::from_multiple_with_options(text, options(text));
        let documents = documents.map_err(|error| syntax_problem(&error))?;
        let full = |document: &Self| !matches!(document.root.value, Value::Null);
        Ok(documents.into_iter().map(|root| Self { root: root.into() }).filter(full).collect())
    }

    /// Reads the document as a type of which every field is known: another field is a problem. A field that is `null`
    /// counts as absent.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        reader::read(Some(&self.root), "", reader::Unknown::Refused)
    }

    /// Reads the document as one of Kubernetes' own types: fields that the type doesn't know are passed over.
    pub fn read_known<T: DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        reader::read(Some(&self.root), "", reader::Unknown::PassedOver)
    }

    /// Reads a part of the document, by its path (`spec.upstream`), as [`Document::read`] does. A part that isn't there is
    /// read as nothing.
    pub fn read_part<T: DeserializeOwned>(&self, field: &str) -> Result<T, Vec<Problem>> {
        let node = self.walk(field).last().filter(|(_, rest)| rest.is_empty()).map(|(node, _)| node);
        let node = node.filter(|node| !matches!(node.value, Value::Null));
        reader::read(node, field, reader::Unknown::Refused)
            .map_err(|problems| problems.into_iter().map(|problem| self.place(problem)).collect())
    }

    /// The text of a field, by its path, where it is a string.
    pub fn text(&self, field: &str) -> Option<&str> {
        match self.walk(field).last() {
            Some((Node { value: Value::String(text), .. }, "")) => Some(text),
            _ => None,
        }
    }

    /// The names of the document's own fields, with their places.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Location)> {
        let entries = match &self.root.value {
            Value::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(key, _)| (key.name.as_ref(), key.location))
    }

    /// Where a field's value is, by its path (`spec.upstream.nodes[0].port`), else its nearest parent's.
    pub fn location(&self, field: &str) -> Location {
        self.walk(field).last().map_or(START, |(node, _)| node.location)
    }

    /// The same problem at the place of its field, unless it has one.
    pub fn place(&self, problem: Problem) -> Problem {
        let location = problem.location.unwrap_or_else(|| self.location(&problem.field));
        problem.at(Some(location))
    }

    /// The nodes on the way to a field, the root first, each with what is left of the path. Ends where the path does.
    fn walk<'s, 'p>(&'s self, field: &'p str) -> impl Iterator<Item = (&'s Node<'a>, &'p str)> {
        std::iter::successors(Some((&self.root, field)), |(node, rest)| node.step(rest))
    }
}

/// What is known of a value, and where it is.
#[derive(Clone, Debug)]
struct Node<'a> {
    location: Location,
    value: Value<'a>,
}

impl Node<'_> {
    /// The node one step down the path, and what is left of that.
    fn step<'s, 'p>(&'s self, path: &'p str) -> Option<(&'s Self, &'p str)> {
        if let Some(index) = path.strip_prefix('[') {
            let (index, rest) = index.split_once(']')?;
            let Value::List(elements) = &self.value else { return None };
            return Some((elements.get(index.parse::<usize>().ok()?)?, rest.strip_prefix('.').unwrap_or(rest)));
        }
        let Value::Map(entries) = &self.value else { return None };
        let end = path.find(['.', '[']).unwrap_or(path.len());
        let (name, rest) = path.split_at(end);
        let (_, node) = entries.iter().find(|(key, _)| key.name == name && !name.is_empty())?;
        Some((node, rest.strip_prefix('.').unwrap_or(rest)))
    }
}

impl<'a> From<Spanned<Value<'a>>> for Node<'a> {
    fn from(spanned: Spanned<Value<'a>>) -> Self {
        Self { location: location(spanned.referenced), value: spanned.value }
    }
}

/// A value as YAML's core schema resolves it.
#[derive(Clone, Debug)]
enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    String(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Map(Vec<(Key<'a>, Node<'a>)>),
}

/// The name of a field, and where it is.
#[derive(Clone, Debug)]
struct Key<'a> {
    name: Cow<'a, str>,
    location: Location,
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u128<E: serde::de::Error>(self, number: u128) -> Result<Value<'de>, E> {
        i128::try_from(number).map(Value::Integer).map_err(|_| E::custom("a number is too large"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::String(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::String(Cow::Borrowed(text)))
    }

    fn visit_string<E>(self, text: String) -> Result<Value<'de>, E> {
        Ok(Value::String(Cow::Owned(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value<'de>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element::<Spanned<Value<'de>>>()? {
            elements.push(element.into());
        }
        Ok(Value::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<Value<'de>>>()? {
            let name = match key.value {
                Value::String(name) => name,
                Value::Integer(number) => number.to_string().into(),
                Value::Bool(value) => value.to_string().into(),
                _ => return Err(A::Error::custom("the name of a field is no text")),
            };
            let key = Key { name, location: location(key.referenced) };
            entries.push((key, map.next_value::<Spanned<Value<'de>>>()?.into()));
        }
        Ok(Value::Map(entries))
    }
}

const START: Location = Location { line: 1, column: 1 };

/// All that aliases may add to a text, in bytes.
const MOST_REPLAYED_BYTES: usize = 64 << 20;

/// How deep mappings and lists may lie in one another: more than any manifest needs, `managedFields` included, and little
/// enough for the stack of any thread.
const MOST_DEPTH: usize = 32;

/// How a text is read. An alias stands for at most the whole text, so that what all of them add is bounded by their number.
fn options(text: &str) -> serde_saphyr::Options {
    let aliases = serde_saphyr::alias_limits! {
        max_total_replayed_events: (MOST_REPLAYED_BYTES / text.len().max(1)).min(10_000),
    };
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MOST_DEPTH },
        alias_limits: aliases,
        strict_booleans: true,
        with_snippet: false,
    }
}

fn location(at: serde_saphyr::Location) -> Location {
    Location { line: at.line().max(1), column: at.column().max(1) }
}

fn syntax_problem(error: &serde_saphyr::Error) -> Problem {
    use serde_saphyr::Error;
    use serde_saphyr::budget::BudgetBreach;

    let (found, wanted) = match original(error) {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("the field `{key}` a second time"), "each field once".to_owned())
        }
        Error::UnknownAnchor { .. } => ("an alias (`*`) of nothing".to_owned(), QUOTES_FOR_A_STAR.to_owned()),
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => too_deep(),
        Error::AliasReplayLimitExceeded { .. } | Error::Budget { .. } => {
            ("a text that unfolds to too much".to_owned(), "fewer aliases, fields and documents".to_owned())
        }
        other => {
            let text = other.to_string();
            let line = text.lines().next().unwrap_or_default();
            let what = line.rsplit_once(" at line ").map_or(line, |(what, _)| what);
            match what {
                _ if what.contains("recursion limit") => too_deep(),
                _ if what.contains("anchor or alias") => {
                    ("a `*` or `&` without quotes".to_owned(), QUOTES_FOR_A_STAR.to_owned())
                }
                _ if what.contains("tabs") => {
                    (format!("what is no YAML: {what}"), "spaces rather than tabs".to_owned())
                }
                _ => (format!("what is no YAML: {what}"), "YAML or JSON".to_owned()),
            }
        }
    };
    Problem::new("", found, wanted).at(Some(error.location().map_or(START, location)))
}

/// What went wrong, whatever alias led there.
fn original(error: &serde_saphyr::Error) -> &serde_saphyr::Error {
    let mut error = error.without_snippet();
    while let serde_saphyr::Error::AliasError { error: inner, .. } = error {
        error = inner.without_snippet();
    }
    error
}

fn too_deep() -> (String, String) {
    (format!("mappings and lists more than {MOST_DEPTH} deep in one another"), "less depth".to_owned())
}

const QUOTES_FOR_A_STAR: &str = "quotes around a text that begins with `*`: `\"*.example.com\"`";
