//! What is told by one watch before the other tells what it needs.

use super::*;

#[test]
fn what_refers_to_a_secret_waits_for_it_and_holds_up_nothing_else() {
    let mut mirrored = Mirrored::with(vec![tls_sni(1, "spec: old")], Vec::new());
    mirrored.take(Kind::ConfigMaps, Event::Apply(tls_sni(3, NAMES_TLS)));
    mirrored.take(Kind::ConfigMaps, Event::Apply(object("endpoints.a.c", 4, &[("a.c.yaml", "new")])));
    mirrored.commit();
    assert_eq!(mirrored.read("tlssnis/a.b.yaml").as_deref(), Some("spec: old"));
    assert_eq!(mirrored.read("endpoints/a.c.yaml").as_deref(), Some("new"));
    assert_eq!(mirrored.read("revision").as_deref(), Some("configmaps=1 secrets=0\n"));
    mirrored.take(Kind::Secrets, Event::Apply(secret(2, "two")));
    mirrored.commit();
    assert_eq!(mirrored.read("tlssnis/a.b.yaml").as_deref(), Some(NAMES_TLS));
    assert_eq!(mirrored.read("revision").as_deref(), Some("configmaps=4 secrets=2\n"));
}

#[test]
fn a_secret_stays_until_nothing_refers_to_it() {
    let mut mirrored = Mirrored::with(vec![tls_sni(1, NAMES_TLS)], vec![secret(2, "two")]);
    mirrored.take(Kind::Secrets, Event::Delete(secret(4, "two")));
    mirrored.commit();
    assert_eq!(mirrored.read("secrets/a.tls/tls.key").as_deref(), Some("two"));
    mirrored.take(Kind::ConfigMaps, Event::Apply(tls_sni(3, "spec: {}")));
    mirrored.commit();
    assert_eq!(mirrored.read("secrets/a.tls/tls.key"), None);
    assert_eq!(mirrored.read("revision").as_deref(), Some("configmaps=3 secrets=4\n"));
}

#[test]
fn nothing_waits_for_ever_and_longer_for_a_watch_that_tells_nothing() {
    let mut mirrored = Mirrored::with(Vec::new(), Vec::new());
    mirrored.take(Kind::ConfigMaps, Event::Apply(tls_sni(3, NAMES_TLS)));
    mirrored.commit();
    let past = |limit| Instant::now().checked_sub(limit);
    mirrored.mirror.lose(Kind::Secrets);
    mirrored.mirror.waits_since = past(LONGEST_WAIT);
    mirrored.commit();
    assert!(mirrored.mirror.waits() && mirrored.read("tlssnis/a.b.yaml").is_none());
    mirrored.mirror.waits_since = past(LONGEST_WAIT_FOR_LOST);
    mirrored.commit();
    assert_eq!(mirrored.read("tlssnis/a.b.yaml").as_deref(), Some(NAMES_TLS));
    assert!(!mirrored.mirror.waits());
}

const NAMES_TLS: &str = "spec: {certificates: [{secretName: tls}]}";
