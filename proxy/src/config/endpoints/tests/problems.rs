//! Files that can not be read as what they should be.

use proptest::prelude::*;

use super::*;

#[test]
fn each_problem_says_where_it_is_and_what_to_write() {
    let slice_line = |lines: &str| format!("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n{lines}");
    for (yaml, wanted) in [
        (
            "",
            "found neither a Service nor an EndpointSlice; wanted the Service and its EndpointSlices, or the EndpointSlices alone",
        ),
        ("apiVersion: v1\nkind: List\nitems: []\n", "found neither a Service nor an EndpointSlice; wanted the Service"),
        ("a: [\n", "1:4: found what is no YAML: unclosed bracket '['; wanted YAML or JSON"),
        (
            "apiVersion: v1\nkind: Pod\n",
            "2:7: kind: found `Pod`; wanted `Service`, `EndpointSlice` or a `List` of them",
        ),
        ("apiVersion: v1\n", "1:1: kind: found nothing; wanted `Service`, `EndpointSlice` or a `List` of them"),
        ("apiVersion: v2\nkind: Service\n", "1:13: apiVersion: found `v2`; wanted `v1`"),
        ("apiVersion: v1\nkind: EndpointSlice\n", "1:13: apiVersion: found `v1`; wanted `discovery.k8s.io/v1`"),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {namespace: globex}\nspec: {}\n",
            "3:23: metadata.namespace: found `globex`; wanted `acme`, as the name of the file has it",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: other}\nspec: {}\n",
            "3:18: metadata.name: found `other`; wanted `broker`, as the name of the file has it",
        ),
        ("apiVersion: v1\nkind: Service\n", "1:1: spec: found nothing; wanted the Service's `ports`"),
        (
            "apiVersion: v1\nkind: Service\nspec: {type: ExternalName}\n",
            "3:7: spec.externalName: found nothing; wanted the DNS name that the Service stands for",
        ),
        (
            "apiVersion: v1\nkind: Service\nspec: {ports: [{port: 0}]}\n",
            "3:23: spec.ports[0].port: found the port 0; wanted a port from 1 to 65535",
        ),
        (
            "apiVersion: v1\nkind: Service\nspec: {ports: [{port: 65536}]}\n",
            "3:23: spec.ports[0].port: found the number 65536; wanted a whole number from 0 to 65535",
        ),
        (
            "apiVersion: v1\nkind: Service\nspec: {}\n---\napiVersion: v1\nkind: Service\nspec: {}\n",
            "6:7: kind: found a second Service; wanted one, after which the file is named",
        ),
        (
            &slice_line("metadata: {labels: {kubernetes.io/service-name: other}}\naddressType: IPv4\n"),
            "metadata.labels.kubernetes.io/service-name: found `other`; wanted `broker`, as the name of the file has it",
        ),
        (&slice_line("endpoints: []\n"), "1:1: addressType: found nothing; wanted `IPv4` or `IPv6`"),
        (
            &slice_line("addressType: FQDN\n"),
            "3:14: addressType: found `FQDN`; wanted `IPv4` or `IPv6`; for a DNS name, a Service with `type: ExternalName`",
        ),
        (
            &slice_line("addressType: IPv4\nports: [{port: 0}]\n"),
            "4:16: ports[0].port: found the port 0; wanted a port from 1 to 65535",
        ),
        (
            &slice_line("addressType: IPv4\nendpoints:\n- addresses: [10.0.0.1]\n- addresses: [\"::1\"]\n"),
            "6:15: endpoints[1].addresses[0]: found `::1`; wanted an IPv4 address",
        ),
        (
            &slice_line("addressType: IPv6\nendpoints: [{addresses: [10.0.0.1]}]\n"),
            "4:26: endpoints[0].addresses[0]: found `10.0.0.1`; wanted an IPv6 address",
        ),
        (
            &slice_line("addressType: IPv4\nendpoints: [{addresses: [broker.example]}]\n"),
            "4:26: endpoints[0].addresses[0]: found `broker.example`; wanted an IPv4 address",
        ),
        (
            &slice_line("addressType: IPv4\nendpoints: [{addresses: []}]\n"),
            "4:25: endpoints[0].addresses: found nothing; wanted an IPv4 address",
        ),
        (
            &slice_line("addressType: IPv4\nendpoints: [{}]\n"),
            "4:13: endpoints[0].addresses: found nothing; wanted an IPv4 address",
        ),
        (
            &slice_line("addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], conditions: {ready: yes}}]\n"),
            "4:57: endpoints[0].conditions.ready: found `yes`; wanted `true` or `false`",
        ),
        (
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  spec: {ports: [{port: 0}]}\n",
            "6:25: items[0].spec.ports[0].port: found the port 0; wanted a port from 1 to 65535",
        ),
    ] {
        let found = problems(yaml);
        let is_there = found.len() == 1 && found[0].strip_prefix(FILE).is_some_and(|found| found.contains(wanted));
        assert!(
            is_there
                && (wanted.starts_with(|c: char| !c.is_ascii_digit())
                    || found[0].starts_with(&format!("{FILE}:{wanted}"))),
            "{yaml}\n{found:#?}\n{wanted}"
        );
    }
}

#[test]
fn problems_of_all_documents_are_told_together() {
    let yaml = service("{port: 0}") + &slice("{port: 0}", "{addresses: [x]}, {addresses: [y]}") + "kind: Pod\n";
    assert_eq!(problems(&yaml).len(), 5, "{:#?}", problems(&yaml));
}

#[test]
fn hostile_files_end_with_a_problem_or_without_endpoints() {
    let nested = format!("{}{}", "{apiVersion: v1, kind: List, items: [".repeat(10_000), "]}".repeat(10_000));
    let aliases = "- &a [*a, *a, *a, *a]\n".repeat(50);
    for yaml in [
        "[".repeat(100_000),
        "- ".repeat(100_000),
        nested,
        format!("- &a [x]\n{aliases}"),
        "---\nkind: Pod\n".repeat(2_000),
        "\0".to_owned(),
        "\u{feff}\t".to_owned(),
        "a: 1\na: 2\n".to_owned(),
        format!("kind: {}\n", "x".repeat(1_000_000)),
    ] {
        let found = problems(&yaml);
        assert!(found.iter().all(|problem| problem.len() < 2_000), "{}", &yaml[..yaml.len().min(80)]);
    }
}

#[test]
fn ten_thousand_endpoints_are_read_in_a_moment() {
    let endpoint = |each: usize| {
        format!(
            "{{addresses: [10.0.{}.{}], conditions: {{ready: true}}, targetRef: {{kind: Pod, name: p-{each}}}}}",
            each / 250,
            each % 250
        )
    };
    let slices: String = (0..10)
        .map(|part| {
            slice(MQTT_AT_21883, &(0..1_000).map(|each| endpoint(part * 1_000 + each)).collect::<Vec<_>>().join(", "))
        })
        .collect();
    let start = std::time::Instant::now();
    assert_eq!(resolved(&(service(MQTT) + &slices), &number(1883)).len(), 10_000);
    // A generous bound for a slow machine without optimization.
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}

proptest! {
    #[test]
    fn a_file_with_something_put_in_never_makes_it_panic(
        at: prop::sample::Index,
        length in 0..20usize,
        text in "\\PC{0,8}|[\\[\\]{}:,&*!|>'\"%@`#\t\r\n\0 -]{0,8}",
        port in 0..3_000u16,
    ) {
        let whole = include_str!("../../../../../examples/standalone/config/endpoints/acme.broker.yaml");
        let whole: Vec<char> = whole.chars().collect();
        let at = at.index(whole.len());
        let end = (at + length).min(whole.len());
        let changed: String = whole[..at].iter().copied().chain(text.chars()).chain(whole[end..].iter().copied()).collect();
        match read(&changed) {
            Ok(endpoints) => {
                let _ = (endpoints.resolve(&number(port)), endpoints.resolve(&name(&text)));
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    #[test]
    fn the_order_of_slices_and_endpoints_changes_nothing(
        (entries, shuffled) in prop::collection::vec((1..6u8, prop::option::of(0..3u8), any::<Option<bool>>(), any::<bool>()), 0..8)
            .prop_flat_map(|entries| (Just(entries.clone()), Just(entries).prop_shuffle())),
        parts in 1..4usize,
    ) {
        let text = |entries: &[(u8, Option<u8>, Option<bool>, bool)], parts: usize| -> String {
            let endpoint = |(address, pod, ready, terminating): &(u8, Option<u8>, Option<bool>, bool)| {
                let pod = pod.map_or("null".to_owned(), |pod| format!("{{kind: Pod, name: p{pod}}}"));
                let ready = ready.map_or("null".to_owned(), |ready| ready.to_string());
                let conditions = format!("{{ready: {ready}, serving: true, terminating: {terminating}}}");
                format!("{{addresses: [10.0.0.{address}], targetRef: {pod}, conditions: {conditions}}}")
            };
            let size = entries.len().div_ceil(parts).max(1);
            let slices = entries.chunks(size).map(|part| slice(MQTT_AT_21883, &part.iter().map(endpoint).collect::<Vec<_>>().join(", ")));
            service(MQTT) + &slices.collect::<String>()
        };
        let found = resolved(&text(&entries, 1), &number(1883));
        prop_assert_eq!(resolved(&text(&shuffled, parts), &number(1883)), found);
    }
}
