//! A number of bytes, as a number or as Kubernetes writes quantities.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

use crate::problem::WordError;
use crate::{schema, word};

/// A number of bytes: `65536`, `64Ki`, `1Mi`, `1k`. Whole numbers with an optional suffix `k`, `M`, `G` (powers of 1000) or
/// `Ki`, `Mi`, `Gi` (powers of 1024), below 2^63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let refuse = || WordError::new(format!("`{text}`"), wanted(text));
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = text.split_at(digits);
        let (_, scale) = SUFFIXES.iter().find(|(name, _)| *name == suffix).ok_or_else(refuse)?;
        if number.is_empty() {
            return Err(refuse());
        }
        let bytes = Some(number).filter(|number| number.len() <= 19).and_then(|number| number.parse::<u64>().ok());
        let bytes = bytes.and_then(|number| number.checked_mul(*scale));
        bytes
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .map(Self)
            .ok_or_else(|| WordError::new(format!("`{text}`"), "fewer bytes, 2^63 - 1 at most"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = SUFFIXES.iter().filter(|(name, _)| name.ends_with('i'));
        let largest = binary.filter(|(_, scale)| self.0 > 0 && self.0.is_multiple_of(*scale)).max_by_key(|(_, s)| *s);
        match largest {
            Some((suffix, scale)) => write!(f, "{}{suffix}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 21,
            "nullable": false
        });
        schema::rule(FORM_RULE, &schema::wanted(FORM_WANTED))(&mut schema);
        schema
    }
}

const FORM_RULE: &str = "string(self).matches('^[0-9]{1,19}(k|M|G|Ki|Mi|Gi)?$')";

const FORM_WANTED: &str =
    "a whole number of bytes, with a suffix `Ki`, `Mi`, `Gi`, `k`, `M` or `G` or none, such as `64Ki`";

/// Adds the rule that a size is within these bounds.
pub(crate) fn between(least: Size, most: Size) -> impl FnMut(&mut Schema) {
    let bytes = "quantity(string(self))";
    let expression = format!(
        "!{FORM_RULE} || {bytes}.compareTo(quantity('{}')) >= 0 && {bytes}.compareTo(quantity('{}')) <= 0",
        least.0, most.0
    );
    schema::rule(&expression, &schema::wanted(&between_wanted(least, most)))
}

/// What a size within these bounds is, in a phrase.
pub(crate) fn between_wanted(least: Size, most: Size) -> String {
    format!("{} to {} bytes, such as `64Ki`", least.0, most.0)
}

const SUFFIXES: [(&str, u64); 7] =
    [("", 1), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)];

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes such as 65536 or \"64Ki\"")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
        self.visit_str(&bytes.to_string())
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
        self.visit_str(&bytes.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(|error| word::error(&error))
    }
}

/// What to write instead of `text`, with the right suffix where the wrong one can be made out.
fn wanted(text: &str) -> String {
    if text.contains(['.', ',', 'e', 'E']) {
        return format!("no fraction and no exponent: {FORM_WANTED}");
    }
    if text.starts_with('-') {
        return format!("no negative number: {FORM_WANTED}");
    }
    let (number, suffix) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let right = match suffix.trim() {
        "K" | "KB" | "KiB" | "kB" | "kb" | "ki" => "Ki",
        "MB" | "MiB" | "mb" | "mi" => "Mi",
        "GB" | "GiB" | "gb" | "gi" => "Gi",
        _ => return FORM_WANTED.to_owned(),
    };
    format!("`{number}{right}`: {FORM_WANTED}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Size>().unwrap_err().to_string()
    }

    #[test]
    fn suffixes_scale_by_a_thousand_or_by_1024() {
        for (text, bytes) in
            [("0", 0), ("65536", 65_536), ("64Ki", 65_536), ("1k", 1_000), ("2Mi", 2 << 20), ("1G", 1_000_000_000)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn it_displays_with_the_largest_binary_suffix_that_divides_it() {
        assert_eq!(Size(65_536).to_string(), "64Ki");
        assert_eq!(Size(1 << 30).to_string(), "1Gi");
        assert_eq!(Size(65_537).to_string(), "65537");
        assert_eq!(Size(0).to_string(), "0");
    }

    #[test]
    fn a_json_number_and_a_string_mean_the_same() {
        assert_eq!(serde_json::from_str::<Size>("65536").unwrap(), Size(65_536));
        assert_eq!(serde_json::from_str::<Size>("\"64Ki\"").unwrap(), Size(65_536));
        serde_json::from_str::<Size>("1.5").unwrap_err();
        serde_json::from_str::<Size>("-1").unwrap_err();
    }

    #[test]
    fn the_wrong_suffix_is_told_the_right_one() {
        assert!(error("64KB").contains("wanted `64Ki`"));
        assert!(error("64K").contains("wanted `64Ki`"));
        assert!(error("1.5Mi").contains("no fraction"));
        assert!(error("-1").contains("no negative"));
        for text in ["", "Ki", "64 Ki", "64Xi", "0x10", "é"] {
            error(text);
        }
        assert!(error("99999999999Gi").contains("fewer bytes"));
        assert!(error("99999999999999999999999").contains("fewer bytes"));
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_to_the_same(bytes in prop_oneof![0..=i64::MAX.cast_unsigned(), (0u64..4096).prop_map(|n| n << 20)]) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,12}|[0-9KMGik.]{0,24}") {
            let _ = text.parse::<Size>();
        }
    }
}
