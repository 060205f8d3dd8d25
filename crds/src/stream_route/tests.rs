use super::*;
use crate::duration::Duration;
use crate::manifest;
use crate::size::Size;

mod upstream;

const HEAD: &str = "apiVersion: streamgate.dev/v1alpha1\nkind: StreamRoute\nspec:\n";
const NODES: &str = "nodes: [{host: a, port: 1}]";

fn read(spec: &str) -> Result<StreamRoute, Vec<crate::Problem>> {
    manifest::read("f.yaml", "acme", "devices", &format!("{HEAD}{spec}"))
}

fn spec(spec: &str) -> StreamRouteSpec {
    read(spec).unwrap().spec
}

/// The problems of a `spec` whose first line is the fourth of the file.
fn problems(spec: &str) -> Vec<String> {
    let problems = read(spec).expect_err(spec);
    problems.iter().map(|problem| format!("{}: {}", problem.location.unwrap(), problem.sentence())).collect()
}

fn refused(cases: &[(&str, &str)]) {
    for (spec, wanted) in cases {
        let found = problems(spec);
        assert!(found.len() == 1 && found[0] == *wanted, "{spec}\n{found:#?}");
    }
}

#[test]
fn only_an_upstream_is_needed_and_the_rest_has_its_defaults() {
    assert_eq!(
        spec(&format!("  upstream: {{{NODES}}}\n")),
        StreamRouteSpec {
            gateway: "default".into(),
            listeners: vec![],
            r#match: RouteMatch { snis: vec![], source_ranges: vec![] },
            mqtt: Mqtt {
                protocol_name: ProtocolName::Mqtt,
                protocol_levels: vec![],
                connect_timeout: Duration::from_secs(10),
                max_connect_size: Size(65_536),
                client_id: ClientId { policy: ClientIdPolicy::Any, certificate_field: CertificateField::CommonName },
            },
            upstream: Upstream {
                services: vec![],
                nodes: vec![Node { name: None, host: "a".into(), port: 1, weight: 1 }],
                load_balancer: LoadBalancer { r#type: LoadBalancerType::RoundRobin, key: None },
                connect_timeout: Duration::from_secs(5),
                connack_timeout: Duration::from_secs(10),
                retries: 2,
            },
            on_drain: OnDrain { will: OnDrainWill::Publish, server_reference: None },
        }
    );
}

#[test]
fn an_empty_mapping_has_the_defaults_of_one_that_is_absent() {
    let absent = spec(&format!("  upstream: {{{NODES}}}\n"));
    let empty = format!("  match: {{}}\n  mqtt: {{clientId: {{}}}}\n  upstream: {{loadBalancer: {{}}, {NODES}}}\n");
    assert_eq!(spec(&empty), absent);
    assert_eq!(Mqtt::default(), absent.mqtt);
    assert_eq!(Upstream::of_nodes(absent.upstream.nodes.clone()), absent.upstream);
}

#[test]
fn every_field_that_is_written_counts() {
    let spec = spec(
        "  gateway: edge\n  listeners: [mqtts, plain]\n  match: {snis: [A.example.com., \"*.b.example\"], sourceRanges: [10.0.0.0/8, \
         \"2001:db8::1\"]}\n  mqtt: {protocolName: MQTT, protocolLevels: [3, 5], connectTimeout: 1m30s, maxConnectSize: 1Mi, \
         clientId: {policy: MatchesCertificate, certificateField: UriSan}}\n  upstream: {services: [{name: a, port: 1883, \
         weight: 0}, {name: a, port: mqtt, weight: 65535}], loadBalancer: {type: ConsistentHash, key: Username}, \
         connectTimeout: 250ms, retries: 0}\n",
    );
    assert_eq!(
        spec,
        StreamRouteSpec {
            gateway: "edge".into(),
            listeners: vec!["mqtts".into(), "plain".into()],
            r#match: RouteMatch {
                snis: vec![Sni::Exact("a.example.com".into()), Sni::Wildcard("b.example".into())],
                source_ranges: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::1/128".parse().unwrap()],
            },
            mqtt: Mqtt {
                protocol_name: ProtocolName::Mqtt,
                protocol_levels: vec![3, 5],
                connect_timeout: Duration::from_secs(90),
                max_connect_size: Size(1 << 20),
                client_id: ClientId {
                    policy: ClientIdPolicy::MatchesCertificate,
                    certificate_field: CertificateField::UriSan,
                },
            },
            upstream: Upstream {
                services: vec![
                    ServiceRef { name: "a".into(), port: ServicePort::Number(1883), weight: 0 },
                    ServiceRef { name: "a".into(), port: ServicePort::Name("mqtt".into()), weight: 65_535 },
                ],
                nodes: vec![],
                load_balancer: LoadBalancer { r#type: LoadBalancerType::ConsistentHash, key: Some(HashKey::Username) },
                connect_timeout: Duration::from_millis(250),
                connack_timeout: Duration::from_secs(10),
                retries: 0,
            },
            on_drain: OnDrain::default(),
        }
    );
}

#[test]
fn the_levels_are_those_of_the_protocol_name_unless_written() {
    for (mqtt, levels) in [
        ("{}", &[4, 5][..]),
        ("{protocolName: MQIsdp}", &[3]),
        ("{protocolName: MQIsdp, protocolLevels: [3]}", &[3]),
        ("{protocolLevels: [3, 4]}", &[3, 4]),
    ] {
        assert_eq!(spec(&format!("  mqtt: {mqtt}\n  upstream: {{{NODES}}}\n")).mqtt.levels(), levels, "{mqtt}");
    }
}

#[test]
fn names_of_gateway_and_listeners_are_labels() {
    refused(&[
        (
            "  gateway: My_Gateway\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:12: spec.gateway: found `My_Gateway`; wanted a gateway's name: at most 52 lower-case letters, digits and `-`, \
             beginning and ending with a letter or digit",
        ),
        (
            "  listeners: [a, b.c]\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:18: spec.listeners[1]: found `b.c`; wanted at most 63 lower-case letters, digits and `-`, beginning and ending \
             with a letter or digit",
        ),
        (
            "  listeners: [a, b, a]\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:21: spec.listeners[2]: found `a`, which [0] is already; wanted each entry once",
        ),
    ]);
}

#[test]
fn a_list_whose_absence_means_all_is_not_empty() {
    for (field, place, path) in [
        ("listeners: []", "4:14", "listeners"),
        ("match: {snis: []}", "4:17", "match.snis"),
        ("match: {sourceRanges: []}", "4:25", "match.sourceRanges"),
        ("mqtt: {protocolLevels: []}", "4:26", "mqtt.protocolLevels"),
    ] {
        assert_eq!(
            problems(&format!("  {field}\n  upstream: {{{NODES}}}\n")),
            [format!("{place}: spec.{path}: found an empty list; wanted at least one entry, or the field left out")]
        );
    }
}

#[test]
fn names_to_match_are_names_and_each_is_there_once() {
    refused(&[
        (
            "  match: {snis: [a, \"*\"]}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:21: spec.match.snis[1]: found `*`; wanted names such as `mqtt.example.com` or `*.example.com`, or no `snis` at \
             all for every name of the TlsSnis of this namespace",
        ),
        (
            "  match: {snis: [a.example, A.Example.]}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:29: spec.match.snis[1]: found `a.example`, which [0] is already; wanted each entry once",
        ),
        (
            "  match: {snis: [10.0.0.1]}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:18: spec.match.snis[0]: found the IP address `10.0.0.1`; wanted a DNS name, for a client that connects to an \
             address sends no server name (RFC 6066)",
        ),
        (
            "  match: {sourceRanges: [10.0.0.0/8, 10.1.2.3/8]}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:38: spec.match.sourceRanges[1]: found `10.1.2.3/8`, an address within a range; wanted `10.0.0.0/8` for the \
             range, or `10.1.2.3` for the address alone",
        ),
        (
            "  match: {sourceRanges: [10.0.0.1, 10.0.0.1/32]}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:36: spec.match.sourceRanges[1]: found `10.0.0.1/32`, which [0] is already; wanted each entry once",
        ),
    ]);
}

#[test]
fn levels_are_those_that_mqtt_has_under_the_name() {
    refused(&[
        (
            "  mqtt: {protocolLevels: [4, 6]}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:30: spec.mqtt.protocolLevels[1]: found the level 6; wanted 3 (MQTT 3.1), 4 (MQTT 3.1.1) or 5 (MQTT 5.0)",
        ),
        (
            "  mqtt: {protocolName: MQIsdp, protocolLevels: [3, 4]}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:52: spec.mqtt.protocolLevels[1]: found the level 4 with `protocolName: MQIsdp`; wanted 3, the level of MQTT \
             3.1, or `protocolName: MQTT`, with which `protocolLevels` may have 3, 4 and 5",
        ),
        (
            "  mqtt: {protocolLevels: [4, 4]}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:30: spec.mqtt.protocolLevels[1]: found `4`, which [0] is already; wanted each entry once",
        ),
    ]);
}

#[test]
fn times_and_sizes_are_within_what_works() {
    refused(&[
        (
            "  mqtt: {connectTimeout: 0s}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:26: spec.mqtt.connectTimeout: found `0s`; wanted a time longer than nothing, such as `10s`",
        ),
        (
            "  mqtt: {connectTimeout: 10}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:26: spec.mqtt.connectTimeout: found the number 10; wanted a duration with its unit, such as \"10s\", \"500ms\" or \
             \"1m30s\"",
        ),
        (
            "  upstream: {connectTimeout: 0ms, nodes: [{host: a, port: 1}]}\n",
            "4:30: spec.upstream.connectTimeout: found `0s`; wanted a time longer than nothing, such as `10s`",
        ),
        (
            "  mqtt: {maxConnectSize: 63}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:26: spec.mqtt.maxConnectSize: found 63 bytes; wanted 64 to 268435460 bytes, such as `64Ki`",
        ),
        (
            "  mqtt: {maxConnectSize: 1Gi}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:26: spec.mqtt.maxConnectSize: found 1073741824 bytes; wanted 64 to 268435460 bytes, such as `64Ki`",
        ),
    ]);
    spec(&format!("  mqtt: {{maxConnectSize: 64}}\n  upstream: {{{NODES}}}\n"));
    spec(&format!("  mqtt: {{maxConnectSize: 268435460}}\n  upstream: {{{NODES}}}\n"));
}

#[test]
fn a_field_that_another_would_switch_on_is_not_there_without_it() {
    refused(&[
        (
            "  mqtt: {clientId: {policy: NonEmpty, certificateField: DnsSan}}\n  upstream: {nodes: [{host: a, port: 1}]}\n",
            "4:57: spec.mqtt.clientId.certificateField: found `DnsSan` without the policy that needs it; wanted `policy: \
             MatchesCertificate` beside it, or no `certificateField`",
        ),
        (
            "  upstream: {loadBalancer: {key: ClientId}, nodes: [{host: a, port: 1}]}\n",
            "4:34: spec.upstream.loadBalancer.key: found `ClientId` without the type that needs it; wanted `type: \
             ConsistentHash` beside it, or no `key`",
        ),
    ]);
}

#[test]
fn words_out_of_a_list_are_told_the_list() {
    for (field, place, wanted) in [
        ("mqtt: {protocolName: mqtt}", "4:24: spec.mqtt.protocolName", "found `mqtt`; wanted one of `MQTT`, `MQIsdp`"),
        (
            "mqtt: {clientId: {policy: any}}",
            "4:29: spec.mqtt.clientId.policy",
            "found `any`; wanted one of `Any`, `NonEmpty`, `MatchesCertificate`",
        ),
        (
            "mqtt: {clientId: {certificateField: cn}}",
            "4:39: spec.mqtt.clientId.certificateField",
            "found `cn`; wanted one of `CommonName`, `DnsSan`, `UriSan`, `EmailSan`",
        ),
    ] {
        assert_eq!(problems(&format!("  {field}\n  upstream: {{{NODES}}}\n")), [format!("{place}: {wanted}")]);
    }
    refused(&[
        (
            "  upstream: {loadBalancer: {type: roundrobin}, nodes: [{host: a, port: 1}]}\n",
            "4:35: spec.upstream.loadBalancer.type: found `roundrobin`; wanted one of `RoundRobin`, \
             `ConsistentHash`, `LeastConnections`, `Random2`",
        ),
        (
            "  upstream: {loadBalancer: {type: ConsistentHash, key: mqtt_client_id}, nodes: [{host: a, port: 1}]}\n",
            "4:56: spec.upstream.loadBalancer.key: found `mqtt_client_id`; wanted one of `ClientId`, `SourceIp`, `Username`, \
             `CertificateSubject`, `Sni`",
        ),
    ]);
}
