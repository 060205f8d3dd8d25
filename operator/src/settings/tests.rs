use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

const LEAST: &str = "\
namespace: streamgate-system
gateways:
- name: default
  service: {namespace: streamgate-system, name: streamgate-default}
  listeners: [{name: mqtts, protocol: MQTTS}]
";

fn problems(text: &str) -> String {
    let problems = Settings::parse("operator.yaml", text).expect_err("read without a problem");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn gateway(fields: &str) -> Gateway {
    let text = format!("{LEAST}{fields}");
    Settings::parse("operator.yaml", &text).unwrap_or_else(|problems| panic!("{problems:?}")).gateways.remove(0)
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_short_file_has_the_defaults() {
    let settings = Settings::parse("operator.yaml", LEAST).unwrap();
    assert_eq!(settings.lease_name, "streamgate-operator");
    assert_eq!(settings.lease_duration, Duration::from_secs(4));
    assert_eq!(settings.ticket_key_rotation, Duration::from_hours(24));
    assert_eq!(settings.admin.to_string(), "127.0.0.1:9902");
    assert!(settings.is_watched("anything"));
    let gateway = &settings.gateways[0];
    assert!(gateway.allowed_namespaces.is_none());
    assert!(gateway.domains.is_none() && !gateway.allow_external_upstreams);
}

#[test]
fn only_the_namespaces_to_watch_count() {
    let settings = Settings::parse("operator.yaml", &format!("watchNamespaces: [acme]\n{LEAST}")).unwrap();
    assert!(settings.is_watched("acme") && !settings.is_watched("other"));
}

#[test]
fn namespaces_are_chosen_by_name_or_by_label() {
    let by_name = gateway("  allowedNamespaces: {names: [acme]}\n").allowed_namespaces.unwrap();
    assert!(by_name.contains("acme", &BTreeMap::new()) && !by_name.contains("other", &BTreeMap::new()));

    let by_label = gateway(
        "  allowedNamespaces:
    matchLabels: {team: devices}
    matchExpressions: [{key: stage, operator: NotIn, values: [test]}]
",
    )
    .allowed_namespaces
    .unwrap();
    assert!(by_label.contains("acme", &labels(&[("team", "devices")])));
    assert!(!by_label.contains("acme", &labels(&[("team", "devices"), ("stage", "test")])));
    assert!(!by_label.contains("acme", &labels(&[("team", "other")])));
}

#[test]
fn every_problem_is_told_with_line_and_column() {
    let text = "\
namespace: Streamgate
leaseName: Own
leaseDuration: 10ms
admin: 9902
gateways:
- name: default
  service: {namespace: streamgate-system, name: streamgate-default}
  listeners: []
  plaintextNamespaces: {names: [acme], matchLabels: {team: devices}}
- name: default
  service: {namespace: streamgate-system, name: streamgate-default}
  listeners: [{name: mqtts, protocol: MQTTS}, {name: mqtts, protocol: MQTT}]
  allowedNamespaces: {matchExpressions: [{key: stage, operator: In}]}
";
    let told = problems(&text.replace("admin: 9902\n", ""));
    for line in [
        "operator.yaml:1:12: namespace: found `Streamgate`; wanted at most 63 lower-case",
        "operator.yaml:2:12: leaseName: found `Own`; wanted at most 63 lower-case",
        "operator.yaml:3:16: leaseDuration: found `10ms`; wanted at least `1s`",
        "operator.yaml:7:14: gateways[0].listeners: found none; wanted one or more",
        "operator.yaml:8:24: gateways[0].plaintextNamespaces: found names and labels; wanted either",
        "operator.yaml:9:9: gateways[1].name: found `default` a second time; wanted a name of its own",
        "operator.yaml:11:54: gateways[1].listeners[1].name: found `mqtts` a second time",
        "gateways[1].allowedNamespaces.matchExpressions[0].values: found none; wanted one value or more",
    ] {
        assert!(told.contains(line), "no `{line}` in\n{told}");
    }
    assert!(problems(text).contains("operator.yaml:4:8: admin: found "), "{}", problems(text));
}

#[test]
fn a_gateway_has_its_namespace_for_itself() {
    for text in [
        LEAST.replace("name: default", "name: system"),
        format!("watchNamespaces: [acme, streamgate-default]\n{LEAST}"),
        LEAST.replace("{namespace: streamgate-system", "{namespace: streamgate-default"),
    ] {
        let told = problems(&text);
        assert!(told.contains("gateways[0].name: found `") && told.contains("; wanted another name"), "{told}");
    }
}

#[test]
fn an_unknown_field_is_a_problem() {
    let told = problems(&format!("{LEAST}  allowExternalUpstream: true\n"));
    assert!(told.contains("operator.yaml:6:3: gateways[0].allowExternalUpstream"), "{told}");
}
