use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::problem::Location;

const ROUTE: &str = "apiVersion: streamgate.dev/v1alpha1\nkind: StreamRoute\n";
const TLS_SNI: &str = "apiVersion: streamgate.dev/v1alpha1\nkind: TlsSni\n";
const UPSTREAM: &str = "  upstream: {nodes: [{host: a, port: 1}]}\n";

fn route(yaml: &str) -> Result<StreamRoute, Vec<Problem>> {
    read("streamroutes/acme.devices.yaml", "acme", "devices", yaml)
}

fn tls_sni(yaml: &str) -> Result<TlsSni, Vec<Problem>> {
    read("tlssnis/acme.devices.yaml", "acme", "devices", yaml)
}

/// The problems of a route, without file and object.
fn problems(yaml: &str) -> Vec<String> {
    let place = |problem: &Problem| problem.location.map(|place| format!("{place}: ")).unwrap_or_default();
    route(yaml).unwrap_err().iter().map(|problem| format!("{}{}", place(problem), problem.sentence())).collect()
}

#[test]
fn what_kubectl_prints_of_a_route_is_read() {
    let route = route(include_str!("tests/kubectl_stream_route.yaml")).unwrap();
    assert_eq!(route.spec.upstream.services.len(), 1);
    assert_eq!(route.metadata.resource_version.as_deref(), Some("48213"));
    assert_eq!(route.metadata.creation_timestamp.unwrap().0.to_string(), "2025-03-01T10:20:30Z");
}

#[test]
fn what_kubectl_prints_of_a_tls_sni_as_json_is_read() {
    let tls_sni = tls_sni(include_str!("tests/kubectl_tls_sni.json")).unwrap();
    assert_eq!(tls_sni.spec.certificates[0].secret_name, "acme-tls");
    assert_eq!(tls_sni.metadata.managed_fields.unwrap().len(), 1);
}

#[test]
fn what_a_dry_run_prints_is_read() {
    route(&format!("{ROUTE}metadata:\n  creationTimestamp: null\n  name: devices\nspec:\n{UPSTREAM}status: {{}}\n"))
        .unwrap();
}

#[test]
fn namespace_and_name_may_be_left_to_the_file() {
    for metadata in
        ["", "metadata:\n", "metadata: {}\n", "metadata: {name: devices}\n", "metadata: {namespace: acme}\n"]
    {
        let route = route(&format!("{ROUTE}{metadata}spec:\n{UPSTREAM}")).unwrap();
        assert_eq!(route.reference().to_string(), "StreamRoute acme/devices", "{metadata}");
    }
}

#[test]
fn namespace_and_name_that_are_not_the_files_are_refused() {
    assert_eq!(
        problems(&format!("{ROUTE}metadata:\n  namespace: globex\n  name: device\nspec:\n{UPSTREAM}")),
        [
            "4:14: metadata.namespace: found `globex`; wanted `acme`, as the file's name has it",
            "5:9: metadata.name: found `device`; wanted `devices`, as the file's name has it",
        ]
    );
}

#[test]
fn a_name_out_of_the_file_is_judged_too() {
    let yaml = format!("{ROUTE}spec:\n{UPSTREAM}");
    let found = read::<StreamRoute>("f", "Acme", "de/vices", &yaml).unwrap_err();
    let fields: Vec<_> = found.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["metadata.namespace", "metadata.name"]);
    let found = read::<StreamRoute>("f", "", "", &yaml).unwrap_err();
    assert_eq!(found.len(), 2);
}

#[test]
fn another_version_or_kind_is_told_the_right_one_before_all_else() {
    for (yaml, wanted) in [
        (
            "kind: StreamRoute\nspec: 1\n",
            "1:1: apiVersion: found nothing; wanted `apiVersion: streamgate.dev/v1alpha1`",
        ),
        (
            "apiVersion: streamgate.dev/v1\nkind: StreamRoute\n",
            "1:13: apiVersion: found `streamgate.dev/v1`; wanted `apiVersion: streamgate.dev/v1alpha1`",
        ),
        ("apiVersion: streamgate.dev/v1alpha1\nspec: 1\n", "1:1: kind: found nothing; wanted `kind: StreamRoute`"),
        (TLS_SNI, "2:7: kind: found `TlsSni`; wanted `kind: StreamRoute`"),
        (
            "apiVersion: streamgate.dev/v1alpha1\nkind: [StreamRoute]\n",
            "2:7: kind: found what is no text; wanted `kind: StreamRoute`",
        ),
    ] {
        assert_eq!(problems(yaml), [wanted], "{yaml}");
    }
}

#[test]
fn what_is_no_manifest_is_told_what_one_begins_with() {
    for yaml in ["foo", "- a\n", "5", "{}"] {
        let found = problems(yaml);
        assert_eq!(found.len(), 2, "{yaml}: {found:?}");
        assert!(found[0].contains("`apiVersion: streamgate.dev/v1alpha1`"), "{yaml}: {found:?}");
    }
}

#[test]
fn a_manifest_without_a_spec_is_told_what_it_lacks() {
    for spec in ["", "spec:\n", "spec: {}\n", "spec: null\n"] {
        let found = problems(&format!("{ROUTE}{spec}"));
        assert!(
            found[0].ends_with("spec.upstream: found nothing; wanted a value, for the field is required"),
            "{found:?}"
        );
    }
}

#[test]
fn a_field_beside_the_known_ones_is_refused_at_its_place() {
    for (yaml, place, field) in [
        (format!("{ROUTE}spce: 1\nspec:\n{UPSTREAM}"), "3:1", "spce"),
        (format!("{ROUTE}metadata: {{nam: x}}\nspec:\n{UPSTREAM}"), "3:12", "metadata.nam"),
        (format!("{ROUTE}spec:\n  gatewey: a\n{UPSTREAM}"), "4:3", "spec.gatewey"),
        (format!("{ROUTE}spec:\n  match: {{sni: [a]}}\n{UPSTREAM}"), "4:11", "spec.match.sni"),
        (format!("{ROUTE}spec:\n  mqtt: {{keepAlive: 1}}\n{UPSTREAM}"), "4:10", "spec.mqtt.keepAlive"),
        (format!("{ROUTE}spec:\n  mqtt: {{clientId: {{field: a}}}}\n{UPSTREAM}"), "4:21", "spec.mqtt.clientId.field"),
        (
            format!("{ROUTE}spec:\n  upstream: {{nodes: [{{host: a, port: 1, tls: 1}}]}}\n"),
            "4:41",
            "spec.upstream.nodes[0].tls",
        ),
        (
            format!("{ROUTE}spec:\n  upstream: {{services: [{{name: a, port: 1, ns: b}}]}}\n"),
            "4:44",
            "spec.upstream.services[0].ns",
        ),
        (
            format!("{ROUTE}spec:\n  upstream: {{loadBalancer: {{kind: a}}, nodes: [{{host: a, port: 1}}]}}\n"),
            "4:29",
            "spec.upstream.loadBalancer.kind",
        ),
    ] {
        let found = problems(&yaml);
        let wanted = format!("{place}: {field}: found a field that does not exist; wanted one of `");
        assert!(found.len() == 1 && found[0].starts_with(&wanted), "{yaml}: {found:?}");
    }
}

#[test]
fn a_problem_says_all_from_the_file_to_the_remedy() {
    let found = route(&format!("{ROUTE}spec:\n  upstream: {{nodes: [{{host: a, port: 0}}]}}\n")).unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "streamroutes/acme.devices.yaml:4:38: StreamRoute acme/devices: spec.upstream.nodes[0].port: found the port 0; \
         wanted a port from 1 to 65535"
    );
}

#[test]
fn syntax_is_told_with_file_place_and_object() {
    let found = route("a: [\n").unwrap_err();
    assert_eq!(found.len(), 1);
    assert!(
        found[0]
            .to_string()
            .starts_with("streamroutes/acme.devices.yaml:1:4: StreamRoute acme/devices: found what is no YAML")
    );
}

#[test]
fn problems_of_metadata_and_spec_are_told_together() {
    let found = problems(&format!(
        "{ROUTE}metadata: {{name: x, labels: {{a: 1}}}}\nspec:\n  gateway: 5\n  mqtt: {{connectTimeout: 10}}\nfoo: 1\n"
    ));
    let fields: Vec<_> = found.iter().filter_map(|problem| problem.split(": ").nth(1)).collect();
    assert_eq!(fields, ["foo", "metadata.labels.a", "spec.gateway", "spec.mqtt.connectTimeout", "spec.upstream"]);
}

#[test]
fn several_problems_of_the_rules_are_told_together() {
    let found = problems(&format!(
        "{ROUTE}spec:\n  gateway: A\n  listeners: [x, x]\n  match: {{snis: [\"*\"]}}\n  mqtt: {{protocolLevels: [9], connectTimeout: \
         0s}}\n  upstream: {{nodes: [{{host: a, port: 0}}], services: [{{name: b, port: 1}}]}}\n"
    ));
    assert_eq!(found.len(), 7, "{found:?}");
}

#[test]
fn as_many_problems_are_told_as_a_person_can_use() {
    for entry in ["\"a b\"", "\"*\"", "a"] {
        let snis = vec![entry; 50_000].join(", ");
        assert_eq!(problems(&format!("{ROUTE}spec:\n  match: {{snis: [{snis}]}}\n{UPSTREAM}")).len(), 20, "{entry}");
    }
}

#[test]
fn a_manifest_reads_the_same_however_its_lines_end() {
    let yaml = format!("{ROUTE}spec:\n{UPSTREAM}");
    let read = route(&yaml).unwrap();
    for other in
        [yaml.replace('\n', "\r\n"), yaml.replace('\n', "\r"), format!("\u{feff}{yaml}"), yaml.trim_end().to_owned()]
    {
        assert_eq!(route(&other).unwrap(), read, "{other:?}");
    }
}

#[test]
fn a_manifest_of_two_documents_is_refused() {
    let yaml = format!("{ROUTE}spec:\n{UPSTREAM}");
    assert!(problems(&format!("{yaml}---\n{yaml}"))[0].starts_with("6:1: found more than one document"));
    route(&format!("---\n{yaml}---\n")).unwrap();
}

#[test]
fn a_manifest_that_is_empty_is_refused() {
    for yaml in ["", "# nothing yet\n", "---\n"] {
        assert_eq!(problems(yaml), ["1:1: found nothing; wanted one document"]);
    }
}

#[test]
fn a_field_twice_is_refused_wherever_it_is() {
    for yaml in [
        format!("{ROUTE}kind: StreamRoute\nspec:\n{UPSTREAM}"),
        format!("{ROUTE}spec:\n{UPSTREAM}{UPSTREAM}"),
        format!("{ROUTE}spec:\n{UPSTREAM}status: {{a: 1, a: 2}}\n"),
    ] {
        assert!(problems(&yaml)[0].contains("a second time; wanted each field once"), "{yaml}");
    }
}

#[test]
fn aliases_and_merges_work_in_a_manifest() {
    let yaml = format!(
        "{ROUTE}spec:\n  upstream:\n    nodes:\n      - &first {{host: a, port: 1, weight: 7}}\n      - {{<<: *first, host: b}}\n"
    );
    let nodes = route(&yaml).unwrap().spec.upstream.nodes;
    assert_eq!(nodes.iter().map(|node| (node.host.as_str(), node.weight)).collect::<Vec<_>>(), [("a", 7), ("b", 7)]);
}

#[test]
fn control_characters_in_a_value_never_reach_the_message() {
    for text in ["a\\nb", "a\\0b", "a\\e[2Jb", "a\\rb", "a\\Lb"] {
        let found = problems(&format!("{ROUTE}spec:\n  gateway: \"{text}\"\n{UPSTREAM}"));
        assert!(found.len() == 1 && !found[0].contains(|c: char| c.is_control() || c == '\u{2028}'), "{found:?}");
    }
}

#[test]
fn hostile_values_end_soon_and_in_short_messages() {
    let long = "a".repeat(500_000);
    let colons = format!("a{}", ":1".repeat(400_000));
    let commas = "CN=a,".repeat(200_000);
    let stars = "*a".repeat(300_000);
    for yaml in [
        format!("{ROUTE}spec:\n  gateway: {long}\n{UPSTREAM}"),
        format!("{ROUTE}spec:\n  listeners: [{long}, {long}]\n{UPSTREAM}"),
        format!(
            "{ROUTE}spec:\n  match: {{snis: [\"{stars}\", \"{colons}\"], sourceRanges: [\"{colons}\"]}}\n{UPSTREAM}"
        ),
        format!("{ROUTE}spec:\n  mqtt: {{connectTimeout: {long}, maxConnectSize: 1{long}}}\n{UPSTREAM}"),
        format!("{ROUTE}spec:\n  upstream: {{nodes: [{{host: \"{colons}\", port: 1, name: {long}}}]}}\n"),
        format!("{ROUTE}spec:\n  upstream: {{services: [{{name: {long}, port: {long}}}]}}\n"),
        format!("{TLS_SNI}spec:\n  snis: [a]\n  certificates: [{{secretName: {long}}}]\n"),
        format!("{TLS_SNI}spec:\n  snis: [a]\n  certificates: [{{secretName: a}}]\n  alpnProtocols: [{long}]\n"),
        format!(
            "{TLS_SNI}spec:\n  snis: [a]\n  certificates: [{{secretName: a}}]\n  clientAuth: {{ca: {{configMapName: a}}, \
             allowedSubjects: [\"{commas}\", \"{long}\", \"/{commas}\", \"{stars}\"]}}\n"
        ),
    ] {
        let start = Instant::now();
        let found =
            if yaml.starts_with(ROUTE) { route(&yaml).map(drop) } else { tls_sni(&yaml).map(drop) }.unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(20), "{}: {:?}", &yaml[..120], start.elapsed());
        assert!(found.iter().all(|problem| problem.to_string().len() < 3_000), "{}", &yaml[..120]);
    }
}

/// A manifest with every field, in which things are broken.
const WHOLE: [&str; 2] =
    [include_str!("tests/kubectl_stream_route.yaml"), include_str!("../../../examples/tlssnis/allowed-subjects.yaml")];

proptest! {
    #[test]
    fn a_manifest_cut_anywhere_never_makes_it_panic(which in 0..2usize, at: prop::sample::Index) {
        let text = WHOLE[which];
        let cut: String = text.chars().take(at.index(text.chars().count())).collect();
        let _ = (route(&cut), tls_sni(&cut));
    }

    #[test]
    fn a_manifest_with_something_put_in_never_makes_it_panic(
        which in 0..2usize,
        at: prop::sample::Index,
        length in 0..20usize,
        text in "\\PC{0,8}|[\\[\\]{}:,&*!|>'\"%@`#\t\r\n\0 -]{0,8}",
    ) {
        let whole: Vec<char> = WHOLE[which].chars().collect();
        let at = at.index(whole.len());
        let end = (at + length).min(whole.len());
        let changed: String = whole[..at].iter().copied().chain(text.chars()).chain(whole[end..].iter().copied()).collect();
        for found in [route(&changed).map(drop), tls_sni(&changed).map(drop)].into_iter().filter_map(Result::err) {
            prop_assert!(!found.is_empty() && found.len() <= 60);
            let lines = changed.split(['\n', '\r']).count() as u64;
            for problem in found {
                let Location { line, column } = problem.location.unwrap();
                prop_assert!((1..=lines).contains(&line) && column >= 1, "{}", problem);
                prop_assert!(!problem.to_string().contains('\n'));
            }
        }
    }
}
