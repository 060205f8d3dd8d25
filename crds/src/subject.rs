//! A pattern of certificate subjects, written as a distinguished name (RFC 4514).

use std::fmt;
use std::iter::Peekable;
use std::str::{Chars, FromStr};

use crate::problem::WordError;
use crate::word::string_word;

#[cfg(test)]
mod tests;

/// A pattern of certificate subjects: `CN=sensor-*,O=Acme`.
///
/// Attributes as in RFC 4514 section 3, by their short names or as dotted object identifiers, separated by `,` or `+`, in
/// any order. Every one that is written must be in the subject; others don't matter. `*` in a value stands for any run of
/// characters, also for none; `\` before a character takes its meaning away, and before two hexadecimal digits makes them
/// a byte. Values are compared as they are, in upper and lower case; names of attributes in either.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectPattern {
    attributes: Vec<Attribute>,
}

impl SubjectPattern {
    /// Whether a subject has every attribute that the pattern names, with a value that fits.
    ///
    /// A subject is pairs of an attribute (short name such as `CN`, or dotted object identifier) and its value.
    pub fn matches(&self, subject: &[(String, String)]) -> bool {
        self.attributes.iter().all(|attribute| {
            subject.iter().any(|(name, value)| {
                object_identifier(name) == Some(&attribute.object_identifier) && attribute.value.matches(value)
            })
        })
    }
}

impl FromStr for SubjectPattern {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        if text.chars().count() > MOST_CHARACTERS {
            return Err(WordError::new(
                format!("{} characters", text.chars().count()),
                format!("at most {MOST_CHARACTERS} characters"),
            ));
        }
        let mut characters = text.chars().peekable();
        let mut attributes = Vec::new();
        loop {
            attributes.push(Attribute::read(text, &mut characters)?);
            if characters.next().is_none() {
                return Ok(Self { attributes });
            }
        }
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Attribute { object_identifier, value }) in self.attributes.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let name = short_name(object_identifier).unwrap_or(object_identifier);
            write!(f, "{separator}{name}={value}")?;
        }
        Ok(())
    }
}

string_word!(
    SubjectPattern,
    "SubjectPattern",
    "a distinguished name such as \"CN=sensor-*,O=Acme\"",
    { "type": "string", "minLength": 3, "maxLength": MOST_CHARACTERS },
    [
        &form_rule(),
        "a distinguished name such as `CN=sensor-*,O=Acme`: known attributes or object identifiers, each with a value, `,` \
         between them, and `\\` before a character that is meant as it is"
    ],
    [
        &escapes_rule(),
        "escaped bytes that are UTF-8"
    ],
);

/// How long a pattern may be.
const MOST_CHARACTERS: usize = 1024;

/// The rule in CEL for what is read as a pattern, escaped bytes aside.
fn form_rule() -> String {
    let names: Vec<_> = ATTRIBUTES.iter().flat_map(|(names, _)| *names).copied().collect();
    let attribute = format!("((?i:{})|((OID|oid)[.])?[0-9]+([.][0-9]+)+)", names.join("|"));
    let escape = r"\\([0-9A-Fa-f]{2}|[^0-9A-Fa-f])";
    let value = format!(r#"([^ #,+";\\]|{escape})( *([^ ,+";\\]|{escape}))*"#);
    format!("(',' + self).matches(r'^([,+] *{attribute} *= *{value} *)+$')")
}

/// The rule in CEL for escaped bytes: one is ASCII, or several are a character in UTF-8 together.
fn escapes_rule() -> String {
    let after = r"\\[89ABab][0-9A-Fa-f]";
    let escaped = [
        "[^0-9A-Fa-f]".to_owned(),
        "[0-7][0-9A-Fa-f]".to_owned(),
        format!("([Cc][2-9A-Fa-f]|[Dd][0-9A-Fa-f]){after}"),
        format!(r"([Ee]0\\[ABab][0-9A-Fa-f]|[Ee][1-9A-CEFa-cef]{after}|[Ee][Dd]\\[89][0-9A-Fa-f]){after}"),
        format!(r"([Ff]0\\[9ABab][0-9A-Fa-f]|[Ff][1-3]{after}|[Ff]4\\8[0-9A-Fa-f]){after}{after}"),
    ];
    format!(r"self.matches(r'^([^\\]|\\({}))*$')", escaped.join("|"))
}

/// The short name of an attribute, `CN` for `2.5.4.3`, where it has one.
pub fn short_name(object_identifier: &str) -> Option<&'static str> {
    let (names, _) = ATTRIBUTES.iter().find(|(_, known)| *known == object_identifier)?;
    names.first().copied()
}

/// One attribute that a subject must have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Attribute {
    /// Dotted, `2.5.4.3`.
    object_identifier: String,
    value: Value,
}

impl Attribute {
    /// Reads up to the separator or the end, and leaves it unread.
    fn read(text: &str, characters: &mut Peekable<Chars<'_>>) -> Result<Self, WordError> {
        let mut name = String::new();
        while let Some(character) = characters.next_if(|character| !matches!(character, '=' | ',' | '+')) {
            name.push(character);
        }
        let name = name.trim_matches(' ');
        if characters.next_if_eq(&'=').is_none() {
            return Err(bare_word(text, name));
        }
        let object_identifier = object_identifier(name).ok_or_else(|| unknown_attribute(text, name))?.to_owned();
        Ok(Self { object_identifier, value: Value::read(text, characters)? })
    }
}

/// A value with wildcards: the literal parts between them, so that `a*b` is `["a", "b"]` and `*` is `["", ""]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Value {
    parts: Vec<String>,
}

impl Value {
    fn matches(&self, value: &str) -> bool {
        let [first, between @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_some_and(|only| only == value);
        };
        let Some(mut rest) = value.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()))
        else {
            return false;
        };
        for part in between {
            let Some(at) = rest.find(part.as_str()) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }

    /// Reads up to the separator or the end, and leaves it unread.
    fn read(text: &str, characters: &mut Peekable<Chars<'_>>) -> Result<Self, WordError> {
        while characters.next_if_eq(&' ').is_some() {}
        if characters.peek() == Some(&'#') {
            return Err(refuse(text, "a value begins with `#`", "its text, or `\\#` for the character"));
        }
        let mut parts = Vec::new();
        let mut part = Vec::new();
        let mut spaces = 0;
        while let Some(character) = characters.next_if(|character| !matches!(character, ',' | '+')) {
            spaces = if character == ' ' { spaces + 1 } else { 0 };
            match character {
                '*' if part.is_empty() && !parts.is_empty() => {}
                '*' => parts.push(std::mem::take(&mut part)),
                '\\' => part.extend(escaped(text, characters)?),
                '"' | ';' => {
                    let found = format!("there is a `{character}`");
                    let wanted = format!("`\\{character}` for the character, `,` between attributes, and no quotes");
                    return Err(refuse(text, &found, &wanted));
                }
                other => part.extend(other.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        part.truncate(part.len() - spaces);
        parts.push(part);
        if parts.len() == 1 && parts.iter().all(Vec::is_empty) {
            return Err(refuse(text, "an attribute has no value", "one, or `*` for any"));
        }
        let parts = parts.into_iter().map(String::from_utf8).collect::<Result<_, _>>();
        let parts = parts.map_err(|_| refuse(text, "escaped bytes are not UTF-8", "UTF-8"))?;
        Ok(Self { parts })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                f.write_str("*")?;
            }
            let end = part.len();
            for (at, character) in part.char_indices() {
                let at_the_edge = (index == 0 && at == 0) || (index + 1 == self.parts.len() && at + 1 == end);
                match character {
                    ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' | '*' => write!(f, "\\{character}")?,
                    ' ' | '#' if at_the_edge => write!(f, "\\{character}")?,
                    '\0'..='\x1f' | '\x7f' => write!(f, "\\{:02X}", u32::from(character))?,
                    other => write!(f, "{other}")?,
                }
            }
        }
        Ok(())
    }
}

/// The bytes that follow a `\`: two hexadecimal digits are one byte, anything else is itself.
fn escaped(text: &str, characters: &mut Peekable<Chars<'_>>) -> Result<Vec<u8>, WordError> {
    let first =
        characters.next().ok_or_else(|| refuse(text, "a `\\` is the last character", "`\\\\` for the character"))?;
    let Some(high) = first.to_digit(16) else {
        return Ok(first.to_string().into_bytes());
    };
    let low = characters.next().and_then(|second| second.to_digit(16));
    let byte = low.and_then(|low| u8::try_from(high * 16 + low).ok());
    byte.map(|byte| vec![byte]).ok_or_else(|| {
        refuse(text, &format!("`\\{first}` is not followed by a hexadecimal digit"), "two of them for a byte")
    })
}

/// The object identifier of an attribute by its name, in upper or lower case; an identifier is its own.
fn object_identifier(name: &str) -> Option<&str> {
    let by_name = ATTRIBUTES.iter().find(|(names, _)| names.iter().any(|known| known.eq_ignore_ascii_case(name)));
    if let Some((_, object_identifier)) = by_name {
        return Some(object_identifier);
    }
    let dotted = name.strip_prefix("OID.").or_else(|| name.strip_prefix("oid.")).unwrap_or(name);
    let number = |arc: &str| !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit());
    (dotted.contains('.') && dotted.split('.').all(number)).then_some(dotted)
}

fn bare_word(text: &str, word: &str) -> WordError {
    let wanted = if word.is_empty() {
        "a distinguished name such as `CN=sensor-*,O=Acme`, with no comma at either end".to_owned()
    } else if word == text {
        format!("`CN={word}`, if the common name is meant")
    } else {
        format!("`CN={word}` or another attribute there, or `\\` before a comma or plus that is part of a value")
    };
    let found = if word.is_empty() { "there is nothing" } else { "is no `=`" };
    let place = if word.is_empty() { String::new() } else { format!("at `{word}` ") };
    refuse(text, &format!("{place}{found}"), &wanted)
}

fn unknown_attribute(text: &str, name: &str) -> WordError {
    if let Some(rest) = text.strip_prefix('/') {
        return refuse(text, "slashes separate attributes", &format!("commas: `{}`", rest.replace('/', ",")));
    }
    refuse(
        text,
        &format!("`{name}` is no known attribute"),
        "one such as `CN`, `O`, `OU`, `C`, `ST`, `L`, `DC`, `UID`, `serialNumber`, `emailAddress`, or an object identifier \
         such as `2.5.4.3`",
    )
}

fn refuse(text: &str, found: &str, wanted: &str) -> WordError {
    WordError::new(format!("`{text}`, in which {found}"), wanted)
}

/// The names of an attribute, the usual one first, and its object identifier (RFC 4514 section 3, RFC 4519, RFC 5280
/// appendix A; `Email` is what some tools call the e-mail address).
const ATTRIBUTES: &[(&[&str], &str)] = &[
    (&["CN", "commonName"], "2.5.4.3"),
    (&["SN", "surname"], "2.5.4.4"),
    (&["serialNumber"], "2.5.4.5"),
    (&["C", "countryName"], "2.5.4.6"),
    (&["L", "localityName"], "2.5.4.7"),
    (&["ST", "stateOrProvinceName"], "2.5.4.8"),
    (&["STREET", "streetAddress"], "2.5.4.9"),
    (&["O", "organizationName"], "2.5.4.10"),
    (&["OU", "organizationalUnitName"], "2.5.4.11"),
    (&["title"], "2.5.4.12"),
    (&["description"], "2.5.4.13"),
    (&["businessCategory"], "2.5.4.15"),
    (&["postalCode"], "2.5.4.17"),
    (&["name"], "2.5.4.41"),
    (&["GN", "givenName"], "2.5.4.42"),
    (&["initials"], "2.5.4.43"),
    (&["generationQualifier"], "2.5.4.44"),
    (&["dnQualifier"], "2.5.4.46"),
    (&["pseudonym"], "2.5.4.65"),
    (&["organizationIdentifier"], "2.5.4.97"),
    (&["UID", "userId"], "0.9.2342.19200300.100.1.1"),
    (&["DC", "domainComponent"], "0.9.2342.19200300.100.1.25"),
    (&["emailAddress", "E", "Email"], "1.2.840.113549.1.9.1"),
];
