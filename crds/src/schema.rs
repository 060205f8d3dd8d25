//! What the API server is told of a field besides its type: rules in CEL, and how a list is merged.
//!
//! A rule here and the one of [`Manifest::validate`](crate::manifest::Manifest::validate) are two forms of the same: both have
//! the verdict that the other has, and the same phrases.

use schemars::Schema;
use serde_json::{Value, json};

/// Adds a rule: a CEL expression over `self`, and what to tell who breaks it. Of one value the API server shows what was
/// found, so the message is what is wanted; of a mapping or a list it is both.
pub(crate) fn rule(expression: &str, message: &str) -> impl FnMut(&mut Schema) + use<> {
    add(json!({ "rule": expression, "message": message }))
}

/// Adds a rule that is about one field of a mapping: `.key`.
pub(crate) fn rule_of(field: &str, expression: &str, message: &str) -> impl FnMut(&mut Schema) + use<> {
    add(json!({ "rule": expression, "message": message, "fieldPath": field }))
}

/// What a rule says of a single value.
pub(crate) fn wanted(phrase: &str) -> String {
    format!("wanted {phrase}")
}

/// What a rule says of a mapping or a list.
pub(crate) fn found(found: &str, wanted: &str) -> String {
    format!("found {found}; wanted {wanted}")
}

/// A list whose entries are told apart by these of their fields: each is there once, and each has an owner of its own
/// (server-side apply).
pub(crate) fn map_by(keys: &'static [&'static str]) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("x-kubernetes-list-type".to_owned(), "map".into());
        schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
    }
}

/// A list of single values, each there once, each with an owner of its own (server-side apply).
pub(crate) fn set(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".to_owned(), "set".into());
}

/// A list that is replaced as a whole.
pub(crate) fn atomic(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".to_owned(), "atomic".into());
}

fn add(rule: Value) -> impl FnMut(&mut Schema) {
    move |schema| {
        let rules = schema.ensure_object().entry("x-kubernetes-validations").or_insert_with(|| json!([]));
        if let Value::Array(rules) = rules {
            rules.push(rule.clone());
        }
    }
}

/// Writes the schema of a text that is a `String` in the code: `with = "Name"` gives it to a field.
macro_rules! text_schema {
    ($(#[$doc:meta])* $name:ident, $most:expr, $([$rule:expr, $wanted:expr]),+ $(,)?) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl ::schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                let mut schema = ::schemars::json_schema!({ "type": "string", "minLength": 1, "maxLength": $most });
                $($crate::schema::rule($rule, &$crate::schema::wanted($wanted))(&mut schema);)+
                schema
            }
        }
    };
}
pub(crate) use text_schema;
