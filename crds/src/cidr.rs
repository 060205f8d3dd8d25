//! A range of addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::Schema;

use crate::problem::WordError;
use crate::schema;
use crate::word::string_word;

/// A range of IPv4 or IPv6 addresses, `10.0.0.0/8` or `2001:db8::/32`; a bare address is the range of itself.
///
/// Parsing refuses bits to the right of the prefix, and IPv4 written as IPv6: what a person meant is then not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(pub IpNet);

impl Cidr {
    /// Whether the address lies in the range. An IPv4 address that came over an IPv6 socket (`::ffff:10.0.0.1`) counts as
    /// what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Cidr {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let range = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| not_a_range(text))?,
        };
        if text.split_once("/0").is_some_and(|(_, rest)| !rest.is_empty()) {
            return Err(not_a_range(text));
        }
        if range.trunc() != range {
            return Err(WordError::new(
                format!("`{text}`, an address within a range"),
                format!("`{}` for the range, or `{}` for the address alone", range.trunc(), range.addr()),
            ));
        }
        if let Some(v4) = as_ipv4(&range) {
            return Err(WordError::new(format!("`{text}`, IPv4 written as IPv6"), format!("`{v4}`")));
        }
        Ok(Self(range))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

string_word!(
    Cidr,
    "Cidr",
    "a range such as \"10.0.0.0/8\" or \"2001:db8::/32\"",
    { "type": "string", "minLength": 2, "maxLength": 43 },
    ["isCIDR(self) || isIP(self)", FORM_WANTED],
    ["!isCIDR(self) || cidr(self) == cidr(self).masked()", "no bits behind the prefix, as in `10.0.0.0/8`, or the address alone"],
);

/// Adds the rule that each range of a list is there once, however it is written.
pub(crate) fn each_once(schema: &mut Schema) {
    let range = |text: &str| {
        format!("(isIP({text}) ? cidr({text} + (ip({text}).family() == 4 ? '/32' : '/128')) : cidr({text}))")
    };
    let expression = format!(
        "!self.all(range, isIP(range) || isCIDR(range)) || self.all(range, self.exists_one(other, {} == {}))",
        range("range"),
        range("other")
    );
    schema::rule(&expression, &schema::found("a range twice", "each entry once"))(schema);
}

const FORM_WANTED: &str = "a range such as `10.0.0.0/8` or `2001:db8::/32`, or a single address";

fn not_a_range(text: &str) -> WordError {
    let wanted = match text.split_once('/') {
        Some((address, prefix)) if address.parse::<IpAddr>().is_ok() => {
            let most = if address.contains(':') { 128 } else { 32 };
            format!("a prefix length from 0 to {most} after the `/`, not `{prefix}`")
        }
        _ => FORM_WANTED.to_owned(),
    };
    WordError::new(format!("`{text}`"), wanted)
}

fn as_ipv4(range: &IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = range else { return None };
    let v4 = v6.addr().to_ipv4_mapped()?;
    let prefix = v6.prefix_len().checked_sub(96)?;
    IpNet::new(v4.into(), prefix).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Cidr>().unwrap_err().to_string()
    }

    #[test]
    fn a_bare_address_is_the_range_of_itself() {
        assert_eq!("192.0.2.1".parse::<Cidr>().unwrap().to_string(), "192.0.2.1/32");
        assert_eq!("2001:DB8::1".parse::<Cidr>().unwrap().to_string(), "2001:db8::1/128");
    }

    #[test]
    fn bits_beyond_the_prefix_are_refused_with_both_readings() {
        assert!(error("10.1.2.3/8").contains("wanted `10.0.0.0/8` for the range, or `10.1.2.3` for the address alone"));
    }

    #[test]
    fn ipv4_written_as_ipv6_is_refused() {
        assert!(error("::ffff:10.0.0.0/104").contains("wanted `10.0.0.0/8`"));
        assert!("::/0".parse::<Cidr>().is_ok());
    }

    #[test]
    fn what_is_no_range_is_told_what_one_looks_like() {
        for text in ["", "10.0.0", "example.com", "10.0.0.0-10.0.0.9", "10.0.0.0/255.0.0.0", "010.0.0.1"] {
            error(text);
        }
        assert!(error("10.0.0.0/33").contains("from 0 to 32"));
        assert!(error("::/129").contains("from 0 to 128"));
    }

    #[test]
    fn an_ipv4_client_on_an_ipv6_socket_is_in_the_ipv4_range() {
        let range: Cidr = "10.0.0.0/8".parse().unwrap();
        assert!(range.contains("10.9.9.9".parse().unwrap()));
        assert!(range.contains("::ffff:10.9.9.9".parse().unwrap()));
        assert!(!range.contains("11.0.0.1".parse().unwrap()));
        assert!(!range.contains("2001:db8::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_to_the_same(address: IpAddr, prefix in 0u8..=128) {
            let prefix = if address.is_ipv4() { prefix % 33 } else { prefix };
            let range = IpNet::new(address, prefix).unwrap().trunc();
            prop_assume!(as_ipv4(&range).is_none());
            prop_assert_eq!(Cidr(range).to_string().parse(), Ok(Cidr(range)));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = text.parse::<Cidr>();
        }
    }
}
