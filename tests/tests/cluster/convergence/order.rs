//! No older truth takes the place of a newer one, whoever wakes up late.
//!
//! The truth is a number here, which only grows, and all objects of a tenant tell it in their way.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use streamgate_tests::component::Component;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::pki::{CertificateAuthority, Credentials};
use streamgate_tests::wait;

use super::history::base64;
use super::site::{Site, slice};
use super::versions::{Versioner, assert_each_is_newer, assert_no_flapping};
use crate::gateways::shared;
use streamgate_tests::gateway::apply_custom_resources;
use streamgate_tests::operator::{EVENTUALLY, Operator};

const SETTINGS: &str = "watchNamespaces: [ACME, GLOBEX]
leaseDuration: 2s";

/// How many truths there are at most.
const TRUTHS: u64 = 400;
/// How many certificates, of which each tells a truth until the next does.
const CERTIFICATES: u64 = 20;

/// A tenant that tells the truth, and what became of it.
struct Teller<'a> {
    site: Site<'a>,
    certificates: Vec<Credentials>,
    truth: u64,
    versions: Versioner,
}

impl<'a> Teller<'a> {
    fn new(cluster: &'a ControlPlane) -> Result<Self> {
        let site = Site::new(cluster, SETTINGS, "")?;
        let authority = CertificateAuthority::new("the tenant's")?;
        let certificate = |_| authority.server(&["devices.example.com"]);
        let certificates = (0..CERTIFICATES).map(certificate).collect::<Result<_>>()?;
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "broker"},
            "spec": {"clusterIP": "None", "ports": [{"name": "mqtt", "port": 1883, "protocol": "TCP"}]},
        });
        site.apply(&service)?;
        let versions = Versioner::of(cluster, &site.generated, &site.tenants[0])?;
        let mut teller = Self { site, certificates, truth: 0, versions };
        teller.tell()?;
        Ok(teller)
    }

    /// Has all objects tell a new truth.
    fn tell(&mut self) -> Result<()> {
        self.truth += 1;
        let truth = self.truth;
        if truth > TRUTHS {
            bail!("more than {TRUTHS} truths");
        }
        if let Some(certificate) = self.certificates.get(usize::try_from(truth)? - 1) {
            self.site.apply(&json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"}, "type": "kubernetes.io/tls",
                "data": {"tls.crt": base64(&certificate.chain_pem), "tls.key": base64(&certificate.key_pem)},
            }))?;
        }
        let endpoint = json!({
            "addresses": [self.address()], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": "broker-0"},
        });
        self.site.apply(&slice("broker-1", "broker", &[endpoint]))?;
        self.site.apply(&self.tls_sni())?;
        self.site.apply(&self.stream_route("devices"))
    }

    /// The truth as an address.
    fn address(&self) -> String {
        format!("10.1.{}.{}", self.truth / 250, self.truth % 250 + 1)
    }

    fn tls_sni(&self) -> Value {
        json!({
            "apiVersion": "streamgate.dev/v1alpha1", "kind": "TlsSni", "metadata": {"name": "devices"},
            "spec": {
                "gateway": self.site.gateway, "snis": ["devices.example.com", format!("v{}.example.com", self.truth)],
                "certificates": [{"secretName": "tls"}],
            },
        })
    }

    fn stream_route(&self, name: &str) -> Value {
        json!({
            "apiVersion": "streamgate.dev/v1alpha1", "kind": "StreamRoute", "metadata": {"name": name},
            "spec": {
                "gateway": self.site.gateway,
                "match": {"snis": ["devices.example.com"], "sourceRanges": [format!("{}/32", self.address())]},
                "upstream": {"services": [{"name": "broker", "port": "mqtt"}]},
            },
        })
    }

    fn generated(&self, folder: &str, name: &str) -> String {
        format!("{folder}.{}.{name}", self.site.tenants[0])
    }

    /// Waits until all tell the last truth, and their statuses are of that.
    fn wait_for_the_last(&self, operators: &[&Operator]) -> Result<()> {
        let mut last = Vec::new();
        wait::until("all to tell the last truth", EVENTUALLY, || {
            last = self.behind().ok()?;
            last.is_empty().then_some(())
        })
        .with_context(|| {
            let operators = operators.iter().map(|operator| operator.log()).collect::<Vec<_>>();
            format!("the truth is {}; {last:?}; {}", self.truth, operators.join("\n--- another operator\n"))
        })
    }

    /// What does not tell the last truth, and what it tells.
    fn behind(&self) -> Result<Vec<(String, Option<u64>)>> {
        let administrator = &self.site.administrator;
        let mut behind = Vec::new();
        let config_maps = administrator.list_of(&self.site.generated, &kind("ConfigMap"))?.0;
        for (folder, name) in [("streamroutes", "devices"), ("tlssnis", "devices"), ("endpoints", "broker")] {
            let name = self.generated(folder, name);
            let told = config_maps.iter().find(|object| object.name_any() == name).and_then(truth);
            behind.extend((told != Some(self.truth)).then_some((name, told)));
        }
        let secrets = administrator.list_of(&self.site.generated, &kind("Secret"))?.0;
        let name = self.generated("secrets", "tls");
        let told =
            secrets.iter().find(|object| object.name_any() == name).and_then(|found| self.truth_of_secret(found));
        behind.extend((told != Some(self.truth.min(CERTIFICATES))).then_some((name, told)));
        for kind in ["StreamRoute", "TlsSni"] {
            let of_kind = json!({"apiVersion": "streamgate.dev/v1alpha1", "kind": kind});
            for object in administrator.list_of(&self.site.tenants[0], &of_kind)?.0 {
                let observed = object.data["status"]["conditions"][0]["observedGeneration"].as_i64();
                let name = format!("status of {kind} {}", object.name_any());
                let observed_now = observed == object.metadata.generation;
                behind.extend((!observed_now).then(|| (name, observed.and_then(|number| number.try_into().ok()))));
            }
        }
        Ok(behind)
    }

    fn truth_of_secret(&self, secret: &DynamicObject) -> Option<u64> {
        let certificate = secret.data["data"]["tls.crt"].as_str()?;
        let place = self.certificates.iter().position(|credentials| base64(&credentials.chain_pem) == certificate)?;
        Some(place as u64 + 1)
    }

    /// Asserts that no version told an older truth than the one before it, nor the same again.
    fn assert_order(&self) -> Result<()> {
        let config_maps = [("streamroutes", "devices"), ("tlssnis", "devices"), ("endpoints", "broker")];
        for (folder, name) in config_maps {
            let name = self.generated(folder, name);
            assert_each_is_newer(&name, &self.versions.of_object("ConfigMap", &name), truth)?;
        }
        let name = self.generated("secrets", "tls");
        assert_each_is_newer(&name, &self.versions.of_object("Secret", &name), |secret| self.truth_of_secret(secret))?;
        assert_no_flapping("the route", &self.versions.of_object("StreamRoute", "devices"))?;
        assert_no_flapping("the name", &self.versions.of_object("TlsSni", "devices"))
    }
}

fn kind(kind: &str) -> Value {
    json!({"apiVersion": "v1", "kind": kind})
}

/// The truth that a generated `ConfigMap` tells.
fn truth(config_map: &DynamicObject) -> Option<u64> {
    let text = config_map.data["data"].as_object()?.values().next()?.as_str()?;
    let numbered = text.split(".example.com").filter_map(|before| before.rsplit(['v', '"', ' ']).next()?.parse().ok());
    if let Some(number) = numbered.last() {
        return Some(number);
    }
    let address = text.split("10.1.").nth(1)?;
    let (high, rest) = address.split_once('.')?;
    let low: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(high.parse::<u64>().ok()? * 250 + low.parse::<u64>().ok()? - 1)
}

#[test]
fn a_leader_paused_in_its_work_writes_nothing_older_than_what_the_next_has_written() -> Result<()> {
    let mut teller = Teller::new(shared()?)?;
    let mut leader = teller.site.start_leader()?;
    teller.wait_for_the_last(&[&leader])?;
    for round in 0..3 {
        let follower = teller.site.start_operator()?;
        follower.wait_until_ready()?;
        for _ in 0..5 {
            teller.tell()?;
        }
        // In the middle of its work, elsewhere each time.
        thread::sleep(Duration::from_millis(round * 3));
        leader.signal("STOP")?;
        for _ in 0..5 {
            teller.tell()?;
        }
        follower.wait_until_leading(EVENTUALLY)?;
        teller.wait_for_the_last(&[&leader, &follower])?;
        leader.signal("CONT")?;
        for _ in 0..5 {
            teller.tell()?;
        }
        let ended = leader.wait_for_end()?;
        assert_eq!(ended.code(), Some(1), "{}", leader.log());
        teller.wait_for_the_last(&[&leader, &follower])?;
        leader = follower;
    }
    teller.assert_order()
}

#[test]
fn an_operator_whose_watches_have_expired_lists_anew_and_writes_nothing_old() -> Result<()> {
    let cluster = ControlPlane::start()?;
    apply_custom_resources(&cluster)?;
    let mut teller = Teller::new(&cluster)?;
    let mut operator = teller.site.start_leader()?;
    // Of its own clients, for two that are made within a second are as old as one another.
    let mut other_route = teller.stream_route("another");
    other_route["spec"]["match"]["sourceRanges"] = json!(["192.0.2.0/24"]);
    teller.site.apply(&other_route)?;
    teller.wait_for_the_last(&[&operator])?;
    let another = teller.generated("streamroutes", "another");
    let is_there = |teller: &Teller<'_>| -> Option<bool> {
        let config_maps = teller.site.administrator.list_of(&teller.site.generated, &kind("ConfigMap")).ok()?.0;
        Some(config_maps.iter().any(|object| object.name_any() == another))
    };
    wait::until("the route that is deleted later", EVENTUALLY, || is_there(&teller)?.then_some(()))?;
    let lists = |teller: &Teller<'_>| -> Result<usize> {
        let user = format!("system:serviceaccount:{}:streamgate-operator", teller.site.system);
        let is_list = |event: &&Value| {
            event["user"]["username"] == user.as_str()
                && event["verb"] == "list"
                && event["objectRef"]["resource"] == "streamroutes"
                && event["responseStatus"]["code"] == 200
        };
        Ok(teller.site.cluster.audit_events()?.iter().filter(is_list).count())
    };
    let before = lists(&teller)?;

    operator.signal("STOP")?;
    teller.tell()?;
    teller.site.administrator.delete(&teller.site.tenants[0], &other_route, "another")?;
    cluster.kill(Component::ApiServer)?;
    cluster.restart(Component::ApiServer)?;
    // An API server that has just started knows no events from before.
    teller.tell()?;
    operator.signal("CONT")?;

    teller.wait_for_the_last(&[&operator])?;
    wait::until("the end of the route that was deleted", EVENTUALLY, || (!is_there(&teller)?).then_some(()))?;
    assert!(operator.is_running(), "{}", operator.log());
    assert!(lists(&teller)? >= before + 2, "no list anew of both namespaces: {}", operator.log());
    teller.assert_order()
}

#[test]
fn a_write_that_meets_another_is_done_again_with_the_newest_truth() -> Result<()> {
    let mut teller = Teller::new(shared()?)?;
    let operator = teller.site.start_leader()?;
    teller.wait_for_the_last(&[&operator])?;
    let conflicts = || -> Result<u64> {
        let page = operator.get("/metrics")?;
        let counts = page.lines().filter(|line| {
            line.starts_with("streamgate_operator_writes_total")
                && line.contains("Conflict")
                && line.contains("ConfigMap")
        });
        Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    };
    let name = teller.generated("streamroutes", "devices");
    let mut attempt = 0;
    while conflicts()? == 0 {
        teller.tell()?;
        // The other's write is to come between what the operator sees and what it does.
        thread::sleep(Duration::from_millis(attempt % 12));
        let patch = json!({"data": {"mine": format!("{attempt}")}});
        teller.site.administrator.merge(&teller.site.generated, &kind("ConfigMap"), &name, &patch)?;
        attempt += 1;
    }
    teller.wait_for_the_last(&[&operator])?;
    wait::until("what another wrote to be taken out", EVENTUALLY, || {
        let objects = teller.site.administrator.list_of(&teller.site.generated, &kind("ConfigMap")).ok()?.0;
        let object = objects.into_iter().find(|object| object.name_any() == name)?;
        object.data["data"]["mine"].is_null().then_some(())
    })?;
    assert_no_flapping("the route", &teller.versions.of_object("StreamRoute", "devices"))?;
    let versions = teller.versions.of_object("ConfigMap", &name);
    let truths: Vec<Option<u64>> = versions.iter().flatten().map(truth).collect();
    assert!(truths.is_sorted(), "{truths:?}");
    Ok(())
}

#[test]
fn what_another_says_in_a_status_is_put_right_once() -> Result<()> {
    let teller = Teller::new(shared()?)?;
    let operator = teller.site.start_leader()?;
    teller.wait_for_the_last(&[&operator])?;
    let accepted = |object: &DynamicObject| {
        let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let accepted = conditions.into_iter().find(|condition| condition["type"] == "Accepted");
        accepted.map(|condition| condition["status"].as_str().unwrap_or_default().to_owned())
    };
    let told = || {
        let versions = teller.versions.of_object("StreamRoute", "devices");
        let mut told: Vec<String> = versions.iter().flatten().filter_map(accepted).collect();
        told.dedup();
        told
    };
    wait::until("a status", EVENTUALLY, || (told() == ["True"]).then_some(()))?;
    let writes = operator.writes()?;

    let lie = json!({"status": {"conditions": [{
        "type": "Accepted", "status": "False", "reason": "Mine", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    let lie = lie.to_string();
    let patch = [
        "patch",
        "streamroute/devices",
        "-n",
        &teller.site.tenants[0],
        "--subresource=status",
        "--type=merge",
        "-p",
        &lie,
    ];
    teller.site.cluster.kubectl(&patch, None)?.succeeded("kubectl patch")?;
    wait::until("the truth", EVENTUALLY, || (told() == ["True", "False", "True"]).then_some(()))
        .with_context(|| format!("{:?}\n{}", told(), operator.log()))?;
    wait::until("one write", EVENTUALLY, || (operator.writes().ok()? == writes + 1).then_some(()))?;
    Ok(())
}
