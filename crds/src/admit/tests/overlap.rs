//! Whose the clients are, of several routes that mean the same.

use super::*;

/// A gateway on which every name is served and open to all.
fn open() -> Vec<TlsSni> {
    vec![tls_sni("platform/any", &["*"]).open_to_all()]
}

/// Whether the second of two routes loses its one name, or all, to the first, which is older.
fn conflict(older: StreamRoute, younger: StreamRoute) -> bool {
    let admitted = judge(open(), vec![younger.created(2), older.created(1)]);
    let kept = admitted.objects.stream_routes.len();
    assert_eq!(kept + admitted.refusals.len(), 2);
    kept == 1
}

#[test]
fn routes_conflict_by_name_and_range_and_listener() {
    let a = |snis: &[&str]| route("acme/a", snis);
    let b = |snis: &[&str]| route("globex/b", snis);
    let own = |snis: &[&str]| route("acme/b", snis);
    let x = &["a.x"][..];
    let cases = vec![
        ("equal names", a(x), b(x), true),
        ("equal names in upper case", a(&["A.X"]), b(x), true),
        ("other names", a(x), b(&["b.x"]), false),
        ("equal wildcards", a(&["*.x"]), b(&["*.x"]), true),
        ("exact and wildcard", a(&["*.x"]), b(x), false),
        ("no names in one namespace", a(&[]), own(&[]), true),
        ("no names in two namespaces", a(&[]), b(&[]), false),
        ("a name and none", a(&[]), own(x), false),
        ("equal ranges", a(x).of_ranges(&["10.0.0.0/8"]), b(x).of_ranges(&["10.0.0.0/8"]), true),
        (
            "an equal one of several ranges",
            a(x).of_ranges(&["::/0", "10.0.0.0/8"]),
            b(x).of_ranges(&["10.0.0.0/8"]),
            true,
        ),
        ("a range and a narrower one", a(x).of_ranges(&["10.0.0.0/8"]), b(x).of_ranges(&["10.1.0.0/16"]), false),
        ("a range and none", a(x).of_ranges(&["10.0.0.0/8"]), b(x), false),
        ("every range and none", a(x).of_ranges(&["0.0.0.0/0", "::/0"]), b(x), false),
        ("IPv4 and IPv6", a(x).of_ranges(&["0.0.0.0/0"]), b(x).of_ranges(&["::/0"]), false),
        ("a common listener", a(x).at_listeners(&["l", "m"]), b(x).at_listeners(&["m", "n"]), true),
        ("no common listener", a(x).at_listeners(&["l"]), b(x).at_listeners(&["m"]), false),
        ("one listener of all", a(x), b(x).at_listeners(&["m"]), true),
        ("all listeners, one of which is taken", a(x).at_listeners(&["m"]), b(x), true),
        (
            "no names, range and listener in common",
            a(&[]).of_ranges(&["10.0.0.0/8"]).at_listeners(&["m"]),
            own(&[]).of_ranges(&["10.0.0.0/8"]),
            true,
        ),
        (
            "no names, range in common, no listener",
            a(&[]).of_ranges(&["10.0.0.0/8"]).at_listeners(&["m"]),
            own(&[]).of_ranges(&["10.0.0.0/8"]).at_listeners(&["l"]),
            false,
        ),
    ];
    for (what, older, younger, wanted) in cases {
        assert_eq!(conflict(older.clone(), younger.clone()), wanted, "{what}");
        assert_eq!(conflict(younger, older), wanted, "{what}, the other way round");
    }
}

#[test]
fn the_younger_loses_only_the_name_in_question() {
    let admitted = judge(
        open(),
        vec![route("acme/young", &["b.x", "a.x"]).created(2), route("globex/old", &["a.x", "c.x"]).created(1)],
    );
    assert_eq!(effective(&admitted)[1..], ["StreamRoute globex/old: a.x c.x", "StreamRoute acme/young: b.x"]);
    assert_eq!(
        refused(&admitted),
        [
            "StreamRoute acme/young: Conflicted: `a.x` goes by StreamRoute globex/old, which is older; give them different names, \
          source ranges or listeners"
        ]
    );
}

#[test]
fn the_younger_that_loses_all_has_no_effect() {
    let admitted = judge(open(), vec![route("a/one", &["a.x"]), route("a/two", &["a.x"])]);
    assert_eq!(
        refused(&admitted),
        [
            "StreamRoute a/two: Conflicted: `a.x` goes by StreamRoute a/one, which comes first by its name, for neither has a \
          creation time; give them different names, source ranges or listeners; nothing is left, so the StreamRoute has no \
          effect"
        ]
    );
}

#[test]
fn a_conflict_within_a_range_says_so() {
    let in_range = |object: &str, second| route(object, &["a.x"]).of_ranges(&["10.0.0.0/8"]).created(second);
    let admitted = judge(open(), vec![in_range("a/one", 1), in_range("a/two", 2)]);
    assert!(
        admitted.refusals[0]
            .message
            .starts_with("`a.x` from an equal source range goes by StreamRoute a/one, which is older")
    );
}

#[test]
fn a_conflict_without_names_says_so() {
    let admitted = judge(open(), vec![route("a/one", &[]).created(1), route("a/two", &[]).created(2)]);
    assert_eq!(
        refused(&admitted),
        [
            "StreamRoute a/two: Conflicted: whatever no route of namespace `a` names goes by StreamRoute a/one, which is older; \
          give them different names, source ranges or listeners; nothing is left, so the StreamRoute has no effect"
        ]
    );
}

#[test]
fn what_a_route_lost_it_keeps_from_nobody() {
    let admitted = judge(
        open(),
        vec![
            route("a/one", &["a.x"]).of_ranges(&["10.0.0.0/8"]).created(1),
            route("a/two", &["a.x"]).of_ranges(&["10.0.0.0/8", "::/0"]).created(2),
            route("a/three", &["a.x"]).of_ranges(&["::/0"]).created(3),
        ],
    );
    assert_eq!(effective(&admitted)[1..], ["StreamRoute a/one: a.x", "StreamRoute a/three: a.x"]);
}

#[test]
fn a_conflict_names_the_oldest_of_several_holders() {
    let admitted = judge(
        open(),
        vec![
            route("a/one", &["a.x"]).at_listeners(&["l"]).created(1),
            route("a/two", &["a.x"]).at_listeners(&["m"]).created(2),
            route("a/three", &["a.x"]).created(3),
        ],
    );
    assert_eq!(admitted.refusals.len(), 1);
    assert!(admitted.refusals[0].message.contains("StreamRoute a/one"), "{}", admitted.refusals[0].message);
}

#[test]
fn a_route_that_may_not_have_a_name_keeps_it_from_nobody() {
    let tls_snis = vec![tls_sni("acme/a", &["a.x"])];
    let admitted = judge(tls_snis, vec![route("evil/r", &["a.x"]).created(1), route("acme/r", &["a.x"]).created(2)]);
    assert_eq!(effective(&admitted)[1..], ["StreamRoute acme/r: a.x"]);
}

#[test]
fn a_wildcard_that_attaches_to_single_names_keeps_nobody_from_the_wildcard_itself() {
    for evil in [tls_sni("evil/t", &["evil.x"]), tls_sni("evil/t", &["evil.x"]).open_to_all()] {
        let tls_snis = vec![evil, tls_sni("acme/t", &["*.x"])];
        let routes = vec![route("evil/r", &["*.x"]).created(1), route("acme/r", &["*.x"]).created(2)];
        let admitted = judge(tls_snis, routes);
        assert_eq!(effective(&admitted)[2..], ["StreamRoute evil/r: *.x", "StreamRoute acme/r: *.x"]);
    }
}

#[test]
fn wildcards_that_attach_to_single_names_conflict_within_their_namespace() {
    let tls_snis = vec![tls_sni("acme/t", &["a.x"]), tls_sni("globex/t", &["b.x"])];
    let routes = ["acme/a", "acme/b", "globex/c"].map(|object| route(object, &["*.x"]));
    assert_eq!(
        effective(&judge(tls_snis, routes.to_vec()))[2..],
        ["StreamRoute acme/a: *.x", "StreamRoute globex/c: *.x"]
    );
}
