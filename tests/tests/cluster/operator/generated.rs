//! What follows in the gateway's namespace from what a tenant applies.

use anyhow::Result;
use streamgate_tests::operator::EVENTUALLY;
use streamgate_tests::wait;

use super::stage::{BROKER, STREAM_ROUTE, Stage, TLS_SNI, credentials};

#[test]
fn what_is_applied_is_generated_with_what_it_refers_to_and_judged() -> Result<()> {
    let stage = Stage::new()?;
    let operator = stage.operator()?;
    let credentials = credentials()?;
    stage.apply_secret("unreferenced", &credentials.chain_pem, &credentials.key_pem)?;
    stage.apply_all(&credentials)?;

    stage.condition("streamroute/devices", "Accepted", "True", "Accepted")?;
    stage.condition("streamroute/devices", "ResolvedRefs", "True", "ResolvedRefs")?;
    stage.condition("streamroute/devices", "Programmed", "False", "NoProxies")?;
    stage.condition("tlssni/devices", "ResolvedRefs", "True", "ResolvedRefs")?;
    let file = format!("{}.devices.yaml", stage.tenant);
    let route = stage.generated("configmap", "streamroutes.TENANT.devices", |object| {
        object["data"][&file].as_str().is_some_and(|text| text.contains("mqtt.acme.example.com"))
    })?;
    assert_eq!(route["metadata"]["labels"]["streamgate.dev/folder"], "streamroutes");
    let secret = stage.generated("secret", "secrets.TENANT.tls", |_| true)?;
    assert_eq!(secret["type"], "Opaque");
    let keys: Vec<&str> = secret["data"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["tls.crt", "tls.key"]);
    let file = format!("{}.broker.yaml", stage.tenant);
    stage.generated("configmap", "endpoints.TENANT.broker", |object| {
        object["data"][&file].as_str().is_some_and(|text| text.contains("10.1.0.7") && text.contains("broker-0"))
    })?;
    let config_maps = stage.generated_names("configmaps")?;
    assert_eq!(config_maps, ["endpoints.TENANT.broker", "streamroutes.TENANT.devices", "tlssnis.TENANT.devices"]);

    let mut reads = Vec::new();
    for (request, allowed) in stage.requests()? {
        assert!(allowed, "not allowed: {request}\n{}", operator.log());
        reads.extend(request.strip_prefix(&format!("get secrets {}/", stage.tenant)).map(str::to_owned));
    }
    reads.dedup();
    assert_eq!(reads, ["tls"]);
    assert!(operator.stop()?.success());
    Ok(())
}

#[test]
fn a_pod_that_comes_changes_one_object_and_no_status() -> Result<()> {
    let stage = Stage::new()?;
    let operator = stage.operator()?;
    stage.apply_all(&credentials()?)?;
    stage.condition("streamroute/devices", "Programmed", "False", "NoProxies")?;
    stage.condition("tlssni/devices", "Programmed", "False", "NoProxies")?;
    let file = format!("{}.broker.yaml", stage.tenant);
    let holds = |address: &'static str, file: &str| {
        let file = file.to_owned();
        move |object: &serde_json::Value| object["data"][&file].as_str().is_some_and(|text| text.contains(address))
    };
    stage.generated("configmap", "endpoints.TENANT.broker", holds("10.1.0.7", &file))?;
    let before = operator.writes()?;

    stage.apply(&BROKER.replace("10.1.0.7", "10.1.0.8"))?;
    stage.generated("configmap", "endpoints.TENANT.broker", holds("10.1.0.8", &file))?;
    assert_eq!(operator.writes()?, before + 1, "{}", operator.log());
    Ok(())
}

#[test]
fn a_secret_that_breaks_is_a_reason_and_its_last_good_copy_stays_and_it_heals() -> Result<()> {
    let stage = Stage::new()?;
    let operator = stage.operator()?;
    let (good, other) = (credentials()?, credentials()?);
    stage.apply_all(&good)?;
    stage.condition("tlssni/devices", "ResolvedRefs", "True", "ResolvedRefs")?;
    let before = stage.generated("secret", "secrets.TENANT.tls", |_| true)?;

    stage.apply_secret("tls", &good.chain_pem, &other.key_pem)?;
    let condition = stage.condition("tlssni/devices", "ResolvedRefs", "False", "InvalidCertificate")?;
    assert!(condition["message"].as_str().is_some_and(|message| message.contains("tls")), "{condition}");
    let after = stage.generated("secret", "secrets.TENANT.tls", |_| true)?;
    assert_eq!(after["data"], before["data"]);
    let about = format!("involvedObject.name=devices,reason={}", "InvalidCertificate");
    wait::until("an event", EVENTUALLY, || {
        let events = stage.cluster.json(&["get", "events", "-n", &stage.tenant, "--field-selector", &about]).ok()?;
        (!events["items"].as_array()?.is_empty()).then_some(())
    })?;

    stage.apply_secret("tls", &other.chain_pem, &other.key_pem)?;
    stage.condition("tlssni/devices", "ResolvedRefs", "True", "ResolvedRefs")?;
    stage.generated("secret", "secrets.TENANT.tls", |object| object["data"] != before["data"])?;
    assert!(operator.stop()?.success());
    Ok(())
}

#[test]
fn what_is_deleted_is_gone_from_the_gateway_with_what_only_it_referred_to() -> Result<()> {
    let stage = Stage::new()?;
    let _operator = stage.operator()?;
    stage.apply_all(&credentials()?)?;
    stage.condition("streamroute/devices", "Programmed", "False", "NoProxies")?;
    stage.generated("secret", "secrets.TENANT.tls", |_| true)?;

    let delete = ["delete", "streamroute/devices", "tlssni/devices", "-n", &stage.tenant];
    stage.cluster.kubectl(&delete, None)?.succeeded("kubectl delete")?;
    wait::until("an empty namespace", EVENTUALLY, || {
        let left = [stage.generated_names("configmaps").ok()?, stage.generated_names("secrets").ok()?].concat();
        left.is_empty().then_some(())
    })
}

#[test]
fn what_is_deleted_while_no_operator_runs_is_swept_when_one_starts() -> Result<()> {
    let stage = Stage::new()?;
    let operator = stage.operator()?;
    stage.apply_all(&credentials()?)?;
    stage.generated("configmap", "streamroutes.TENANT.devices", |_| true)?;
    assert!(operator.stop()?.success());
    stage.cluster.kubectl(&["delete", "streamroute/devices", "-n", &stage.tenant], None)?.succeeded("delete")?;

    let _operator = stage.operator()?;
    wait::until("the end of what was of the route alone", EVENTUALLY, || {
        (stage.generated_names("configmaps").ok()? == ["tlssnis.TENANT.devices"]).then_some(())
    })
}

#[test]
fn what_a_person_changes_in_a_generated_object_is_put_back() -> Result<()> {
    let stage = Stage::new()?;
    let _operator = stage.operator()?;
    stage.apply_all(&credentials()?)?;
    let name = "streamroutes.TENANT.devices";
    let before = stage.generated("configmap", name, |_| true)?;
    let whole = |object: &serde_json::Value| {
        object["data"] == before["data"] && object["metadata"]["labels"] == before["metadata"]["labels"]
    };
    let object = format!("configmap/{}", name.replace("TENANT", &stage.tenant));
    for change in [
        vec!["patch", &object, "-p", r#"{"data": {"mine": "text"}}"#],
        vec!["patch", &object, "-p", r#"{"immutable": true, "data": {"mine": "text"}}"#],
        vec!["label", &object, "streamgate.dev/folder-"],
        vec!["label", &object, "streamgate.dev/folder=other", "--overwrite"],
        vec!["delete", &object],
    ] {
        let version = stage.generated("configmap", name, whole)?["metadata"]["resourceVersion"].clone();
        stage.cluster.kubectl(&[&change[..], &["-n", &stage.generated]].concat(), None)?.succeeded("kubectl")?;
        stage.generated("configmap", name, |object| {
            whole(object) && object["metadata"]["resourceVersion"] != version && object["immutable"].is_null()
        })?;
    }
    Ok(())
}

#[test]
fn what_an_admission_policy_denies_leaves_what_is_there_until_it_is_allowed() -> Result<()> {
    let stage = Stage::new()?;
    let operator = stage.operator()?;
    stage.apply_all(&credentials()?)?;
    let name = "tlssnis.TENANT.devices";
    let before = stage.generated("configmap", name, |_| true)?;
    let policy = format!("deny-{}", stage.generated);
    stage.cluster.apply(&denial(&policy, &stage.generated))?;
    let probe = "{apiVersion: v1, kind: ConfigMap, metadata: {name: probe}, data: {a: other.acme}}";
    let dry_run = ["create", "--dry-run=server", "-n", &stage.generated, "-f", "-"];
    wait::until("a policy that is in force", EVENTUALLY, || {
        stage.cluster.kubectl(&dry_run, Some(probe)).ok()?.succeeded("kubectl create").err()
    })?;

    stage.apply(&TLS_SNI.replace("mqtt.acme", "other.acme"))?;
    let denied = "streamgate_operator_writes_total{kind=\"ConfigMap\",outcome=\"Error\"} 3";
    wait::until("a third denial", EVENTUALLY, || operator.get("/metrics").ok()?.contains(denied).then_some(()))?;
    let after = stage.generated("configmap", name, |_| true)?;
    assert_eq!(after["metadata"], before["metadata"], "{}", operator.log());

    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        stage.cluster.kubectl(&["delete", kind, &policy], None)?.succeeded("kubectl delete")?;
    }
    let allowed = stage.generated("configmap", name, |object| object["data"] != before["data"])?;
    assert_eq!(allowed["metadata"]["uid"], before["metadata"]["uid"]);
    Ok(())
}

/// A policy against a name in any ConfigMap of a namespace.
fn denial(policy: &str, namespace: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {policy}}}
spec:
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
    resourceRules:
    - {{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}}
  validations:
  - expression: \"!has(object.data) || object.data.all(key, !object.data[key].contains('other.acme'))\"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {policy}}}
spec: {{policyName: {policy}, validationActions: [Deny]}}
"
    )
}

#[test]
fn roles_in_the_namespaces_to_watch_are_enough_and_others_are_left_alone() -> Result<()> {
    let stage = Stage::watching_the_tenant_alone()?;
    let cluster = stage.cluster;
    let operator = stage.operator()?;
    stage.apply_all(&credentials()?)?;
    stage.condition("streamroute/devices", "Programmed", "False", "NoProxies")?;
    let other = cluster.namespace("other")?;
    let route = STREAM_ROUTE.replace("GATEWAY", &stage.gateway);
    cluster.kubectl(&["apply", "-n", &other, "-f", "-"], Some(&route))?.succeeded("kubectl apply")?;
    stage.apply_proxies(&["proxy-0"])?;
    stage.condition("streamroute/devices", "Programmed", "False", "Pending")?;

    let found = cluster.json(&["get", "streamroute/devices", "-n", &other])?;
    assert!(found["status"].is_null(), "{found:#}");
    for (request, allowed) in stage.requests()? {
        assert!(allowed, "not allowed: {request}\n{}", operator.log());
    }
    Ok(())
}

#[test]
fn a_namespace_that_may_not_be_read_any_more_stays_as_it_is_and_holds_up_no_other() -> Result<()> {
    let cluster = Stage::new()?.cluster;
    let other = cluster.namespace("other")?;
    let stage = Stage::watching(&[&other])?;
    let operator = stage.operator()?;
    let tls_sni = TLS_SNI.replace("GATEWAY", &stage.gateway).replace("mqtt.acme", "mqtt.other");
    cluster.kubectl(&["apply", "-n", &other, "-f", "-"], Some(&tls_sni))?.succeeded("kubectl apply")?;
    stage.apply(TLS_SNI)?;
    let kept = format!("tlssnis.{other}.devices");
    let before = stage.generated("configmap", &kept, |_| true)?;
    stage.generated("configmap", "tlssnis.TENANT.devices", |_| true)?;
    assert!(operator.stop()?.success());

    cluster.kubectl(&["delete", "rolebinding", "--all", "-n", &other], None)?.succeeded("kubectl delete")?;
    cluster.kubectl(&["delete", "tlssni", "devices", "-n", &stage.tenant], None)?.succeeded("kubectl delete")?;
    let operator = stage.operator()?;
    assert!(operator.get("/readyz")?.contains(&format!("namespace `{other}`")), "{}", operator.log());
    wait::until("the end of what is known to be gone", EVENTUALLY, || {
        (stage.generated_names("configmaps").ok()? == [kept.as_str()]).then_some(())
    })?;
    stage.allow_in(&other)?;
    wait::until("an operator that knows all", EVENTUALLY, || {
        operator.get("/readyz").ok().filter(|answer| answer == "ok\n")
    })?;
    assert_eq!(stage.generated("configmap", &kept, |_| true)?["metadata"], before["metadata"]);
    Ok(())
}
