//! What is said of objects, proxies aside.

use super::*;

fn said(cluster: &Cluster, object: &ObjectRef) -> Vec<String> {
    let mut said = cluster.conditions(object);
    said.truncate(2);
    said
}

#[test]
fn what_holds_is_accepted_and_resolved_of_its_generation() {
    let mut cluster = Cluster::with_acme();
    cluster.route("acme/devices", json!({"match": {"snis": ["x.example"]}, "upstream": to_broker()}));
    cluster.rest();
    for object in [route_ref("acme/devices"), tls_ref("acme/devices")] {
        assert_eq!(said(&cluster, &object), ["Accepted=True: Accepted", "ResolvedRefs=True: ResolvedRefs"]);
    }
    assert_eq!(cluster.status(&route_ref("acme/devices")).upstream.as_deref(), Some("broker:mqtt"));
    let generations =
        cluster.status(&route_ref("acme/devices")).conditions.iter().map(|condition| condition.observed_generation);
    assert_eq!(generations.collect::<Vec<_>>(), [Some(2); 3]);
}

#[test]
fn a_name_that_is_served_by_none_or_closed_is_a_reference_that_is_not_resolved() {
    let mut cluster = Cluster::with_acme();
    cluster.route("acme/typo", json!({"match": {"snis": ["y.example"]}, "upstream": to_broker()}));
    cluster.route(
        "acme/some",
        json!({"match": {"snis": ["z.example", "x.example"], "sourceRanges": ["10.0.0.0/8"]}, "upstream": to_broker()}),
    );
    cluster.route("globex/closed", json!({"match": {"snis": ["x.example"]}, "upstream": to_broker()}));
    cluster.rest();
    assert_eq!(
        said(&cluster, &route_ref("acme/typo")),
        ["Accepted=True: Accepted", "ResolvedRefs=False: NoMatchingTlsSni"]
    );
    assert_eq!(
        said(&cluster, &route_ref("acme/some")),
        ["Accepted=True: Accepted", "ResolvedRefs=False: NoMatchingTlsSni"]
    );
    assert_eq!(
        said(&cluster, &route_ref("globex/closed")),
        ["Accepted=True: Accepted", "ResolvedRefs=False: NotAllowedByTlsSni"]
    );
    let generated = cluster.generated();
    assert!(generated.contains(&"streamroutes.acme.some"));
    assert!(!generated.contains(&"streamroutes.acme.typo") && !generated.contains(&"streamroutes.globex.closed"));
    cluster.tls_sni("acme/more", json!({"snis": ["y.example"], "certificates": [{"secretName": "tls"}]}));
    cluster.rest();
    assert_eq!(cluster.written.last().map(String::as_str), Some("create streamroutes.acme.typo"));
}

#[test]
fn of_what_is_not_accepted_names_that_nobody_serves_are_told_too() {
    let mut cluster = Cluster::with_acme();
    let matches = json!({"snis": ["x.example", "typo.example"]});
    cluster.route("acme/later", json!({"match": matches, "upstream": to_broker()}));
    cluster.rest();
    let later = route_ref("acme/later");
    assert_eq!(said(&cluster, &later)[0], "Accepted=False: Conflicted");
    assert!(said(&cluster, &later)[1].starts_with("ResolvedRefs=False"), "{:?}", said(&cluster, &later));
    assert!(cluster.message(&later, "ResolvedRefs").contains("typo.example"));
}

#[test]
fn a_name_that_another_has_is_told_and_without_any_left_the_object_is_not_accepted() {
    let mut cluster = Cluster::with_acme();
    cluster.tls_sni("acme/more", json!({"snis": ["x.example", "y.example"], "certificates": [{"secretName": "tls"}]}));
    cluster.route("acme/some", json!({"match": {"snis": ["x.example", "y.example"]}, "upstream": to_broker()}));
    cluster.route("acme/none", json!({"match": {"snis": ["x.example", "y.example"]}, "upstream": to_broker()}));
    cluster.rest();
    let (some, none) = (route_ref("acme/some"), route_ref("acme/none"));
    assert_eq!(said(&cluster, &some), ["Accepted=True: Accepted", "ResolvedRefs=True: ResolvedRefs"]);
    assert_eq!(
        cluster.message(&some, "Accepted"),
        "it takes effect without some of what it asks for: `x.example` goes by StreamRoute acme/devices, which is older; give \
         them different names, source ranges or listeners"
    );
    assert_eq!(
        cluster.conditions(&none),
        ["Accepted=False: Conflicted", "ResolvedRefs=Unknown: NotAccepted", "Programmed=False: NotAccepted",]
    );
    assert_eq!(
        cluster.message(&none, "Accepted"),
        "`x.example` goes by StreamRoute acme/devices, which is older; give them different names, source ranges or listeners; \
         `y.example` goes by StreamRoute acme/some, which is older; give them different names, source ranges or listeners; \
         nothing is left, so the StreamRoute has no effect"
    );
    assert_eq!(said(&cluster, &tls_ref("acme/more")), ["Accepted=True: Accepted", "ResolvedRefs=True: ResolvedRefs"]);
    assert!(
        cluster.message(&tls_ref("acme/more"), "Accepted").contains("`x.example` is served by TlsSni acme/devices")
    );
    // Who was kept from a name gets it when it is free.
    cluster.apply(Change::StreamRoute(name("acme/devices"), None));
    cluster.rest();
    assert_eq!(cluster.message(&some, "Accepted"), "the StreamRoute holds and is allowed");
}

#[test]
fn what_the_owner_decides_is_a_reason_and_takes_effect_at_once() {
    let named = |names: &[&str]| Some(Namespaces::Named(names.iter().map(ToString::to_string).collect()));
    let labels = kube::core::Selector::from_iter([("team", "acme")]);
    let gateway = Gateway {
        allowed_namespaces: Some(Namespaces::Labelled(labels)),
        plaintext_namespaces: named(&["platform"]),
        allow_external_upstreams: false,
        ..open_gateway()
    };
    let mut cluster = Cluster::with(gateway);
    cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
    cluster.route("acme/bare", json!({"upstream": to_broker()}));
    cluster.route("acme/plain", json!({"listeners": ["mqtt"], "upstream": to_broker()}));
    cluster.route("acme/outside", json!({"upstream": {"nodes": [{"host": "broker.example.com", "port": 1883}]}}));
    cluster.rest();
    assert_eq!(said(&cluster, &route_ref("acme/bare"))[0], "Accepted=False: NamespaceNotAllowed");
    assert_eq!(cluster.generated(), Vec::<&str>::new());
    let label = |value: &str| Some(BTreeMap::from([("team".to_owned(), value.to_owned())]));
    cluster.apply(Change::Namespace("acme".into(), label("acme")));
    cluster.rest();
    assert_eq!(said(&cluster, &route_ref("acme/bare"))[0], "Accepted=True: Accepted");
    assert_eq!(said(&cluster, &route_ref("acme/plain"))[0], "Accepted=False: PlaintextNotAllowed");
    assert_eq!(said(&cluster, &route_ref("acme/outside"))[0], "Accepted=False: ExternalUpstreamNotAllowed");
    assert_eq!(cluster.generated(), ["endpoints.acme.broker", "streamroutes.acme.bare"]);
    cluster.apply(Change::Namespace("acme".into(), label("globex")));
    cluster.rest();
    assert_eq!(cluster.written, ["delete streamroutes.acme.bare", "delete endpoints.acme.broker"]);
}

#[test]
fn a_conditions_time_is_when_its_status_changed() {
    let mut cluster = Cluster::with_acme();
    let times = |cluster: &Cluster| -> Vec<String> {
        let conditions = cluster.status(&route_ref("acme/devices")).conditions.iter();
        conditions.map(|condition| condition.last_transition_time.0.to_string()).collect()
    };
    assert_eq!(times(&cluster), [NOW; 3]);
    cluster.now = "2026-06-02T00:00:00.5Z".parse().unwrap();
    cluster.apply(Change::Service(name("acme/broker"), None));
    cluster.rest();
    assert_eq!(times(&cluster), [NOW, "2026-06-02T00:00:00Z", NOW]);
    cluster.now = "2026-06-03T00:00:00Z".parse().unwrap();
    cluster.service("acme/broker", json!({"ports": [{"name": "other", "port": 1}]}));
    cluster.rest();
    assert_eq!(cluster.told, [route_ref("acme/devices")]);
    assert_eq!(times(&cluster), [NOW, "2026-06-02T00:00:00Z", NOW]);
}

#[test]
fn a_status_that_somebody_changed_is_put_back() {
    let mut cluster = Cluster::with_acme();
    let object = route_ref("acme/devices");
    let right = cluster.status(&object).clone();
    let mut wrong = right.clone();
    wrong.conditions.remove(0);
    wrong.conditions[0].message = "all is well".to_owned();
    cluster.tell(&object, wrong);
    cluster.rest();
    assert_eq!((cluster.status(&object), &cluster.told[..]), (&right, &[object.clone()][..]));
}

#[test]
fn a_routes_status_says_in_short_where_its_clients_go() {
    let mut cluster = Cluster::with_acme();
    let object = route_ref("acme/devices");
    assert_eq!(cluster.status(&object).upstream.as_deref(), Some("broker:mqtt"));
    cluster.route("acme/devices", json!({"upstream": {"services": [{"name": "broker", "port": 1883}]}}));
    cluster.rest();
    assert_eq!(cluster.status(&object).upstream.as_deref(), Some("broker:1883"));
    let wrong = Status { upstream: None, ..cluster.status(&object).clone() };
    cluster.tell(&object, wrong);
    cluster.rest();
    assert_eq!(cluster.told, [object]);
}
