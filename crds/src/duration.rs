//! A span of time, as Gateway API writes it (GEP-2257).

use std::fmt;
use std::str::FromStr;

use schemars::Schema;

use crate::problem::WordError;
use crate::schema;
use crate::word::string_word;

/// A span of time: `10s`, `500ms`, `1m30s`. One to four numbers of at most five digits, each with its unit `h`, `m`, `s`
/// or `ms` (GEP-2257), at most 99,999 hours in all. Counts in milliseconds; what is finer is not displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub std::time::Duration);

impl Duration {
    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// Whether there is nothing of it.
    pub const fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl FromStr for Duration {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let refuse = || WordError::new(format!("`{text}`"), wanted(text));
        let mut rest = text;
        let mut milliseconds = 0;
        for part in 0.. {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if part == 4 || !(1..=5).contains(&digits) {
                return Err(refuse());
            }
            let (number, after) = rest.split_at(digits);
            let letters = after.bytes().take_while(u8::is_ascii_lowercase).count();
            let (unit, after) = after.split_at(letters);
            let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
            milliseconds += number.parse::<u64>().map_err(|_| refuse())? * scale;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        if milliseconds > MOST_MILLISECONDS {
            return Err(WordError::new(format!("`{text}`"), MOST_WANTED));
        }
        Ok(Self::from_millis(milliseconds))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, scale) in UNITS {
            let number = rest / u128::from(scale);
            rest %= u128::from(scale);
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

string_word!(Duration, "Duration", "a duration with its unit, such as \"10s\", \"500ms\" or \"1m30s\"", {
    "type": "string",
    "maxLength": 28
}, [FORM_RULE, FORM_WANTED], [&format!("!{FORM_RULE} || duration(self) <= duration('99999h')"), MOST_WANTED]);

const FORM_RULE: &str = "self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')";

const FORM_WANTED: &str = "numbers with the units `h`, `m`, `s` and `ms`, such as `10s`, `500ms` or `1m30s`";

const MOST_WANTED: &str = "at most `99999h`";

/// What a time is that must not be nothing, in a phrase.
pub(crate) const POSITIVE_WANTED: &str = "a time longer than nothing, such as `10s`";

/// Adds the rule that a duration is not nothing.
pub(crate) fn positive(schema: &mut Schema) {
    let expression = format!("!{FORM_RULE} || duration(self) > duration('0s')");
    schema::rule(&expression, &schema::wanted(POSITIVE_WANTED))(schema);
}

/// From the largest, each in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const MOST_MILLISECONDS: u64 = 99_999 * 3_600_000;

/// What to write instead of `text`, with the number of it where one can be made out.
fn wanted(text: &str) -> String {
    if !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("a unit with the number, such as `{text}s`: {FORM_WANTED}");
    }
    if text.contains(['.', ',']) {
        return format!("no fractions, `500ms` rather than `0.5s`: {FORM_WANTED}");
    }
    if text.ends_with('d') {
        return format!("hours rather than days: {FORM_WANTED}");
    }
    if text.starts_with(['-', '+']) {
        return format!("no sign: {FORM_WANTED}");
    }
    FORM_WANTED.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Duration>().unwrap_err().to_string()
    }

    #[test]
    fn numbers_with_units_add_up() {
        for (text, milliseconds) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1h1m1s1ms", 3_661_001),
            ("0s", 0),
            ("90s1m", 150_000),
        ] {
            assert_eq!(text.parse(), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn it_displays_in_the_largest_units_that_fit() {
        assert_eq!(Duration::from_millis(90_500).to_string(), "1m30s500ms");
        assert_eq!(Duration::from_secs(0).to_string(), "0s");
    }

    #[test]
    fn a_number_without_unit_is_told_to_take_one() {
        assert!(error("10").contains("such as `10s`"));
    }

    #[test]
    fn fractions_signs_days_and_the_rest_are_refused() {
        assert!(error("1.5s").contains("no fractions"));
        assert!(error("-1s").contains("no sign"));
        assert!(error("1d").contains("hours rather than days"));
        for text in ["", "s", "1 s", "1S", "10us", "100000s", "1s1s1s1s1s", "1é", "１s", " 1s", "1s "] {
            assert!(error(text).contains("`500ms`"), "{text}");
        }
        assert!(error("99999h1ms").contains("at most"));
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_to_the_same(milliseconds in 0..=MOST_MILLISECONDS) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,12}|[0-9hms.]{0,30}") {
            if let Ok(duration) = text.parse::<Duration>() {
                prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            }
        }
    }
}
