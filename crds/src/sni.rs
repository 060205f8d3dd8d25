//! A name that a client may ask for in the TLS handshake (server name indication, RFC 6066 section 3).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::Schema;

use crate::name;
use crate::problem::WordError;
use crate::schema;
use crate::word::string_word;

/// A name, or a pattern of names. Parsing lower-cases it and drops one trailing dot, as is done with what a client sends.
///
/// Names in both variants are DNS names of at most 253 characters, the `*.` included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sni {
    /// One name: `mqtt.example.com`.
    Exact(String),
    /// Every name with exactly one label before this: `example.com` for `*.example.com`.
    Wildcard(String),
    /// Every name, and no name at all: `*`.
    Any,
}

impl Sni {
    /// Whether a client that asks for `name` (lower-case, without a trailing dot; empty for none) means this.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Wildcard(parent) => {
                name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
            }
            Self::Any => true,
        }
    }
}

impl FromStr for Sni {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_ok() {
            return Err(WordError::new(format!("the IP address `{text}`"), ADDRESS_WANTED));
        }
        let lower = text.to_ascii_lowercase();
        let (is_wildcard, name) = lower.strip_prefix("*.").map_or((false, lower.as_str()), |parent| (true, parent));
        let name = name.strip_suffix('.').unwrap_or(name);
        let length = name.len() + if is_wildcard { 2 } else { 0 };
        if length > 253 {
            return Err(WordError::new(format!("{length} characters, `{text}`"), "at most 253 characters"));
        }
        if name.contains('*') {
            return Err(WordError::new(format!("`{text}`"), STAR_WANTED));
        }
        name::dns(name).map_err(|error| WordError::new(format!("`{text}`, in which {}", error.found), error.wanted))?;
        Ok(if is_wildcard { Self::Wildcard(name.to_owned()) } else { Self::Exact(name.to_owned()) })
    }
}

impl fmt::Display for Sni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
            Self::Any => f.write_str("*"),
        }
    }
}

string_word!(
    Sni,
    "Sni",
    "a name such as \"mqtt.example.com\" or \"*.example.com\"",
    { "type": "string", "minLength": 1, "maxLength": 254 },
    [
        "!isIP(self)",
        ADDRESS_WANTED
    ],
    [
        "self == '*' || !self.contains('*') || self.matches('^[*][.][^*]+$')",
        STAR_WANTED
    ],
    [
        &format!("self.contains('*') || isIP(self) || {}", name::dns_rule("self")),
        name::DNS_WANTED
    ],
    [
        &format!(
            "!self.startsWith('*.') || self.substring(2).contains('*') || {} && self.size() <= (self.endsWith('.') ? 254 : 253)",
            name::dns_rule("self.substring(2)")
        ),
        name::DNS_WANTED
    ],
);

/// Adds the rule that each name of a list is there once, however it is written.
pub(crate) fn each_once(schema: &mut Schema) {
    let same = |text: &str| format!("{text}.lowerAscii() + ({text}.endsWith('.') ? '' : '.')");
    let expression = format!("self.all(name, self.exists_one(other, {} == {}))", same("name"), same("other"));
    schema::rule(&expression, &schema::found("a name twice, upper case and a dot at the end aside", "each entry once"))(
        schema,
    );
}

const ADDRESS_WANTED: &str = "a DNS name, for a client that connects to an address sends no server name (RFC 6066)";

const STAR_WANTED: &str = "`*` alone as the whole first label, which stands for exactly one label: `*.example.com`";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Sni>().unwrap_err().to_string()
    }

    #[test]
    fn a_name_is_lower_cased_and_loses_one_trailing_dot() {
        assert_eq!("MQTT.Example.com.".parse(), Ok(Sni::Exact("mqtt.example.com".into())));
        assert_eq!("*.Example.com.".parse(), Ok(Sni::Wildcard("example.com".into())));
        assert_eq!("*".parse(), Ok(Sni::Any));
        assert_eq!("a_b".parse(), Ok(Sni::Exact("a_b".into())));
        assert!(error("a..").contains("a label is empty"));
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        let wildcard = Sni::Wildcard("example.com".into());
        assert!(wildcard.matches("a.example.com"));
        for other in ["example.com", "a.b.example.com", ".example.com", "a.example.org", ""] {
            assert!(!wildcard.matches(other), "{other}");
        }
    }

    #[test]
    fn an_exact_name_matches_itself_and_any_matches_all() {
        let exact = Sni::Exact("a.example.com".into());
        assert!(exact.matches("a.example.com"));
        assert!(!exact.matches("b.example.com"));
        assert!(Sni::Any.matches("a.example.com") && Sni::Any.matches(""));
    }

    #[test]
    fn a_star_anywhere_else_is_refused() {
        for text in ["*a.example.com", "a.*.com", "*.*.com", "**", "a*"] {
            assert!(error(text).contains("`*.example.com`"), "{text}: {}", error(text));
        }
        assert!(error("*.").contains("nothing"));
    }

    #[test]
    fn an_address_is_no_server_name() {
        for text in ["10.0.0.1", "2001:db8::1", "[2001:db8::1]"] {
            assert!(error(text).contains("RFC 6066"), "{text}");
        }
        assert!(error("10.0.0.256").contains("is a number"));
    }

    #[test]
    fn a_name_beyond_ascii_is_to_be_written_in_punycode() {
        assert!(error("bücher.example").contains("punycode"));
    }

    #[test]
    fn lengths_are_those_of_dns() {
        let label = "a".repeat(63);
        assert!(label.parse::<Sni>().is_ok());
        assert!(error(&format!("a{label}")).contains("has 64 characters"));
        let name = [label.as_str(); 4].join(".");
        assert!(name[..253].parse::<Sni>().is_ok());
        assert!(error(&name).contains("255 characters"));
    }

    #[test]
    fn a_scheme_a_port_or_a_space_is_refused_by_its_label() {
        for text in ["https://a.example", "a.example:8883", "a b", "a\nb", ""] {
            assert!(error(text).contains("in which"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_to_the_same(text in "(\\*\\.)?([a-zA-Z_][a-zA-Z0-9_]{0,9}\\.){0,3}[a-zA-Z]{1,9}\\.?") {
            let sni: Sni = text.parse().unwrap();
            prop_assert_eq!(sni.to_string().parse(), Ok(sni));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,300}") {
            if let Ok(sni) = text.parse::<Sni>() {
                prop_assert_eq!(sni.to_string().parse(), Ok(sni));
            }
        }
    }
}
