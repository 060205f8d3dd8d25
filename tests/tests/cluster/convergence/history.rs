//! A random history: what tenants change, and what dies meanwhile. The same seed gives the same.

use anyhow::Result;
use fastrand::Rng;
use serde_json::{Value, json};
use streamgate_tests::pki::{CertificateAuthority, Leaf};

use super::site::slice;

/// A step of a history.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// An object of one of the two tenants is applied.
    Apply(usize, Value),
    /// It is deleted, if it is there.
    Delete(usize, Value),
    /// A tenant may use the gateway from now on, or no more.
    Allow(usize, bool),
    /// Somebody lays hands on a generated object: the one of this place in their list, modulo how many they are.
    Tamper(Tampering, usize),
    /// A process is killed; it is started again after so many steps.
    Kill(Victim, usize),
    /// So many milliseconds pass.
    Pause(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tampering {
    Delete,
    AddKey,
    TakeLabel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    /// One of the operators.
    Operator(usize),
    Sync,
    /// At once started again.
    ApiServer,
}

/// What Secrets and `ConfigMaps` hold, good and bad.
pub(super) struct Materials {
    /// `tls.crt` and `tls.key`; the first are good.
    pairs: Vec<[String; 2]>,
    good_pairs: usize,
    /// `ca.crt`; the first are good.
    authorities: Vec<String>,
    good_authorities: usize,
    revocations: Vec<String>,
}

impl Materials {
    pub(super) fn new() -> Result<Self> {
        let (one, other) = (CertificateAuthority::new("one")?, CertificateAuthority::new("other")?);
        let pair = |leaf: Leaf| -> Result<[String; 2]> {
            let credentials = one.issue(&leaf)?;
            Ok([credentials.chain_pem, credentials.key_pem])
        };
        let good = [pair(Leaf::server(&["a.both.test"]))?, pair(Leaf::server(&["b.both.test", "*.both.test"]))?];
        let expired = pair(Leaf::server(&["a.both.test"]).expired())?;
        let mismatched = [good[0][0].clone(), good[1][1].clone()];
        let garbled = [good[0][0].replace('A', "?"), good[0][1].clone()];
        let good_pairs = good.len();
        let pairs = good.into_iter().chain([expired, mismatched, garbled]).collect();
        let authorities = vec![one.certificate_pem(), other.certificate_pem(), "none".to_owned()];
        let later = std::time::SystemTime::now() + std::time::Duration::from_hours(1000);
        let revocations = vec![one.revocation_list(&[1, 2], later)?, "none".to_owned()];
        Ok(Self { pairs, good_pairs, authorities, good_authorities: 2, revocations })
    }

    /// All that anybody may refer to, as it can be used, for the end of a history.
    pub(super) fn healed(&self, random: &mut Rng) -> Vec<Step> {
        let mut steps = Vec::new();
        for tenant in [0, 1] {
            for name in MATERIALS {
                let pair = &self.pairs[random.usize(..self.good_pairs)];
                steps.push(Step::Apply(tenant, Self::secret(name, pair, &self.authorities[0])));
                let authority = &self.authorities[random.usize(..self.good_authorities)];
                steps.push(Step::Apply(tenant, Self::config_map(name, authority, &self.revocations[0])));
            }
        }
        steps
    }

    fn secret(name: &str, [certificate, key]: &[String; 2], authority: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque",
            "data": {"tls.crt": base64(certificate), "tls.key": base64(key), "ca.crt": base64(authority), "other": ""},
        })
    }

    fn config_map(name: &str, authority: &str, revocation: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"ca.crt": authority, "other": "text"}, "binaryData": {"ca.crl": base64(revocation)},
        })
    }
}

/// A history of so many changes, with deaths among them.
pub(super) fn history(random: &mut Rng, changes: usize, materials: &Materials, gateway: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for change in 0..changes {
        if random.u8(..) < 8 {
            let down = random.usize(1..30);
            let victim = if random.bool() { Victim::Sync } else { Victim::Operator(random.usize(..2)) };
            steps.push(Step::Kill(victim, down));
        }
        if random.u8(..) < 60 {
            steps.push(Step::Pause(random.u64(1..40)));
        }
        // At first there is nothing that could be deleted.
        steps.push(self::change(random, change > changes / 10, materials, gateway));
    }
    steps
}

/// At a random place, the API server dies.
pub(super) fn with_api_server_killed(mut steps: Vec<Step>, random: &mut Rng) -> Vec<Step> {
    steps.insert(random.usize(..steps.len()), Step::Kill(Victim::ApiServer, 0));
    steps
}

fn change(random: &mut Rng, deletes: bool, materials: &Materials, gateway: &str) -> Step {
    let tenant = random.usize(..2);
    let kind = random.u8(..100);
    let object = match kind {
        0..30 => stream_route(random, gateway),
        30..50 => tls_sni(random, gateway),
        50..60 => service(random),
        60..75 => endpoints(random),
        75..87 => secret(random, materials),
        87..93 => config_map(random, materials),
        93..96 => return Step::Allow(tenant, random.u8(..4) > 0),
        _ => {
            let how = [Tampering::Delete, Tampering::AddKey, Tampering::TakeLabel];
            return Step::Tamper(how[random.usize(..how.len())], random.usize(..1000));
        }
    };
    if deletes && random.u8(..5) == 0 { Step::Delete(tenant, object) } else { Step::Apply(tenant, object) }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const MATERIALS: [&str; 3] = ["a", "b", "c"];
const SERVICES: [&str; 3] = ["a", "b", "c"];
/// Of either tenant, of one alone, of nobody.
const SNIS: [&str; 6] = ["a.both.test", "b.both.test", "*.both.test", "x.acme.test", "x.globex.test", "*"];

fn one_of<'a>(random: &mut Rng, of: &[&'a str]) -> &'a str {
    of[random.usize(..of.len())]
}

/// So many of them, distinct.
fn some_of<'a>(random: &mut Rng, of: &[&'a str], count: usize) -> Vec<&'a str> {
    random.choose_multiple(of.iter().copied(), count)
}

/// Now and then another gateway than this one.
fn gateway_of(random: &mut Rng, gateway: &str) -> String {
    if random.u8(..12) == 0 { "another".to_owned() } else { gateway.to_owned() }
}

fn resource(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "streamgate.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn stream_route(random: &mut Rng, gateway: &str) -> Value {
    let upstream = if random.u8(..10) == 0 {
        // Not allowed here.
        json!({"nodes": [{"name": "outside", "host": "broker.example.com", "port": 1883}]})
    } else {
        let ports = [json!("mqtt"), json!("other"), json!(1883)];
        let names = [&SERVICES[..], &["gone"]].concat();
        let count = random.usize(1..3);
        let services = some_of(random, &names, count);
        let services = services.into_iter().map(|name| json!({"name": name, "port": ports[random.usize(..3)]}));
        json!({"services": services.collect::<Vec<_>>()})
    };
    let mut spec = json!({"gateway": gateway_of(random, gateway), "upstream": upstream});
    if random.u8(..5) > 0 {
        let count = random.usize(1..3);
        spec["match"] = json!({"snis": some_of(random, &SNIS[..5], count)});
    }
    if random.u8(..4) == 0 {
        spec["match"]["sourceRanges"] = json!([one_of(random, &["10.0.0.0/8", "10.1.0.0/16"])]);
    }
    if random.bool() {
        spec["listeners"] = json!([one_of(random, &["mqtts", "mqtt"])]);
    }
    resource("StreamRoute", one_of(random, &NAMES), &spec)
}

fn tls_sni(random: &mut Rng, gateway: &str) -> Value {
    let (count, certificates) = (random.usize(1..3), random.usize(1..3));
    let certificates = some_of(random, &MATERIALS, certificates);
    let certificates: Vec<Value> = certificates.into_iter().map(|name| json!({"secretName": name})).collect();
    let mut spec = json!({
        "gateway": gateway_of(random, gateway), "snis": some_of(random, &SNIS, count), "certificates": certificates,
        "allowedRoutes": {"namespaces": one_of(random, &["Same", "All"])},
    });
    match random.u8(..4) {
        0 => spec["clientAuth"] = json!({"ca": {"secretName": one_of(random, &MATERIALS), "key": "ca.crt"}}),
        1 => spec["clientAuth"] = json!({"ca": {"configMapName": one_of(random, &MATERIALS)}}),
        2 => {
            let name = one_of(random, &MATERIALS);
            spec["clientAuth"] = json!({"ca": {"configMapName": name}, "crl": {"configMapName": name}});
        }
        _ => {}
    }
    resource("TlsSni", one_of(random, &NAMES), &spec)
}

fn service(random: &mut Rng) -> Value {
    let ports = json!([{"name": one_of(random, &["mqtt", "other"]), "port": 1883, "protocol": "TCP"}]);
    let spec = match random.u8(..5) {
        0 => json!({"type": "ExternalName", "externalName": "broker.example.com"}),
        1 => json!({"type": "ClusterIP", "clusterIP": "None", "ports": ports}),
        _ => json!({"type": "ClusterIP", "ports": ports}),
    };
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": one_of(random, &SERVICES)}, "spec": spec})
}

fn endpoints(random: &mut Rng) -> Value {
    let count = random.usize(..4);
    let endpoints = (0..count).map(|index| {
        let conditions = [
            json!({}),
            json!({"ready": true}),
            json!({"ready": false, "serving": true, "terminating": true}),
            json!({"ready": false}),
        ];
        json!({
            "addresses": [format!("10.{index}.0.{}", random.u8(1..6))], "conditions": conditions[random.usize(..4)],
            "targetRef": {"kind": "Pod", "name": format!("broker-{}", random.u8(..4))},
        })
    });
    let endpoints: Vec<Value> = endpoints.collect();
    let service = one_of(random, &SERVICES);
    slice(&format!("slice-{}", random.u8(..5)), service, &endpoints)
}

fn secret(random: &mut Rng, materials: &Materials) -> Value {
    let pair = &materials.pairs[random.usize(..materials.pairs.len())];
    let authority = &materials.authorities[random.usize(..materials.authorities.len())];
    let mut secret = Materials::secret(one_of(random, &MATERIALS), pair, authority);
    if random.u8(..6) == 0 {
        secret["data"] = json!({"other": ""});
    }
    secret
}

fn config_map(random: &mut Rng, materials: &Materials) -> Value {
    let authority = &materials.authorities[random.usize(..materials.authorities.len())];
    let revocation = &materials.revocations[random.usize(..materials.revocations.len())];
    Materials::config_map(one_of(random, &MATERIALS), authority, revocation)
}

pub(super) fn base64(text: &str) -> String {
    let value = json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
    value.as_str().unwrap_or_default().to_owned()
}
