//! A port of a Service.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::{Serialize, Serializer};

use crate::name;
use crate::schema;
use crate::word::Wanted;

/// A port of a Service, by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServicePort {
    /// By number, from 1.
    Number(u16),
    /// By the name that the Service gives it.
    Name(String),
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Serialize for ServicePort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u16(*number),
            Self::Name(name) => serializer.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for ServicePort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ServicePortVisitor)
    }
}

impl JsonSchema for ServicePort {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ServicePort".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 15
        });
        schema::rule(RULE, &schema::wanted(name::PORT_WANTED))(&mut schema);
        schema
    }
}

/// A name has a letter; what has none is a number, and no text.
const RULE: &str = "string(self).matches('[a-z]') ? string(self).matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$') && \
    !string(self).contains('--') : self != string(self) && int(self) >= 1 && int(self) <= 65535";

struct ServicePortVisitor;

const PORT_WANTED: &str = "a port number from 1 to 65535, or the name of a port of the Service";

impl Visitor<'_> for ServicePortVisitor {
    type Value = ServicePort;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PORT_WANTED)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<ServicePort, E> {
        u16::try_from(number)
            .map(ServicePort::Number)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &Wanted(PORT_WANTED)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<ServicePort, E> {
        u16::try_from(number)
            .map(ServicePort::Number)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &Wanted(PORT_WANTED)))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<ServicePort, E> {
        Ok(ServicePort::Name(name.to_owned()))
    }
}
