//! Objects by themselves: which are judged at all, in which order, each once.

use super::*;

#[test]
fn nothing_of_nothing() {
    assert_eq!(judge(vec![], vec![]), Admitted::default());
}

#[test]
fn what_holds_passes_unchanged() {
    let tls_snis = vec![tls_sni("acme/a", &["a.example", "*.a.example"])];
    let routes = vec![route("acme/a", &["a.example"]).of_ranges(&["10.0.0.0/8"]).at_listeners(&["mqtts"])];
    let admitted = judge(tls_snis.clone(), routes.clone());
    assert_eq!(admitted, Admitted { objects: Objects { tls_snis, stream_routes: routes }, refusals: vec![] });
}

#[test]
fn what_does_not_hold_by_itself_is_refused_with_its_problems() {
    let mut broken = route("acme/broken", &["a.example"]);
    broken.spec.upstream.nodes[0].port = 0;
    broken.spec.gateway = "A".into();
    let admitted = judge(vec![tls_sni("acme/a", &["a.example"])], vec![broken]);
    assert_eq!(effective(&admitted), ["TlsSni acme/a: a.example"]);
    assert_eq!(
        refused(&admitted),
        [
            "StreamRoute acme/broken: Invalid: spec.gateway: found `A`; wanted a gateway's name: at most 52 lower-case letters, \
          digits and `-`, beginning and ending with a letter or digit; spec.upstream.nodes[0].port: found the port 0; wanted a \
          port from 1 to 65535"
        ]
    );
}

#[test]
fn of_very_many_problems_the_refusal_tells_the_first() {
    let mut broken = route("acme/broken", &[]);
    broken.spec.upstream.nodes = vec![broken.spec.upstream.nodes[0].clone(); 10_000];
    let admitted = judge(vec![], vec![broken]);
    assert!(admitted.refusals[0].message.ends_with("; and more"));
    assert!(admitted.refusals[0].message.len() < 2_000);
}

#[test]
fn an_object_that_does_not_hold_claims_nothing() {
    let mut broken = tls_sni("acme/broken", &["a.example"]).created(1);
    broken.spec.certificates.clear();
    let admitted = judge(vec![broken, tls_sni("globex/a", &["a.example"]).created(2)], vec![]);
    assert_eq!(effective(&admitted), ["TlsSni globex/a: a.example"]);
}

#[test]
fn objects_without_namespace_or_name_are_refused() {
    let mut nameless = route("acme/a", &[]);
    nameless.metadata = kube::core::ObjectMeta::default();
    let admitted = judge(vec![], vec![nameless]);
    assert!(refused(&admitted)[0].starts_with("StreamRoute /: Invalid: metadata.namespace: found ``; wanted"));
}

#[test]
fn of_two_objects_with_one_name_the_older_stays() {
    let admitted =
        judge(vec![], vec![route("acme/a", &[]).created(2).on("two"), route("acme/a", &[]).created(1).on("one")]);
    assert_eq!(admitted.objects.stream_routes[0].spec.gateway, "one");
    assert_eq!(
        refused(&admitted),
        ["StreamRoute acme/a: Invalid: there is another of this kind, namespace and name; keep one of them"]
    );
}

#[test]
fn a_route_and_a_tls_sni_may_have_one_name() {
    assert_eq!(judge(vec![tls_sni("acme/a", &["a.example"])], vec![route("acme/a", &["a.example"])]).refusals, []);
}

#[test]
fn the_oldest_comes_first_then_by_namespace_and_name_and_those_without_a_time_last() {
    let routes = vec![
        route("b/b", &[]).on("g1"),
        route("b/a", &[]).on("g2"),
        route("a/z", &[]).on("g3"),
        route("z/z", &[]).created(5).on("g4"),
        route("y/z", &[]).created(5).on("g5"),
        route("y/a", &[]).created(5).on("g6"),
        route("z/a", &[]).created(-5).on("g7"),
    ];
    let names = effective(&judge(vec![], routes));
    let wanted = ["z/a", "y/a", "y/z", "z/z", "a/z", "b/a", "b/b"].map(|name| format!("StreamRoute {name}:"));
    assert_eq!(names, wanted);
}

#[test]
fn a_policy_for_one_gateway_leaves_out_the_others_without_a_word() {
    let mut broken = route("acme/broken", &[]).on("other");
    broken.spec.upstream.nodes.clear();
    let objects = Objects {
        tls_snis: vec![
            tls_sni("acme/mine", &["a.example"]).on("mine"),
            tls_sni("acme/other", &["a.example"]).on("other"),
        ],
        stream_routes: vec![
            route("acme/mine", &["a.example"]).on("mine"),
            route("acme/other", &[]).on("other"),
            broken,
        ],
    };
    let admitted = admit(&Policy { gateway: Some("mine".into()), ..Policy::default() }, objects);
    assert_eq!(effective(&admitted), ["TlsSni acme/mine: a.example", "StreamRoute acme/mine: a.example"]);
    assert_eq!(admitted.refusals, []);
}

#[test]
fn gateways_are_judged_apart() {
    let tls_snis = vec![tls_sni("acme/one", &["a.example"]).on("one"), tls_sni("globex/two", &["a.example"]).on("two")];
    let routes = vec![
        route("acme/one", &["a.example"]).on("one"),
        route("globex/two", &["a.example"]).on("two"),
        route("acme/bare-one", &[]).on("one"),
        route("acme/bare-two", &[]).on("two"),
    ];
    assert_eq!(judge(tls_snis, routes).refusals, []);
}

#[test]
fn a_tls_sni_of_another_gateway_serves_no_route() {
    let admitted =
        judge(vec![tls_sni("acme/a", &["a.example"]).on("one")], vec![route("acme/a", &["a.example"]).on("two")]);
    assert_eq!(
        refused(&admitted),
        [
            "StreamRoute acme/a: NoMatchingTlsSni: `a.example` is served by no TlsSni of gateway `two`; one must have it in its \
          `snis`; nothing is left, so the StreamRoute has no effect"
        ]
    );
}

#[test]
fn a_reason_is_its_word() {
    for (reason, word) in [
        (Reason::Invalid, "Invalid"),
        (Reason::Conflicted, "Conflicted"),
        (Reason::NoMatchingTlsSni, "NoMatchingTlsSni"),
        (Reason::NotAllowedByTlsSni, "NotAllowedByTlsSni"),
        (Reason::InvalidCertificate, "InvalidCertificate"),
        (Reason::RefNotFound, "RefNotFound"),
    ] {
        assert_eq!(reason.to_string(), word);
        assert_eq!(serde_json::to_value(reason).unwrap(), word);
    }
}

#[test]
fn many_objects_are_judged_in_a_moment() {
    let name = |each: usize| format!("n{each}.example");
    let snis = |each: usize| [name(each), format!("shared{}.example", each / 2), format!("*.{}", name(each))];
    let tls_snis = (0..5_000)
        .map(|each| tls_sni(&format!("ns{}/t{each}", each % 7), &snis(each).each_ref().map(String::as_str)))
        .collect();
    let routes = (0..5_000).map(|each| {
        let snis = snis(each);
        route(&format!("ns{}/r{each}", each % 7), &snis.each_ref().map(String::as_str))
            .of_ranges(&["10.0.0.0/8", "::/0"])
    });
    let routes = routes.chain((0..5_000).map(|each| route(&format!("ns0/bare{each}"), &[]))).collect();
    let start = std::time::Instant::now();
    let admitted = judge(tls_snis, routes);
    // A generous bound for a slow machine without optimization; comparing each with each would take minutes.
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(admitted.refusals.len() > 5_000);
}
