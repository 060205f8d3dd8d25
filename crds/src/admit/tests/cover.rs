//! Whether a `TlsSni` serves a route's names and lets it attach.

use super::*;

/// What becomes of a route of namespace `acme` with one name, beside these `TlsSni`s.
fn reason(tls_snis: &[TlsSni], sni: &str) -> Option<Reason> {
    let admitted = judge(tls_snis.to_vec(), vec![route("acme/route", &[sni])]);
    assert_eq!(admitted.objects.stream_routes.len() + admitted.refusals.len(), 1);
    admitted.refusals.first().map(|refusal| refusal.reason)
}

#[test]
fn a_name_must_be_served_by_the_one_that_is_chosen_for_it() {
    use Reason::{NoMatchingTlsSni as None_, NotAllowedByTlsSni as Closed};

    let mine = |snis: &[&str]| tls_sni("acme/mine", snis);
    let other = |snis: &[&str]| tls_sni("globex/other", snis);
    let open = |snis: &[&str]| tls_sni("initech/open", snis).open_to_all();
    for (tls_snis, sni, wanted) in [
        (vec![], "a.x", Some(None_)),
        (vec![mine(&["a.x"])], "a.x", None),
        (vec![mine(&["b.x"])], "a.x", Some(None_)),
        (vec![mine(&["*.x"])], "a.x", None),
        (vec![mine(&["*.x"])], "b.a.x", Some(None_)),
        (vec![mine(&["*.x"])], "x", Some(None_)),
        (vec![mine(&["*"])], "a.x", None),
        (vec![other(&["a.x"])], "a.x", Some(Closed)),
        (vec![open(&["a.x"])], "a.x", None),
        (vec![other(&["*.x"])], "a.x", Some(Closed)),
        (vec![open(&["*"])], "a.x", None),
        // Exact before wildcard before any.
        (vec![mine(&["a.x"]), other(&["*.x", "*"])], "a.x", None),
        (vec![mine(&["*.x", "*"]), other(&["a.x"])], "a.x", Some(Closed)),
        (vec![mine(&["*.x"]), other(&["*"])], "a.x", None),
        (vec![mine(&["*"]), other(&["*.x"])], "a.x", Some(Closed)),
        (vec![mine(&["*"]), other(&["*.x"])], "a.y", None),
        // A wildcard attaches to what is served under it, as a whole or one by one.
        (vec![mine(&["*.x"])], "*.x", None),
        (vec![mine(&["*"])], "*.x", None),
        (vec![mine(&["a.x"])], "*.x", None),
        (vec![open(&["a.x"])], "*.x", None),
        (vec![other(&["a.x"])], "*.x", Some(Closed)),
        (vec![other(&["*.x"])], "*.x", Some(Closed)),
        (vec![other(&["*.x"]), mine(&["*"])], "*.x", Some(Closed)),
        (vec![other(&["*.x"]), mine(&["a.x"])], "*.x", None),
        (vec![other(&["*"]), mine(&["a.x"])], "*.x", None),
        (vec![other(&["*", "a.x"]), open(&["b.x"])], "*.x", None),
        (vec![mine(&["*.y"])], "*.x", Some(None_)),
        (vec![mine(&["a.b.x"])], "*.x", Some(None_)),
        (vec![mine(&["*.a.x"])], "*.x", Some(None_)),
        (vec![mine(&["x"])], "*.x", Some(None_)),
    ] {
        assert_eq!(reason(&tls_snis, sni), wanted, "{sni} beside {:?}", effective(&judge(tls_snis.clone(), vec![])));
    }
}

#[test]
fn a_name_that_nobody_serves_is_told_what_is_missing() {
    let admitted = judge(vec![tls_sni("acme/a", &["a.example"])], vec![route("acme/r", &["a.example", "b.example"])]);
    assert_eq!(effective(&admitted), ["TlsSni acme/a: a.example", "StreamRoute acme/r: a.example"]);
    assert_eq!(
        refused(&admitted),
        [
            "StreamRoute acme/r: NoMatchingTlsSni: `b.example` is served by no TlsSni of gateway `default`; one must have it in \
          its `snis`"
        ]
    );
}

#[test]
fn a_name_that_is_closed_is_told_who_can_open_it() {
    let admitted = judge(vec![tls_sni("globex/a", &["*.example"])], vec![route("acme/r", &["a.example"])]);
    assert_eq!(
        refused(&admitted),
        [
            "StreamRoute acme/r: NotAllowedByTlsSni: `a.example` is served by TlsSni globex/a, which does not allow routes of \
          namespace `acme`; its owner can, by `allowedRoutes: {namespaces: All}`; nothing is left, so the StreamRoute has no \
          effect"
        ]
    );
}

#[test]
fn a_route_without_names_needs_no_tls_sni() {
    assert_eq!(effective(&judge(vec![], vec![route("acme/r", &[])])), ["StreamRoute acme/r:"]);
}

#[test]
fn a_route_that_loses_its_names_never_becomes_one_without_names() {
    let admitted = judge(vec![], vec![route("acme/r", &["a.example", "b.example"])]);
    assert_eq!(effective(&admitted), [""; 0]);
    assert_eq!(admitted.refusals.len(), 2);
}

#[test]
fn a_name_that_its_tls_sni_lost_is_judged_by_the_one_that_has_it() {
    let tls_snis =
        vec![tls_sni("acme/young", &["a.example"]).created(2), tls_sni("globex/old", &["a.example"]).created(1)];
    let admitted = judge(tls_snis, vec![route("acme/r", &["a.example"])]);
    let reasons: Vec<_> = admitted.refusals.iter().map(|refusal| refusal.reason).collect();
    assert_eq!(reasons, [Reason::NotAllowedByTlsSni, Reason::Conflicted]);
}
