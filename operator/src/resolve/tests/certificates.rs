//! Secrets and ConfigMaps: what is passed on of them, and what is said.

use super::*;

/// Files of a Secret.
type Texts<'a> = &'a [(&'a str, &'a str)];

pub(super) const SECRET: &str = "secrets.acme.tls";

pub(super) fn devices() -> ObjectRef {
    tls_ref("acme/devices")
}

#[test]
fn a_certificate_is_passed_on_with_its_key_and_nothing_else_of_its_secret() {
    let mut cluster = Cluster::with_acme();
    let [certificate, key] = credentials(&["x.example"], 2020, 2040);
    cluster.secret("acme/tls", &[certificate, key, ("ca.key", "somebody's")]);
    cluster.rest();
    assert_eq!(cluster.written, [format!("replace {SECRET}")]);
    assert_eq!((cluster.file(SECRET, "tls.crt"), cluster.file(SECRET, "tls.key")), (Some(certificate.1), Some(key.1)));
    assert_eq!(cluster.file(SECRET, "ca.key"), None);
}

#[test]
fn a_certificates_names_and_its_end_are_in_the_status_the_earliest_of_several() {
    let mut cluster = Cluster::with_acme();
    cluster.secret("acme/rsa", &credentials(&["x.example", "192.0.2.1"], 2020, 2030));
    let certificates = json!([{"secretName": "tls"}, {"secretName": "rsa"}]);
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": certificates}));
    cluster.rest();
    let Status { not_after, subject_alt_names, .. } = cluster.status(&devices());
    assert_eq!(not_after.map(|end| end.to_string()).as_deref(), Some("2030-01-01T00:00:00Z"));
    assert_eq!(subject_alt_names, &["192.0.2.1", "x.example"]);
}

#[test]
fn a_secret_that_two_refer_to_has_the_keys_of_both_and_loses_them_with_who_refers() {
    let mut cluster = Cluster::with_acme();
    let [certificate, key] = credentials(&["x.example"], 2020, 2040);
    cluster.secret("acme/tls", &[certificate, key, ("ca.crt", certificate.1)]);
    let other = |name: &str| {
        let client_auth = json!({"ca": {"secretName": "tls"}});
        json!({"snis": [name], "certificates": [{"secretName": "tls"}], "clientAuth": client_auth})
    };
    cluster.tls_sni("globex/other", other("z.example"));
    cluster.tls_sni("acme/other", other("y.example"));
    cluster.rest();
    assert_eq!(cluster.file(SECRET, "ca.crt"), Some(certificate.1));
    assert!(cluster.file(SECRET, "tls.key").is_some());
    assert!(!cluster.generated().contains(&"secrets.globex.tls"));
    cluster.apply(Change::TlsSni(name("acme/other"), None));
    cluster.rest();
    assert_eq!(cluster.written, ["delete tlssnis.acme.other".to_owned(), format!("replace {SECRET}")]);
    assert_eq!(cluster.file(SECRET, "ca.crt"), None);
}

#[test]
fn what_cannot_be_used_is_told_and_the_last_good_one_stays_in_service() {
    let [certificate, key] = credentials(&["x.example"], 2020, 2040);
    let [_, other_key] = credentials(&["x.example"], 2020, 2040);
    let ended = credentials(&["x.example"], 2020, 2026);
    let early = credentials(&["x.example"], 2030, 2040);
    let cases: [(&str, Texts<'_>, &str, &str); 7] = [
        (
            "another's key",
            &[certificate, other_key],
            "InvalidCertificate",
            "tls.key is not the key of the first certificate",
        ),
        ("garbage", &[("tls.crt", "garbage"), key], "InvalidCertificate", "tls.crt: no certificate is in it"),
        ("no key", &[certificate], "RefNotFound", "there is no key `tls.key` in it"),
        ("an empty key", &[certificate, ("tls.key", "")], "InvalidCertificate", "tls.key: no private key is in it"),
        ("nothing", &[], "RefNotFound", "there is no key `tls.crt` in it"),
        ("past its end", &ended, "CertificateExpired", "ended at 2026-01-01T00:00:00Z"),
        ("before its time", &early, "InvalidCertificate", "is valid from 2030-01-01T00:00:00Z on"),
    ];
    for (what, files, reason, words) in cases {
        let mut cluster = Cluster::with_acme();
        let before = cluster.file(SECRET, "tls.crt").unwrap().to_owned();
        let status = cluster.status(&devices()).clone();
        cluster.secret("acme/tls", files);
        cluster.rest();
        assert_eq!(
            cluster.conditions(&devices())[..2],
            ["Accepted=True: Accepted".to_owned(), format!("ResolvedRefs=False: {reason}")],
            "{what}"
        );
        let message = cluster.message(&devices(), "ResolvedRefs");
        assert!(message.starts_with("Secret `tls`: ") && message.contains(words), "{what}: {message}");
        assert_eq!((cluster.file(SECRET, "tls.crt"), &cluster.written[..]), (Some(before.as_str()), &[][..]), "{what}");
        assert_eq!(cluster.status(&devices()).not_after, status.not_after, "{what}");
        cluster.restart();
        assert_eq!(cluster.written, Vec::<String>::new(), "{what}");

        cluster.secret("acme/tls", &[certificate, key]);
        cluster.rest();
        assert_eq!(cluster.conditions(&devices())[1], "ResolvedRefs=True: ResolvedRefs", "{what}");
        assert_eq!(cluster.file(SECRET, "tls.crt"), Some(certificate.1), "{what}");
    }
}

#[test]
fn a_secret_that_is_deleted_is_told_and_the_last_good_one_stays_while_somebody_refers_to_it() {
    let mut cluster = Cluster::with_acme();
    cluster.material(MaterialKind::Secret, "acme/tls", None);
    cluster.rest();
    assert_eq!(cluster.conditions(&devices())[1], "ResolvedRefs=False: RefNotFound");
    assert_eq!(cluster.message(&devices(), "ResolvedRefs"), "Secret `tls`: there is none in this namespace");
    assert_eq!(cluster.written, Vec::<String>::new());
    cluster.apply(Change::TlsSni(name("acme/devices"), None));
    cluster.rest();
    let wanted = [
        "delete streamroutes.acme.devices",
        "delete tlssnis.acme.devices",
        "delete endpoints.acme.broker",
        "delete secrets.acme.tls",
    ];
    assert_eq!(cluster.written, wanted);
}

#[test]
fn a_tls_sni_whose_secret_was_never_good_is_passed_on_so_that_its_names_stay_its_own() {
    let mut cluster = Cluster::new();
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": [{"secretName": "tls"}]}));
    cluster.rest();
    assert_eq!(cluster.generated(), ["tlssnis.acme.devices"]);
    cluster.secret("acme/tls", &[("tls.crt", "garbage"), ("tls.key", "garbage")]);
    cluster.rest();
    assert_eq!(cluster.generated(), ["tlssnis.acme.devices"]);
    assert_eq!(
        cluster.conditions(&devices())[..2],
        ["Accepted=True: Accepted", "ResolvedRefs=False: InvalidCertificate"]
    );
}

#[test]
fn a_bad_use_of_a_secret_disturbs_no_other() {
    let [authority, _] = credentials(&["ca"], 2020, 2040);
    let [renewed, _] = credentials(&["ca"], 2021, 2041);
    let mut cluster = Cluster::with_acme();
    cluster.secret("acme/ca", &[("ca.crt", authority.1), ("tls.crt", "garbage"), ("tls.key", "garbage")]);
    let with_ca = json!({
        "snis": ["y.example"], "certificates": [{"secretName": "tls"}], "clientAuth": {"ca": {"secretName": "ca"}},
    });
    cluster.tls_sni("acme/good", with_ca);
    cluster.tls_sni("acme/bad", json!({"snis": ["z.example"], "certificates": [{"secretName": "ca"}]}));
    cluster.rest();
    assert_eq!(cluster.conditions(&tls_ref("acme/good"))[1], "ResolvedRefs=True: ResolvedRefs");
    assert_eq!(cluster.conditions(&tls_ref("acme/bad"))[1], "ResolvedRefs=False: InvalidCertificate");
    assert_eq!(
        (cluster.file("secrets.acme.ca", "ca.crt"), cluster.file("secrets.acme.ca", "tls.crt")),
        (Some(authority.1), None)
    );

    // The pair becomes good, then bad again, while the authority is renewed: each by itself.
    let [certificate, key] = credentials(&["z.example"], 2020, 2040);
    cluster.secret("acme/ca", &[("ca.crt", authority.1), certificate, key]);
    cluster.rest();
    cluster.secret("acme/ca", &[("ca.crt", renewed.1), certificate, ("tls.key", "garbage")]);
    cluster.rest();
    let file = |file| cluster.file("secrets.acme.ca", file);
    assert_eq!((file("ca.crt"), file("tls.crt"), file("tls.key")), (Some(renewed.1), Some(certificate.1), Some(key.1)));
}

#[test]
fn a_key_never_meets_another_certificate() {
    let [certificate, key] = credentials(&["x.example"], 2020, 2040);
    let [other, other_key] = credentials(&["x.example"], 2020, 2040);
    let mut cluster = Cluster::with_acme();
    cluster.secret("acme/tls", &[certificate, key]);
    let by_pair = json!({
        "snis": ["y.example"], "certificates": [{"secretName": "tls"}],
        "clientAuth": {"ca": {"secretName": "tls", "key": "tls.crt"}},
    });
    cluster.tls_sni("acme/both", by_pair);
    cluster.rest();
    cluster.secret("acme/tls", &[other, key]);
    cluster.rest();
    // As an authority the new certificate is good, so that the old key has lost its own.
    assert_eq!((cluster.file(SECRET, "tls.crt"), cluster.file(SECRET, "tls.key")), (Some(other.1), None));
    cluster.secret("acme/tls", &[other, other_key]);
    cluster.rest();
    assert_eq!(cluster.file(SECRET, "tls.key"), Some(other_key.1));
}

#[test]
fn authorities_come_of_config_maps_too() {
    let [authority, _] = credentials(&["ca"], 2020, 2040);
    let mut cluster = Cluster::with_acme();
    let devices_json = json!({
        "snis": ["x.example"], "certificates": [{"secretName": "tls"}],
        "clientAuth": {"ca": {"configMapName": "ca", "key": "bundle.pem"}},
    });
    cluster.tls_sni("acme/devices", devices_json);
    cluster.rest();
    assert_eq!(cluster.conditions(&devices())[1], "ResolvedRefs=False: RefNotFound");
    cluster.config_map("acme/ca", &[("bundle.pem", authority.1), ("other", "x")]);
    cluster.rest();
    assert_eq!(cluster.conditions(&devices())[1], "ResolvedRefs=True: ResolvedRefs");
    assert_eq!(cluster.text("configmaps.acme.ca"), authority.1);
    cluster.config_map("acme/ca", &[("bundle.pem", "garbage")]);
    cluster.rest();
    assert_eq!(cluster.conditions(&devices())[1], "ResolvedRefs=False: InvalidCertificate");
    assert_eq!(cluster.text("configmaps.acme.ca"), authority.1);
}

#[test]
fn a_name_that_is_too_long_for_an_object_is_told() {
    let long = ["s".repeat(60), "s".repeat(60), "s".repeat(60), "s".repeat(57)].join(".");
    let mut cluster = Cluster::with_acme();
    cluster.secret(&format!("acme/{long}"), &credentials(&["x.example"], 2020, 2040));
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": [{"secretName": long}]}));
    cluster.rest();
    assert_eq!(cluster.conditions(&devices())[1], "ResolvedRefs=False: NameTooLong");
    assert!(
        cluster
            .message(&devices(), "ResolvedRefs")
            .ends_with("its name has 240 characters; wanted at most 227 in this namespace")
    );
    assert_eq!(cluster.written.last().map(String::as_str), Some("delete secrets.acme.tls"));
}

#[test]
fn a_secret_that_is_too_large_is_told() {
    let mut cluster = Cluster::with_acme();
    let before = cluster.file(SECRET, "tls.crt").unwrap().to_owned();
    let [certificate, key] = credentials(&["x.example"], 2020, 2040);
    let large = format!("{}{}", certificate.1, " ".repeat(1_000_000));
    cluster.secret("acme/tls", &[("tls.crt", &large), key]);
    cluster.rest();
    assert_eq!(cluster.conditions(&devices())[1], "ResolvedRefs=False: TooLarge");
    assert_eq!(cluster.file(SECRET, "tls.crt"), Some(before.as_str()));
}

#[test]
fn contents_are_let_go_when_they_are_written_and_fetched_again_when_they_must_be_written_again() {
    let mut cluster = Cluster::with_acme();
    assert!(cluster.store.fetched.values().all(|fetched| fetched.bytes.is_none()));
    let key = cluster.store.generated.keys().find(|key| &*key.name == SECRET).unwrap().clone();
    let version = cluster.version();
    cluster.files.remove(&("default".to_owned(), SECRET.to_owned()));
    cluster.apply(Change::Generated(key, version, None));
    cluster.rest();
    assert_eq!(cluster.written, [format!("create {SECRET}")]);
    assert!(cluster.file(SECRET, "tls.key").is_some());
}

#[test]
fn what_nobody_accepted_refers_to_is_not_fetched() {
    let mut cluster = Cluster::with_acme();
    cluster.secret("globex/tls", &credentials(&["x.example"], 2020, 2040));
    cluster.tls_sni("globex/younger", json!({"snis": ["x.example"], "certificates": [{"secretName": "tls"}]}));
    cluster.rest();
    assert!(!cluster.store.fetched.keys().any(|key| &*key.name.namespace == "globex"));
    assert!(!cluster.generated().contains(&"secrets.globex.tls"));
}

#[test]
fn a_route_that_waits_for_a_tls_sni_goes_on_when_that_is_gone() {
    let mut cluster = Cluster::new();
    cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
    cluster.secret("acme/tls", &credentials(&["x.example"], 2020, 2040));
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": [{"secretName": "tls"}]}));
    cluster.route("acme/bare", json!({"upstream": to_broker()}));
    let touched = std::mem::take(&mut cluster.touched);
    let changed = cluster.outcome.update(&cluster.store, &touched, cluster.now);
    cluster.touched.statuses.extend(changed.statuses);
    cluster.apply(Change::TlsSni(name("acme/devices"), None));
    cluster.rest();
    assert!(cluster.generated().contains(&"streamroutes.acme.bare"), "{:?}", cluster.generated());
}

#[test]
fn no_time_is_looked_at_while_something_is_being_fetched() {
    let mut cluster = Cluster::with_acme();
    let material = MaterialKey { kind: MaterialKind::Secret, name: name("acme/tls") };
    cluster.apply(Change::Material(material.clone(), None));
    cluster.rest();
    let version = cluster.version();
    cluster.apply(Change::Material(material, Some(version)));
    let touched = std::mem::take(&mut cluster.touched);
    cluster.outcome.update(&cluster.store, &touched, cluster.now);
    cluster.now = "2045-01-01T00:00:00Z".parse().unwrap();
    cluster.outcome.update(&cluster.store, &Touched::default(), cluster.now);
    assert!(cluster.outcome.next_look().is_none_or(|at| at > cluster.now), "a look that is due is due for ever");
}

/// What is written of what was touched before anything is fetched.
fn written_before_a_fetch(cluster: &mut Cluster) -> Vec<String> {
    let touched = std::mem::take(&mut cluster.touched);
    let changed = cluster.outcome.update(&cluster.store, &touched, cluster.now);
    cluster.touched.statuses.extend(changed.statuses);
    cluster.written.clear();
    for write in cluster.outcome.writes(&cluster.store, &changed.objects) {
        cluster.write(write);
    }
    cluster.written.clone()
}

#[test]
fn the_secret_before_stays_until_the_tls_sni_that_refers_to_another_is_passed_on() {
    let mut cluster = Cluster::with_acme();
    cluster.secret("acme/new", &credentials(&["x.example"], 2020, 2040));
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": [{"secretName": "new"}]}));
    assert_eq!(written_before_a_fetch(&mut cluster), Vec::<String>::new());
    cluster.rest();
    assert_eq!(cluster.written, ["create secrets.acme.new", "replace tlssnis.acme.devices", "delete secrets.acme.tls"]);
}

#[test]
fn across_a_restart_too_the_secret_before_stays_until_the_tls_sni_is_passed_on() {
    let mut cluster = Cluster::with_acme();
    cluster.secret("acme/new", &credentials(&["x.example"], 2020, 2040));
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": [{"secretName": "new"}]}));
    cluster.outcome = Outcome::default();
    cluster.touched = Touched::everything();
    written_before_a_fetch(&mut cluster);
    assert_eq!(cluster.outcome.all_writes(&cluster.store), []);
    cluster.rest();
    assert_eq!(cluster.written, ["create secrets.acme.new", "replace tlssnis.acme.devices", "delete secrets.acme.tls"]);
}

#[test]
fn a_lost_name_is_withdrawn_while_something_else_is_being_fetched() {
    let mut cluster = Cluster::new();
    let names = ["x.example", "y.example"];
    cluster.secret("acme/tls", &credentials(&names, 2020, 2040));
    cluster.tls_sni("acme/devices", json!({"snis": names, "certificates": [{"secretName": "tls"}]}));
    cluster.rest();
    cluster.secret("acme/more", &credentials(&names, 2020, 2040));
    let certificates = json!([{"secretName": "tls"}, {"secretName": "more"}]);
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": certificates}));
    assert_eq!(written_before_a_fetch(&mut cluster), ["replace tlssnis.acme.devices"]);
    let text = cluster.text("tlssnis.acme.devices");
    assert!(text.contains("x.example") && !text.contains("y.example") && !text.contains("more"), "{text}");
    cluster.rest();
    assert!(cluster.text("tlssnis.acme.devices").contains("more"));
    cluster.secret("acme/other", &credentials(&names, 2020, 2040));
    cluster.tls_sni("acme/devices", json!({"snis": ["z.example"], "certificates": [{"secretName": "other"}]}));
    assert_eq!(written_before_a_fetch(&mut cluster)[0], "delete tlssnis.acme.devices", "none of its names is left");
    cluster.rest();
    assert!(cluster.text("tlssnis.acme.devices").contains("z.example"));
}

#[test]
fn a_last_good_copy_whose_labels_a_person_takes_away_is_looked_for_and_labelled_again() {
    let mut cluster = Cluster::with_acme();
    cluster.secret("acme/tls", &[("tls.crt", "no certificate"), ("tls.key", "no key")]);
    cluster.rest();
    let key = GeneratedKey { gateway: "default".into(), kind: MaterialKind::Secret, name: "secrets.acme.tls".into() };
    let copy = cluster.store.generated(&key).unwrap().clone();
    let before = cluster.files.clone();
    cluster.apply(Change::Generated(key.clone(), copy.version.clone(), None));
    let touched = std::mem::take(&mut cluster.touched);
    let changed = cluster.outcome.update(&cluster.store, &touched, cluster.now);
    assert_eq!(cluster.outcome.lost(&cluster.store, &changed.objects), std::slice::from_ref(&key));
    let unlabelled = Generated { is_labelled: false, fingerprint: Fingerprint::of(b"others"), ..copy };
    cluster.apply(Change::Found(key, Some(unlabelled)));
    cluster.rest();
    assert_eq!((&cluster.written[..], &cluster.files), (&["replace secrets.acme.tls".to_owned()][..], &before));
}
