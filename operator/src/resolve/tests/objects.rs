//! Objects of a cluster, and their names.

use super::*;

pub(super) fn name(object: &str) -> Name {
    let (namespace, name) = object.split_once('/').unwrap();
    Name::new(namespace, name)
}

pub(super) fn route_ref(object: &str) -> ObjectRef {
    let Name { namespace, name } = name(object);
    ObjectRef { kind: Kind::StreamRoute, namespace: namespace.to_string(), name: name.to_string() }
}

pub(super) fn tls_ref(object: &str) -> ObjectRef {
    ObjectRef { kind: Kind::TlsSni, ..route_ref(object) }
}

pub(super) fn slice(object: &str, service: &str, family: &str, ports: Value, endpoints: Value) -> EndpointSlice {
    let Name { namespace, name } = name(object);
    let labels = json!({"kubernetes.io/service-name": service});
    serde_json::from_value(json!({
        "metadata": {"namespace": *namespace, "name": *name, "labels": labels},
        "addressType": family, "ports": ports, "endpoints": endpoints,
    }))
    .unwrap()
}

/// A ready endpoint as Kubernetes has it.
pub(super) fn pod(name: &str, address: &str) -> Value {
    json!({
        "addresses": [address], "conditions": {"ready": true, "serving": true, "terminating": false},
        "nodeName": "node-1", "zone": "zone-a",
        "targetRef": {"kind": "Pod", "namespace": "acme", "name": name, "uid": "9f1c6d5e"},
    })
}

pub(super) fn to_broker() -> Value {
    json!({"services": [{"name": "broker", "port": "mqtt"}]})
}

/// A certificate for these names and its key, valid from the first of January of one year to that of another.
pub(super) fn credentials(names: &[&str], from: i32, to: i32) -> [(&'static str, &'static str); 2] {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut parameters = rcgen::CertificateParams::new(names).unwrap();
    (parameters.not_before, parameters.not_after) = (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap().pem();
    // A test's few texts may as well stay.
    [("tls.crt", certificate.leak()), ("tls.key", key.serialize_pem().leak())]
}

/// A revocation list that ends on the first of January of this year.
pub(super) fn revocation_list(until: i32) -> &'static str {
    let mut parameters = rcgen::CertificateParams::new(vec![]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::new(parameters, rcgen::KeyPair::generate().unwrap());
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2021, 1, 1),
        next_update: rcgen::date_time_ymd(until, 1, 1),
        crl_number: rcgen::SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![],
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    list.signed_by(&issuer).unwrap().pem().unwrap().leak()
}
