//! The generated objects as a whole.

use super::*;

#[test]
fn what_is_referred_to_is_written_before_what_refers_to_it() {
    let mut cluster = Cluster::new();
    cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
    cluster.config_map("acme/ca", &[("ca.crt", credentials(&["ca"], 2020, 2040)[0].1)]);
    cluster.secret("acme/tls", &credentials(&["x.example"], 2020, 2040));
    cluster.tls_sni("acme/devices", json!({
        "snis": ["x.example"], "certificates": [{"secretName": "tls"}], "clientAuth": {"ca": {"configMapName": "ca"}},
    }));
    cluster.route("acme/devices", json!({"match": {"snis": ["x.example"]}, "upstream": to_broker()}));
    cluster.rest();
    let position = |name: &str| cluster.written.iter().position(|written| written == &format!("create {name}"));
    let order =
        ["secrets.acme.tls", "configmaps.acme.ca", "tlssnis.acme.devices", "streamroutes.acme.devices"].map(position);
    assert!(order.is_sorted() && order[0].is_some(), "{:?}", cluster.written);
    assert!(position("endpoints.acme.broker") < position("streamroutes.acme.devices"));
    assert_eq!(cluster.written.len(), 5);
}

#[test]
fn a_manifest_is_passed_on_with_what_the_proxy_is_to_know_of_it() {
    let mut cluster = Cluster::with_acme();
    let text = cluster.text("streamroutes.acme.devices");
    let manifest: Value = serde_json::from_str(text).unwrap();
    let metadata = manifest["metadata"].as_object().unwrap();
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["creationTimestamp", "name", "namespace"]);
    assert_eq!(manifest["spec"]["match"]["snis"], json!(["x.example"]));
    assert_eq!(manifest.get("status"), None);
    let read: StreamRoute = manifest::read("file", "acme", "devices", text).unwrap();
    assert_eq!(read.spec, cluster.store.stream_route(&name("acme/devices")).unwrap().object.spec);
    // The same again in another generation is no write.
    cluster.route("acme/devices", json!({"match": {"snis": ["x.example"]}, "upstream": to_broker()}));
    cluster.rest();
    assert_eq!(cluster.written, Vec::<String>::new());
}

#[test]
fn names_and_listeners_that_were_lost_are_taken_out() {
    let mut cluster = Cluster::with_acme();
    cluster.route("acme/young", json!({"match": {"snis": ["x.example", "z.x.example"]}, "upstream": to_broker()}));
    cluster
        .tls_sni("acme/more", json!({"snis": ["x.example", "*.x.example"], "certificates": [{"secretName": "tls"}]}));
    cluster.route("acme/bare", json!({"upstream": to_broker()}));
    cluster.route("globex/bare", json!({"upstream": to_broker()}));
    cluster.rest();
    let spec = |object: &str| serde_json::from_str::<Value>(cluster.text(object)).unwrap()["spec"].clone();
    assert_eq!(spec("streamroutes.acme.young")["match"]["snis"], json!(["z.x.example"]));
    assert_eq!(spec("tlssnis.acme.more")["snis"], json!(["*.x.example"]));
    assert_eq!(spec("streamroutes.globex.bare")["listeners"], json!(["mqtts"]));
}

#[test]
fn what_a_person_changes_adds_or_deletes_is_put_back() {
    let mut cluster = Cluster::with_acme();
    let keys: Vec<GeneratedKey> = cluster.store.generated.keys().cloned().collect();
    assert_eq!(keys.len(), 4);
    let before = cluster.files.clone();
    for key in keys {
        let place = ("default".to_owned(), key.name.to_string());
        let changed = |file: &str, text: &str| (Box::from(file), Zeroizing::new(text.as_bytes().to_vec()));
        let file = before[&place].keys().next().unwrap().clone();
        for other in [
            Files::from([changed(&file, "other")]),
            before[&place].clone().into_iter().chain([changed("more", "other")]).collect(),
            Files::new(),
        ] {
            cluster.files.insert(place.clone(), other);
            let version = cluster.version();
            cluster.see(&key, version);
            cluster.rest();
            assert_eq!(cluster.written, [format!("replace {}", key.name)]);
            assert_eq!(cluster.files, before);
        }
        cluster.files.remove(&place);
        let version = cluster.version();
        cluster.apply(Change::Generated(key.clone(), version, None));
        cluster.rest();
        assert_eq!((&cluster.written[..], &cluster.files), (&[format!("create {}", key.name)][..], &before));
    }
}

#[test]
fn labels_that_a_person_changes_are_put_back() {
    let labelled = |folder: &str, manager: &str| {
        let labels = [(FOLDER_LABEL.to_owned(), folder.to_owned()), (MANAGED_BY.0.to_owned(), manager.to_owned())];
        let metadata = ObjectMeta {
            name: Some("streamroutes.acme.devices".to_owned()),
            resource_version: Some("1".to_owned()),
            labels: Some(labels.into()),
            ..ObjectMeta::default()
        };
        Generated::of_config_map(&ConfigMap { metadata, ..ConfigMap::default() }).unwrap().fingerprint
    };
    let right = labelled("streamroutes", MANAGED_BY.1);
    assert_ne!(labelled("tlssnis", MANAGED_BY.1), right);
    assert_ne!(labelled("streamroutes", "somebody"), right);
}

#[test]
fn what_nothing_is_the_source_of_is_swept_but_for_the_ticket_keys() {
    let mut cluster = Cluster::with_acme();
    for (kind, name) in [
        (MaterialKind::ConfigMap, "streamroutes.acme.gone"),
        (MaterialKind::ConfigMap, "secrets.acme.tls"),
        (MaterialKind::Secret, "no-such-thing"),
        (MaterialKind::Secret, "ticket-keys"),
    ] {
        let key = GeneratedKey { gateway: "default".into(), kind, name: name.into() };
        let version = cluster.version();
        let metadata = ObjectMeta {
            name: Some(name.into()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        let seen = Generated::of_config_map(&ConfigMap { metadata, ..ConfigMap::default() });
        cluster.apply(Change::Generated(key, version, seen));
    }
    let before = cluster.files.clone();
    cluster.rest();
    let mut written = cluster.written.clone();
    written.sort();
    assert_eq!(written, ["delete no-such-thing", "delete secrets.acme.tls", "delete streamroutes.acme.gone"]);
    cluster.files.extend(before);
}

#[test]
fn an_older_word_of_a_generated_object_changes_nothing() {
    let mut cluster = Cluster::with_acme();
    let (key, seen) = cluster.store.generated.iter().next().map(|(key, seen)| (key.clone(), seen.clone())).unwrap();
    cluster.apply(Change::Generated(key.clone(), "1".parse().unwrap(), None));
    assert!(cluster.touched.is_empty());
    cluster.apply(Change::Generated(key, seen.version.clone(), Some(seen)));
    assert!(cluster.touched.is_empty());
}

#[test]
fn a_steady_state_writes_nothing_through_a_restart_too() {
    let mut cluster = Cluster::with_acme();
    cluster.restart();
    assert_eq!((&cluster.written[..], &cluster.told[..]), (&[][..], &[][..]));
}

#[test]
fn each_gateway_has_what_is_its_own() {
    let mut cluster = Cluster::with_acme();
    let other = Gateway { name: "other".into(), ..open_gateway() };
    cluster.store = Store::new(vec![open_gateway(), other]);
    cluster.files.clear();
    cluster.outcome = Outcome::default();
    cluster.service("acme/broker", json!({"ports": [{"name": "mqtt", "port": 1883}]}));
    cluster.route("acme/one", json!({"upstream": to_broker()}));
    cluster.route("acme/two", json!({"gateway": "other", "upstream": to_broker()}));
    cluster.route("acme/nobodys", json!({"gateway": "third", "upstream": to_broker()}));
    cluster.rest();
    let places: Vec<String> = cluster.files.keys().map(|(gateway, name)| format!("{gateway}/{name}")).collect();
    assert_eq!(
        places,
        [
            "default/endpoints.acme.broker",
            "default/streamroutes.acme.one",
            "other/endpoints.acme.broker",
            "other/streamroutes.acme.two",
        ]
    );
    assert_eq!(cluster.status(&route_ref("acme/nobodys")), &Status::default());
    cluster.route("acme/two", json!({"upstream": {"services": [{"name": "broker", "port": "mqtt"}]}, "match": {"sourceRanges": ["10.0.0.0/8"]}}));
    cluster.rest();
    assert_eq!(
        cluster.written,
        ["create streamroutes.acme.two", "delete streamroutes.acme.two", "delete endpoints.acme.broker"]
    );
}

#[test]
fn a_new_route_waits_for_the_certificate_of_its_tls_sni() {
    let mut cluster = Cluster::new();
    cluster.secret("acme/tls", &credentials(&["x.example"], 2020, 2040));
    cluster.tls_sni("acme/devices", json!({"snis": ["x.example"], "certificates": [{"secretName": "tls"}]}));
    cluster.route("acme/devices", json!({"match": {"snis": ["x.example"]}, "upstream": to_broker()}));
    let touched = std::mem::take(&mut cluster.touched);
    let changed = cluster.outcome.update(&cluster.store, &touched, cluster.now);
    assert_eq!(cluster.outcome.writes(&cluster.store, &changed.objects), []);
    assert_eq!(cluster.outcome.status(&cluster.store, &tls_ref("acme/devices"), cluster.now), None);
    cluster.touched.statuses.extend(changed.statuses);
    cluster.rest();
    assert_eq!(cluster.generated(), ["secrets.acme.tls", "streamroutes.acme.devices", "tlssnis.acme.devices"]);
}

#[test]
fn what_a_list_finds_is_taken_though_its_version_is_lower() {
    let mut cluster = Cluster::with_acme();
    let key =
        GeneratedKey { gateway: "default".into(), kind: MaterialKind::ConfigMap, name: "tlssnis.acme.devices".into() };
    let known = cluster.store.generated(&key).unwrap().clone();
    let restored = Generated { version: "1".parse().unwrap(), fingerprint: Fingerprint::of(b"older"), ..known };
    cluster.apply(Change::Found(key.clone(), Some(restored)));
    cluster.rest();
    assert_eq!(cluster.written, ["replace tlssnis.acme.devices"]);
    let material = MaterialKey { kind: MaterialKind::Secret, name: name("acme/tls") };
    cluster.apply(Change::Material(material.clone(), Some("1".parse().unwrap())));
    let touched = std::mem::take(&mut cluster.touched);
    cluster.outcome.update(&cluster.store, &touched, cluster.now);
    assert_eq!(cluster.outcome.missing(&cluster.store).len(), 1, "it may hold something else");
}
