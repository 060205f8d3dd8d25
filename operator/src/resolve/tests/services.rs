//! Services of every kind, to the endpoints that the proxy reads.

use streamgate_crds::stream_route::ServicePort;
use streamgate_proxy::config::endpoints::{Resolved, ServiceEndpoints};

use super::*;

const PORTS: &str = r#"[{"name": "mqtt", "port": 1883}]"#;

/// Who the proxy would go to by this port of `acme/broker`: `identity@address`; what else it says where that fails.
fn endpoints(cluster: &Cluster, port: ServicePort) -> Vec<String> {
    let text = cluster.text("endpoints.acme.broker");
    let read = ServiceEndpoints::read("file", "acme", "broker", text)
        .unwrap_or_else(|problems| panic!("{problems:?}: {text}"));
    match read.resolve(&port) {
        Ok(Resolved::Endpoints(endpoints)) => endpoints
            .into_iter()
            .map(|endpoint| {
                let addresses: Vec<_> = endpoint.addresses.iter().map(ToString::to_string).collect();
                format!("{}@{}", endpoint.identity, addresses.join(","))
            })
            .collect(),
        Ok(Resolved::External { host, port }) => vec![format!("{host}:{port}")],
        Err(error) => vec![error.to_string()],
    }
}

fn by_name() -> ServicePort {
    ServicePort::Name("mqtt".into())
}

fn ports() -> Value {
    serde_json::from_str(PORTS).unwrap()
}

fn entry(name: &str, address: &str, conditions: Value) -> Value {
    json!({"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod", "name": name}})
}

#[test]
fn a_port_is_meant_by_its_name_or_its_number_of_the_service() {
    let mut cluster = Cluster::with_acme();
    cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 18830, "targetPort": 1883}]}));
    cluster.rest();
    for port in [by_name(), ServicePort::Number(18830)] {
        assert_eq!(endpoints(&cluster, port), ["broker-0@10.0.0.1:1883"]);
    }
}

#[test]
fn slices_add_up_and_whoever_is_in_two_of_them_is_one() {
    let mut cluster = Cluster::with_acme();
    cluster.slice(
        "acme/broker-2",
        "broker",
        ports(),
        json!([pod("broker-0", "10.0.0.1"), pod("broker-1", "10.0.0.2")]),
    );
    let six = slice("acme/broker-6", "broker", "IPv6", ports(), json!([pod("broker-0", "2001:db8::1")]));
    cluster.apply(Change::Slice(name("acme/broker-6"), Slice::of(&six)));
    cluster.rest();
    assert_eq!(endpoints(&cluster, by_name()), ["broker-0@10.0.0.1:1883,[2001:db8::1]:1883", "broker-1@10.0.0.2:1883"]);
}

#[test]
fn who_takes_clients_is_who_kube_proxy_would_take() {
    let cases = [
        ("absent conditions", json!({}), true),
        ("absent ready", json!({"serving": true}), true),
        ("ready", json!({"ready": true}), true),
        ("published though not ready", json!({"ready": true, "serving": false}), true),
        ("not ready", json!({"ready": false}), false),
        ("not ready but serving", json!({"ready": false, "serving": true}), false),
        ("terminating", json!({"ready": false, "serving": false, "terminating": true}), false),
        ("terminating but serving", json!({"ready": false, "serving": true, "terminating": true}), true),
    ];
    for (what, conditions, takes) in cases {
        let mut cluster = Cluster::with_acme();
        cluster.slice("acme/broker-1", "broker", ports(), json!([entry("broker-0", "10.0.0.1", conditions)]));
        cluster.rest();
        assert_eq!(endpoints(&cluster, by_name()).len(), usize::from(takes), "{what}");
    }
}

#[test]
fn who_terminates_counts_while_nobody_is_ready_in_any_slice() {
    let terminating =
        || json!([entry("broker-0", "10.0.0.1", json!({"ready": false, "serving": true, "terminating": true}))]);
    let mut cluster = Cluster::with_acme();
    cluster.slice("acme/broker-1", "broker", ports(), terminating());
    cluster.rest();
    assert_eq!(endpoints(&cluster, by_name()), ["broker-0@10.0.0.1:1883"]);
    cluster.slice("acme/broker-2", "broker", ports(), json!([pod("broker-1", "10.0.0.2")]));
    cluster.rest();
    assert_eq!(endpoints(&cluster, by_name()), ["broker-1@10.0.0.2:1883"]);
}

#[test]
fn a_service_without_a_selector_has_the_slices_that_somebody_wrote() {
    let mut cluster = Cluster::with_acme();
    cluster.slice("acme/broker-1", "broker", ports(), json!([{"addresses": ["192.0.2.7"]}]));
    cluster.rest();
    assert_eq!(endpoints(&cluster, by_name()), ["192.0.2.7:1883@192.0.2.7:1883"]);
}

#[test]
fn a_headless_service_without_ports_means_its_endpoints_own() {
    let mut cluster = Cluster::with_acme();
    cluster.service("acme/broker", json!({"clusterIP": "None"}));
    cluster.route("acme/devices", json!({"upstream": {"services": [{"name": "broker", "port": 1883}]}}));
    cluster.slice("acme/broker-1", "broker", json!([]), json!([pod("broker-0", "10.0.0.1")]));
    cluster.rest();
    assert_eq!(endpoints(&cluster, ServicePort::Number(1883)), ["broker-0@10.0.0.1:1883"]);
    assert_eq!(cluster.conditions(&route_ref("acme/devices"))[1], "ResolvedRefs=True: ResolvedRefs");
    cluster.slice("acme/broker-1", "broker", json!([]), json!([]));
    cluster.rest();
    assert_eq!(endpoints(&cluster, ServicePort::Number(1883)), Vec::<String>::new());
}

#[test]
fn a_dns_name_is_passed_on_where_the_owner_allows_it() {
    let external = json!({"type": "ExternalName", "externalName": "broker.example.com"});
    let by_number = json!({"upstream": {"services": [{"name": "broker", "port": 1883}]}});
    let mut cluster = Cluster::with_acme();
    cluster.service("acme/broker", external.clone());
    cluster.route("acme/devices", by_number.clone());
    cluster.rest();
    assert_eq!(endpoints(&cluster, ServicePort::Number(1883)), ["broker.example.com:1883"]);

    let mut cluster = Cluster::with(Gateway { allow_external_upstreams: false, ..open_gateway() });
    cluster.service("acme/broker", external);
    cluster.route("acme/devices", by_number);
    cluster.rest();
    assert_eq!(cluster.generated(), ["streamroutes.acme.devices"]);
    assert_eq!(
        cluster.conditions(&route_ref("acme/devices"))[..2],
        ["Accepted=True: Accepted", "ResolvedRefs=False: ExternalUpstreamNotAllowed"]
    );
}

#[test]
fn addresses_of_the_proxys_own_machine_and_those_that_the_owner_denies_are_left_out() {
    let denied = vec!["10.0.0.0/28".parse().unwrap()];
    let mut cluster = Cluster::with(Gateway { denied_upstreams: denied, ..open_gateway() });
    cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
    cluster.route("acme/devices", json!({"upstream": to_broker()}));
    let bad = ["127.0.0.1", "127.9.9.9", "169.254.169.254", "0.0.0.0", "10.0.0.15"];
    let all = bad.iter().chain(&["10.0.0.16"]).map(|address| json!({"addresses": [address]}));
    cluster.slice("acme/broker-1", "broker", ports(), all.collect::<Vec<_>>().into());
    let bad =
        ["::1", "::", "fe80::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"].map(|address| json!({"addresses": [address]}));
    let six = slice("acme/broker-6", "broker", "IPv6", ports(), bad.to_vec().into());
    cluster.apply(Change::Slice(name("acme/broker-6"), Slice::of(&six)));
    cluster.rest();
    assert_eq!(endpoints(&cluster, by_name()), ["10.0.0.16:1883@10.0.0.16:1883"]);
    let route = route_ref("acme/devices");
    assert_eq!(cluster.conditions(&route)[1], "ResolvedRefs=False: UpstreamDenied");
    assert!(cluster.message(&route, "ResolvedRefs").contains("0.0.0.0"), "{}", cluster.message(&route, "ResolvedRefs"));
}

#[test]
fn a_proxy_is_no_broker_whoever_says_so() {
    let mut cluster = Cluster::with_acme();
    cluster.slice("acme/broker-2", "broker", ports(), json!([pod("broker-1", "10.0.0.7")]));
    cluster.rest();
    assert_eq!(endpoints(&cluster, by_name()), ["broker-0@10.0.0.1:1883", "broker-1@10.0.0.7:1883"]);
    let port = json!([{"port": 8883}]);
    let proxies = [pod("proxy-0", "10.0.0.7"), entry("proxy-1", "10.0.0.8", json!({"ready": false}))];
    cluster.slice("streamgate-system/gateway-1", "gateway", port.clone(), json!(proxies));
    cluster.rest();
    assert_eq!(endpoints(&cluster, by_name()), ["broker-0@10.0.0.1:1883"]);
    assert_eq!(cluster.conditions(&route_ref("acme/devices"))[1], "ResolvedRefs=False: UpstreamDenied");
    cluster.slice("streamgate-system/gateway-1", "gateway", port, json!([proxies[1]]));
    cluster.rest();
    let is_taken = |cluster: &Cluster| {
        assert_eq!(endpoints(cluster, by_name()), ["broker-0@10.0.0.1:1883", "broker-1@10.0.0.7:1883"]);
        assert_eq!(cluster.conditions(&route_ref("acme/devices"))[1], "ResolvedRefs=True: ResolvedRefs");
    };
    is_taken(&cluster);
    // Nor is what leads to one: the addresses of its Service.
    let ports = json!([{"name": "mqtts", "port": 8883}]);
    let balancer = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.7"}, {"hostname": "lb.example"}]}});
    for (spec, status) in [
        (json!({"clusterIPs": ["10.0.0.7", "fd00::7"], "ports": ports}), json!({})),
        (json!({"clusterIPs": ["None"], "externalIPs": ["10.0.0.7"], "ports": ports}), json!({})),
        (json!({"ports": ports}), balancer),
    ] {
        let service: ApiService =
            serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": status})).unwrap();
        let gateway = name("streamgate-system/gateway");
        cluster.apply(Change::Service(gateway.clone(), Some((&service).into())));
        cluster.rest();
        assert_eq!(endpoints(&cluster, by_name()), ["broker-0@10.0.0.1:1883"], "{spec} {status}");
        cluster.apply(Change::Service(gateway, None));
        cluster.rest();
        is_taken(&cluster);
    }
}

#[test]
fn an_address_in_place_of_a_dns_name_is_left_out_once_it_is_the_gateways_own() {
    let mut cluster = Cluster::with_acme();
    cluster.service("acme/broker", json!({"type": "ExternalName", "externalName": "192.0.2.9"}));
    cluster.route("acme/devices", json!({"upstream": {"services": [{"name": "broker", "port": 1883}]}}));
    cluster.rest();
    assert_eq!(endpoints(&cluster, ServicePort::Number(1883)), ["192.0.2.9:1883"]);
    cluster.service("streamgate-system/gateway", json!({"externalIPs": ["192.0.2.9"], "ports": [{"port": 8883}]}));
    cluster.rest();
    assert_eq!(cluster.written, ["delete endpoints.acme.broker"]);
    assert_eq!(cluster.conditions(&route_ref("acme/devices"))[1], "ResolvedRefs=False: UpstreamDenied");
}

#[test]
fn ports_that_are_none_of_tcp_are_none() {
    let mut cluster = Cluster::with_acme();
    cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883, "protocol": "UDP"}]}));
    cluster.rest();
    assert_eq!(cluster.conditions(&route_ref("acme/devices"))[1], "ResolvedRefs=False: InvalidPort");
    cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
    cluster.slice(
        "acme/broker-1",
        "broker",
        json!([{"name": "mqtt", "port": 1883, "protocol": "UDP"}]),
        json!([pod("broker-0", "10.0.0.1")]),
    );
    cluster.rest();
    assert_eq!(endpoints(&cluster, by_name()), Vec::<String>::new());
}

#[test]
fn a_missing_service_or_port_is_told_served_without_and_heals_by_itself() {
    let mut cluster = Cluster::new();
    let route = route_ref("acme/devices");
    cluster.route("acme/devices", json!({"upstream": to_broker()}));
    cluster.rest();
    assert_eq!(cluster.generated(), ["streamroutes.acme.devices"]);
    assert_eq!(cluster.conditions(&route)[..2], ["Accepted=True: Accepted", "ResolvedRefs=False: RefNotFound"]);
    assert_eq!(cluster.message(&route, "ResolvedRefs"), "Service `broker`: there is none in this namespace");
    cluster.service("acme/broker", json!({"ports": [{"name": "other", "port": 1}, {"port": 2}]}));
    cluster.rest();
    assert_eq!(cluster.conditions(&route)[1], "ResolvedRefs=False: InvalidPort");
    assert_eq!(
        cluster.message(&route, "ResolvedRefs"),
        "Service `broker`: it has no TCP port `mqtt`; wanted one of 1 (`other`), 2"
    );
    cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
    cluster.rest();
    assert_eq!(cluster.conditions(&route)[1], "ResolvedRefs=True: ResolvedRefs");
    assert_eq!(cluster.generated(), ["endpoints.acme.broker", "streamroutes.acme.devices"]);
    cluster.apply(Change::Service(name("acme/broker"), None));
    cluster.rest();
    assert_eq!(cluster.written, ["delete endpoints.acme.broker"]);
    assert_eq!(cluster.conditions(&route)[1], "ResolvedRefs=False: RefNotFound");
}

#[test]
fn a_pod_that_comes_or_goes_is_one_write_and_no_word() {
    let mut cluster = Cluster::with_acme();
    for other in 0..20 {
        let range = format!("10.0.{other}.0/24");
        cluster.route(&format!("acme/r{other}"), json!({"match": {"sourceRanges": [range]}, "upstream": to_broker()}));
    }
    cluster.proxies(&["proxy-0"]);
    cluster.rest();
    cluster.report("proxy-0", Some(cluster.applied()), false);
    cluster.rest();
    for pods in [
        json!([pod("broker-0", "10.0.0.1"), pod("broker-1", "10.0.0.2")]),
        json!([pod("broker-1", "10.0.0.3")]),
        json!([]),
    ] {
        cluster.slice("acme/broker-1", "broker", ports(), pods);
        cluster.rest();
        assert_eq!(
            (&cluster.written[..], &cluster.told[..]),
            (&["replace endpoints.acme.broker".to_owned()][..], &[][..])
        );
    }
}

#[test]
fn what_says_nothing_of_who_serves_writes_nothing() {
    let mut cluster = Cluster::with_acme();
    cluster.slice(
        "acme/broker-1",
        "broker",
        ports(),
        json!([
            pod("broker-0", "10.0.0.1"),
            entry("broker-1", "10.0.0.2", json!({"ready": false})),
            entry("broker-2", "10.0.0.3", json!({"ready": false, "serving": true, "terminating": true})),
        ]),
    );
    cluster.slice("acme/broker-2", "broker", ports(), json!([]));
    cluster.service(
        "acme/broker",
        json!({"type": "LoadBalancer", "ports": [{"name": "mqtt", "port": 1883, "nodePort": 31883}]}),
    );
    cluster.rest();
    assert_eq!(cluster.written, Vec::<String>::new());
}

#[test]
fn a_slice_that_changes_its_service_is_of_the_other_from_then_on() {
    let mut cluster = Cluster::with_acme();
    cluster.slice("acme/broker-1", "other", ports(), json!([pod("broker-0", "10.0.0.1")]));
    cluster.rest();
    assert_eq!(endpoints(&cluster, by_name()), Vec::<String>::new());
    cluster.slice("acme/broker-1", "broker", ports(), json!([pod("broker-0", "10.0.0.1")]));
    cluster.rest();
    assert_eq!(endpoints(&cluster, by_name()), ["broker-0@10.0.0.1:1883"]);
}

#[test]
fn endpoints_that_fit_no_object_are_told_and_those_before_stay() {
    let mut cluster = Cluster::with_acme();
    let before = cluster.text("endpoints.acme.broker").to_owned();
    let many: Vec<Value> = (0..20_000)
        .map(|each| pod(&format!("broker-{each}"), &format!("10.1.{}.{}", each / 250, each % 250)))
        .collect();
    cluster.slice("acme/broker-1", "broker", ports(), many.into());
    cluster.rest();
    assert_eq!(cluster.text("endpoints.acme.broker"), before);
    assert_eq!(cluster.conditions(&route_ref("acme/devices"))[1], "ResolvedRefs=False: TooLarge");
}

#[test]
fn names_that_yaml_would_take_for_something_else_stay_texts() {
    let mut cluster = Cluster::with_acme();
    cluster.slice(
        "acme/broker-1",
        "broker",
        ports(),
        json!([pod("1e3", "10.0.0.1"), pod("true", "10.0.0.2"), pod("null", "10.0.0.3")]),
    );
    cluster.rest();
    assert_eq!(endpoints(&cluster, by_name()), ["1e3@10.0.0.1:1883", "null@10.0.0.3:1883", "true@10.0.0.2:1883"]);
}
