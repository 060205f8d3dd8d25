//! Objects that can't be read: a newer schema let in what this operator does not know.

use super::certificates::SECRET;
use super::*;

/// Lets the operator see an object with a field that it does not know.
fn add_a_field<T: Manifest>(watched: Watched<T>, spec: &Value) -> Watched<T> {
    let metadata = ObjectMeta {
        generation: Some(watched.generation),
        uid: Some(watched.uid.into()),
        ..watched.object.meta().clone()
    };
    Watched::unreadable(metadata, spec, "unknown field `shade`", watched.status).unwrap()
}

#[test]
fn what_cannot_be_read_says_so_and_keeps_its_copy_and_its_names_across_a_restart() {
    let mut cluster = Cluster::with_acme();
    let spec = json!({"snis": ["x.example", 7], "shade": "grey", "certificates": [{"secretName": "tls", "shade": 1}]});
    let watched = cluster.store.tls_sni(&name("acme/devices")).unwrap().clone();
    cluster.apply(Change::TlsSni(name("acme/devices"), Some(add_a_field(watched, &spec))));
    let spec = json!({"match": {"snis": ["x.example"], "shade": 1}, "upstream": {"shade": "grey"}});
    let watched = cluster.store.stream_route(&name("acme/devices")).unwrap().clone();
    cluster.apply(Change::StreamRoute(name("acme/devices"), Some(add_a_field(watched, &spec))));
    cluster.secret("acme/other", &credentials(&["x.example"], 2020, 2040));
    cluster.tls_sni("acme/young", json!({"snis": ["x.example"], "certificates": [{"secretName": "other"}]}));
    cluster.rest();
    assert_eq!(cluster.written, Vec::<String>::new());
    for object in [route_ref("acme/devices"), tls_ref("acme/devices")] {
        let wanted = ["Accepted=False: Invalid", "ResolvedRefs=Unknown: NotAccepted", "Programmed=False: NotAccepted"];
        assert_eq!(cluster.conditions(&object), wanted);
        assert!(cluster.message(&object, "Accepted").ends_with("unknown field `shade`"));
    }
    assert_eq!(cluster.conditions(&tls_ref("acme/young"))[0], "Accepted=False: Conflicted");
    cluster.restart();
    assert_eq!((&cluster.written[..], &cluster.told[..]), (&[][..], &[][..]));
    let kept = ["endpoints.acme.broker", "secrets.acme.tls", "streamroutes.acme.devices", "tlssnis.acme.devices"];
    assert_eq!(cluster.generated(), kept);
    // It can be read again.
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": [{"secretName": "tls"}]}));
    cluster.route("acme/devices", json!({"match": {"snis": ["x.example"]}, "upstream": to_broker()}));
    cluster.rest();
    assert_eq!(
        (cluster.generated(), cluster.conditions(&tls_ref("acme/devices"))[0].as_str()),
        (kept.to_vec(), "Accepted=True: Accepted")
    );
}

/// The route and the TlsSni of acme, with fields that can't be read.
fn with_unreadable_acme() -> Cluster {
    let mut cluster = Cluster::with_acme();
    let spec = json!({"match": {"snis": ["x.example"], "shade": 1}, "upstream": {"shade": "grey"}});
    let watched = cluster.store.stream_route(&name("acme/devices")).unwrap().clone();
    cluster.apply(Change::StreamRoute(name("acme/devices"), Some(add_a_field(watched, &spec))));
    let spec = json!({"snis": ["x.example"], "shade": "grey"});
    let watched = cluster.store.tls_sni(&name("acme/devices")).unwrap().clone();
    cluster.apply(Change::TlsSni(name("acme/devices"), Some(add_a_field(watched, &spec))));
    cluster.rest();
    cluster
}

#[test]
fn its_endpoints_and_its_certificate_are_renewed_across_a_restart_too() {
    let mut cluster = with_unreadable_acme();
    let ports = json!([{"name": "mqtt", "port": 1883}]);
    for address in ["10.0.0.2", "10.0.0.3"] {
        cluster.slice("acme/broker-1", "broker", ports.clone(), json!([pod("broker-0", address)]));
        let [certificate, key] = credentials(&["x.example"], 2020, 2040);
        cluster.secret("acme/tls", &[certificate, key]);
        cluster.rest();
        assert!(cluster.text("endpoints.acme.broker").contains(address));
        assert_eq!(cluster.file(SECRET, "tls.crt"), Some(certificate.1));
        cluster.restart();
        assert_eq!((&cluster.written[..], &cluster.told[..]), (&[][..], &[][..]));
    }
}

#[test]
fn what_it_needs_of_a_secret_stays_though_another_needs_something_else_of_it() {
    let mut cluster = with_unreadable_acme();
    let [certificate, key] = credentials(&["x.example"], 2020, 2040);
    cluster.secret("acme/tls", &[certificate, key, ("ca.crt", certificate.1)]);
    cluster.secret("acme/other", &credentials(&["y.example"], 2020, 2040));
    let client_auth = json!({"ca": {"secretName": "tls"}});
    cluster.tls_sni(
        "acme/other",
        json!({"snis": ["y.example"], "certificates": [{"secretName": "other"}], "clientAuth": client_auth}),
    );
    cluster.rest();
    assert_eq!((cluster.file(SECRET, "ca.crt"), cluster.file(SECRET, "tls.key")), (Some(certificate.1), Some(key.1)));
}

#[test]
fn what_it_refers_to_and_is_not_there_is_bound_to_be_refused() {
    let mut cluster = with_unreadable_acme();
    cluster.apply(Change::Service(name("acme/broker"), None));
    cluster.rest();
    assert_eq!(cluster.written, ["delete endpoints.acme.broker"]);
    assert_eq!(cluster.outcome.verdicts[&route_ref("acme/devices")].expected_refusals, 1);
}

#[test]
fn what_it_refers_to_goes_with_its_copy() {
    let mut cluster = with_unreadable_acme();
    let key = GeneratedKey {
        gateway: "default".into(),
        kind: MaterialKind::ConfigMap,
        name: "streamroutes.acme.devices".into(),
    };
    let copy = cluster.store.generated(&key).unwrap().clone();
    let version = cluster.version();
    cluster.apply(Change::Generated(key.clone(), version, None));
    cluster.rest();
    assert_eq!(cluster.written, ["delete endpoints.acme.broker"]);
    cluster.apply(Change::Found(key, Some(copy)));
    cluster.rest();
    assert_eq!(cluster.written, ["create endpoints.acme.broker"]);
}
