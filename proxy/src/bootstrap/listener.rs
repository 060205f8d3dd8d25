//! A listener, as the file and as the flag have it.

use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// A place where clients come in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The name by which a StreamRoute refers to it: a DNS label (RFC 1123).
    pub name: String,
    /// The address and port it listens on.
    #[serde(deserialize_with = "deserialize_address")]
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// MQTT in the clear.
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
}

impl FromStr for Listener {
    type Err = String;

    /// Reads `name=plain,address=0.0.0.0:1883,protocol=MQTT`, in any order.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut name, mut address, mut protocol) = (None, None, None);
        for part in text.split(',') {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` has no `=`; wanted {EXAMPLE}"))?;
            let is_second = match key {
                "name" => name.replace(value.to_owned()).is_some(),
                "address" => address.replace(parse_address(value)?).is_some(),
                "protocol" => protocol.replace(value.parse()?).is_some(),
                _ => return Err(format!("`{key}` is unknown; wanted {EXAMPLE}")),
            };
            if is_second {
                return Err(format!("`{key}` comes twice; wanted {EXAMPLE}"));
            }
        }
        let missing = |key: &str| format!("`{key}=` is missing; wanted {EXAMPLE}");
        Ok(Self {
            name: name.ok_or_else(|| missing("name"))?,
            address: address.ok_or_else(|| missing("address"))?,
            protocol: protocol.ok_or_else(|| missing("protocol"))?,
        })
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "MQTT" => Ok(Self::Mqtt),
            "MQTTS" => Ok(Self::Mqtts),
            _ => Err(format!("protocol `{text}` is unknown; wanted `MQTT` or `MQTTS`")),
        }
    }
}

/// Reads an address and a port.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let example = match text.rsplit_once(':') {
            _ if text.parse::<std::net::Ipv6Addr>().is_ok() => format!("`[{text}]:1883`"),
            Some((host, port)) if port.parse::<u16>().is_ok() && host.is_empty() => format!("`0.0.0.0:{port}`"),
            None if text.parse::<u16>().is_ok() => format!("`0.0.0.0:{text}`"),
            _ => "`0.0.0.0:1883` or `[::1]:8883`".to_owned(),
        };
        format!("address `{text}` is none; wanted an IP address and a port, such as {example}")
    })
}

/// [`parse_address`] for serde.
pub(super) fn deserialize_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parse_address(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

const EXAMPLE: &str = "such as name=plain,address=0.0.0.0:1883,protocol=MQTT";
