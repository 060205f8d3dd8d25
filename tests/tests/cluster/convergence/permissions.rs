//! What operator and sync may do is what they do, and no more.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::wait;

use super::history::base64;
use super::site::{Site, namespace_of, permissions, slice};
use streamgate_tests::gateway::apply_custom_resources;
use streamgate_tests::operator::{EVENTUALLY, Operator};

/// A verb and what it is for: `list streamgate.dev/streamroutes`.
type Permission = String;

/// Until the Lease of a proxy that is gone is swept.
const SWEPT: Duration = Duration::from_mins(5);

/// What a tenant does in this story, and waits for.
struct Story<'a> {
    site: Site<'a>,
    authority: CertificateAuthority,
}

impl Story<'_> {
    fn custom(&self, kind: &str, spec: Value) -> Value {
        let mut spec = spec;
        spec["gateway"] = json!(self.site.gateway);
        json!({"apiVersion": "streamgate.dev/v1alpha1", "kind": kind, "metadata": {"name": "devices"}, "spec": spec})
    }

    fn apply_secret(&self, name: &str, is_good: bool) -> Result<()> {
        let [one, other] = [self.authority.server(&["devices.example.com"])?, self.authority.server(&["other"])?];
        let key = if is_good { &one.key_pem } else { &other.key_pem };
        self.site.apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
            "data": {"tls.crt": base64(&one.chain_pem), "tls.key": base64(key)},
        }))
    }

    fn apply_authorities(&self, authority: &str, revocations: &str) -> Result<()> {
        self.site.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"},
            "data": {"ca.crt": authority, "ca.crl": revocations},
        }))
    }

    /// Waits until a condition of the `TlsSni` is so.
    fn wait_for(&self, type_: &str, reason: &str, operator: &Operator) -> Result<()> {
        self.wait_for_either("TlsSni", type_, reason, operator)
    }

    /// Waits until a condition of the object of this kind is so.
    fn wait_for_either(&self, kind: &str, type_: &str, reason: &str, operator: &Operator) -> Result<()> {
        let kind = self.custom(kind, json!({}));
        wait::until(&format!("{type_}: {reason}"), EVENTUALLY, || {
            let objects = self.site.administrator.list_of(&self.site.tenants[0], &kind).ok()?.0;
            let conditions = objects.first()?.data["status"]["conditions"].as_array()?.clone();
            conditions.iter().any(|condition| condition["type"] == type_ && condition["reason"] == reason).then_some(())
        })
        .with_context(|| operator.log())
    }

    /// Waits until a generated `ConfigMap` is as wanted, or gone.
    fn wait_for_generated(
        &self,
        name: &str,
        wanted: impl Fn(Option<&Value>) -> bool,
        operator: &Operator,
    ) -> Result<()> {
        let name = name.replace("TENANT", &self.site.tenants[0]);
        let kind = json!({"apiVersion": "v1", "kind": "ConfigMap"});
        wait::until(&format!("{name} as wanted"), EVENTUALLY, || {
            let objects = self.site.administrator.list_of(&self.site.generated, &kind).ok()?.0;
            let found = objects.iter().find(|object| object.metadata.name.as_deref() == Some(&*name));
            wanted(found.map(|object| &object.data)).then_some(())
        })
        .with_context(|| operator.log())
    }

    fn tell(&self, operator: &Operator) -> Result<()> {
        let later = std::time::SystemTime::now() + Duration::from_hours(1000);
        self.apply_secret("tls", true)?;
        self.apply_secret("unreferenced", true)?;
        self.apply_authorities(&self.authority.certificate_pem(), &self.authority.revocation_list(&[1], later)?)?;
        self.site.apply(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "broker"},
            "spec": {"clusterIP": "None", "ports": [{"name": "mqtt", "port": 1883, "protocol": "TCP"}]},
        }))?;
        let endpoint = json!({"addresses": ["10.1.0.7"], "targetRef": {"kind": "Pod", "name": "broker-0"}});
        self.site.apply(&slice("broker-1", "broker", &[endpoint]))?;
        self.site.apply(&self.custom(
            "TlsSni",
            json!({
                "snis": ["devices.example.com"], "certificates": [{"secretName": "tls"}],
                "clientAuth": {"ca": {"configMapName": "ca"}, "crl": {"configMapName": "ca"}},
            }),
        ))?;
        let upstream = json!({"upstream": {"services": [{"name": "broker", "port": "mqtt"}]}});
        let route = self.custom("StreamRoute", upstream);
        self.site.apply(&route)?;
        for kind in ["TlsSni", "StreamRoute"] {
            self.wait_for_either(kind, "Programmed", "Programmed", operator)?;
        }

        // The same event twice: the second is told by the first.
        for _ in 0..2 {
            self.apply_secret("tls", false)?;
            self.wait_for("ResolvedRefs", "InvalidCertificate", operator)?;
            self.apply_secret("tls", true)?;
            self.wait_for("ResolvedRefs", "ResolvedRefs", operator)?;
        }
        // One key goes on, the other stays as it was last good.
        let authority = CertificateAuthority::new("another")?.certificate_pem();
        self.apply_authorities(&authority, "none")?;
        let is_new = |data: Option<&Value>| data.is_some_and(|data| data["data"]["ca.crt"] == authority.as_str());
        self.wait_for_generated("configmaps.TENANT.ca", is_new, operator)?;
        self.site.administrator.delete(&self.site.tenants[0], &route, "devices")?;
        self.wait_for_generated("streamroutes.TENANT.devices", |data| data.is_none(), operator)
    }
}

#[test]
fn every_request_is_allowed_every_permission_is_used_and_no_secret_is_read_that_nobody_refers_to() -> Result<()> {
    let cluster = ControlPlane::start()?;
    apply_custom_resources(&cluster)?;
    let by_label = "  allowedNamespaces: {matchLabels: {devices: \"yes\"}}";
    let mut running = Vec::new();
    let mut stories = Vec::new();
    for settings in ["", "watchNamespaces: [ACME, GLOBEX]"] {
        let site = Site::new(&cluster, settings, by_label)?;
        site.administrator.apply(&site.generated, &lease_of_a_pod_that_is_gone(&site.gateway))?;
        let operator = site.start_leader()?;
        let sync = site.start_sync()?;
        sync.wait_until_ready(wait::SOON)?;
        let proxy = site.start_proxy()?;
        let story = Story { site, authority: CertificateAuthority::new("the tenant's")? };
        story.tell(&operator).with_context(|| format!("{settings}\n--- sync\n{}", sync.log()))?;
        // All that is left of it is withdrawn.
        let tenant = &story.site.tenants[0];
        story.site.administrator.apply("", &namespace_of(tenant, &json!({"devices": "no"})))?;
        story.wait_for("Accepted", "NamespaceNotAllowed", &operator)?;
        story.wait_for_generated("configmaps.TENANT.ca", |data| data.is_none(), &operator)?;
        running.push((operator, sync, proxy));
        stories.push(story);
    }
    wait::until("the end of the Leases of pods that are gone", SWEPT, || {
        std::thread::sleep(Duration::from_millis(500));
        let kind = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"});
        let is_swept = |story: &Story<'_>| {
            let leases = story.site.administrator.list_of(&story.site.generated, &kind).ok()?.0;
            leases.iter().all(|lease| lease.metadata.name.as_deref() != Some("gone")).then_some(())
        };
        stories.iter().map(is_swept).collect::<Option<Vec<()>>>()
    })?;

    let mut used: BTreeSet<(String, Permission)> = BTreeSet::new();
    for event in cluster.audit_events()? {
        let user = event["user"]["username"].as_str().unwrap_or_default();
        let Some(story) = stories.iter().find(|story| user.starts_with(&account(story, ""))) else { continue };
        assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "allow", "{event:#}");
        let object = &event["objectRef"];
        let word = |name: &str| object[name].as_str().unwrap_or_default();
        let reason = event["annotations"]["authorization.k8s.io/reason"].as_str().unwrap_or_default();
        let role = role_in(reason).with_context(|| format!("{event:#}"))?;
        let verb = event["verb"].as_str().unwrap_or_default();
        used.insert((role, permission(verb, word("apiGroup"), word("resource"), word("subresource"))));
        if verb == "get" && word("resource") == "secrets" && word("namespace") != story.site.generated {
            assert_eq!(word("name"), "tls", "{event:#}");
        }
    }
    let granted = granted(&stories)?;
    let unused: Vec<_> = granted.difference(&used).collect();
    assert!(unused.is_empty(), "never used: {unused:#?}");
    let beyond: Vec<_> = used.difference(&granted).filter(|(role, _)| role.contains("streamgate")).collect();
    assert!(beyond.is_empty(), "not of the chart: {beyond:#?}");
    Ok(())
}

fn account(story: &Story<'_>, name: &str) -> String {
    format!("system:serviceaccount:{}:{name}", story.site.system)
}

fn lease_of_a_pod_that_is_gone(gateway: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "gone", "labels": {"streamgate.dev/proxy": gateway}},
        "spec": {"holderIdentity": "gone", "leaseDurationSeconds": 15},
    })
}

/// Of `RBAC: allowed by RoleBinding "a/b" of Role "c" to …`: `Role c`.
fn role_in(reason: &str) -> Option<String> {
    let (_, role) = reason.split_once("\" of ")?;
    let (kind, rest) = role.split_once(" \"")?;
    Some(format!("{kind} {}", rest.split('"').next()?))
}

fn permission(verb: &str, group: &str, resource: &str, subresource: &str) -> Permission {
    let slash = |word: &str, before: bool| match (word.is_empty(), before) {
        (true, _) => String::new(),
        (false, true) => format!("{word}/"),
        (false, false) => format!("/{word}"),
    };
    format!("{verb} {}{resource}{}", slash(group, true), slash(subresource, false))
}

/// What the chart grants in these stories, by the role.
fn granted(stories: &[Story<'_>]) -> Result<BTreeSet<(String, Permission)>> {
    let mut granted = BTreeSet::new();
    let mut roles = BTreeSet::new();
    for Story { site, .. } in stories {
        for document in permissions(&site.system, &site.settings)? {
            let Some(rules) = document["rules"].as_array() else { continue };
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let role = format!("{} {}", word(&document["kind"]), word(&document["metadata"]["name"]));
            roles.insert(role.clone());
            for rule in rules {
                let words = |name: &str| rule[name].as_array().cloned().unwrap_or_default().into_iter();
                for (group, resource) in words("apiGroups")
                    .flat_map(|group| words("resources").map(move |resource| (word(&group), word(&resource))))
                {
                    let (resource, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
                    granted.extend(
                        words("verbs")
                            .map(|verb| (role.clone(), permission(&word(&verb), &group, resource, subresource))),
                    );
                }
            }
        }
    }
    // In one namespace or in all, in watched ones, by label, of Services' endpoints, of a gateway, of config-sync.
    anyhow::ensure!(roles.len() == 7, "roles: {roles:?}");
    Ok(granted)
}
