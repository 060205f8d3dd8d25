//! Each reason that a condition may have, met on a real API server.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use streamgate_crds::Reason;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::gateway::{Terms, apply_custom_resources, apply_in, condition};
use streamgate_tests::operator::EVENTUALLY;
use streamgate_tests::pki::Leaf;
use streamgate_tests::wait;

use super::stage::{Stage, TO_BROKER, config_map, service, tls_secret};
use crate::gateways::{install, shared};

const FALSE: &str = "False";

/// An object, what it is, and what is said of it.
type Case = (&'static str, String, [&'static str; 3]);

/// The manifest of a StreamRoute.
fn route(gateway: &str, name: &str, fields: &str) -> String {
    manifest(gateway, "StreamRoute", name, fields)
}

/// The manifest of a TlsSni.
fn tls_sni(gateway: &str, name: &str, fields: &str) -> String {
    manifest(gateway, "TlsSni", name, fields)
}

fn manifest(gateway: &str, kind: &str, name: &str, fields: &str) -> String {
    format!(
        "apiVersion: streamgate.dev/v1alpha1
kind: {kind}
metadata: {{name: {name}}}
spec: {{gateway: {gateway}, {fields}}}
"
    )
}

/// What the gateway's owner does not allow.
fn of_the_owner(gateway: &str) -> Vec<Case> {
    let to_broker = format!("upstream: {TO_BROKER}");
    let good = "match: {snis: [good.example]}";
    let route = |name: &str, fields: &str| route(gateway, name, fields);
    let tls_sni = |name: &str, fields: &str| tls_sni(gateway, name, fields);
    vec![
        (
            "tlssni/taken",
            tls_sni("taken", "snis: [good.example], certificates: [{secretName: good}]"),
            ["Accepted", FALSE, "Conflicted"],
        ),
        (
            "streamroute/listener",
            route("listener", &format!("listeners: [other], {good}, {to_broker}")),
            ["Accepted", FALSE, "NoMatchingListener"],
        ),
        (
            "tlssni/foreign",
            tls_sni("foreign", "snis: [foreign.test], certificates: [{secretName: good}]"),
            ["Accepted", FALSE, "NameNotAllowed"],
        ),
        (
            "streamroute/plain",
            route("plain", &format!("listeners: [plain], {to_broker}")),
            ["Accepted", FALSE, "PlaintextNotAllowed"],
        ),
        (
            "streamroute/external",
            route("external", "match: {snis: [good.example]}, upstream: {nodes: [{host: broker.test, port: 1883}]}"),
            ["Accepted", FALSE, "ExternalUpstreamNotAllowed"],
        ),
    ]
}

/// What can't be resolved. Each route has a range of sources of its own, so that no two are equal.
fn of_references(gateway: &str) -> Vec<Case> {
    let route = |number: u8, name: &str, sni: &str, services: &str| {
        let fields = format!(
            "match: {{snis: [{sni}], sourceRanges: [10.{number}.0.0/16]}}, upstream: {{services: [{services}]}}"
        );
        route(gateway, name, &fields)
    };
    let tls_sni = |name: &str, secret: &str, more: &str| {
        tls_sni(gateway, name, &format!("snis: [{name}.example], certificates: [{{secretName: {secret}}}]{more}"))
    };
    let to_broker = "{name: broker, port: mqtt}";
    let resolved = |reason: &'static str| ["ResolvedRefs", FALSE, reason];
    vec![
        (
            "streamroute/absent",
            route(1, "absent", "good.example", "{name: absent, port: 1883}"),
            resolved("RefNotFound"),
        ),
        ("streamroute/port", route(2, "port", "good.example", "{name: broker, port: 1884}"), resolved("InvalidPort")),
        ("streamroute/typo", route(3, "typo", "typo.example", to_broker), resolved("NoMatchingTlsSni")),
        (
            "streamroute/denied",
            route(4, "denied", "good.example", "{name: denied, port: mqtt}"),
            resolved("UpstreamDenied"),
        ),
        ("tlssni/mismatch", tls_sni("mismatch", "mismatch", ""), resolved("InvalidCertificate")),
        ("tlssni/expired", tls_sni("expired", "expired", ""), resolved("CertificateExpired")),
        (
            "tlssni/crl",
            tls_sni("crl", "good", ", clientAuth: {ca: {configMapName: ca}, crl: {configMapName: crl}}"),
            resolved("CrlExpired"),
        ),
        ("tlssni/long", tls_sni("long", &"a".repeat(240), ""), resolved("NameTooLong")),
        ("tlssni/large", tls_sni("large", "good", ", clientAuth: {ca: {configMapName: large}}"), resolved("TooLarge")),
    ]
}

/// What the references lead to.
fn apply_references(stage: &Stage<'_>) -> Result<()> {
    let good = stage.servers.server(&["mismatch.example"])?;
    let mut mismatch = good.clone();
    mismatch.key_pem = stage.servers.server(&["mismatch.example"])?.key_pem;
    let expired = stage.servers.issue(&Leaf::server(&["expired.example"]).expired())?;
    let yesterday = SystemTime::now() - Duration::from_hours(24);
    let crl = stage.devices.revocation_list(&[], yesterday)?;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "denied-0", "labels": {"kubernetes.io/service-name": "denied"}},
        "addressType": "IPv4", "ports": [{"name": "mqtt", "port": 1883, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["203.0.113.7"], "conditions": {"ready": true}}],
    });
    let objects = [
        tls_secret("mismatch", &mismatch).to_string(),
        tls_secret("expired", &expired).to_string(),
        config_map("crl", "ca.crl", &crl).to_string(),
        service("denied"),
        slice.to_string(),
    ];
    stage.apply(&objects.join("\n---\n"))?;
    // Too large for the annotation of `kubectl apply`.
    let authority = stage.devices.certificate_pem();
    let large = config_map("large", "ca.crt", &authority.repeat(1_010_000 / authority.len()));
    let create = ["create", "-n", &stage.tenant, "-f", "-"];
    stage.gateway.cluster.kubectl(&create, Some(&large.to_string()))?.succeeded("kubectl create")?;
    Ok(())
}

/// What [`every_reason_is_one_that_a_person_can_meet`] and the other tests here and in `silence.rs` have met.
const MET_ELSEWHERE: &[Reason] = &[
    // Here.
    Reason::Accepted,
    Reason::ResolvedRefs,
    Reason::Programmed,
    Reason::NotAccepted,
    Reason::NoProxies,
    Reason::NamespaceNotAllowed,
    Reason::NotAllowedByTlsSni,
    Reason::Invalid,
    Reason::Refused,
    // In `silence.rs`.
    Reason::Pending,
    Reason::ProxySilent,
];

#[test]
fn no_reason_is_left_out() {
    let cases = [of_the_owner("any"), of_references("any")].concat();
    let mut met: BTreeSet<&str> = cases.iter().map(|(_, _, [_, _, reason])| *reason).collect();
    for reason in MET_ELSEWHERE {
        assert!(met.insert(reason.as_str()), "{reason} is there twice");
    }
    let all: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(met, all);
    let tests = concat!(include_str!("reasons.rs"), include_str!("silence.rs"));
    for reason in MET_ELSEWHERE {
        assert!(tests.contains(&format!("\"{reason}\"]")), "no test asserts {reason}");
    }
}

#[test]
fn every_reason_is_one_that_a_person_can_meet() -> Result<()> {
    let cluster = shared()?;
    let [tenant, other, stranger] = ["tenant", "other", "stranger"].map(|name| cluster.namespace(name));
    let (tenant, other, stranger) = (tenant?, other?, stranger?);
    let terms = format!(
        "allowedNamespaces: {{names: [{tenant}, {other}]}}
domains: [{{namespaces: [{tenant}, {other}], names: ['*.example']}}]
plaintextNamespaces: {{names: [{other}]}}
deniedUpstreams: [203.0.113.0/24]"
    );
    let gateway = install(cluster, Terms { gateway: &terms, ..Terms::default() })?;
    let mut stage = Stage::of(gateway, tenant, 0)?;
    stage.apply_name("good")?;
    stage.condition("streamroute/good", ["Programmed", FALSE, "NoProxies"])?;
    stage.add_proxy()?;
    stage.condition("streamroute/good", ["Accepted", "True", "Accepted"])?;
    stage.condition("streamroute/good", ["ResolvedRefs", "True", "ResolvedRefs"])?;
    stage.condition("streamroute/good", ["Programmed", "True", "Programmed"])?;

    apply_references(&stage)?;
    let name = stage.gateway.name.clone();
    let cases = [of_the_owner(&name), of_references(&name)].concat();
    let manifests: Vec<&str> = cases.iter().map(|(_, manifest, _)| manifest.as_str()).collect();
    stage.apply(&manifests.join("---\n"))?;
    let guest = route(&name, "guest", &format!("match: {{snis: [good.example]}}, upstream: {TO_BROKER}"));
    apply_in(cluster, &other, &guest)?;
    apply_in(cluster, &stranger, &guest)?;
    for (object, _, wanted) in &cases {
        let condition = stage.condition(object, *wanted)?;
        let message = condition["message"].as_str().unwrap_or_default();
        ensure!(message.contains(' '), "no sentence: {condition}");
        if wanted[0] == "Accepted" {
            stage.condition(object, ["Programmed", FALSE, "NotAccepted"])?;
        }
    }
    condition(cluster, &other, "streamroute/guest", ["ResolvedRefs", FALSE, "NotAllowedByTlsSni"])?;
    condition(cluster, &stranger, "streamroute/guest", ["Accepted", FALSE, "NamespaceNotAllowed"])?;
    // And none of it is in the way of who does it right.
    stage.let_in(0, "good", "device")?;
    stage.condition("streamroute/good", ["Programmed", "True", "Programmed"])?;
    Ok(())
}

#[test]
fn what_an_older_schema_let_in_is_judged_by_the_operator() -> Result<()> {
    let cluster = ControlPlane::start()?;
    apply_custom_resources(&cluster)?;
    for name in ["streamroutes", "tlssnis"] {
        let object = format!("crd/{name}.streamgate.dev");
        let mut definition = cluster.json(&["get", &object])?;
        without_rules(&mut definition);
        cluster.kubectl(&["replace", "-f", "-"], Some(&definition.to_string()))?.succeeded("kubectl replace")?;
    }
    let stage = Stage::on(&cluster, 1, Terms::default())?;
    stage.program("good")?;
    let both = "upstream: {services: [{name: broker, port: mqtt}], nodes: [{host: a.test, port: 1883}]}";
    wait::until("a schema without rules", EVENTUALLY, || stage.apply(&route(&stage.gateway.name, "both", both)).ok())?;
    let condition = stage.condition("streamroute/both", ["Accepted", FALSE, "Invalid"])?;
    let message = condition["message"].as_str().context("a message")?;
    ensure!(message.contains("spec.upstream") && message.contains("wanted"), "{message}");
    stage.let_in(0, "good", "device")?;
    Ok(())
}

/// Takes the rules in CEL out of a schema.
fn without_rules(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.remove("x-kubernetes-validations");
            fields.values_mut().for_each(without_rules);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_rules),
        _ => {}
    }
}

#[test]
fn a_proxy_that_refuses_is_quoted_until_it_takes_the_object() -> Result<()> {
    let stage = Stage::with_proxies(1)?;
    stage.program("devices")?;
    // In the place of a proxy of another version, which has its own mind.
    let config = ConfigDir::new()?;
    let sync = stage.gateway.start_sync("proxy-1", &config)?;
    sync.wait_until_ready(EVENTUALLY)?;
    let answer = |refused: serde_json::Value| -> Result<()> {
        let revision = fs::read_to_string(config.path().join("revision"))?;
        let applied = json!({"streamroutes": 1, "tlssnis": 1});
        let status = json!({"revision": revision.trim(), "generation": 1, "applied": applied, "refused": refused});
        let staged = config.scratch().join("staged");
        fs::write(&staged, status.to_string())?;
        Ok(fs::rename(staged, config.status_dir().join("status.json"))?)
    };
    let route = json!({"kind": "StreamRoute", "namespace": stage.tenant, "name": "devices"});
    let mut refusal = route;
    refusal["reason"] = "Invalid".into();
    refusal["message"] = "spec.upstream: found the moon; wanted a Service".into();
    answer(json!([refusal]))?;
    stage.gateway.set_ready(&["proxy-0", "proxy-1"])?;
    let condition = stage.condition("streamroute/devices", ["Programmed", FALSE, "Refused"])?;
    ensure!(condition["message"].as_str().is_some_and(|message| message.contains("the moon")), "{condition}");
    stage.condition("tlssni/devices", ["Programmed", "True", "Programmed"])?;
    answer(json!([]))?;
    stage.condition("streamroute/devices", ["Programmed", "True", "Programmed"])?;
    Ok(())
}
