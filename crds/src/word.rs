//! How a word goes through serde: as a string by `FromStr` and `Display`, with what was found and what would be right kept
//! apart on the way, so that a reader can print them with the line and column.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Expected, SeqAccess, Unexpected, Visitor};

use crate::problem::WordError;

/// Writes `FromStr`'s and `Display`'s serde and schema twins for a word that is always a string: its schema, and rules in CEL
/// with what is wanted by them.
macro_rules! string_word {
    ($word:ty, $name:literal, $example:literal, $schema:tt, $([$rule:expr, $wanted:expr]),+ $(,)?) => {
        impl ::serde::Serialize for $word {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $word {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::word::deserialize(deserializer, $example)
            }
        }

        impl ::schemars::JsonSchema for $word {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                let mut schema = ::schemars::json_schema!($schema);
                $($crate::schema::rule($rule, &$crate::schema::wanted($wanted))(&mut schema);)+
                schema
            }
        }
    };
}
pub(crate) use string_word;

/// Reads a word that is always a string. `example` is what to write, for where no string is found at all.
pub(crate) fn deserialize<'de, T, D>(deserializer: D, example: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err = WordError>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(WordVisitor { example, word: PhantomData })
}

/// A word's error as serde's, its two phrases kept apart.
pub(crate) fn error<E: Error>(word: &WordError) -> E {
    E::invalid_value(Unexpected::Other(&word.found), &Wanted(&word.wanted))
}

/// Reads a list of which absence means something else than emptiness (usually: all), so that an empty one is a mistake.
pub(crate) fn filled_list<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_seq(FilledList(PhantomData))
}

/// Whether a field may be left out of what is written, for it says what its absence says.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A phrase as what serde expected.
pub(crate) struct Wanted<'a>(pub(crate) &'a str);

impl Expected for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

struct WordVisitor<T> {
    example: &'static str,
    word: PhantomData<T>,
}

impl<T: FromStr<Err = WordError>> Visitor<'_> for WordVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.example)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|word| error(&word))
    }
}

struct FilledList<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FilledList<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = sequence.next_element()? {
            list.push(element);
        }
        if list.is_empty() {
            let wanted = Wanted("at least one entry, or the field left out");
            return Err(A::Error::invalid_value(Unexpected::Other("an empty list"), &wanted));
        }
        Ok(list)
    }
}
