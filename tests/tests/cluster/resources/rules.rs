//! The cases of `crds/tests/rules/`, which `check` is held against beside the crate.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use streamgate_crds::manifest::{self, Manifest};
use streamgate_crds::{StreamRoute, TlsSni};

use super::{cluster, least, manifest, repository};

#[derive(Deserialize)]
struct Case {
    spec: Value,
    check: Option<String>,
    at: Option<String>,
    apply: Option<String>,
}

#[test]
fn a_stream_route_that_check_refuses_is_refused_with_what_to_write_instead_and_no_other() -> Result<()> {
    each_case_is_judged("StreamRoute", "streamroutes", 100)
}

#[test]
fn a_tls_sni_that_check_refuses_is_refused_with_what_to_write_instead_and_no_other() -> Result<()> {
    each_case_is_judged("TlsSni", "tlssnis", 50)
}

#[test]
fn a_name_has_63_characters_at_most() -> Result<()> {
    let cluster = cluster()?;
    let namespace = cluster.namespace("names")?;
    for kind in ["StreamRoute", "TlsSni"] {
        cluster.apply(&manifest(kind, &namespace, &"a".repeat(63), &least(kind)?).to_string())?;
        let longer = manifest(kind, &namespace, &"a".repeat(64), &least(kind)?).to_string();
        let output = cluster.kubectl(&["apply", "-f", "-"], Some(&longer))?;
        let told = "found a `metadata.name` of more than 63 characters; wanted at most 63";
        ensure!(!output.success() && output.stderr.contains(told), "{output:?}");
    }
    Ok(())
}

/// The API server gives up on an object whose rules cost too much; none may, however long its lists and their words are.
#[test]
fn lists_as_long_as_their_bounds_of_words_as_long_as_theirs_are_taken() -> Result<()> {
    let cluster = cluster()?;
    let namespace = cluster.namespace("bounds")?;
    let word = |index: usize, length: usize| format!("{:a<length$}", format!("a{index}"));
    let host = |index: usize| format!("{0}.{1}.{1}.{2}", word(index, 63), "B".repeat(63), word(0, 61));
    let address = |index: usize| format!("2001:0db8:0000:0000:1111:2222:3333:{index:04x}");
    let list = |most: usize, entry: &dyn Fn(usize) -> Value| (0..most).map(entry).collect::<Value>();
    let nodes = |host: &dyn Fn(usize) -> String| list(64, &|index| json!({ "host": host(index), "port": 1883 }));
    let route = |nodes: Value| {
        json!({
            "listeners": list(16, &|index| word(index, 63).into()),
            "match": { "snis": list(64, &|index| host(index).into()), "sourceRanges": list(128, &|index| address(index).into()) },
            "upstream": { "nodes": nodes },
        })
    };
    let named = |index| json!({ "name": word(index, 253), "host": address(index), "port": 1883 });
    let services = list(32, &|index| json!({ "name": word(index, 63), "port": word(0, 15) }));
    for (name, spec) in [
        ("hosts", route(nodes(&host))),
        ("addresses", route(nodes(&address))),
        ("names", route(list(64, &named))),
        ("services", json!({ "upstream": { "services": services } })),
    ] {
        cluster.apply(&manifest("StreamRoute", &namespace, name, &spec).to_string()).context(name)?;
    }
    let tls_sni = json!({
        "snis": list(64, &|index| host(index).into()),
        "certificates": list(8, &|index| json!({ "secretName": word(index, 253) })),
        "alpnProtocols": list(16, &|index| word(index, 255).into()),
        "clientAuth": {
            "ca": { "configMapName": "a" },
            "allowedSubjects": list(64, &|index| format!("CN={}", word(index, 1021)).into()),
        },
    });
    cluster.apply(&manifest("TlsSni", &namespace, "devices", &tls_sni).to_string())
}

#[test]
fn the_api_server_fills_in_what_the_proxy_would() -> Result<()> {
    fills_in::<StreamRoute>("StreamRoute")?;
    fills_in::<TlsSni>("TlsSni")
}

#[test]
fn a_service_that_one_owner_applies_stays_while_another_applies_its_own() -> Result<()> {
    let cluster = cluster()?;
    let namespace = cluster.namespace("owners")?;
    for (owner, port) in [("first", Value::from(1883)), ("second", "mqtt".into())] {
        let spec = json!({ "upstream": { "services": [{ "name": "broker", "port": port }] } });
        let text = manifest("StreamRoute", &namespace, "devices", &spec).to_string();
        let owner = format!("--field-manager={owner}");
        let apply = ["apply", "--server-side", &owner, "-f", "-"];
        cluster.kubectl(&apply, Some(&text))?.succeeded("kubectl apply --server-side")?;
    }
    let route = cluster.json(&["get", "streamroute", "devices", "-n", &namespace])?;
    let services = route["spec"]["upstream"]["services"].as_array().context("services")?;
    let ports: Vec<_> = services.iter().map(|service| service["port"].clone()).collect();
    assert_eq!(ports, [Value::from(1883), "mqtt".into()]);
    Ok(())
}

/// That the object which the API server gives back for the least `spec` has what the proxy reads into it.
fn fills_in<T: Manifest + Serialize>(kind: &str) -> Result<()> {
    let cluster = cluster()?;
    let namespace = cluster.namespace("defaults")?;
    let least = manifest(kind, &namespace, "devices", &least(kind)?).to_string();
    cluster.apply(&least)?;
    let stored = cluster.json(&["get", kind, "devices", "-n", &namespace])?;
    let read =
        |text: &str| manifest::read::<T>("", &namespace, "devices", text).map_err(|found| anyhow::anyhow!("{found:?}"));
    assert_eq!(stored["spec"], serde_json::to_value(read(&least)?)?["spec"]);
    assert_eq!(serde_json::to_value(read(&stored.to_string())?)?["spec"], stored["spec"]);
    Ok(())
}

fn each_case_is_judged(kind: &str, file: &str, at_least: usize) -> Result<()> {
    let text = std::fs::read_to_string(repository().join(format!("crds/tests/rules/{file}.yaml")))?;
    let cases: Vec<Case> = serde_saphyr::from_str(&text)?;
    ensure!(cases.len() >= at_least, "{} cases", cases.len());
    let cluster = cluster()?;
    let namespace = cluster.namespace("rules")?;
    let mut manifests = String::new();
    for (index, case) in cases.iter().enumerate() {
        let mut spec = least(kind)?;
        let fields = case.spec.as_object().context("a spec")?.clone();
        spec.as_object_mut().context("a spec")?.extend(fields);
        writeln!(manifests, "{}\n---", manifest(kind, &namespace, &format!("case-{index}"), &spec))?;
    }
    let output = cluster.kubectl(&["apply", "-f", "-"], Some(&manifests))?;
    let taken = cluster.json(&["get", kind, "-n", &namespace])?;
    let taken: Vec<_> =
        taken["items"].as_array().context("items")?.iter().map(|item| &item["metadata"]["name"]).collect();
    for (index, Case { spec, check, at, apply }) in cases.iter().enumerate() {
        let name = format!("case-{index}");
        let is_taken = taken.iter().any(|taken| **taken == *name);
        ensure!(is_taken == check.is_none(), "{spec}: {}", output.stderr);
        let (Some(check), Some(apply)) = (check, apply) else { continue };
        let field = at.as_deref().or(check.split(": ").next()).context("a field")?;
        let told = refusal(&output.stderr, &name, apply);
        ensure!(told.contains(field) && told.contains(apply.as_str()), "{spec}: {field}: {apply}\n{told}");
    }
    Ok(())
}

/// What kubectl told of one object of many; of an unknown field it does not say whose.
fn refusal<'a>(told: &'a str, name: &str, apply: &str) -> &'a str {
    if apply == "unknown field" {
        return told;
    }
    let (_, of_it) = told.split_once(&format!("\"{name}\" is invalid:")).unwrap_or(("", told));
    of_it.split("\" is invalid:").next().unwrap_or_default()
}
