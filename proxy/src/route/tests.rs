//! The table against the rule that it is made for, and the rule against tables of cases.

use std::sync::Arc;

use proptest::prelude::*;
use streamgate_crds::problem::{Kind, ObjectRef};
use streamgate_crds::stream_route::{Node, RouteMatch, Upstream as UpstreamSpec};
use streamgate_crds::tls_sni::{AllowedRoutes, CertificateRef, ClientAuth, FromNamespaces, TlsVersion};
use streamgate_crds::{Sni, StreamRouteSpec, TlsSniSpec};

use super::names::Names;
use super::rank::{Miss, rank};
use super::table::RouteTable;
use super::{Client, ClientTls};
use crate::config::snapshot::{Route, TlsService, label};
use crate::upstream::Upstream;

fn route(namespace: &str, name: &str, snis: &[&str], ranges: &[&str], listeners: &[&str]) -> Route {
    let object = ObjectRef { kind: Kind::StreamRoute, namespace: namespace.to_owned(), name: name.to_owned() };
    let node = Node { name: None, host: "192.0.2.1".to_owned(), port: 1883, weight: 1 };
    let spec = StreamRouteSpec {
        gateway: "default".to_owned(),
        listeners: listeners.iter().map(|&listener| listener.to_owned()).collect(),
        r#match: RouteMatch {
            snis: snis.iter().map(|sni| sni.parse().expect("a name")).collect(),
            source_ranges: ranges.iter().map(|range| range.parse().expect("a range")).collect(),
        },
        mqtt: streamgate_crds::stream_route::Mqtt::default(),
        upstream: UpstreamSpec::of_nodes(vec![node]),
        on_drain: streamgate_crds::stream_route::OnDrain::default(),
    };
    let upstream = Upstream::new(Vec::new(), &spec.upstream.load_balancer);
    Route { label: label(&object), object, spec, upstream }
}

fn tls_sni(namespace: &str, allowed: FromNamespaces) -> TlsService {
    let object = ObjectRef { kind: Kind::TlsSni, namespace: namespace.to_owned(), name: "names".to_owned() };
    let spec = TlsSniSpec {
        gateway: "default".to_owned(),
        snis: vec![Sni::Any],
        certificates: vec![CertificateRef { secret_name: "tls".to_owned() }],
        client_auth: ClientAuth::default(),
        min_protocol_version: TlsVersion::default(),
        alpn_protocols: Vec::new(),
        allowed_routes: AllowedRoutes { namespaces: allowed },
    };
    TlsService { label: label(&object), object, spec, server: None }
}

fn table(routes: Vec<Route>) -> RouteTable {
    RouteTable::new(routes.into_iter().map(Arc::new).collect())
}

/// The label of the route for a client that asks for `sni` under a TlsSni of the namespace `a`.
fn found(table: &RouteTable, sni: Option<&str>, source: &str) -> Option<String> {
    let service = tls_sni("a", FromNamespaces::Same);
    let tls = Some(ClientTls { sni, service: &service });
    let client = Client { listener: "mqtts", source: source.parse().expect("an address"), tls };
    table.find(&client).map(|route| route.label.to_string())
}

#[test]
fn an_exact_name_goes_before_a_wildcard_before_no_name() {
    let table = table(vec![
        route("a", "nameless", &[], &[], &[]),
        route("a", "wildcard", &["*.example.com"], &[], &[]),
        route("a", "exact", &["one.example.com"], &[], &[]),
    ]);
    assert_eq!(found(&table, Some("one.example.com"), "192.0.2.1").as_deref(), Some("a/exact"));
    assert_eq!(found(&table, Some("two.example.com"), "192.0.2.1").as_deref(), Some("a/wildcard"));
    assert_eq!(found(&table, Some("example.com"), "192.0.2.1").as_deref(), Some("a/nameless"));
    assert_eq!(found(&table, None, "192.0.2.1").as_deref(), Some("a/nameless"));
}

#[test]
fn the_name_goes_before_the_range_and_the_narrower_range_before_the_wider() {
    let table = table(vec![
        route("a", "all", &["one.example.com"], &[], &[]),
        route("a", "wide", &["one.example.com"], &["10.0.0.0/8"], &[]),
        route("a", "narrow", &["one.example.com"], &["10.1.0.0/16"], &[]),
        route("a", "narrowest", &["*.example.com"], &["10.1.1.1"], &[]),
    ]);
    let found = |source| found(&table, Some("one.example.com"), source);
    assert_eq!(found("10.1.1.1").as_deref(), Some("a/narrow"));
    assert_eq!(found("10.2.1.1").as_deref(), Some("a/wide"));
    assert_eq!(found("11.2.1.1").as_deref(), Some("a/all"));
    assert_eq!(found("2001:db8::1").as_deref(), Some("a/all"));
}

#[test]
fn a_name_whose_ranges_miss_leaves_the_client_to_the_next_best_name() {
    let table = table(vec![
        route("a", "exact", &["one.example.com"], &["10.0.0.0/8"], &[]),
        route("a", "wildcard", &["*.example.com"], &["192.0.2.0/24"], &[]),
    ]);
    assert_eq!(found(&table, Some("one.example.com"), "192.0.2.1").as_deref(), Some("a/wildcard"));
    assert_eq!(found(&table, Some("one.example.com"), "198.51.100.1"), None);
}

#[test]
fn of_two_equals_the_older_one_is_taken() {
    let table =
        table(vec![route("a", "older", &["x.example"], &[], &[]), route("a", "younger", &["x.example"], &[], &[])]);
    assert_eq!(found(&table, Some("x.example"), "192.0.2.1").as_deref(), Some("a/older"));
}

#[test]
fn a_client_in_the_clear_is_for_routes_without_names_alone() {
    let table =
        table(vec![route("a", "named", &["x.example"], &[], &[]), route("b", "nameless", &[], &[], &["plain"])]);
    let client = |listener| Client { listener, source: [192, 0, 2, 1].into(), tls: None };
    assert_eq!(table.find(&client("plain")).map(|route| &*route.label), Some("b/nameless"));
    assert_eq!(table.find(&client("other")).map(|route| &*route.label), None);
}

#[test]
fn a_route_of_another_namespace_needs_leave_and_a_name() {
    let routes = table(vec![route("b", "named", &["x.example"], &[], &[]), route("b", "nameless", &[], &[], &[])]);
    let (same, all) = (tls_sni("a", FromNamespaces::Same), tls_sni("a", FromNamespaces::All));
    let client = |sni, service| Client {
        listener: "mqtts",
        source: [192, 0, 2, 1].into(),
        tls: Some(ClientTls { sni: Some(sni), service }),
    };
    assert!(routes.find(&client("x.example", &same)).is_none());
    assert_eq!(routes.find(&client("x.example", &all)).map(|route| &*route.label), Some("b/named"));
    assert!(routes.find(&client("y.example", &all)).is_none());
    assert_eq!(rank(&routes.routes()[0], &client("x.example", &same)), Err(Miss::NotAllowed));
    assert_eq!(rank(&routes.routes()[1], &client("y.example", &all)), Err(Miss::Namespace));
}

#[test]
fn a_server_name_is_served_exact_before_wildcard_before_any() {
    let mut names = Names::default();
    for (value, sni) in ["*", "*.example.com", "one.example.com"].into_iter().enumerate() {
        names.add(&sni.parse().expect("a name"), value);
    }
    assert_eq!(names.find(Some("one.example.com")), Some(&2));
    assert_eq!(names.find(Some("two.example.com")), Some(&1));
    for other in [Some("example.com"), Some("a.b.example.com"), Some(".example.com"), Some(""), None] {
        assert_eq!(names.find(other), Some(&0), "{other:?}");
    }
}

fn any_route() -> impl Strategy<Value = Route> {
    let namespace = prop::sample::select(vec!["a", "b"]);
    let snis = prop::sample::subsequence(vec!["x.e", "y.e", "*.e", "*.x.e"], 0..=3);
    let ranges =
        prop::sample::subsequence(vec!["10.0.0.0/8", "10.1.0.0/16", "10.1.1.1", "::/0", "2001:db8::/32"], 0..=3);
    let listeners = prop::sample::subsequence(vec!["one", "two"], 0..=2);
    (namespace, "[a-z]{1,6}", snis, ranges, listeners)
        .prop_map(|(namespace, name, snis, ranges, listeners)| route(namespace, &name, &snis, &ranges, &listeners))
}

proptest! {
    #[test]
    fn the_table_finds_the_oldest_of_those_that_fit_best(
        routes in prop::collection::vec(any_route(), 0..12),
        sni in prop::sample::select(vec![None, Some("x.e"), Some("y.e"), Some("z.e"), Some("a.x.e"), Some("e"), Some("")]),
        source in prop::sample::select(vec!["10.1.1.1", "10.1.2.2", "10.9.9.9", "192.0.2.1", "2001:db8::1", "2001:db9::1"]),
        listener in prop::sample::select(vec!["one", "two", "three"]),
        under in prop::sample::select(vec![None, Some(("a", FromNamespaces::Same)), Some(("b", FromNamespaces::All))]),
    ) {
        let service = under.map(|(namespace, allowed)| tls_sni(namespace, allowed));
        let tls = service.as_ref().map(|service| ClientTls { sni, service });
        let client = Client { listener, source: source.parse().expect("an address"), tls };
        let mut best = None;
        for (age, route) in routes.iter().enumerate() {
            if let Ok(fit) = rank(route, &client)
                && best.is_none_or(|(best, _)| fit > best)
            {
                best = Some((fit, age));
            }
        }
        let table = table(routes);
        let found = table.find(&client).map(Arc::as_ptr);
        prop_assert_eq!(found, best.map(|(_, age)| Arc::as_ptr(&table.routes()[age])));
    }
}
