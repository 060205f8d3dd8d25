//! Events that the API server does not take at once.

use anyhow::Result;
use serde_json::{Value, json};
use streamgate_tests::operator::EVENTUALLY;
use streamgate_tests::wait;

use super::stage::{Stage, credentials};

/// Has the API server ask somebody about each Event of a namespace who is not there, so that it answers 500.
fn nobody_to_ask(name: &str, namespace: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": "events.tests.example",
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail", "timeoutSeconds": 1,
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{
                "apiGroups": ["", "events.k8s.io"], "apiVersions": ["*"], "operations": ["CREATE"],
                "resources": ["events"],
            }],
        }],
    })
}

#[test]
fn an_event_that_could_not_be_written_is_told_when_it_can() -> Result<()> {
    let stage = Stage::new()?;
    let webhook = format!("events-of-{}", stage.tenant);
    stage.cluster.apply(&nobody_to_ask(&webhook, &stage.tenant).to_string())?;
    let operator = stage.operator()?;
    let (good, other) = (credentials()?, credentials()?);
    stage.apply_all(&good)?;
    stage.apply_secret("tls", &good.chain_pem, &other.key_pem)?;
    stage.condition("tlssni/devices", "ResolvedRefs", "False", "InvalidCertificate")?;
    wait::until("a failure", EVENTUALLY, || operator.log().contains("an event can't be written").then_some(()))?;
    stage.cluster.kubectl(&["delete", "validatingwebhookconfiguration", &webhook], None)?.succeeded("delete")?;
    let about = "involvedObject.name=devices,reason=InvalidCertificate";
    wait::until("the Event", EVENTUALLY, || {
        let events = stage.cluster.json(&["get", "events", "-n", &stage.tenant, "--field-selector", about]).ok()?;
        (!events["items"].as_array()?.is_empty()).then_some(())
    })
}
