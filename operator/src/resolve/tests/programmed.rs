//! Whether proxies have applied an object.

use super::*;

mod bound;

fn object() -> ObjectRef {
    route_ref("acme/devices")
}

fn programmed(cluster: &Cluster) -> String {
    cluster.conditions(&object()).pop().unwrap()
}

/// Two proxies that have applied all that there is.
fn with_two_proxies() -> Cluster {
    let mut cluster = Cluster::with_acme();
    cluster.proxies(&["proxy-0", "proxy-1"]);
    cluster.rest();
    all_report(&mut cluster, &["proxy-0", "proxy-1"]);
    cluster
}

fn all_report(cluster: &mut Cluster, pods: &[&str]) {
    for pod in pods {
        cluster.report(pod, Some(cluster.applied()), false);
    }
    cluster.rest();
}

fn refused(kind: &str, object: &str, reason: &str) -> Refused {
    let Name { namespace, name } = name(object);
    let message = format!("{reason} in a proxy's words");
    Refused {
        kind: kind.into(),
        namespace: namespace.to_string(),
        name: name.to_string(),
        reason: reason.into(),
        message,
    }
}

/// Up to where a proxy has come that has just begun to read: the latest versions of what is there.
fn read_anew(cluster: &Cluster) -> Revision {
    let latest = |kind| {
        let versions = cluster.store.generated.iter().filter(|(key, _)| key.kind == kind);
        versions.map(|(_, seen)| seen.version.clone()).max().unwrap()
    };
    Revision { config_maps: latest(MaterialKind::ConfigMap), secrets: latest(MaterialKind::Secret) }
}

/// These proxies refuse the route, whose Service is not there.
fn refuse_for_want_of_the_service(cluster: &mut Cluster, pods: &[&str]) {
    let refused = vec![refused("StreamRoute", "acme/devices", "RefNotFound")];
    for pod in pods {
        let report = Report { refused_count: 1, refused: refused.clone(), ..cluster.applied() };
        cluster.report(pod, Some(report), false);
    }
}

fn change_route(cluster: &mut Cluster) {
    cluster.route(
        "acme/devices",
        json!({"match": {"snis": ["x.example"]}, "mqtt": {"protocolLevels": [5]}, "upstream": to_broker()}),
    );
    cluster.rest();
}

const TRUE: &str = "Programmed=True: Programmed";
const PENDING: &str = "Programmed=False: Pending";
const SILENT: &str = "Programmed=Unknown: ProxySilent";

#[test]
fn without_a_proxy_nothing_is_programmed() {
    let mut cluster = Cluster::with_acme();
    assert_eq!(programmed(&cluster), "Programmed=False: NoProxies");
    cluster.report("proxy-0", Some(cluster.applied()), false);
    cluster.rest();
    assert_eq!(programmed(&cluster), "Programmed=False: NoProxies", "it is no endpoint of the gateway's Service");
}

#[test]
fn it_is_programmed_once_every_proxy_has_applied_it_with_all_that_it_refers_to() {
    let mut cluster = Cluster::with_acme();
    cluster.proxies(&["proxy-0", "proxy-1"]);
    cluster.rest();
    assert_eq!(programmed(&cluster), PENDING);
    cluster.report("proxy-0", Some(cluster.applied()), false);
    cluster.rest();
    assert_eq!(programmed(&cluster), PENDING);
    let Revision { config_maps, secrets } = read_anew(&cluster);
    let old = || "1".parse().unwrap();
    for (config_maps, secrets, wanted) in
        [(config_maps.clone(), old(), PENDING), (old(), secrets.clone(), PENDING), (config_maps, secrets, TRUE)]
    {
        let report = Report { revision: Some(Revision { config_maps, secrets }), ..cluster.applied() };
        cluster.report("proxy-1", Some(report), false);
        cluster.rest();
        assert_eq!(programmed(&cluster), wanted);
    }
}

#[test]
fn another_generation_is_programmed_anew() {
    let mut cluster = with_two_proxies();
    assert_eq!(programmed(&cluster), TRUE);
    change_route(&mut cluster);
    assert_eq!(programmed(&cluster), PENDING);
    all_report(&mut cluster, &["proxy-0"]);
    assert_eq!(programmed(&cluster), PENDING);
    all_report(&mut cluster, &["proxy-1"]);
    assert_eq!(programmed(&cluster), TRUE);
}

#[test]
fn what_follows_in_the_same_generation_changes_nothing() {
    let mut cluster = with_two_proxies();
    cluster.told.clear();
    cluster.slice(
        "acme/broker-1",
        "broker",
        json!([{"name": "mqtt", "port": 1883}]),
        json!([pod("broker-1", "10.0.0.2")]),
    );
    cluster.rest();
    cluster.secret("acme/tls", &credentials(&["x.example"], 2020, 2040));
    cluster.rest();
    let told = |cluster: &Cluster| cluster.told.clone();
    assert_eq!((told(&cluster), programmed(&cluster).as_str()), (vec![], TRUE));
    for pods in [&["proxy-0", "proxy-1", "proxy-2", "proxy-3"][..], &["proxy-3"], &["proxy-4"]] {
        cluster.proxies(pods);
        cluster.rest();
        assert_eq!((told(&cluster), programmed(&cluster).as_str()), (vec![], TRUE), "{pods:?}");
    }
    cluster.outcome.forget();
    cluster.touched = Touched::everything();
    cluster.rest();
    assert_eq!((told(&cluster), programmed(&cluster).as_str()), (vec![], TRUE));
    cluster.restart();
    assert_eq!((told(&cluster), programmed(&cluster).as_str()), (vec![], TRUE));
}

#[test]
fn a_proxy_that_is_not_ready_does_not_count() {
    let mut cluster = with_two_proxies();
    let mut other = pod("proxy-1", "10.9.0.2");
    other["conditions"] = json!({"ready": false});
    cluster.slice(
        "streamgate-system/gateway-1",
        "gateway",
        json!([{"port": 8883}]),
        json!([pod("proxy-0", "10.9.0.1"), other]),
    );
    cluster.rest();
    change_route(&mut cluster);
    all_report(&mut cluster, &["proxy-0"]);
    assert_eq!(programmed(&cluster), TRUE);
}

#[test]
fn a_silent_proxy_makes_it_unknown_until_it_speaks_again() {
    let mut cluster = with_two_proxies();
    let before = cluster.applied();
    cluster.route(
        "acme/young",
        json!({"match": {"snis": ["x.example"], "sourceRanges": ["10.0.0.0/8"]}, "upstream": to_broker()}),
    );
    cluster.rest();
    all_report(&mut cluster, &["proxy-0"]);
    let young = |cluster: &Cluster| cluster.conditions(&route_ref("acme/young")).pop().unwrap();
    assert_eq!((programmed(&cluster).as_str(), young(&cluster).as_str()), (TRUE, PENDING));
    cluster.report("proxy-1", Some(before.clone()), true);
    cluster.rest();
    assert_eq!((programmed(&cluster).as_str(), young(&cluster).as_str()), (SILENT, SILENT));
    assert!(cluster.message(&object(), "Programmed").contains("`proxy-1`"));
    cluster.report("proxy-1", Some(before), false);
    cluster.rest();
    assert_eq!((programmed(&cluster).as_str(), young(&cluster).as_str()), (TRUE, PENDING));
    all_report(&mut cluster, &["proxy-1"]);
    assert_eq!((programmed(&cluster).as_str(), young(&cluster).as_str()), (TRUE, TRUE));
}

#[test]
fn what_a_proxy_refuses_is_told_in_its_words_of_that_object_alone() {
    let mut cluster = with_two_proxies();
    let refusal = refused("StreamRoute", "acme/devices", "Invalid");
    let report = Report { refused_count: 1, refused: vec![refusal], ..cluster.applied() };
    cluster.report("proxy-1", Some(report), false);
    cluster.rest();
    assert_eq!(programmed(&cluster), "Programmed=False: Refused");
    assert_eq!(cluster.message(&object(), "Programmed"), "a proxy refuses it: Invalid in a proxy's words");
    assert_eq!(cluster.conditions(&tls_ref("acme/devices")).pop().unwrap(), TRUE);
    all_report(&mut cluster, &["proxy-1"]);
    assert_eq!(programmed(&cluster), TRUE);
}

#[test]
fn a_refusal_from_before_a_generation_says_nothing_of_it() {
    let mut cluster = with_two_proxies();
    let refusal = refused("StreamRoute", "acme/devices", "Invalid");
    let report = Report { refused_count: 1, refused: vec![refusal], ..cluster.applied() };
    cluster.report("proxy-1", Some(report), false);
    cluster.rest();
    change_route(&mut cluster);
    assert_eq!(programmed(&cluster), PENDING);
}

#[test]
fn where_more_is_refused_than_is_named_nothing_becomes_programmed() {
    let mut cluster = with_two_proxies();
    change_route(&mut cluster);
    let report = Report {
        refused_count: 2,
        refused: vec![refused("StreamRoute", "globex/other", "Invalid")],
        ..cluster.applied()
    };
    cluster.report("proxy-0", Some(report), false);
    cluster.report("proxy-1", Some(cluster.applied()), false);
    cluster.rest();
    assert_eq!(programmed(&cluster), PENDING);
    assert_eq!(cluster.conditions(&tls_ref("acme/devices")).pop().unwrap(), TRUE, "what is programmed stays so");
}

#[test]
fn refusals_that_are_bound_to_be_hold_up_nobody_else() {
    let mut cluster = with_two_proxies();
    for each in 0..3 {
        let names = [format!("n{each}.example")];
        cluster.tls_sni(&format!("globex/t{each}"), json!({"snis": names, "certificates": [{"secretName": "none"}]}));
    }
    change_route(&mut cluster);
    let named = vec![refused("TlsSni", "globex/t0", "RefNotFound")];
    for pod in ["proxy-0", "proxy-1"] {
        let report = Report { refused_count: 3, refused: named.clone(), ..cluster.applied() };
        cluster.report(pod, Some(report), false);
    }
    cluster.rest();
    assert_eq!(programmed(&cluster), TRUE);
    assert_eq!(cluster.conditions(&tls_ref("globex/t0")).pop().unwrap(), "Programmed=False: Refused");
    change_route(&mut cluster);
    let mut cluster_with_one_more = |count| {
        cluster.route(
            "acme/devices",
            json!({"match": {"snis": ["x.example"]}, "mqtt": {"protocolLevels": [4]}, "upstream": to_broker()}),
        );
        cluster.rest();
        for pod in ["proxy-0", "proxy-1"] {
            let report = Report { refused_count: count, refused: named.clone(), ..cluster.applied() };
            cluster.report(pod, Some(report), false);
        }
        cluster.rest();
        programmed(&cluster)
    };
    assert_eq!(cluster_with_one_more(4), PENDING);
    assert_eq!(cluster_with_one_more(3), TRUE);
}

#[test]
fn a_route_goes_on_without_a_service_that_is_not_there() {
    let mut cluster = with_two_proxies();
    cluster.apply(Change::Service(name("acme/broker"), None));
    cluster.rest();
    refuse_for_want_of_the_service(&mut cluster, &["proxy-0", "proxy-1"]);
    cluster.rest();
    assert_eq!(cluster.conditions(&object())[1..], ["ResolvedRefs=False: RefNotFound", TRUE]);
}

#[test]
fn what_is_withdrawn_and_comes_back_is_programmed_anew() {
    let mut cluster = with_two_proxies();
    let spec = json!({"snis": ["x.example"], "certificates": [{"secretName": "tls"}]});
    cluster.apply(Change::TlsSni(name("acme/devices"), None));
    cluster.rest();
    assert_eq!(programmed(&cluster), "Programmed=False: NotAccepted");
    cluster.tls_sni("acme/devices", spec);
    cluster.rest();
    assert_eq!(programmed(&cluster), PENDING);
    all_report(&mut cluster, &["proxy-0", "proxy-1"]);
    assert_eq!(programmed(&cluster), TRUE);
}

#[test]
fn after_a_restart_what_was_pending_is_judged_by_what_is_there() {
    let mut cluster = Cluster::with_acme();
    cluster.proxies(&["proxy-0"]);
    cluster.rest();
    cluster.restart();
    assert_eq!(programmed(&cluster), PENDING);
    all_report(&mut cluster, &["proxy-0"]);
    assert_eq!(programmed(&cluster), TRUE);
}

#[test]
fn after_a_restart_what_was_programmed_and_is_there_no_more_is_programmed_anew() {
    let mut cluster = with_two_proxies();
    cluster.files.clear();
    cluster.store.generated.clear();
    cluster.restart();
    assert_eq!(programmed(&cluster), PENDING);
    all_report(&mut cluster, &["proxy-0", "proxy-1"]);
    assert_eq!(programmed(&cluster), TRUE);
}

#[test]
fn it_is_programmed_once_all_is_written_whatever_comes_last() {
    let mut cluster = Cluster::new();
    cluster.proxies(&["proxy-0"]);
    cluster.rest();
    cluster.secret("acme/tls", &credentials(&["x.example"], 2020, 2040));
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": [{"secretName": "tls"}]}));
    cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
    cluster.route("acme/devices", json!({"match": {"snis": ["x.example"]}, "upstream": to_broker()}));
    cluster.backwards = true;
    cluster.rest();
    assert_eq!(cluster.written.last().map(String::as_str), Some("create secrets.acme.tls"));
    assert_eq!(programmed(&cluster), PENDING);
    all_report(&mut cluster, &["proxy-0"]);
    assert_eq!(programmed(&cluster), TRUE);
    assert_eq!(cluster.conditions(&tls_ref("acme/devices")).pop().unwrap(), TRUE);
    cluster.service("globex/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
    cluster.route("globex/devices", json!({"upstream": to_broker()}));
    cluster.rest();
    assert_eq!(cluster.written, ["create streamroutes.globex.devices", "create endpoints.globex.broker"]);
    all_report(&mut cluster, &["proxy-0"]);
    assert_eq!(cluster.conditions(&route_ref("globex/devices")).pop().unwrap(), TRUE);
}

#[test]
fn another_generation_that_means_the_same_is_programmed_at_once() {
    let mut cluster = with_two_proxies();
    for timeout in ["10s", "10000ms"] {
        let mqtt = json!({"connectTimeout": timeout});
        cluster.route("acme/devices", json!({"match": {"snis": ["x.example"]}, "mqtt": mqtt, "upstream": to_broker()}));
        cluster.rest();
        assert_eq!((&cluster.written[..], programmed(&cluster).as_str()), (&[][..], TRUE));
        assert_eq!(cluster.told, [object()]);
    }
    let generations = cluster.status(&object()).conditions.iter().map(|condition| condition.observed_generation);
    assert_eq!(generations.collect::<Vec<_>>(), [Some(3); 3]);
}

#[test]
fn what_is_gone_since_is_asked_of_no_proxy() {
    let with = |secret: &str| json!({"snis": ["x.example"], "certificates": [{"secretName": secret}]});
    let elsewhere = json!({"snis": ["*.example"], "certificates": [{"secretName": "old"}]});
    let others: [&dyn Fn(&mut Cluster); 2] = [
        // The TlsSni refers to another Secret, or the route attaches to another TlsSni.
        &|cluster| cluster.tls_sni("acme/devices", with("old")),
        &|cluster| cluster.apply(Change::TlsSni(name("acme/devices"), None)),
    ];
    for other in others {
        let mut cluster = Cluster::new();
        cluster.proxies(&["proxy-0"]);
        cluster.secret("acme/old", &credentials(&["x.example", "*.example"], 2020, 2040));
        cluster.tls_sni("acme/elsewhere", elsewhere.clone());
        cluster.rest();
        cluster.secret("acme/tls", &credentials(&["x.example"], 2020, 2040));
        cluster.tls_sni("acme/devices", with("tls"));
        cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
        cluster.route("acme/devices", json!({"match": {"snis": ["x.example"]}, "upstream": to_broker()}));
        cluster.rest();
        other(&mut cluster);
        cluster.rest();
        assert_eq!(programmed(&cluster), PENDING);
        let report = Report { revision: Some(read_anew(&cluster)), ..cluster.applied() };
        cluster.report("proxy-0", Some(report), false);
        cluster.rest();
        assert_eq!(programmed(&cluster), TRUE);
    }
}
