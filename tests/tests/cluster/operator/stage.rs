//! What a test of the operator needs: a gateway of its own, a tenant, and the operator with its service account.

use anyhow::{Context, Result};
use serde_json::Value;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::gateway::{Gateway, Terms, apply_in, condition};
use streamgate_tests::operator::EVENTUALLY;
use streamgate_tests::operator::Operator;
use streamgate_tests::pki::{CertificateAuthority, Credentials};
use streamgate_tests::wait;

use crate::gateways::{install, shared};

/// A gateway and a tenant's namespace.
pub(super) struct Stage<'a> {
    pub(super) cluster: &'a ControlPlane,
    pub(super) gateway: String,
    /// `streamgate-<gateway>`.
    pub(super) generated: String,
    pub(super) tenant: String,
    install: Gateway<'a>,
}

impl<'a> Stage<'a> {
    /// A stage on the control plane that all tests share.
    pub(super) fn new() -> Result<Stage<'static>> {
        Stage::on(shared()?)
    }

    /// A stage on this control plane, which has the custom resources.
    pub(super) fn on(cluster: &'a ControlPlane) -> Result<Self> {
        Self::of(cluster, cluster.namespace("tenant")?, Terms::default())
    }

    /// A stage whose operator watches the tenant's namespace alone.
    pub(super) fn watching_the_tenant_alone() -> Result<Stage<'static>> {
        Self::watching(&[])
    }

    /// A stage whose operator watches the tenant's namespace and others.
    pub(super) fn watching(others: &[&str]) -> Result<Stage<'static>> {
        let tenant = shared()?.namespace("tenant")?;
        let watched = [&[tenant.as_str()], others].concat();
        Stage::of(shared()?, tenant.clone(), Terms { watched: &watched, ..Terms::default() })
    }

    fn of(cluster: &'a ControlPlane, tenant: String, terms: Terms<'_>) -> Result<Self> {
        let install = install(cluster, terms)?;
        let (gateway, generated) = (install.name.clone(), install.namespace.clone());
        Ok(Self { cluster, gateway, generated, tenant, install })
    }

    /// Lets the operator watch another namespace.
    pub(super) fn allow_in(&self, namespace: &str) -> Result<()> {
        self.install.allow_in(namespace)
    }

    /// Starts an operator, and waits until it is ready.
    pub(super) fn operator(&self) -> Result<Operator> {
        self.install.operator()
    }

    /// Starts an operator.
    pub(super) fn start_operator(&self) -> Result<Operator> {
        self.install.start_operator()
    }

    /// `kubectl apply` in the tenant's namespace, with the gateway in place of `GATEWAY`.
    pub(super) fn apply(&self, manifests: &str) -> Result<()> {
        apply_in(self.cluster, &self.tenant, &manifests.replace("GATEWAY", &self.gateway))
    }

    /// A name, served with a certificate that it gets, and the route of its devices to the Service `broker`.
    pub(super) fn apply_all(&self, credentials: &Credentials) -> Result<()> {
        self.apply_secret("tls", &credentials.chain_pem, &credentials.key_pem)?;
        self.apply(BROKER)?;
        self.apply(TLS_SNI)?;
        self.apply(STREAM_ROUTE)
    }

    /// A Secret of type kubernetes.io/tls in the tenant's namespace; the API server looks at what is in it no closer.
    pub(super) fn apply_secret(&self, name: &str, certificate: &str, key: &str) -> Result<()> {
        let secret = serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": certificate, "tls.key": key},
        });
        self.apply(&secret.to_string())
    }

    /// Has these pods be the ready endpoints of the gateway's Service.
    pub(super) fn apply_proxies(&self, pods: &[&str]) -> Result<()> {
        self.install.set_ready(pods)
    }

    /// Renews a proxy's Lease, on which it reports that it has applied what is there up to now.
    pub(super) fn report(&self, pod: &str) -> Result<()> {
        let revision = self.revision()?;
        let report = serde_json::json!({
            "revision": revision, "generation": 1, "applied": {"streamroutes": 1, "tlssnis": 1},
            "refusedCount": 0, "refused": [],
        });
        let lease = serde_json::json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {
                "name": pod, "labels": {"streamgate.dev/proxy": self.gateway},
                "annotations": {"streamgate.dev/status": report.to_string()},
            },
            "spec": {"holderIdentity": pod, "leaseDurationSeconds": 15, "renewTime": now()},
        });
        apply_in(self.cluster, &self.generated, &lease.to_string())
    }

    /// The highest resourceVersion of each kind in the gateway's namespace.
    pub(super) fn revision(&self) -> Result<String> {
        let highest = |kind: &str| -> Result<u64> {
            let list = self.cluster.json(&["get", kind, "-n", &self.generated, "-l", "streamgate.dev/folder"])?;
            let versions = list["items"].as_array().into_iter().flatten();
            let versions = versions.filter_map(|item| item["metadata"]["resourceVersion"].as_str()?.parse().ok());
            Ok(versions.max().unwrap_or(0))
        };
        Ok(format!("configmaps={} secrets={}", highest("configmaps")?, highest("secrets")?))
    }

    /// A generated object, once it is there and as wanted.
    pub(super) fn generated(&self, kind: &str, name: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let name = name.replace("TENANT", &self.tenant);
        let mut last = Value::Null;
        wait::until(&format!("{kind} {name} as wanted"), EVENTUALLY, || {
            last = self.cluster.json(&["get", kind, &name, "-n", &self.generated]).ok()?;
            wanted(&last).then_some(())
        })
        .with_context(|| format!("it is {last:#}"))?;
        Ok(last)
    }

    /// The names of all generated objects of a kind, but for the ticket keys, sorted.
    pub(super) fn generated_names(&self, kind: &str) -> Result<Vec<String>> {
        let list =
            self.cluster.json(&["get", kind, "-n", &self.generated, "-l", "streamgate.dev/folder!=ticket-keys"])?;
        let labelled = list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|item| item["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "streamgate-operator");
        let names = labelled.filter_map(|item| item["metadata"]["name"].as_str());
        Ok(names.map(|name| name.replace(&self.tenant, "TENANT")).collect())
    }

    /// A condition of an object of the tenant, once that of its present generation has this status and reason.
    pub(super) fn condition(&self, object: &str, type_: &str, status: &str, reason: &str) -> Result<Value> {
        condition(self.cluster, &self.tenant, object, [type_, status, reason])
    }

    /// What the operator asked for until now, as `verb resource namespace/name`, with whether it was allowed.
    pub(super) fn requests(&self) -> Result<Vec<(String, bool)>> {
        let user = self.install.operator_user();
        let events =
            self.cluster.audit_events()?.into_iter().filter(|event| event["user"]["username"] == user.as_str());
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(events
            .map(|event| {
                let object = &event["objectRef"];
                let request = format!(
                    "{} {} {}/{}",
                    word(&event["verb"]),
                    word(&object["resource"]),
                    word(&object["namespace"]),
                    word(&object["name"])
                );
                (request, event["annotations"]["authorization.k8s.io/decision"] == "allow")
            })
            .collect())
    }
}

/// A certificate for the name of [`TLS_SNI`].
pub(super) fn credentials() -> Result<Credentials> {
    CertificateAuthority::new("the tenant's authority")?.server(&["mqtt.acme.example.com"])
}

fn now() -> String {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("2026-01-01T00:00:00.{:06}Z", time.subsec_micros())
}

/// The Service of the tenant's brokers, and one of them.
pub(super) const BROKER: &str = "
apiVersion: v1
kind: Service
metadata: {name: broker}
spec: {clusterIP: None, ports: [{name: mqtt, port: 1883}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: broker-1, labels: {kubernetes.io/service-name: broker}}
addressType: IPv4
ports: [{name: mqtt, port: 1883, protocol: TCP}]
endpoints:
- {addresses: [10.1.0.7], conditions: {ready: true}, targetRef: {kind: Pod, name: broker-0}}
";

/// A name.
pub(super) const TLS_SNI: &str = "
apiVersion: streamgate.dev/v1alpha1
kind: TlsSni
metadata: {name: devices}
spec:
  gateway: GATEWAY
  snis: [mqtt.acme.example.com]
  certificates: [{secretName: tls}]
";

/// The route of its devices.
pub(super) const STREAM_ROUTE: &str = "
apiVersion: streamgate.dev/v1alpha1
kind: StreamRoute
metadata: {name: devices}
spec:
  gateway: GATEWAY
  match: {snis: [mqtt.acme.example.com]}
  upstream: {services: [{name: broker, port: mqtt}]}
";
