//! What a name may look like, in Kubernetes and in DNS.

use std::net::IpAddr;

use kube::core::Rule;

use crate::problem::WordError;
use crate::schema::{self, text_schema};

const LABEL_WANTED: &str = "at most 63 lower-case letters, digits and `-`, beginning and ending with a letter or digit";

const GATEWAY_WANTED: &str =
    "a gateway's name: at most 52 lower-case letters, digits and `-`, beginning and ending with a letter or digit";

const KEY_WANTED: &str =
    "a key such as `ca.crt`: at most 253 letters, digits, `-`, `_` and `.`, not beginning with `..`";

const HOST_WANTED: &str = "an IP address or a DNS name, such as `192.0.2.10`, `2001:db8::10` or `broker.example.com`";

/// What a DNS name is, in a phrase.
pub(crate) const DNS_WANTED: &str = "a DNS name such as `mqtt.example.com`: at most 253 letters, digits, `-`, `_` and `.` \
    (punycode for others), labels of 1 to 63 that begin and end with no `-`, the last of them no number";

const LABEL_RULE: &str = "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')";

const SUBDOMAIN_RULE: &str = "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$')";

text_schema!(
    /// The schema of what [`label`] checks.
    Label,
    63,
    [LABEL_RULE, LABEL_WANTED]
);

text_schema!(
    /// The schema of what [`gateway`] checks.
    Gateway,
    52,
    [LABEL_RULE, GATEWAY_WANTED]
);

text_schema!(
    /// The schema of what [`subdomain`] checks, of at most 253 characters.
    Subdomain,
    253,
    [SUBDOMAIN_RULE, &subdomain_wanted(253)]
);

text_schema!(
    /// The schema of what [`key`] checks.
    Key,
    253,
    ["self.matches('^[A-Za-z0-9._-]+$') && self != '.' && !self.startsWith('..')", KEY_WANTED]
);

text_schema!(
    /// The schema of what [`host`] checks.
    Host,
    254,
    [&format!("isIP(self) || {}", dns_rule("self")), HOST_WANTED]
);

/// The rule in CEL for what [`dns`] checks, in either case and with one dot more at the end or none.
pub(crate) fn dns_rule(text: &str) -> String {
    const LABEL: &str = "[0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?";

    format!(
        "({text}.matches('^({LABEL}[.])*{LABEL}[.]?$') && !{text}.matches('(^|[.])([0-9]+|0[xX][0-9A-Fa-f]*)[.]?$') && \
         {text}.size() <= ({text}.endsWith('.') ? 254 : 253))"
    )
}

/// Checks a DNS-1123 label, as namespaces, Services and listeners have it: 1 to 63 of `a-z`, `0-9` and `-`, which neither
/// begins nor ends with `-`.
pub fn label(text: &str) -> Result<(), WordError> {
    if text.len() <= 63 && is_label(text) {
        return Ok(());
    }
    Err(WordError::new(format!("`{text}`"), LABEL_WANTED))
}

/// Checks a gateway's name: a DNS-1123 label of at most 52 characters, for its namespace is `streamgate-<gateway>`.
pub fn gateway(text: &str) -> Result<(), WordError> {
    if text.len() <= 52 && is_label(text) {
        return Ok(());
    }
    Err(WordError::new(format!("`{text}`"), GATEWAY_WANTED))
}

/// The rule in CEL for the length of our objects' own names: they become labels and the names of files.
pub(crate) fn object_name_rule() -> Rule {
    Rule::new("self.metadata.name.size() <= 63")
        .message(schema::found("a `metadata.name` of more than 63 characters", "at most 63").as_str())
}

/// The gateway that serves an object which names none.
pub fn default_gateway() -> String {
    "default".to_owned()
}

/// Checks a DNS-1123 subdomain of at most `most` characters, as objects have it: labels joined by dots.
pub fn subdomain(text: &str, most: usize) -> Result<(), WordError> {
    if text.len() <= most && text.split('.').all(is_label) {
        return Ok(());
    }
    let found = if text.len() > most { format!("{} characters, `{text}`", text.len()) } else { format!("`{text}`") };
    Err(WordError::new(found, subdomain_wanted(most)))
}

fn subdomain_wanted(most: usize) -> String {
    format!(
        "at most {most} lower-case letters, digits, `-` and `.`, each part between dots beginning and ending with a letter or \
         digit"
    )
}

/// Checks a key of a Secret or `ConfigMap`: 1 to 253 letters, digits, `-`, `_` and `.`, and nothing that a file system
/// takes for a folder.
pub fn key(text: &str) -> Result<(), WordError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    if !text.is_empty() && text.len() <= 253 && text.chars().all(allowed) && text != "." && !text.starts_with("..") {
        return Ok(());
    }
    Err(WordError::new(format!("`{text}`"), KEY_WANTED))
}

/// What a port of a Service is, in a phrase.
pub(crate) const PORT_WANTED: &str = "a port number from 1 to 65535, or the name of a port of the Service: at most 15 \
    lower-case letters, digits and `-`, with a letter among them";

/// Checks the name of a Service's port: 1 to 15 lower-case letters, digits and single `-` between them, with a letter among
/// them.
pub fn port(text: &str) -> Result<(), WordError> {
    let a_letter = text.bytes().any(|byte| byte.is_ascii_lowercase());
    if text.len() <= 15 && is_label(text) && a_letter && !text.contains("--") {
        return Ok(());
    }
    Err(WordError::new(format!("`{text}`"), PORT_WANTED))
}

/// Checks a host to connect to: an IP address, or a DNS name.
pub fn host(text: &str) -> Result<(), WordError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return match address.to_canonical() {
            canonical if canonical == address => Ok(()),
            v4 => Err(WordError::new(format!("`{text}`, IPv4 written as IPv6"), format!("`{v4}`"))),
        };
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare != text && bare.parse::<IpAddr>().is_ok() {
        return Err(WordError::new(format!("`{text}`"), format!("`{bare}`, without the brackets")));
    }
    if let Some((before, after)) = text.rsplit_once(':') {
        let before = before.trim_start_matches('[').trim_end_matches(']');
        if !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit()) && is_host(before) {
            return Err(WordError::new(
                format!("`{text}`"),
                format!("`host: \"{before}\"` and, beside it, `port: {after}`"),
            ));
        }
    }
    dns(&without_dot(text)).map_err(|error| {
        WordError::new(format!("`{text}`, in which {}", error.found), format!("{}: {HOST_WANTED}", error.wanted))
    })
}

fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || dns(&without_dot(text)).is_ok()
}

fn without_dot(text: &str) -> String {
    text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase()
}

/// Checks a DNS name: lower-case, without a trailing dot, at most 253 characters, labels of 1 to 63 of `a-z`, `0-9`, `-`
/// and `_` which neither begin nor end with `-`, the last of which can't be taken for a part of an IP address.
///
/// The error's phrases are parts of a sentence: `LABEL is empty`, `no two dots in a row`.
pub(crate) fn dns(name: &str) -> Result<(), WordError> {
    if !name.is_ascii() {
        return Err(WordError::new("not all is ASCII", "the name in punycode (`xn--…`)"));
    }
    if name.is_empty() {
        return Err(WordError::new("there is nothing", "a name"));
    }
    if name.len() > 253 {
        return Err(WordError::new(format!("there are {} characters", name.len()), "at most 253 characters"));
    }
    for label in name.split('.') {
        dns_label(label)?;
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hex || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(WordError::new(
            format!("the last label `{last}` is a number"),
            "a name, whose last label has a letter in it",
        ));
    }
    Ok(())
}

fn dns_label(label: &str) -> Result<(), WordError> {
    if label.is_empty() {
        return Err(WordError::new("a label is empty", "no dot at either end and no two in a row"));
    }
    if label.len() > 63 {
        return Err(WordError::new(
            format!("the label `{label}` has {} characters", label.len()),
            "labels of at most 63 characters",
        ));
    }
    let allowed =
        |character: &char| character.is_ascii_lowercase() || character.is_ascii_digit() || "-_".contains(*character);
    if let Some(other) = label.chars().find(|character| !allowed(character)) {
        return Err(WordError::new(
            format!("the label `{label}` has a `{}`", other.escape_default()),
            "only letters, digits, `-` and `_` between the dots",
        ));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(WordError::new(
            format!("the label `{label}` begins or ends with `-`"),
            "labels that begin and end with a letter or digit",
        ));
    }
    Ok(())
}

fn is_label(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objects_name_is_lower_case_labels_joined_by_dots() {
        for right in ["a", "sensors", "a-b.c-1", "0"] {
            subdomain(right, 63).unwrap();
        }
        for wrong in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "../a", "a/b", "ä"] {
            subdomain(wrong, 63).unwrap_err();
        }
        let long = "a".repeat(64);
        subdomain(&long, 253).unwrap();
        assert!(subdomain(&long, 63).unwrap_err().found.starts_with("64 characters"));
    }

    #[test]
    fn a_gateways_name_leaves_room_for_its_namespace() {
        gateway(&"a".repeat(52)).unwrap();
        gateway(&"a".repeat(53)).unwrap_err();
        gateway("a.b").unwrap_err();
    }

    #[test]
    fn a_key_never_leaves_its_folder() {
        for right in ["ca.crt", "CA_1.pem", ".hidden"] {
            key(right).unwrap();
        }
        for wrong in ["", ".", "..", "..data", "a/b", "a\\b", "a\0"] {
            key(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_ports_name_has_a_letter() {
        for right in ["mqtt", "mqtt-1883", "1a"] {
            port(right).unwrap();
        }
        for wrong in ["", "1883", "MQTT", "a--b", "mqtt-", "sixteen-letters-x"] {
            port(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_host_is_an_address_or_a_dns_name() {
        for right in ["192.0.2.1", "2001:db8::1", "broker", "Broker-0.brokers.acme.svc.cluster.local.", "a_b"] {
            host(right).unwrap();
        }
        for wrong in ["", ".", "10.0.0.300", "a b", "http://broker", "fe80::1%eth0", "-a", "a..b", "0x7f000001"] {
            host(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_host_with_brackets_or_port_is_told_how_to_write_it() {
        assert_eq!(host("[2001:db8::1]").unwrap_err().wanted, "`2001:db8::1`, without the brackets");
        for (text, before) in [("broker:1883", "broker"), ("[2001:db8::1]:1883", "2001:db8::1")] {
            let wanted = format!("`host: \"{before}\"` and, beside it, `port: 1883`");
            assert_eq!(host(text).unwrap_err().wanted, wanted);
        }
    }

    #[test]
    fn a_host_of_many_colons_is_refused_without_end_of_the_stack() {
        host(&"a:1".repeat(500_000)).unwrap_err();
        host(&format!("a{}", ":1".repeat(500_000))).unwrap_err();
    }
}
