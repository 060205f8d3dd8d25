//! What proxies are bound to refuse, or refuse by what they have not read yet.

use super::*;

#[test]
fn a_tls_sni_that_is_bound_to_be_refused_is_not_programmed_where_proxies_do_not_name_it() {
    let mut cluster = Cluster::new();
    cluster.proxies(&["proxy-0"]);
    for each in 0..9 {
        let spec = json!({"snis": [format!("n{each}.example")], "certificates": [{"secretName": "none"}]});
        cluster.tls_sni(&format!("acme/t{each}"), spec);
    }
    cluster.rest();
    let named = (0..8).map(|each| refused("TlsSni", &format!("acme/t{each}"), "RefNotFound")).collect();
    let report = Report { refused_count: 9, refused: named, ..cluster.applied() };
    cluster.report("proxy-0", Some(report), false);
    cluster.rest();
    assert_eq!(cluster.conditions(&tls_ref("acme/t8")).pop().unwrap(), PENDING);
}

#[test]
fn a_service_that_is_not_there_is_refused_once_however_many_of_its_ports_are_named() {
    let mut cluster = Cluster::with_acme();
    let services: Vec<Value> = (1..=3).map(|port| json!({"name": "none", "port": port})).collect();
    cluster.route("acme/devices", json!({"match": {"snis": ["x.example"]}, "upstream": {"services": services}}));
    cluster.rest();
    assert_eq!(cluster.outcome.verdicts[&object()].expected_refusals, 1);
}

#[test]
fn a_route_whose_service_appears_stays_programmed_while_proxies_have_not_read_it_yet() {
    let mut cluster = with_two_proxies();
    cluster.apply(Change::Service(name("acme/broker"), None));
    cluster.rest();
    refuse_for_want_of_the_service(&mut cluster, &["proxy-0", "proxy-1"]);
    cluster.rest();
    cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
    cluster.rest();
    cluster.told.clear();
    all_report(&mut cluster, &["proxy-0"]);
    assert_eq!((programmed(&cluster).as_str(), &cluster.told[..]), (TRUE, &[][..]));
    refuse_for_want_of_the_service(&mut cluster, &["proxy-1"]);
    cluster.rest();
    assert_eq!(programmed(&cluster), "Programmed=False: Refused", "it has read it, and still refuses");
}

#[test]
fn what_is_refused_stays_so_while_proxies_have_not_read_what_it_refers_to_anew() {
    let mut cluster = with_two_proxies();
    let report = Report {
        refused_count: 1,
        refused: vec![refused("StreamRoute", "acme/devices", "Invalid")],
        ..cluster.applied()
    };
    cluster.report("proxy-1", Some(report), false);
    cluster.rest();
    let ports = json!([{"name": "mqtt", "port": 1883}]);
    cluster.slice("acme/broker-1", "broker", ports, json!([pod("broker-1", "10.0.0.2")]));
    cluster.rest();
    all_report(&mut cluster, &["proxy-0"]);
    assert_eq!(programmed(&cluster), "Programmed=False: Refused");
}

#[test]
fn a_route_is_not_programmed_before_its_tls_sni_has_a_certificate() {
    let mut cluster = Cluster::new();
    cluster.proxies(&["proxy-0"]);
    cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": [{"secretName": "tls"}]}));
    cluster.route("acme/devices", json!({"match": {"snis": ["x.example"]}, "upstream": to_broker()}));
    cluster.route("acme/bare", json!({"listeners": ["mqtts"], "upstream": to_broker()}));
    cluster.route("globex/plain", json!({"listeners": ["mqtt"], "upstream": to_broker()}));
    cluster.tls_sni("globex/devices", json!({"snis": ["y.example"], "certificates": [{"secretName": "tls"}]}));
    cluster.rest();
    let named = ["acme/devices", "globex/devices"].map(|object| refused("TlsSni", object, "RefNotFound")).to_vec();
    let report = Report { refused_count: 2, refused: named, ..cluster.applied() };
    cluster.report("proxy-0", Some(report), false);
    cluster.rest();
    let bare = |cluster: &Cluster| cluster.conditions(&route_ref("acme/bare")).pop().unwrap();
    assert_eq!((programmed(&cluster).as_str(), bare(&cluster).as_str()), (PENDING, PENDING));
    assert_eq!(cluster.conditions(&route_ref("globex/plain")).pop().unwrap(), TRUE, "it needs none");
    cluster.secret("acme/more", &credentials(&["z.example"], 2020, 2040));
    cluster.tls_sni("acme/more", json!({"snis": ["z.example"], "certificates": [{"secretName": "more"}]}));
    cluster.rest();
    all_report(&mut cluster, &["proxy-0"]);
    assert_eq!((programmed(&cluster).as_str(), bare(&cluster).as_str()), (PENDING, TRUE), "of many one will do");
    cluster.secret("acme/tls", &credentials(&["x.example"], 2020, 2040));
    cluster.rest();
    all_report(&mut cluster, &["proxy-0"]);
    assert_eq!(programmed(&cluster), TRUE);
}

#[test]
fn a_route_without_names_is_programmed_once_the_tls_sni_without_a_certificate_is_gone() {
    let mut cluster = Cluster::new();
    cluster.proxies(&["proxy-0"]);
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": [{"secretName": "tls"}]}));
    cluster.route("acme/devices", json!({"upstream": to_broker()}));
    cluster.rest();
    all_report(&mut cluster, &["proxy-0"]);
    assert_eq!(programmed(&cluster), PENDING);
    cluster.apply(Change::TlsSni(name("acme/devices"), None));
    cluster.rest();
    all_report(&mut cluster, &["proxy-0"]);
    assert_eq!(programmed(&cluster), TRUE);
}

#[test]
fn a_refusal_that_is_heard_of_before_what_it_is_for_is_judged_again() {
    let mut cluster = Cluster::with_acme();
    cluster.proxies(&["proxy-0"]);
    cluster.rest();
    // The proxy has read that the Service is gone; this operator sees it, and that it was written, later.
    refuse_for_want_of_the_service(&mut cluster, &["proxy-0"]);
    cluster.rest();
    assert_eq!(programmed(&cluster), "Programmed=False: Refused");
    cluster.apply(Change::Service(name("acme/broker"), None));
    cluster.rest();
    assert_eq!(programmed(&cluster), TRUE);
}

#[test]
fn what_else_is_refused_of_a_route_without_its_service_is_told() {
    for reason in ["Invalid", "NoMatchingListener", "Conflicted"] {
        let mut cluster = with_two_proxies();
        cluster.apply(Change::Service(name("acme/broker"), None));
        cluster.rest();
        let missing = refused("StreamRoute", "acme/devices", "RefNotFound");
        let named = vec![missing, refused("StreamRoute", "acme/devices", reason)];
        let report = Report { refused_count: 2, refused: named, ..cluster.applied() };
        cluster.report("proxy-1", Some(report), false);
        cluster.rest();
        assert_eq!(programmed(&cluster), "Programmed=False: Refused", "{reason}");
    }
}

#[test]
fn a_refusal_for_another_reason_takes_no_place_of_one_that_is_bound_to_be() {
    let mut cluster = with_two_proxies();
    cluster.route("globex/other", json!({"upstream": {"services": [{"name": "none", "port": 1}]}}));
    change_route(&mut cluster);
    let named = vec![refused("StreamRoute", "globex/other", "Invalid")];
    for pod in ["proxy-0", "proxy-1"] {
        let report = Report { refused_count: 2, refused: named.clone(), ..cluster.applied() };
        cluster.report(pod, Some(report), false);
    }
    cluster.rest();
    assert_eq!(programmed(&cluster), TRUE);
}

#[test]
fn endpoints_that_never_fitted_an_object_are_bound_to_be_refused_until_there_are_some() {
    let mut cluster = Cluster::with_acme();
    let key = cluster.store.generated.keys().find(|key| &*key.name == "endpoints.acme.broker").unwrap().clone();
    let copy = cluster.store.generated(&key).unwrap().clone();
    let many: Vec<Value> = (0..20_000)
        .map(|each| pod(&format!("broker-{each}"), &format!("10.1.{}.{}", each / 250, each % 250)))
        .collect();
    cluster.slice("acme/broker-1", "broker", json!([{"name": "mqtt", "port": 1883}]), many.into());
    cluster.rest();
    let expected = |cluster: &Cluster| cluster.outcome.verdicts[&object()].expected_refusals;
    assert_eq!(expected(&cluster), 0, "those before them are there");
    let version = cluster.version();
    cluster.apply(Change::Generated(key.clone(), version, None));
    cluster.rest();
    assert_eq!(expected(&cluster), 1);
    cluster.apply(Change::Found(key, Some(copy)));
    cluster.rest();
    assert_eq!(expected(&cluster), 0);
}
