use super::*;
use crate::manifest;

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
fn a_service_has_weight_one_by_default() {
    let spec = spec("  upstream: {services: [{name: broker, port: mqtt}]}\n");
    let service = ServiceRef { name: "broker".into(), port: ServicePort::Name("mqtt".into()), weight: 1 };
    assert_eq!(spec.upstream, Upstream::of_services(vec![service]));
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
fn what_is_hashed_is_the_client_id_unless_written() {
    for (load_balancer, key) in [
        ("{type: ConsistentHash}", HashKey::ClientId),
        ("{type: ConsistentHash, key: Sni}", HashKey::Sni),
        ("{type: ConsistentHash, key: SourceIp}", HashKey::SourceIp),
        ("{type: ConsistentHash, key: CertificateSubject}", HashKey::CertificateSubject),
    ] {
        let spec = spec(&format!("  upstream: {{loadBalancer: {load_balancer}, {NODES}}}\n"));
        assert_eq!(spec.upstream.load_balancer.key(), key, "{load_balancer}");
    }
}

#[test]
fn a_node_is_by_its_name_else_by_its_host_and_port() {
    for (node, identity) in [
        ("{name: broker-0, host: a, port: 1}", "broker-0"),
        ("{host: Broker.Example.com, port: 1883}", "broker.example.com:1883"),
        ("{host: 192.0.2.1, port: 1}", "192.0.2.1:1"),
        ("{host: \"2001:DB8:0:0::1\", port: 1}", "[2001:db8::1]:1"),
    ] {
        let spec = spec(&format!("  upstream: {{nodes: [{node}]}}\n"));
        assert_eq!(spec.upstream.nodes[0].identity(), identity, "{node}");
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
fn an_upstream_is_either_services_or_nodes() {
    refused(&[
        ("  upstream: {}\n", "4:13: spec.upstream: found neither `services` nor `nodes`; wanted one of the two"),
        (
            "  upstream: {nodes: []}\n",
            "4:13: spec.upstream: found neither `services` nor `nodes`; wanted one of the two",
        ),
        (
            "  upstream: {nodes: [{host: a, port: 1}], services: [{name: a, port: 1}]}\n",
            "4:13: spec.upstream: found both `services` and `nodes`; wanted one of the two",
        ),
    ]);
}

#[test]
fn a_service_is_a_name_a_port_and_a_weight() {
    const PORT: &str = "wanted a port number from 1 to 65535, or the name of a port of the Service";
    for (service, wanted) in [
        (
            "{name: A, port: 1}",
            "4:32: spec.upstream.services[0].name: found `A`; wanted at most 63 lower-case".to_owned(),
        ),
        (
            "{name: a.b, port: 1}",
            "4:32: spec.upstream.services[0].name: found `a.b`; wanted at most 63 lower-case".to_owned(),
        ),
        (
            "{name: a, port: 0}",
            "4:41: spec.upstream.services[0].port: found the port 0; wanted a port from 1".to_owned(),
        ),
        ("{name: a, port: 65536}", format!("4:41: spec.upstream.services[0].port: found the number 65536; {PORT}")),
        ("{name: a, port: -1}", format!("4:41: spec.upstream.services[0].port: found the number -1; {PORT}")),
        ("{name: a, port: 1.5}", format!("4:41: spec.upstream.services[0].port: found the number 1.5; {PORT}")),
        ("{name: a, port: \"1883\"}", format!("4:41: spec.upstream.services[0].port: found `1883`; {PORT}")),
        ("{name: a, port: MQTT}", format!("4:41: spec.upstream.services[0].port: found `MQTT`; {PORT}")),
        ("{name: a}", "4:25: spec.upstream.services[0].port: found nothing; wanted a value, for the field".to_owned()),
        ("{port: 1}", "4:25: spec.upstream.services[0].name: found nothing; wanted a value, for the field".to_owned()),
        (
            "{name: a, port: 1, weight: 65536}",
            "4:52: spec.upstream.services[0].weight: found the weight 65536; wanted 0 to 65535".to_owned(),
        ),
        (
            "{name: a, port: 1}, {name: a, port: 1, weight: 2}",
            "4:45: spec.upstream.services[1]: found `a:1`, which [0] is already; wanted each entry once".to_owned(),
        ),
    ] {
        let found = problems(&format!("  upstream: {{services: [{service}]}}\n"));
        assert!(found.len() == 1 && found[0].starts_with(&wanted), "{service}: {found:#?}");
    }
}

#[test]
fn a_node_is_a_host_a_port_and_a_weight_and_perhaps_a_name() {
    for (node, wanted) in [
        (
            "{host: \"a:1883\", port: 1}",
            "4:29: spec.upstream.nodes[0].host: found `a:1883`; wanted `host: \"a\"` and, beside it",
        ),
        (
            "{host: \"[::1]\", port: 1}",
            "4:29: spec.upstream.nodes[0].host: found `[::1]`; wanted `::1`, without the brackets",
        ),
        ("{host: \"mqtt://a\", port: 1}", "4:29: spec.upstream.nodes[0].host: found `mqtt://a`, in which"),
        (
            "{host: 10.0.0.256, port: 1}",
            "4:29: spec.upstream.nodes[0].host: found `10.0.0.256`, in which the last label",
        ),
        ("{host: a, port: 0}", "4:38: spec.upstream.nodes[0].port: found the port 0; wanted a port from 1 to 65535"),
        (
            "{host: a, port: mqtt}",
            "4:38: spec.upstream.nodes[0].port: found `mqtt`; wanted a whole number from 0 to 65535",
        ),
        (
            "{host: a, port: 1, weight: 65536}",
            "4:49: spec.upstream.nodes[0].weight: found the weight 65536; wanted 0 to",
        ),
        (
            "{host: a, port: 1, name: \"a b\"}",
            "4:47: spec.upstream.nodes[0].name: found `a b`; wanted 1 to 253 characters",
        ),
        ("{host: a, port: 1, name: \"\"}", "4:47: spec.upstream.nodes[0].name: found ``; wanted 1 to 253 characters"),
        ("{port: 1}", "4:22: spec.upstream.nodes[0].host: found nothing; wanted a value, for the field is required"),
        ("{host: a, port: 1}, {host: A, port: 1}", "4:42: spec.upstream.nodes[1]: found `a:1`, which [0] is already"),
        (
            "{host: a, port: 1, name: x}, {host: b, port: 1, name: x}",
            "4:51: spec.upstream.nodes[1]: found `x`, which [0] is already",
        ),
        (
            "{host: a, port: 1}, {host: b, port: 1, name: \"a:1\"}",
            "4:42: spec.upstream.nodes[1]: found `a:1`, which [0] is already",
        ),
    ] {
        let found = problems(&format!("  upstream: {{nodes: [{node}]}}\n"));
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{node}: {found:#?}");
    }
}

#[test]
fn retries_are_a_small_number() {
    refused(&[(
        "  upstream: {retries: 256, nodes: [{host: a, port: 1}]}\n",
        "4:23: spec.upstream.retries: found the number 256; wanted a whole number from 0 to 255",
    )]);
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
