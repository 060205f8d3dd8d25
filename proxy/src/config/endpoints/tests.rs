use super::*;

mod problems;

const FILE: &str = "endpoints/acme.broker.yaml";

fn read(yaml: &str) -> Result<ServiceEndpoints, Vec<Problem>> {
    ServiceEndpoints::read(FILE, "acme", "broker", yaml)
}

fn number(number: u16) -> ServicePort {
    ServicePort::Number(number)
}

fn name(name: &str) -> ServicePort {
    ServicePort::Name(name.to_owned())
}

/// What a port means, `identity=address address` each.
fn resolved(yaml: &str, port: &ServicePort) -> Vec<String> {
    match read(yaml).unwrap_or_else(|problems| panic!("{problems:#?}")).resolve(port) {
        Ok(Resolved::Endpoints(endpoints)) => endpoints
            .iter()
            .map(|Endpoint { identity, addresses }| {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                format!("{identity}={}", addresses.join(" "))
            })
            .collect(),
        Ok(Resolved::External { host, port }) => vec![format!("external {host}:{port}")],
        Err(error) => vec![format!("error: {error}")],
    }
}

fn problems(yaml: &str) -> Vec<String> {
    read(yaml).unwrap_err().iter().map(ToString::to_string).collect()
}

/// A Service with these ports.
fn service(ports: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: broker, namespace: acme}}\nspec: {{ports: [{ports}]}}\n---\n"
    )
}

/// An `EndpointSlice` of IPv4 with these ports and endpoints.
fn slice(ports: &str, endpoints: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: broker-x, namespace: acme, labels: \
         {{kubernetes.io/service-name: broker}}}}\naddressType: IPv4\nports: [{ports}]\nendpoints: [{endpoints}]\n---\n"
    )
}

fn slice_of_ipv6(ports: &str, endpoints: &str) -> String {
    slice(ports, endpoints).replace("addressType: IPv4", "addressType: IPv6")
}

const MQTT: &str = "{name: mqtt, port: 1883}";
const MQTT_AT_21883: &str = "{name: mqtt, port: 21883, protocol: TCP}";

#[test]
fn a_port_of_the_service_is_the_slices_port_of_the_same_name() {
    let yaml = service(MQTT) + &slice(MQTT_AT_21883, "{addresses: [10.0.0.1]}");
    for port in [number(1883), name("mqtt")] {
        assert_eq!(resolved(&yaml, &port), ["10.0.0.1:21883=10.0.0.1:21883"], "{port}");
    }
}

#[test]
fn ports_without_a_name_are_each_others() {
    let yaml = service("{port: 1883, targetPort: 21883}") + &slice("{port: 21883}", "{addresses: [10.0.0.1]}");
    assert_eq!(resolved(&yaml, &number(1883)), ["10.0.0.1:21883=10.0.0.1:21883"]);
    let yaml = service("{port: 1883}") + &slice("{name: \"\", port: 21883}", "{addresses: [10.0.0.1]}");
    assert_eq!(resolved(&yaml, &number(1883)), ["10.0.0.1:21883=10.0.0.1:21883"]);
}

#[test]
fn each_slice_has_its_own_number_for_a_named_port() {
    let yaml = service(MQTT)
        + &slice(MQTT_AT_21883, "{addresses: [10.0.0.1]}")
        + &slice("{name: mqtt, port: 31883}, {name: other, port: 1}", "{addresses: [10.0.0.2]}")
        + &slice("{name: other, port: 1883}", "{addresses: [10.0.0.3]}");
    assert_eq!(resolved(&yaml, &name("mqtt")), ["10.0.0.1:21883=10.0.0.1:21883", "10.0.0.2:31883=10.0.0.2:31883"]);
}

#[test]
fn a_port_that_the_service_lacks_is_told_those_that_it_has() {
    let yaml = service("{name: mqtt, port: 1883}, {name: ws, port: 80}, {name: udp, port: 53, protocol: UDP}")
        + &slice("{name: mqtt, port: 21883}", "{addresses: [10.0.0.1]}");
    let wanted = "wanted a TCP port of the Service: 1883 (`mqtt`), 80 (`ws`)";
    for (port, found) in [(number(21883), "21883"), (number(53), "53"), (name("udp"), "udp"), (name("MQTT"), "MQTT")] {
        assert_eq!(resolved(&yaml, &port), [format!("error: found the port `{found}`; {wanted}")]);
    }
}

#[test]
fn a_service_without_ports_has_none() {
    let wanted = "error: found the port `1883`; wanted a TCP port of the Service, of which there is none";
    assert_eq!(resolved(&(service("") + &slice("{port: 1883}", "{addresses: [10.0.0.1]}")), &number(1883)), [wanted]);
}

#[test]
fn a_service_without_endpoints_has_none_for_its_port() {
    for yaml in [
        service(MQTT),
        service(MQTT) + &slice(MQTT_AT_21883, ""),
        service(MQTT) + &slice("", "{addresses: [10.0.0.1]}"),
    ] {
        assert_eq!(resolved(&yaml, &number(1883)), [""; 0], "{yaml}");
    }
}

#[test]
fn ports_of_other_protocols_do_not_count() {
    let yaml = service("{name: mqtt, port: 1883, protocol: UDP}, {name: mqtt, port: 1884, protocol: TCP}")
        + &slice(
            "{name: mqtt, port: 1, protocol: SCTP}, {name: mqtt, port: 2, protocol: UDP}, {name: mqtt, port: 3}",
            "{addresses: [10.0.0.1]}",
        );
    assert_eq!(resolved(&yaml, &name("mqtt")), ["10.0.0.1:3=10.0.0.1:3"]);
}

#[test]
fn which_endpoints_count_is_as_kube_proxy_has_it() {
    for (one, other, wanted) in [
        // What is absent of `ready` is ready.
        ("", "", &["a", "b"][..]),
        ("conditions: {}", "conditions: {ready: null}", &["a", "b"]),
        ("conditions: {ready: true}", "conditions: {ready: false}", &["a"]),
        ("conditions: {ready: false}", "conditions: {ready: false}", &[]),
        // Those that terminate but serve count while none is ready.
        ("conditions: {ready: true}", "conditions: {ready: false, serving: true, terminating: true}", &["a"]),
        ("conditions: {ready: false}", "conditions: {ready: false, serving: true, terminating: true}", &["b"]),
        (
            "conditions: {ready: false, serving: true, terminating: true}",
            "conditions: {ready: false, serving: true, terminating: true}",
            &["a", "b"],
        ),
        ("conditions: {ready: false}", "conditions: {ready: false, serving: false, terminating: true}", &[]),
        ("conditions: {ready: false}", "conditions: {ready: false, terminating: true}", &[]),
        // What serves without being ready or terminating doesn't.
        (
            "conditions: {ready: false, serving: true}",
            "conditions: {ready: false, serving: true, terminating: false}",
            &[],
        ),
        // `publishNotReadyAddresses` makes all ready.
        ("conditions: {ready: true, serving: false, terminating: true}", "conditions: {ready: false}", &["a"]),
    ] {
        let pod = |name: &str, address: &str, conditions: &str| {
            format!("{{addresses: [{address}], targetRef: {{kind: Pod, name: {name}}}, {conditions}}}")
        };
        let endpoints = format!("{}, {}", pod("a", "10.0.0.1", one), pod("b", "10.0.0.2", other));
        let yaml = service(MQTT) + &slice(MQTT_AT_21883, &endpoints);
        let found = resolved(&yaml, &number(1883));
        let pods: Vec<_> = found.iter().filter_map(|endpoint| endpoint.split('=').next()).collect();
        assert_eq!(pods, wanted, "{one} | {other}");
    }
}

#[test]
fn one_that_is_ready_in_another_slice_keeps_the_terminating_out() {
    let yaml = service(MQTT)
        + &slice(
            MQTT_AT_21883,
            "{addresses: [10.0.0.1], conditions: {ready: false, serving: true, terminating: true}}",
        )
        + &slice_of_ipv6(MQTT_AT_21883, "{addresses: [\"2001:db8::2\"]}");
    assert_eq!(resolved(&yaml, &number(1883)), ["[2001:db8::2]:21883=[2001:db8::2]:21883"]);
}

#[test]
fn one_that_is_ready_on_another_port_does_not_keep_the_terminating_out() {
    let yaml = service(MQTT)
        + &slice(
            MQTT_AT_21883,
            "{addresses: [10.0.0.1], conditions: {ready: false, serving: true, terminating: true}}",
        )
        + &slice("{name: other, port: 1}", "{addresses: [10.0.0.2]}");
    assert_eq!(resolved(&yaml, &number(1883)), ["10.0.0.1:21883=10.0.0.1:21883"]);
}

#[test]
fn a_pod_of_both_families_is_one_endpoint_with_ipv4_first() {
    let pod = |address: &str| format!("{{addresses: [\"{address}\"], targetRef: {{kind: Pod, name: broker-0}}}}");
    let yaml =
        service(MQTT) + &slice_of_ipv6(MQTT_AT_21883, &pod("2001:db8::1")) + &slice(MQTT_AT_21883, &pod("10.0.0.1"));
    assert_eq!(resolved(&yaml, &number(1883)), ["broker-0=10.0.0.1:21883 [2001:db8::1]:21883"]);
}

#[test]
fn an_endpoint_that_is_in_several_slices_counts_once() {
    let pod = "{addresses: [10.0.0.1], targetRef: {kind: Pod, name: broker-0}}";
    let bare = "{addresses: [10.0.0.2]}, {addresses: [10.0.0.2]}";
    let yaml = service(MQTT)
        + &slice(MQTT_AT_21883, &format!("{pod}, {bare}"))
        + &slice(MQTT_AT_21883, &format!("{bare}, {pod}"));
    assert_eq!(resolved(&yaml, &number(1883)), ["10.0.0.2:21883=10.0.0.2:21883", "broker-0=10.0.0.1:21883"]);
}

#[test]
fn an_endpoint_that_is_ready_in_one_slice_is_ready() {
    let pod = |ready: bool| format!("{{addresses: [10.0.0.1], conditions: {{ready: {ready}}}}}");
    let yaml = service(MQTT) + &slice(MQTT_AT_21883, &pod(true)) + &slice(MQTT_AT_21883, &pod(false));
    assert_eq!(resolved(&yaml, &number(1883)), ["10.0.0.1:21883=10.0.0.1:21883"]);
}

#[test]
fn endpoints_are_in_the_order_of_their_identities() {
    let pods = ["broker-2", "broker-0", "broker-10", "broker-1"];
    let endpoints = pods
        .iter()
        .enumerate()
        .map(|(index, pod)| format!("{{addresses: [10.0.0.{index}], targetRef: {{kind: Pod, name: {pod}}}}}"));
    let endpoints: Vec<_> = endpoints.collect();
    let found = resolved(&(service(MQTT) + &slice(MQTT_AT_21883, &endpoints.join(", "))), &number(1883));
    let identities: Vec<_> = found.iter().filter_map(|endpoint| endpoint.split('=').next()).collect();
    assert_eq!(identities, ["broker-0", "broker-1", "broker-10", "broker-2"]);
}

#[test]
fn only_a_pod_gives_an_endpoint_its_name() {
    for target in ["{kind: Node, name: n}", "{kind: Pod}", "{kind: Pod, name: \"\"}", "{name: n}", "{}", "null"] {
        let yaml = service(MQTT) + &slice(MQTT_AT_21883, &format!("{{addresses: [10.0.0.1], targetRef: {target}}}"));
        assert_eq!(resolved(&yaml, &number(1883)), ["10.0.0.1:21883=10.0.0.1:21883"], "{target}");
    }
}

#[test]
fn of_several_addresses_the_first_counts() {
    let yaml = service(MQTT) + &slice(MQTT_AT_21883, "{addresses: [10.0.0.1, 10.0.0.2, whatever]}");
    assert_eq!(resolved(&yaml, &number(1883)), ["10.0.0.1:21883=10.0.0.1:21883"]);
}

#[test]
fn without_the_service_a_number_is_the_endpoints_own() {
    let yaml = slice("{name: mqtt, port: 21883}", "{addresses: [10.0.0.1]}")
        + &slice("{name: mqtt, port: 31883}", "{addresses: [10.0.0.2]}");
    assert_eq!(resolved(&yaml, &number(21883)), ["10.0.0.1:21883=10.0.0.1:21883"]);
    assert_eq!(resolved(&yaml, &name("mqtt")), ["10.0.0.1:21883=10.0.0.1:21883", "10.0.0.2:31883=10.0.0.2:31883"]);
    let wanted = "wanted a TCP port of the EndpointSlices: 21883 (`mqtt`), 31883 (`mqtt`)";
    assert_eq!(resolved(&yaml, &number(1883)), [format!("error: found the port `1883`; {wanted}")]);
    assert_eq!(resolved(&yaml, &name("ws")), [format!("error: found the port `ws`; {wanted}")]);
}

#[test]
fn a_slice_without_ports_takes_any_number_and_no_name() {
    for ports in ["", "{name: mqtt}"] {
        let yaml = slice(ports, "{addresses: [10.0.0.1]}");
        assert_eq!(resolved(&yaml, &number(1883)), ["10.0.0.1:1883=10.0.0.1:1883"], "{ports}");
        assert!(resolved(&yaml, &name("mqtt"))[0].starts_with("error: found the port `mqtt`"), "{ports}");
    }
    let udp = slice("{name: mqtt, port: 1883, protocol: UDP}", "{addresses: [10.0.0.1]}");
    assert!(resolved(&udp, &number(1883))[0].starts_with("error: found the port `1883`"));
}

#[test]
fn slices_without_endpoints_and_ports_are_nobody_at_the_moment() {
    for port in [number(1883), name("mqtt")] {
        assert_eq!(resolved(&slice("", ""), &port), [""; 0]);
    }
}

#[test]
fn an_external_name_is_to_be_resolved() {
    let external = |ports: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nspec: {{type: ExternalName, externalName: broker.example.com, ports: [{ports}]}}\n"
        )
    };
    assert_eq!(resolved(&external(""), &number(1883)), ["external broker.example.com:1883"]);
    assert_eq!(resolved(&external("{name: mqtt, port: 8883}"), &name("mqtt")), ["external broker.example.com:8883"]);
    assert_eq!(resolved(&external("{name: mqtt, port: 8883}"), &number(1883)), ["external broker.example.com:1883"]);
    assert_eq!(
        resolved(&external("{name: mqtt, port: 8883}"), &name("ws")),
        ["error: found the port `ws`; wanted a TCP port of the Service: 8883 (`mqtt`)"]
    );
    let yaml = format!("{}---\n{}", external(""), slice("{port: 1883}", "{addresses: [10.0.0.1]}"));
    assert_eq!(resolved(&yaml, &number(1883)), ["external broker.example.com:1883"]);
}

#[test]
fn an_external_name_of_another_type_does_not_count() {
    let yaml =
        "apiVersion: v1\nkind: Service\nspec: {type: ClusterIP, externalName: evil.example, ports: [{port: 1883}]}\n";
    assert_eq!(resolved(yaml, &number(1883)), [""; 0]);
}

#[test]
fn what_kubectl_prints_as_a_list_is_read() {
    let yaml = r#"{
        "apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""},
        "items": [
            {"apiVersion": "v1", "kind": "Service",
             "metadata": {"name": "broker", "namespace": "acme", "uid": "1", "resourceVersion": "7", "managedFields": [{"manager": "kubectl"}]},
             "spec": {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "internalTrafficPolicy": "Cluster", "type": "ClusterIP",
                      "ipFamilies": ["IPv4"], "ports": [{"name": "mqtt", "port": 1883, "protocol": "TCP", "targetPort": "mqtt"}],
                      "selector": {"app": "broker"}, "sessionAffinity": "None"},
             "status": {"loadBalancer": {}}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": "broker-abcde", "namespace": "acme", "generation": 4, "labels": {
                 "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", "kubernetes.io/service-name": "broker"}},
             "ports": [{"name": "mqtt", "port": 21883, "protocol": "TCP", "appProtocol": null}],
             "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true, "terminating": false},
                            "nodeName": "node-1", "zone": "a", "hints": {"forZones": [{"name": "a"}]},
                            "targetRef": {"kind": "Pod", "name": "broker-0", "namespace": "acme", "uid": "2"}}]}
        ]
    }"#;
    assert_eq!(resolved(yaml, &name("mqtt")), ["broker-0=10.0.0.1:21883"]);
}

#[test]
fn the_endpoints_of_the_examples_resolve() {
    let yaml = include_str!("../../../../examples/standalone/config/endpoints/acme.broker.yaml");
    let wanted = ["broker-0=127.0.0.11:21883", "broker-1=127.0.0.12:21883", "broker-2=127.0.0.13:21883"];
    assert_eq!(resolved(yaml, &name("mqtt")), wanted);
    assert_eq!(resolved(yaml, &number(1883)), wanted);
}

#[test]
fn objects_may_leave_out_whose_they_are() {
    let yaml = "apiVersion: v1\nkind: Service\nspec: {ports: [{port: 1}]}\n---\napiVersion: discovery.k8s.io/v1\nkind: \
                EndpointSlice\nmetadata: {labels: {a: b}}\naddressType: IPv4\nports: [{port: 2}]\nendpoints: [{addresses: [10.0.0.1]}]\n";
    assert_eq!(resolved(yaml, &number(1)), ["10.0.0.1:2=10.0.0.1:2"]);
}
