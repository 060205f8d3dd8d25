//! From a node to a type: a serde deserializer that knows, of each value, its path and its place.

use std::collections::HashSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Key, Node, START, Value};
use crate::problem::{Location, MOST_PROBLEMS, Problem};

/// What becomes of a field that the type doesn't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    Refused,
    PassedOver,
}

/// Reads a node, which is the field `field` of its document, or nothing at all.
///
/// serde stops at the first problem. So what it stops at is left out and the rest is read again, for as long as something
/// new is found.
pub(super) fn read<T: DeserializeOwned>(
    node: Option<&Node<'_>>,
    field: &str,
    unknown: Unknown,
) -> Result<T, Vec<Problem>> {
    let nothing = Node { location: START, value: Value::Map(Vec::new()) };
    let mut problems = Vec::new();
    let mut skipped = HashSet::new();
    let mut skipped_paths: Vec<String> = Vec::new();
    while problems.len() < MOST_PROBLEMS {
        let context = Context { unknown, skipped: &skipped };
        let reader = Reader { node: node.unwrap_or(&nothing), path: &Path::Root(field), context: &context };
        let error = match T::deserialize(reader) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => *error,
        };
        let consequence = skipped_paths.iter().any(|path| is_within(path, &error.field()));
        let progress = error.path != field && error.node.is_some_and(|node| skipped.insert(node));
        skipped_paths.push(error.path.clone());
        if !consequence {
            let location = node.and(error.location);
            problems.push(Problem::new(error.field(), error.found, error.wanted).at(location));
        }
        if !progress {
            break;
        }
    }
    Err(problems)
}

/// What all readers of one document share.
struct Context<'c> {
    unknown: Unknown,
    /// The values that are not looked at, for their problem is known.
    skipped: &'c HashSet<NodeId>,
}

impl Context<'_> {
    fn is_read(&self, node: &Node<'_>) -> bool {
        !self.skipped.contains(&NodeId::of(node))
    }
}

/// Which node of a document: where it lies in memory, for a document is not changed while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct NodeId(usize);

impl NodeId {
    fn of(node: &Node<'_>) -> Self {
        Self(std::ptr::from_ref(node).addr())
    }
}

/// The way from the document to a value.
enum Path<'p> {
    Root(&'p str),
    Field(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(field) => f.write_str(field),
            Self::Field(Self::Root(""), name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Reads one node.
struct Reader<'r, 'n> {
    node: &'r Node<'n>,
    path: &'r Path<'r>,
    context: &'r Context<'r>,
}

impl<'r, 'n> Reader<'r, 'n> {
    fn any<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Box<ReadError>> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => visitor.visit_i128(*number),
            },
            Value::Float(number) => visitor.visit_f64(*number),
            Value::String(text) => visitor.visit_str(text),
            Value::List(elements) => visitor.visit_seq(Elements { reader: self, nodes: elements, next: 0 }),
            Value::Map(entries) => visitor.visit_map(self.entries(entries, None)),
        }
    }

    fn entries(
        &'r self,
        entries: &'r [(Key<'n>, Node<'n>)],
        known: Option<&'static [&'static str]>,
    ) -> Entries<'r, 'n> {
        Entries { reader: self, fields: entries, next: 0, known }
    }

    /// Gives an error of this node its path, place and words, unless it came from within.
    fn place<T>(&self, result: Result<T, Box<ReadError>>) -> Result<T, Box<ReadError>> {
        result.map_err(|mut error| {
            if error.location.is_none() {
                error.node = Some(NodeId::of(self.node));
                error.location = Some(self.node.location);
                error.path = self.path.to_string();
                error.describe(&self.node.value);
            }
            error
        })
    }
}

impl<'de> Deserializer<'de> for Reader<'_, '_> {
    type Error = Box<ReadError>;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.place(self.any(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.place(match &self.node.value {
            Value::Map(entries) => visitor.visit_map(self.entries(entries, Some(fields))),
            _ => Err(Box::new(ReadError { wanted: "a mapping".to_owned(), ..ReadError::default() })),
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.place(match &self.node.value {
            Value::String(text) => {
                let text: StrDeserializer<'_, Self::Error> = text.as_ref().into_deserializer();
                visitor.visit_enum(text)
            }
            _ => Err(Box::new(ReadError { wanted: one_of(variants), ..ReadError::default() })),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

struct Elements<'r, 'n> {
    reader: &'r Reader<'r, 'n>,
    nodes: &'r [Node<'n>],
    next: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Box<ReadError>;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Self::Error> {
        while let Some(node) = self.nodes.get(self.next) {
            let path = Path::Index(self.reader.path, self.next);
            self.next += 1;
            if self.reader.context.is_read(node) {
                return seed.deserialize(Reader { node, path: &path, context: self.reader.context }).map(Some);
            }
        }
        Ok(None)
    }
}

/// The fields of a mapping; of a struct's, `known` are those that it knows.
struct Entries<'r, 'n> {
    reader: &'r Reader<'r, 'n>,
    fields: &'r [(Key<'n>, Node<'n>)],
    next: usize,
    known: Option<&'static [&'static str]>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Box<ReadError>;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        while let Some((key, node)) = self.fields.get(self.next) {
            let path = Path::Field(self.reader.path, &key.name);
            if self.reader.context.is_read(node) {
                let known = self.known.map(|fields| fields.contains(&key.name.as_ref()));
                match (known, &node.value) {
                    (Some(true), Value::Null) => {}
                    (Some(false), _) if self.reader.context.unknown == Unknown::Refused => {
                        return Err(Box::new(unknown_field(&path, node, key.location, self.known.unwrap_or_default())));
                    }
                    _ => {
                        let name: StrDeserializer<'_, Self::Error> = key.name.as_ref().into_deserializer();
                        return seed.deserialize(name).map(Some);
                    }
                }
            }
            self.next += 1;
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Self::Error> {
        let Some((key, node)) = self.fields.get(self.next) else {
            return Err(serde::de::Error::custom("a value was asked for beyond the last"));
        };
        self.next += 1;
        let path = Path::Field(self.reader.path, &key.name);
        seed.deserialize(Reader { node, path: &path, context: self.reader.context })
    }
}

/// What serde says is wrong; the reader that it came through adds where.
#[derive(Debug, Default)]
pub(super) struct ReadError {
    /// The value that is wrong.
    path: String,
    /// The same; `None` as long as `location` is.
    node: Option<NodeId>,
    /// `None` until the reader of that value has added what it knows.
    location: Option<Location>,
    /// The field that the value lacks.
    missing: Option<&'static str>,
    found: String,
    wanted: String,
}

impl ReadError {
    /// The field that is wrong: the value's, or the one that it lacks.
    fn field(&self) -> String {
        match self.missing {
            Some(missing) => Path::Field(&Path::Root(&self.path), missing).to_string(),
            None => self.path.clone(),
        }
    }

    /// Says what was found where serde hasn't, and what is wanted in words that aren't Rust's.
    fn describe(&mut self, value: &Value<'_>) {
        if self.found.is_empty() {
            self.found = phrase(value);
        }
        let number = |least: &str, most: &str| format!("a whole number from {least} to {most}");
        let in_quotes = match value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Float(number) => Some(format!("{number:?}")),
            _ => None,
        };
        let wanted = match (self.wanted.as_str(), in_quotes) {
            ("a string", Some(text)) => format!("a text: `\"{text}\"`, in quotes"),
            (choice, Some(text)) if choice.contains(&format!("`{text}`")) => format!("`\"{text}\"`, in quotes"),
            ("a string", None) => "a text".to_owned(),
            ("a sequence" | "a list", _) => "a list".to_owned(),
            ("a boolean", _) => "`true` or `false`".to_owned(),
            ("a map", _) => "a mapping".to_owned(),
            ("u8", _) => number("0", "255"),
            ("u16", _) => number("0", "65535"),
            ("u32", _) => number("0", "4294967295"),
            ("u64" | "usize", _) => "a whole number from 0".to_owned(),
            ("i32" | "i64", _) => "a whole number".to_owned(),
            (text, _) => text.to_owned(),
        };
        self.wanted = wanted;
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found {}; wanted {}", self.path, self.found, self.wanted)
    }
}

impl std::error::Error for ReadError {}

impl serde::de::Error for Box<ReadError> {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Box::new(ReadError { wanted: format!("something else ({message})"), ..ReadError::default() })
    }

    fn invalid_type(_unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Box::new(ReadError { wanted: expected.to_string(), ..ReadError::default() })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match unexpected {
            Unexpected::Other(found) => found.to_owned(),
            _ => String::new(),
        };
        Box::new(ReadError { found, wanted: expected.to_string(), ..ReadError::default() })
    }

    fn unknown_variant(_variant: &str, expected: &'static [&'static str]) -> Self {
        Box::new(ReadError { wanted: one_of(expected), ..ReadError::default() })
    }

    fn missing_field(field: &'static str) -> Self {
        Box::new(ReadError {
            missing: Some(field),
            found: "nothing".to_owned(),
            wanted: "a value, for the field is required".to_owned(),
            ..ReadError::default()
        })
    }
}

fn unknown_field(path: &Path<'_>, node: &Node<'_>, location: Location, known: &'static [&'static str]) -> ReadError {
    ReadError {
        path: path.to_string(),
        node: Some(NodeId::of(node)),
        location: Some(location),
        missing: None,
        found: "a field that does not exist".to_owned(),
        wanted: one_of(known),
    }
}

fn one_of(choices: &[&str]) -> String {
    let quoted: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
    match quoted.as_slice() {
        [only] => only.clone(),
        several => format!("one of {}", several.join(", ")),
    }
}

/// A value as a phrase, cut where it is long.
fn phrase(value: &Value<'_>) -> String {
    const MOST_CHARACTERS: usize = 80;

    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number:?}"),
        Value::String(text) if text.chars().nth(MOST_CHARACTERS).is_some() => {
            format!("`{}…`", text.chars().take(MOST_CHARACTERS).collect::<String>())
        }
        Value::String(text) => format!("`{text}`"),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// Whether `path` is `parent` or below it.
fn is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
