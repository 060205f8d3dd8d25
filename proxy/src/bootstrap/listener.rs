//! A listener, as the file and the flag have it.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use streamgate_crds::problem::WordError;

/// A place where clients come in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The name by which a `StreamRoute` refers to it: a DNS label (RFC 1123).
    pub name: String,
    /// The address and port it listens on; with port 0, one that is free.
    #[serde(deserialize_with = "deserialize_address")]
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// MQTT in the clear.
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
}

impl FromStr for Listener {
    type Err = WordError;

    /// Reads `name=plain,address=0.0.0.0:1883,protocol=MQTT`, its parts in any order.
    fn from_str(text: &str) -> Result<Self, WordError> {
        let (mut name, mut address, mut protocol) = (None, None, None);
        for part in text.split(',') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(WordError::new(format!("`{part}`"), EXAMPLE));
            };
            let is_second = match key {
                "name" => name.replace(value.to_owned()).is_some(),
                "address" => address.replace(parse_address(value)?).is_some(),
                "protocol" => protocol.replace(value.parse()?).is_some(),
                _ => return Err(WordError::new(format!("`{key}=`"), EXAMPLE)),
            };
            if is_second {
                return Err(WordError::new(
                    format!("`{key}=` a second time"),
                    "it once; further listeners by further flags",
                ));
            }
        }
        let missing = |key: &str| WordError::new(format!("no `{key}=`"), EXAMPLE);
        Ok(Self {
            name: name.ok_or_else(|| missing("name"))?,
            address: address.ok_or_else(|| missing("address"))?,
            protocol: protocol.ok_or_else(|| missing("protocol"))?,
        })
    }
}

impl Protocol {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "MQTT",
            Self::Mqtts => "MQTTS",
        }
    }
}

impl FromStr for Protocol {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        match text {
            "MQTT" => Ok(Self::Mqtt),
            "MQTTS" => Ok(Self::Mqtts),
            _ => Err(WordError::new(format!("the protocol `{text}`"), "`MQTT` or `MQTTS`")),
        }
    }
}

/// Reads an IP address with its port.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, WordError> {
    text.parse().map_err(|_| {
        let example = if text.parse::<Ipv6Addr>().is_ok() {
            format!("`[{text}]:1883`")
        } else if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
            format!("`0.0.0.0:{port}` or `[::]:{port}`")
        } else {
            "`0.0.0.0:1883` or `[::1]:8883`".to_owned()
        };
        WordError::new(format!("`{text}`"), format!("an IP address with a port: {example}"))
    })
}

/// Reads an IP address with its port by serde. The error comes from the value itself, so that it has the value's place.
pub fn deserialize_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    deserializer.deserialize_str(AddressVisitor)
}

struct AddressVisitor;

impl Visitor<'_> for AddressVisitor {
    type Value = SocketAddr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an IP address with a port, such as \"0.0.0.0:1883\" or \"[::1]:8883\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SocketAddr, E> {
        parse_address(text).map_err(|error| E::invalid_value(Unexpected::Other(&error.found), &error.wanted.as_str()))
    }
}

const EXAMPLE: &str = "name=plain,address=0.0.0.0:1883,protocol=MQTT";
