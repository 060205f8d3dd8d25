//! What the owner of a gateway decides.

use super::*;
use crate::Sni;

fn names(names: &[&str]) -> std::collections::BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

fn listener(name: &str, protocol: Protocol) -> Listener {
    Listener { name: name.to_owned(), protocol }
}

/// A gateway with a listener of each protocol.
fn both() -> Policy {
    let listeners = vec![listener("mqtts", Protocol::Mqtts), listener("mqtt", Protocol::Mqtt)];
    Policy { listeners: Some(listeners), ..Policy::default() }
}

fn judge_by(policy: &Policy, tls_snis: Vec<TlsSni>, stream_routes: Vec<StreamRoute>) -> Admitted {
    admit(policy, Objects { tls_snis, stream_routes })
}

/// `object: reason`, without the sentences.
fn reasons(admitted: &Admitted) -> Vec<String> {
    admitted.refusals.iter().map(|Refusal { object, reason, .. }| format!("{object}: {reason}")).collect()
}

fn listeners(admitted: &Admitted) -> Vec<Vec<String>> {
    admitted.objects.stream_routes.iter().map(|route| route.spec.listeners.clone()).collect()
}

#[test]
fn a_namespace_that_may_not_use_the_gateway_claims_nothing_there() {
    let policy = Policy { allowed_namespaces: Some(names(&["acme"])), ..Policy::default() };
    let tls_snis = vec![tls_sni("evil/t", &["a.x"]).created(1), tls_sni("acme/t", &["a.x"]).created(2)];
    let routes = vec![route("evil/r", &["a.x"]).created(1), route("acme/r", &["a.x"]).created(2)];
    let admitted = judge_by(&policy, tls_snis, routes);
    assert_eq!(effective(&admitted), ["TlsSni acme/t: a.x", "StreamRoute acme/r: a.x"]);
    assert_eq!(
        refused(&admitted)[0],
        "StreamRoute evil/r: NamespaceNotAllowed: namespace `evil` may not use gateway `default`; its owner can allow it, by \
         `allowedNamespaces`"
    );
    assert_eq!(reasons(&admitted)[1], "TlsSni evil/t: NamespaceNotAllowed");
}

#[test]
fn a_name_is_for_the_namespaces_of_its_domain() {
    let domain = |namespace: &str, of: &[&str]| Domain {
        namespaces: names(&[namespace]),
        names: of.iter().map(|name| name.parse().unwrap()).collect(),
    };
    let policy = Policy {
        domains: Some(vec![domain("acme", &["*.acme.x", "acme.x"]), domain("platform", &["*"])]),
        ..Policy::default()
    };
    let kept = |object: &str, name: &str| judge_by(&policy, vec![tls_sni(object, &[name])], vec![]).refusals.is_empty();
    for (name, is_allowed) in [
        ("acme.x", true),
        ("a.acme.x", true),
        ("*.acme.x", true),
        ("b.a.acme.x", false),
        ("*.a.acme.x", false),
        ("x", false),
        ("*.x", false),
        ("*", false),
    ] {
        assert_eq!(kept("acme/t", name), is_allowed, "{name}");
        assert!(kept("platform/t", name) && !kept("globex/t", name), "{name}");
    }
}

#[test]
fn a_name_that_may_not_be_claimed_is_lost_alone_and_keeps_nobody_from_it() {
    let domains = vec![
        Domain { namespaces: names(&["acme"]), names: vec![Sni::Wildcard("acme.x".into())] },
        Domain { namespaces: names(&["globex"]), names: vec![Sni::Any] },
    ];
    let policy = Policy { domains: Some(domains), ..Policy::default() };
    let tls_snis = vec![
        tls_sni("acme/t", &["a.acme.x", "globex.x"]).created(1),
        tls_sni("globex/t", &["globex.x"]).open_to_all().created(2),
    ];
    let routes = vec![route("acme/r", &["globex.x", "a.acme.x"])];
    let admitted = judge_by(&policy, tls_snis, routes);
    assert_eq!(
        effective(&admitted),
        ["TlsSni acme/t: a.acme.x", "TlsSni globex/t: globex.x", "StreamRoute acme/r: a.acme.x"]
    );
    assert_eq!(
        refused(&admitted),
        [
            "StreamRoute acme/r: NameNotAllowed: `globex.x` is none of the names that namespace `acme` may claim: `*.acme.x`; the \
          gateway's owner can allow it, by `domains`",
            "TlsSni acme/t: NameNotAllowed: `globex.x` is none of the names that namespace `acme` may claim: `*.acme.x`; the \
          gateway's owner can allow it, by `domains`",
        ]
    );
}

#[test]
fn nodes_are_refused_where_upstreams_must_be_in_the_cluster() {
    let policy = Policy { allow_external_upstreams: false, ..Policy::default() };
    let mut inside = route("acme/inside", &[]);
    inside.spec.upstream = crate::stream_route::Upstream::of_services(vec![crate::stream_route::ServiceRef {
        name: "broker".into(),
        port: crate::stream_route::ServicePort::Number(1883),
        weight: 1,
    }]);
    let admitted = judge_by(&policy, vec![], vec![inside, route("acme/outside", &[])]);
    assert_eq!(effective(&admitted), ["StreamRoute acme/inside:"]);
    assert_eq!(reasons(&admitted), ["StreamRoute acme/outside: ExternalUpstreamNotAllowed"]);
}

#[test]
fn a_listener_that_there_is_not_is_lost_and_the_last_one_with_the_route() {
    let admitted = judge_by(
        &both(),
        vec![],
        vec![route("a/some", &[]).at_listeners(&["mqtts", "typo"]), route("b/none", &[]).at_listeners(&["typo"])],
    );
    assert_eq!(listeners(&admitted), [["mqtts"]]);
    assert_eq!(
        refused(&admitted),
        [
            "StreamRoute a/some: NoMatchingListener: `typo` is none of the gateway's listeners, which are `mqtts`, `mqtt`; take it \
          out of `listeners`, or leave them out for all",
            "StreamRoute b/none: NoMatchingListener: `typo` is none of the gateway's listeners, which are `mqtts`, `mqtt`; take it \
          out of `listeners`, or leave them out for all; nothing is left, so the StreamRoute has no effect",
        ]
    );
}

#[test]
fn a_route_with_names_has_no_clients_where_none_are_asked_for() {
    let tls_snis = vec![tls_sni("a/t", &["a.x"])];
    let routes = vec![
        route("a/all", &["a.x"]).of_ranges(&["10.0.0.0/8"]),
        route("a/both", &["a.x"]).at_listeners(&["mqtt", "mqtts"]),
        route("a/plain", &["a.x"]).at_listeners(&["mqtt"]),
    ];
    let admitted = judge_by(&both(), tls_snis, routes);
    assert_eq!(listeners(&admitted), [&[][..], &["mqtts".to_owned()]]);
    assert_eq!(
        reasons(&admitted),
        ["StreamRoute a/both: NoMatchingListener", "StreamRoute a/plain: NoMatchingListener"]
    );
}

#[test]
fn a_namespace_that_may_not_use_plaintext_keeps_the_listeners_with_tls() {
    let policy = Policy { plaintext_namespaces: Some(names(&["b"])), ..both() };
    let routes = vec![
        route("a/all", &[]).created(1),
        route("a/plain", &[]).at_listeners(&["mqtt"]).created(2),
        route("b/all", &[]).created(3),
    ];
    let admitted = judge_by(&policy, vec![], routes);
    assert_eq!(effective(&admitted), ["StreamRoute a/all:", "StreamRoute b/all:"]);
    assert_eq!(listeners(&admitted), [&["mqtts".to_owned()][..], &[]]);
    assert_eq!(
        reasons(&admitted),
        ["StreamRoute a/all: PlaintextNotAllowed", "StreamRoute a/plain: PlaintextNotAllowed"]
    );
}

#[test]
fn in_the_clear_routes_of_all_namespaces_are_equal_and_the_younger_keeps_tls() {
    let old = || route("a/old", &[]).created(1);
    let young = || route("b/young", &[]).created(2);
    let cases = [
        ("all listeners", old(), young(), Some(vec!["mqtts"])),
        ("one in the clear", old(), young().at_listeners(&["mqtt"]), None),
        ("one with TLS", old(), young().at_listeners(&["mqtts"]), Some(vec!["mqtts"])),
        ("the older has TLS alone", old().at_listeners(&["mqtts"]), young(), Some(vec![])),
        ("a range of its own", old(), young().of_ranges(&["10.0.0.0/8"]), Some(vec![])),
        (
            "an equal range",
            old().of_ranges(&["10.0.0.0/8"]),
            young().of_ranges(&["::/0", "10.0.0.0/8"]),
            Some(vec!["mqtts"]),
        ),
    ];
    for (what, old, young, wanted) in cases {
        let admitted = judge_by(&both(), vec![], vec![young.clone(), old]);
        let left = admitted.objects.stream_routes.iter().find(|route| route.reference() == young.reference());
        assert_eq!(left.map(|route| route.spec.listeners.iter().map(String::as_str).collect()), wanted, "{what}");
        let lost_any = left.is_none_or(|route| route.spec.listeners != young.spec.listeners);
        assert_eq!(admitted.refusals.len(), usize::from(lost_any), "{what}");
    }
    let admitted = judge_by(&both(), vec![], vec![old(), young()]);
    assert_eq!(
        refused(&admitted),
        [
            "StreamRoute b/young: Conflicted: whoever comes to the listener `mqtt`, where clients ask for no name, goes by \
          StreamRoute a/old, which is older; give them different source ranges or listeners"
        ]
    );
}
