//! The rules that the API server is given and those of `streamgate-proxy check`, side by side: for every case of `rules/` both
//! have the same verdict, and the same phrases. CEL is evaluated by kube-cel, the rest of the schema by the few lines below.

use std::path::Path;
use std::sync::LazyLock;

use kube::CustomResourceExt;
use kube_cel::{CompiledSchema, Validator};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use streamgate_crds::manifest::{self, Manifest};
use streamgate_crds::{StreamRoute, TlsSni};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    spec: Value,
    check: Option<String>,
    at: Option<String>,
    apply: Option<String>,
    /// kube-cel lets it pass, the API server doesn't.
    #[serde(default)]
    beyond_kube_cel: bool,
}

#[test]
fn a_stream_route_is_judged_alike_offline_and_by_the_api_server() {
    judged_alike::<StreamRoute>(&json!({ "upstream": { "nodes": [{ "host": "broker", "port": 1883 }] } }), 100);
}

#[test]
fn a_tls_sni_is_judged_alike_offline_and_by_the_api_server() {
    judged_alike::<TlsSni>(&json!({ "snis": ["a.example"], "certificates": [{ "secretName": "tls" }] }), 50);
}

#[test]
fn a_name_of_more_than_63_characters_is_refused_by_both() {
    let spec = json!({ "upstream": { "nodes": [{ "host": "broker", "port": 1883 }] } });
    for (name, is_right) in [("a".repeat(63), true), ("a".repeat(64), false)] {
        let object = object::<StreamRoute>(&name, &spec);
        let offline = manifest::read::<StreamRoute>("", "acme", &name, &object.to_string());
        let refused = Validator::new().validate(&schema::<StreamRoute>(), &object, None);
        assert_eq!((offline.is_ok(), refused.is_ok()), (is_right, is_right), "{name}: {refused:?}");
    }
}

#[test]
fn every_rule_is_met_by_a_case_that_breaks_it() {
    fn rules(schema: &Value, found: &mut Vec<String>) {
        let Some(fields) = schema.as_object() else { return };
        let rules_here = fields.get("x-kubernetes-validations").and_then(Value::as_array);
        found.extend(rules_here.into_iter().flatten().map(|rule| rule["message"].as_str().unwrap().to_owned()));
        fields.values().for_each(|field| rules(field, found));
    }
    let mut messages = Vec::new();
    for schema in [schema::<StreamRoute>(), schema::<TlsSni>()] {
        rules(&schema["properties"], &mut messages);
    }
    assert!(messages.len() > 40, "{messages:?}");
    let told: Vec<_> = ["streamroutes", "tlssnis"].into_iter().flat_map(cases).filter_map(|case| case.apply).collect();
    for message in messages {
        assert!(told.iter().any(|told| message.contains(told.as_str())), "{message}");
    }
}

#[test]
fn a_list_has_as_many_entries_as_its_bound_and_no_more() {
    let node = json!([{ "host": "a", "port": 1 }]);
    let word = |index: usize| json!(format!("a{index}"));
    let bound = |schema: &Value, path: &str| {
        let pointer = path.replace('.', "/properties/");
        schema.pointer(&format!("/properties/spec/properties/{pointer}/maxItems")).unwrap().as_u64().unwrap()
    };
    let full = |most: u64, entry: &dyn Fn(usize) -> Value| -> [Value; 2] {
        let entries: Vec<_> = (0..=usize::try_from(most).unwrap()).map(entry).collect();
        [entries[1..].into(), entries.into()]
    };
    let spec_of = |path: &str, list: Value, mut spec: Value| {
        let mut at = &mut spec;
        for step in path.split('.') {
            at = &mut at[step];
        }
        *at = list;
        spec
    };
    let (schema, _) = &*STREAM_ROUTES;
    let entries: [(_, &dyn Fn(usize) -> Value); 5] = [
        ("listeners", &word),
        ("match.snis", &word),
        ("match.sourceRanges", &|index| json!(format!("10.0.0.{index}"))),
        ("upstream.services", &|index| json!({ "name": format!("a{index}"), "port": 1 })),
        ("upstream.nodes", &|index| json!({ "host": format!("a{index}"), "port": 1 })),
    ];
    for (path, entry) in entries {
        let least = if path.starts_with("upstream") { json!({}) } else { json!({ "upstream": { "nodes": node } }) };
        let [most, more] = full(bound(schema, path), entry).map(|list| spec_of(path, list, least.clone()));
        assert_eq!((is_right::<StreamRoute>(&most), is_right::<StreamRoute>(&more)), (true, false), "{path}");
        assert!(
            same_verdict::<StreamRoute>(&STREAM_ROUTES, &most) && same_verdict::<StreamRoute>(&STREAM_ROUTES, &more)
        );
    }
    let (schema, _) = &*TLS_SNIS;
    let entries: [(_, &dyn Fn(usize) -> Value); 4] = [
        ("snis", &word),
        ("certificates", &|index| json!({ "secretName": format!("a{index}") })),
        ("alpnProtocols", &word),
        ("clientAuth.allowedSubjects", &|index| json!(format!("CN={index}"))),
    ];
    for (path, entry) in entries {
        let least = json!({
            "snis": ["a"],
            "certificates": [{ "secretName": "a" }],
            "clientAuth": { "ca": { "configMapName": "a" } },
        });
        let [most, more] = full(bound(schema, path), entry).map(|list| spec_of(path, list, least.clone()));
        assert_eq!((is_right::<TlsSni>(&most), is_right::<TlsSni>(&more)), (true, false), "{path}");
        assert!(same_verdict::<TlsSni>(&TLS_SNIS, &most) && same_verdict::<TlsSni>(&TLS_SNIS, &more));
    }
}

proptest! {
    #[test]
    fn any_word_is_judged_alike_offline_and_by_the_api_server(
        sni in "([*][.])?([a-bA0x_*-]{0,3}[.]){0,3}[a-b0-1x-]{0,3}[.]?|[0-2:.]{1,9}|\\PC{0,4}",
        range in "[0-2]{0,3}([.][0-2]{1,2}){2,3}(/(|0|[1-9][0-9]?))?|[0-1a-f:]{1,6}(/(|0|[1-9][0-9]{0,2}))?|::ffff:1.2.3.4(/[1-9][0-9]{0,2})?",
        time in "([0-9]{0,6}(h|m|s|ms|d|us)?){0,5}|\\PC{0,4}",
        size in "[0-9]{0,21}(k|M|G|Ki|Mi|Gi|K|m)?|\\PC{0,4}",
        port in "[a-b0-9-]{0,17}|[0-9]{1,6}|\\PC{0,3}",
        host in "([a-b0x_-]{0,3}[.]){0,3}[a-b0-1x-]{0,3}[.]?|[0-2:.]{1,9}|\\PC{0,4}",
        name in "[a-b:# ]{0,4}|\\PC{0,4}|[\\x00-\\x20\\u{80}-\\u{a1}\\u{2000}-\\u{2030}]{1,2}",
    ) {
        let node = json!({ "host": "a", "port": 1 });
        let services = |port: Value| json!({ "upstream": { "services": [{ "name": "a", "port": port }] } });
        let nodes = |name: &str, value: &str| {
            let mut node = node.clone();
            node[name] = value.into();
            json!({ "upstream": { "nodes": [node] } })
        };
        let with = |name: &str, value: Value| json!({ name: value, "upstream": { "nodes": [node] } });
        for spec in [
            with("match", json!({ "snis": [sni] })),
            with("match", json!({ "sourceRanges": [range] })),
            with("mqtt", json!({ "connectTimeout": time })),
            with("mqtt", json!({ "maxConnectSize": size })),
            services(json!(port)),
            nodes("host", &host),
            nodes("name", &name),
        ] {
            prop_assert!(same_verdict::<StreamRoute>(&STREAM_ROUTES, &spec), "{}", spec);
        }
    }

    #[test]
    fn any_subject_is_judged_alike_offline_and_by_the_api_server(
        subject in "((CN|cn|O|DC|X|1[.]2|OID[.]1[.]2|1[.]|) ?= ?[#]?(a|ü|[*]| |[\\\\][,#\\\\+]|[\\\\][0-9A-Fa-f]{1,2}|\\\\C3\\\\BC|\\\\E2\\\\82\\\\AC|[\";=#]){0,3}[,+]?){1,2}|\\PC{0,4}",
        key in "[.]{0,2}[a-bA_ /-]{0,3}|\\PC{0,3}",
        secret in "([a-bA_-]{0,3}[.]?){1,3}",
    ) {
        let tls_sni = |client_auth: Value| {
            json!({ "snis": ["a"], "certificates": [{ "secretName": "a" }], "clientAuth": client_auth })
        };
        for spec in [
            tls_sni(json!({ "ca": { "configMapName": "a" }, "allowedSubjects": [subject] })),
            tls_sni(json!({ "ca": { "configMapName": "a", "key": key } })),
            tls_sni(json!({ "ca": { "secretName": secret } })),
        ] {
            prop_assert!(same_verdict::<TlsSni>(&TLS_SNIS, &spec), "{}", spec);
        }
    }
}

static STREAM_ROUTES: LazyLock<(Value, CompiledSchema)> = LazyLock::new(compiled::<StreamRoute>);

static TLS_SNIS: LazyLock<(Value, CompiledSchema)> = LazyLock::new(compiled::<TlsSni>);

fn compiled<T: CustomResourceExt>() -> (Value, CompiledSchema) {
    let schema = schema::<T>();
    let compiled = kube_cel::compile_schema(&schema);
    (schema, compiled)
}

fn same_verdict<T: Manifest>((schema, compiled): &(Value, CompiledSchema), spec: &Value) -> bool {
    let object = object::<T>("devices", spec);
    let mut broken = Vec::new();
    judge(schema, &object, "", &mut broken);
    let by_rule = Validator::new().validate_compiled(compiled, &object, None);
    is_right::<T>(spec) == (broken.is_empty() && by_rule.is_ok())
}

/// What `check` says of it.
fn is_right<T: Manifest>(spec: &Value) -> bool {
    manifest::read::<T>("", "acme", "devices", &object::<T>("devices", spec).to_string()).is_ok()
}

fn judged_alike<T: Manifest + CustomResourceExt>(least: &Value, at_least: usize) {
    let schema = schema::<T>();
    let cases = cases(&T::plural(&()));
    assert!(cases.len() >= at_least, "{}", cases.len());
    for Case { spec, check, at, apply, beyond_kube_cel } in cases {
        let mut whole = least.clone();
        let fields = whole.as_object_mut().unwrap();
        fields.extend(spec.as_object().unwrap().clone());
        let object = object::<T>("devices", &whole);

        let offline = manifest::read::<T>("", "acme", "devices", &object.to_string());
        let offline: Vec<_> = offline.err().into_iter().flatten().map(|problem| problem.sentence()).collect();
        match &check {
            None => assert!(offline.is_empty(), "{spec}\n{offline:#?}"),
            Some(check) => assert!(offline.iter().any(|found| found.starts_with(check)), "{spec}\n{offline:#?}"),
        }

        if beyond_kube_cel {
            continue;
        }
        let mut by_schema = Vec::new();
        judge(&schema, &object, "", &mut by_schema);
        let by_rule = Validator::new()
            .validate(&schema, &object, None)
            .err()
            .map_or_else(Vec::new, kube_cel::ValidationErrors::into_vec);
        let field = at.as_deref().or(check.as_deref().map(|check| check.split(": ").next().unwrap()));
        match (field, &apply) {
            (None, _) => assert!(by_schema.is_empty() && by_rule.is_empty(), "{spec}\n{by_schema:#?}\n{by_rule:#?}"),
            (Some(field), Some(apply)) if apply.contains("wanted") || apply.contains("found ") => {
                let told =
                    |found: &kube_cel::ValidationError| found.field_path == field && found.message.contains(apply);
                assert!(by_rule.iter().any(told), "{spec}\n{by_rule:#?}");
            }
            (Some(field), _) => assert!(by_schema.iter().any(|found| found == field), "{spec}\n{by_schema:#?}"),
        }
    }
}

fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/rules/{file}.yaml"));
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn object<T: Manifest>(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": T::api_version(&()),
        "kind": T::kind(&()),
        "metadata": { "namespace": "acme", "name": name },
        "spec": spec,
    })
}

fn schema<T: CustomResourceExt>() -> Value {
    let definition = serde_json::to_value(T::crd()).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The fields of `value` that break the schema, its rules in CEL aside.
fn judge(schema: &Value, value: &Value, path: &str, broken: &mut Vec<String>) {
    let number = |name: &str| schema[name].as_f64().map(|number| format!("{number:.0}").parse::<i64>().unwrap());
    let within = |found: i64, least: &str, most: &str| {
        number(least).is_none_or(|least| found >= least) && number(most).is_none_or(|most| found <= most)
    };
    let length = |length: usize| i64::try_from(length).unwrap();
    let is_right = match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match schema["properties"].get(name) {
                    Some(schema) => judge(schema, field, &path, broken),
                    None if ["apiVersion", "kind", "metadata"].contains(&path.as_str()) => {}
                    None => broken.push(path),
                }
            }
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            broken.extend(required.filter(|name| !fields.contains_key(*name)).map(|name| format!("{path}.{name}")));
            schema["type"] == "object"
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                judge(&schema["items"], entry, &format!("{path}[{index}]"), broken);
                let keys = schema["x-kubernetes-list-map-keys"].as_array();
                let key = |entry: &Value| match keys {
                    Some(keys) => keys.iter().map(|key| entry[key.as_str().unwrap()].clone()).collect(),
                    None => vec![entry.clone()],
                };
                let is_keyed = schema["x-kubernetes-list-type"] != "atomic";
                if is_keyed && entries[..index].iter().any(|earlier| key(earlier) == key(entry)) {
                    broken.push(format!("{path}[{index}]"));
                }
            }
            schema["type"] == "array" && within(length(entries.len()), "minItems", "maxItems")
        }
        Value::String(text) => {
            (schema["type"] == "string" || schema["x-kubernetes-int-or-string"] == true)
                && within(length(text.chars().count()), "minLength", "maxLength")
        }
        Value::Number(found) => {
            (schema["type"] == "integer" || schema["x-kubernetes-int-or-string"] == true)
                && found.as_i64().is_some_and(|found| within(found, "minimum", "maximum"))
        }
        _ => false,
    };
    let is_word = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    if !is_right || !is_word {
        broken.push(path.to_owned());
    }
}
