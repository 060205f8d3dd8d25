use std::collections::HashSet;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};
use streamgate_crds::manifest;

use super::*;

fn name(text: &str) -> Name {
    let (namespace, name) = text.split_once('/').unwrap();
    Name::new(namespace, name)
}

fn route(object: &str, generation: i64, levels: &[u8]) -> Change {
    let Name { namespace, name } = name(object);
    let spec = json!({"mqtt": {"protocolLevels": levels}, "upstream": {"services": [{"name": "b", "port": 1883}]}});
    let text = json!({"apiVersion": "streamgate.dev/v1alpha1", "kind": "StreamRoute", "spec": spec}).to_string();
    let mut route: StreamRoute = manifest::read("", &namespace, &name, &text).unwrap();
    route.metadata.generation = Some(generation);
    route.metadata.resource_version = Some(generation.to_string());
    route.metadata.annotations = Some(BTreeMap::from([("note".to_owned(), generation.to_string())]));
    Change::StreamRoute(Name::new(&namespace, &name), Some(Watched::new(route, Status::default())))
}

fn slice(object: &str, service: Option<&str>, family: &str, addresses: &[&str]) -> Change {
    let labels = service.map(|service| json!({"kubernetes.io/service-name": service}));
    let endpoints: Vec<Value> = addresses.iter().map(|address| json!({"addresses": [address]})).collect();
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"namespace": *name(object).namespace, "labels": labels},
        "addressType": family, "ports": [{"port": 1883}], "endpoints": endpoints,
    }))
    .unwrap();
    Change::Slice(name(object), Slice::of(&slice))
}

type Make = Box<dyn Fn() -> Change>;

fn touches(store: &mut Store, change: Change) -> Vec<String> {
    let Touched { judgement, services, materials, generated, statuses, reports } = store.apply(change);
    let mut touched: Vec<String> = services.iter().map(|service| format!("service {service}")).collect();
    touched.extend(materials.iter().map(|material| format!("{} {}", material.kind.as_str(), material.name)));
    touched.extend(generated.iter().map(|key| format!("generated {}", key.name)));
    touched.extend(statuses.iter().map(|object| format!("status {object}")));
    touched.extend(judgement.then(|| "judgement".to_owned()));
    touched.extend(reports.then(|| "reports".to_owned()));
    touched
}

fn store() -> Store {
    Store::new(vec![Gateway::new("default", name("system/gateway"))])
}

#[test]
fn a_change_touches_what_it_concerns_and_the_same_again_nothing() {
    let labels = || Some(BTreeMap::from([("team".to_owned(), "acme".to_owned())]));
    let secret = || MaterialKey { kind: MaterialKind::Secret, name: name("a/tls") };
    let lease = || Some(Lease { report: Some(Report::default()), is_silent: false });
    let cases: Vec<(Make, &[&str])> = vec![
        (Box::new(|| route("a/r", 1, &[4])), &["status StreamRoute a/r", "judgement"]),
        (Box::new(move || Change::Namespace("a".into(), labels())), &["judgement"]),
        (Box::new(|| Change::Service(name("a/b"), Some(Service::default()))), &["service a/b"]),
        (Box::new(|| slice("a/b-1", Some("b"), "IPv4", &["10.0.0.1"])), &["service a/b"]),
        (
            Box::new(|| slice("system/g-1", Some("gateway"), "IPv4", &["10.0.0.9"])),
            &["service system/gateway", "reports"],
        ),
        (Box::new(move || Change::Material(secret(), Some("7".parse().unwrap()))), &["Secret a/tls"]),
        (Box::new(move || Change::Proxy("default".into(), "proxy-0".into(), lease())), &["reports"]),
    ];
    let mut store = store();
    for (change, wanted) in cases {
        assert_eq!(touches(&mut store, change()), wanted);
        assert_eq!(touches(&mut store, change()), Vec::<String>::new(), "again: {wanted:?}");
    }
}

#[test]
fn what_nobody_is_to_know_of_an_object_touches_nothing_but_its_status() {
    let mut store = store();
    store.apply(route("a/r", 1, &[4]));
    assert_eq!(touches(&mut store, route("a/r", 2, &[4])), ["status StreamRoute a/r"]);
    assert_eq!(touches(&mut store, route("a/r", 3, &[5])), ["status StreamRoute a/r", "judgement"]);
    assert_eq!(touches(&mut store, Change::StreamRoute(name("a/r"), None)), ["judgement"]);
    assert_eq!(touches(&mut store, Change::StreamRoute(name("a/r"), None)), Vec::<String>::new());
}

#[test]
fn a_slice_touches_the_service_that_it_leaves_too() {
    let mut store = store();
    store.apply(slice("a/b-1", Some("b"), "IPv4", &["10.0.0.1"]));
    assert_eq!(touches(&mut store, slice("a/b-1", Some("c"), "IPv4", &["10.0.0.1"])), ["service a/b", "service a/c"]);
    assert_eq!(touches(&mut store, slice("a/b-1", None, "IPv4", &["10.0.0.1"])), ["service a/c"]);
    assert_eq!(touches(&mut store, slice("a/b-1", Some("b"), "FQDN", &["x.example"])), Vec::<String>::new());
}

#[test]
fn a_proxy_that_comes_or_goes_touches_the_services_that_have_an_endpoint_where_it_is() {
    let mut store = store();
    store.apply(slice("a/b-1", Some("b"), "IPv4", &["10.0.0.1"]));
    store.apply(slice("a/c-1", Some("c"), "IPv4", &["10.0.0.2"]));
    let come = || slice("system/g-1", Some("gateway"), "IPv4", &["10.0.0.1", "10.0.0.9"]);
    assert_eq!(touches(&mut store, come()), ["service a/b", "service system/gateway", "reports"]);
    assert_eq!(
        touches(&mut store, slice("system/g-2", Some("gateway"), "IPv4", &["10.0.0.1"])),
        ["service system/gateway", "reports"]
    );
    store.apply(Change::Slice(name("system/g-2"), None));
    let service = Service { addresses: ["10.0.0.2".parse().unwrap()].into(), ..Service::default() };
    let reached = Change::Service(name("system/gateway"), Some(service));
    assert_eq!(touches(&mut store, reached), ["service a/c", "service system/gateway"]);
    let gone = Change::Slice(name("system/g-1"), None);
    assert_eq!(touches(&mut store, gone), ["service a/b", "service system/gateway", "reports"]);
}

#[test]
fn addresses_of_another_family_and_what_is_none_are_passed_over() {
    let Change::Slice(_, Some(slice)) =
        slice("a/b-1", Some("b"), "IPv4", &["10.0.0.1", "2001:db8::1", "x", "010.0.0.1"])
    else {
        panic!("a slice")
    };
    assert_eq!(slice.entries.iter().map(|entry| entry.address.to_string()).collect::<Vec<_>>(), ["10.0.0.1"]);
}

#[test]
fn what_a_list_does_not_have_is_gone() {
    let mut store = store();
    store.apply(route("a/one", 1, &[4]));
    store.apply(route("a/two", 1, &[4]));
    store.apply(route("b/one", 1, &[4]));
    let listed = Listed::StreamRoutes(HashSet::from([name("a/one")]));
    let gone = |within| {
        let removals = store.removals(&listed, within).into_iter();
        removals.map(|change| match change {
            Change::StreamRoute(name, None) => name.to_string(),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(gone(None).collect::<Vec<_>>(), ["a/two", "b/one"]);
    assert_eq!(gone(Some("a")).collect::<Vec<_>>(), ["a/two"]);
}

#[test]
fn contents_that_were_fetched_go_with_what_they_are_of() {
    let mut store = store();
    let key = MaterialKey { kind: MaterialKind::ConfigMap, name: name("a/ca") };
    let reference = Reference { key: key.clone(), uses: BTreeSet::from([Use::Authorities("ca.crt".into())]) };
    let fetched = || Fetched::new(&reference, "1".parse().unwrap(), Files::new());
    assert_eq!(touches(&mut store, Change::Fetched(key.clone(), fetched())), Vec::<String>::new(), "it is gone by now");
    store.apply(Change::Material(key.clone(), Some("1".parse().unwrap())));
    assert_eq!(touches(&mut store, Change::Fetched(key.clone(), fetched())), ["ConfigMap a/ca"]);
    store.apply(Change::Material(key.clone(), None));
    assert!(store.fetched.is_empty());
}

#[test]
fn of_a_secret_the_keys_that_are_referred_to_are_kept_and_no_others() {
    let key = MaterialKey { kind: MaterialKind::Secret, name: name("a/tls") };
    let reference = Reference { key, uses: BTreeSet::from([Use::Certificate, Use::Authorities("ca.crt".into())]) };
    let file = |name: &str| (Box::from(name), zeroize::Zeroizing::new(b"x".to_vec()));
    let files = Files::from(["tls.crt", "tls.key", "ca.crt", "ca.key", "password"].map(file));
    let fetched = Fetched::new(&reference, "1".parse().unwrap(), files);
    let kept: Vec<String> = fetched.bytes.unwrap().keys().map(ToString::to_string).collect();
    assert_eq!(kept, ["ca.crt", "tls.crt", "tls.key"]);
    assert_eq!(fetched.size, 3);
}
