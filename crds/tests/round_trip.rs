//! What is written out reads back the same, as the API server's JSON and as a file.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use streamgate_crds::manifest::{self, Manifest};
use streamgate_crds::stream_route::{
    CertificateField, ClientId, ClientIdPolicy, HashKey, LoadBalancer, LoadBalancerType, Mqtt, Node, ProtocolName,
    RouteMatch, ServicePort, ServiceRef, Upstream,
};
use streamgate_crds::tls_sni::{
    AllowedRoutes, CaRef, CertificateRef, ClientAuth, ClientAuthMode, FromNamespaces, TlsVersion,
};
use streamgate_crds::{Duration, Size, StreamRoute, StreamRouteSpec, TlsSni, TlsSniSpec};

fn words<T: std::str::FromStr<Err: std::fmt::Debug>>(all: &[&str]) -> Vec<T> {
    all.iter().map(|word| word.parse().unwrap()).collect()
}

fn names() -> impl Strategy<Value = Vec<String>> {
    subsequence(
        ["default", "mqtts", "plain", "true", "null", "1", "1e3", "0x1f", "a-b"].map(String::from).to_vec(),
        0..4,
    )
}

fn mqtt() -> impl Strategy<Value = Mqtt> {
    let levels = prop_oneof![
        subsequence(vec![3, 4, 5], 0..=3).prop_map(|levels| (ProtocolName::Mqtt, levels)),
        subsequence(vec![3], 0..=1).prop_map(|levels| (ProtocolName::Mqisdp, levels)),
    ];
    let fields =
        [CertificateField::CommonName, CertificateField::DnsSan, CertificateField::UriSan, CertificateField::EmailSan];
    let client_id = prop_oneof![
        select(vec![ClientIdPolicy::Any, ClientIdPolicy::NonEmpty])
            .prop_map(|policy| ClientId { policy, certificate_field: CertificateField::CommonName }),
        select(fields.to_vec())
            .prop_map(|certificate_field| ClientId { policy: ClientIdPolicy::MatchesCertificate, certificate_field }),
    ];
    (levels, 1..100_000_000u64, 64..=268_435_460u64, client_id).prop_map(
        |((protocol_name, protocol_levels), milliseconds, bytes, client_id)| Mqtt {
            protocol_name,
            protocol_levels,
            connect_timeout: Duration::from_millis(milliseconds),
            max_connect_size: Size(bytes),
            client_id,
        },
    )
}

fn load_balancer() -> impl Strategy<Value = LoadBalancer> {
    let keys = [HashKey::ClientId, HashKey::SourceIp, HashKey::Username, HashKey::CertificateSubject, HashKey::Sni];
    prop_oneof![
        Just(LoadBalancer::default()),
        prop::option::of(select(keys.to_vec()))
            .prop_map(|key| LoadBalancer { r#type: LoadBalancerType::ConsistentHash, key }),
    ]
}

fn upstream() -> impl Strategy<Value = Upstream> {
    let service =
        |(index, port, weight): (usize, ServicePort, u32)| ServiceRef { name: format!("s{index}"), port, weight };
    let port =
        prop_oneof![(1..=u16::MAX).prop_map(ServicePort::Number), "[a-z][a-z0-9]{0,9}".prop_map(ServicePort::Name)];
    let services = prop::collection::vec((port, 0..=65_535u32), 1..4).prop_map(move |list| {
        list.into_iter().enumerate().map(|(index, (port, weight))| service((index, port, weight))).collect::<Vec<_>>()
    });
    let host = prop_oneof![
        any::<std::net::IpAddr>().prop_map(|address| address.to_string()),
        "[a-z]{1,5}(\\.[a-zA-Z]{1,5}){0,2}\\.?",
    ];
    let name = prop::option::of("[a-zA-Z0-9#&*!|>'\"%@`{},\\[\\]é-]{1,9}");
    let nodes = prop::collection::vec((name, host, 1..=u16::MAX, 0..=65_535u32), 1..4).prop_map(|list| {
        list.into_iter().map(|(name, host, port, weight)| Node { name, host, port, weight }).collect::<Vec<_>>()
    });
    let of = prop_oneof![services.prop_map(Upstream::of_services), nodes.prop_map(Upstream::of_nodes)];
    (of, load_balancer(), 1..100_000u64, any::<u8>()).prop_map(|(upstream, load_balancer, milliseconds, retries)| {
        Upstream { load_balancer, connect_timeout: Duration::from_millis(milliseconds), retries, ..upstream }
    })
}

fn stream_routes() -> impl Strategy<Value = StreamRoute> {
    let snis = subsequence(words(&["a.example", "*.a.example", "null", "x_y", "*.true"]), 0..4);
    let ranges = subsequence(words(&["10.0.0.0/8", "::/0", "2001:db8::1", "0.0.0.0/0"]), 0..4);
    let spec = (select(vec!["default", "true", "edge-1"]), names(), snis, ranges, mqtt(), upstream());
    spec.prop_map(|(gateway, listeners, snis, source_ranges, mqtt, upstream)| {
        let spec = StreamRouteSpec {
            gateway: gateway.to_owned(),
            listeners,
            r#match: RouteMatch { snis, source_ranges },
            mqtt,
            upstream,
            on_drain: streamgate_crds::stream_route::OnDrain::default(),
        };
        named(StreamRoute::new("devices", spec))
    })
    .prop_filter("nodes of one identity", |route| route.validate().is_empty())
}

fn client_auth() -> impl Strategy<Value = ClientAuth> {
    let subjects = subsequence(words(&["CN=a", "CN=sensor-*,O=Acme\\, Inc.", "1.2.3=\\#\\ x\\ ", "OU=*"]), 0..4);
    let of = (any::<bool>(), any::<bool>(), prop::option::of(select(vec!["ca.crt", "1", "true"])));
    let ca = of.prop_map(|(in_secret, in_numbers, key)| {
        let name = Some(if in_numbers { "123" } else { "ca" }.to_owned());
        let (config_map_name, secret_name) = if in_secret { (None, name) } else { (name, None) };
        CaRef { config_map_name, secret_name, key: key.map(str::to_owned) }
    });
    let modes = select(vec![None, Some(ClientAuthMode::Optional), Some(ClientAuthMode::Require)]);
    prop_oneof![
        (modes, ca.clone(), 0..=6u8, subjects).prop_map(|(mode, ca, max_depth, allowed_subjects)| ClientAuth {
            crl: None,
            mode,
            ca: Some(ca),
            max_depth,
            allowed_subjects
        }),
        (prop::option::of(Just(ClientAuthMode::None)), prop::option::of(ca), 0..=6u8).prop_map(
            |(mode, ca, max_depth)| ClientAuth {
                crl: None,
                mode,
                ca: ca.filter(|_| mode.is_some()),
                max_depth,
                allowed_subjects: vec![]
            }
        ),
    ]
}

fn tls_snis() -> impl Strategy<Value = TlsSni> {
    let snis = subsequence(words(&["a.example", "*.a.example", "null", "x_y", "*"]), 1..5);
    let certificates = subsequence(vec!["tls", "1.5", "true"], 1..4);
    let versions = select(vec![TlsVersion::V1_2, TlsVersion::V1_3]);
    let spec = (names(), snis, certificates, client_auth(), versions, any::<bool>());
    spec.prop_map(|(alpn_protocols, snis, certificates, client_auth, min_protocol_version, all)| {
        let secret = |name: &str| CertificateRef { secret_name: name.to_owned() };
        let spec = TlsSniSpec {
            gateway: "default".to_owned(),
            snis,
            certificates: certificates.into_iter().map(secret).collect(),
            client_auth,
            min_protocol_version,
            alpn_protocols,
            allowed_routes: AllowedRoutes { namespaces: if all { FromNamespaces::All } else { FromNamespaces::Same } },
        };
        named(TlsSni::new("devices", spec))
    })
}

fn named<T: kube::ResourceExt>(mut object: T) -> T {
    let metadata = object.meta_mut();
    metadata.namespace = Some("acme".to_owned());
    metadata.resource_version = Some("7".to_owned());
    metadata.labels = Some([("a.b/c".to_owned(), "true".to_owned())].into());
    object
}

fn read<T: Manifest>(text: &str) -> T {
    manifest::read("f.yaml", "acme", "devices", text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"))
}

proptest! {
    #[test]
    fn a_route_reads_back_the_same(route in stream_routes()) {
        let json = serde_json::to_string(&route).unwrap();
        prop_assert_eq!(&serde_json::from_str::<StreamRoute>(&json).unwrap(), &route);
        prop_assert_eq!(&read::<StreamRoute>(&json), &route);
        prop_assert_eq!(&read::<StreamRoute>(&serde_json::to_string_pretty(&route).unwrap()), &route);
    }

    #[test]
    fn a_tls_sni_reads_back_the_same(tls_sni in tls_snis()) {
        prop_assert_eq!(tls_sni.validate(), []);
        let json = serde_json::to_string(&tls_sni).unwrap();
        prop_assert_eq!(&serde_json::from_str::<TlsSni>(&json).unwrap(), &tls_sni);
        prop_assert_eq!(&read::<TlsSni>(&json), &tls_sni);
        prop_assert_eq!(&read::<TlsSni>(&serde_json::to_string_pretty(&tls_sni).unwrap()), &tls_sni);
    }
}

#[test]
fn what_is_written_leaves_out_what_its_absence_says() {
    let yaml =
        "{apiVersion: streamgate.dev/v1alpha1, kind: StreamRoute, spec: {upstream: {nodes: [{host: a, port: 1}]}}}";
    let spec = serde_json::to_value(read::<StreamRoute>(yaml).spec).unwrap();
    assert_eq!(
        spec,
        serde_json::json!({
            "gateway": "default",
            "mqtt": { "protocolName": "MQTT", "connectTimeout": "10s", "maxConnectSize": "64Ki" },
            "upstream": { "nodes": [{ "host": "a", "port": 1, "weight": 1 }], "connectTimeout": "5s",
                "connackTimeout": "10s", "retries": 2 },
        })
    );
}
