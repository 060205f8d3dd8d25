//! Whose a name is, of several `TlsSni`s.

use super::*;

#[test]
fn an_equal_name_is_the_oldest_ones() {
    let admitted = judge(
        vec![tls_sni("acme/young", &["a.example"]).created(2), tls_sni("globex/old", &["a.example"]).created(1)],
        vec![],
    );
    assert_eq!(effective(&admitted), ["TlsSni globex/old: a.example"]);
    assert_eq!(
        refused(&admitted),
        [
            "TlsSni acme/young: Conflicted: `a.example` is served by TlsSni globex/old, which is older; take it out of one of the \
          two; nothing is left, so the TlsSni has no effect"
        ]
    );
}

#[test]
fn the_younger_loses_only_the_name_in_question() {
    let admitted = judge(
        vec![
            tls_sni("acme/young", &["a.example", "b.example", "*"]).created(2),
            tls_sni("globex/old", &["b.example", "*"]).created(1),
        ],
        vec![],
    );
    assert_eq!(effective(&admitted), ["TlsSni globex/old: b.example *", "TlsSni acme/young: a.example"]);
    assert_eq!(
        refused(&admitted),
        [
            "TlsSni acme/young: Conflicted: `*` is served by TlsSni globex/old, which is older; take it out of one of the two",
            "TlsSni acme/young: Conflicted: `b.example` is served by TlsSni globex/old, which is older; take it out of one of \
             the two",
        ]
    );
}

#[test]
fn of_equal_age_the_first_by_namespace_and_name_has_it() {
    for (one, other, holder, why) in [
        (
            tls_sni("b/a", &["x"]),
            tls_sni("a/b", &["x"]),
            "a/b",
            "which comes first by its name, for neither has a creation time",
        ),
        (
            tls_sni("a/b", &["x"]).created(7),
            tls_sni("a/a", &["x"]).created(7),
            "a/a",
            "which is as old and comes first by its name",
        ),
        (tls_sni("a/a", &["x"]), tls_sni("z/z", &["x"]).created(7), "z/z", "which is older"),
    ] {
        let admitted = judge(vec![one, other], vec![]);
        assert_eq!(effective(&admitted), [format!("TlsSni {holder}: x")]);
        let message = format!("`x` is served by TlsSni {holder}, {why}; take it out of one of the two");
        assert!(admitted.refusals[0].message.starts_with(&message), "{}", admitted.refusals[0].message);
    }
}

#[test]
fn names_that_cover_one_another_do_not_conflict() {
    let admitted = judge(
        vec![
            tls_sni("a/a", &["x.example"]),
            tls_sni("b/b", &["*.example"]),
            tls_sni("c/c", &["*"]),
            tls_sni("d/d", &["*.x.example"]),
        ],
        vec![],
    );
    assert_eq!(admitted.refusals, []);
}

#[test]
fn a_name_that_is_lost_stays_lost_to_a_third() {
    let admitted = judge(
        vec![
            tls_sni("a/one", &["x"]).created(1),
            tls_sni("a/two", &["x", "y"]).created(2),
            tls_sni("a/three", &["x", "y", "z"]).created(3),
        ],
        vec![],
    );
    assert_eq!(effective(&admitted), ["TlsSni a/one: x", "TlsSni a/two: y", "TlsSni a/three: z"]);
    let holders: Vec<_> = admitted.refusals.iter().map(|refusal| refusal.message.contains("TlsSni a/one")).collect();
    assert_eq!(holders, [true, false, true]);
}
