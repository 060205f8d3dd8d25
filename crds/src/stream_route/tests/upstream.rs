//! Where the clients go.

use super::*;

#[test]
fn a_service_has_weight_one_by_default() {
    let spec = spec("  upstream: {services: [{name: broker, port: mqtt}]}\n");
    let service = ServiceRef { name: "broker".into(), port: ServicePort::Name("mqtt".into()), weight: 1 };
    assert_eq!(spec.upstream, Upstream::of_services(vec![service]));
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
            "{host: \"::ffff:192.0.2.1\", port: 1}",
            "4:29: spec.upstream.nodes[0].host: found `::ffff:192.0.2.1`, IPv4 written",
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
fn an_upstream_in_short_names_its_first_and_counts_the_others() {
    for (upstream, summary) in [
        ("services: [{name: broker, port: mqtt}]", "broker:mqtt"),
        ("services: [{name: a, port: 1}, {name: b, port: 2, weight: 0}]", "a:1, b:2"),
        ("nodes: [{host: 192.0.2.1, port: 1}, {name: x, host: b, port: 2}]", "192.0.2.1:1, x"),
        (
            "nodes: [{host: a, port: 1}, {host: b, port: 1}, {host: c, port: 1}, {host: d, port: 1}, {host: e, port: 1}]",
            "a:1, b:1, c:1 and 2 more",
        ),
    ] {
        assert_eq!(spec(&format!("  upstream: {{{upstream}}}\n")).upstream.summary(), summary);
    }
}
