//! Who may have what: names, namespaces, and where a route may lead.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use streamgate_tests::wait;

use crate::kube::condition;
use crate::measured::Measured;
use crate::site::{GATEWAY, Site};

/// Of two namespaces that claim one name the older keeps it, and the younger is told who has it.
pub(crate) fn the_older_claim_keeps_a_name(site: &Site, _: &mut Measured) -> Result<()> {
    for namespace in ["claims-a", "claims-b"] {
        site.namespace(namespace)?;
        site.tls_secret(namespace, "tls", &site.public.server(&["shared.example"])?)?;
    }
    site.kube.apply(&tls_sni("claims-a", "shared.example", json!({})).to_string())?;
    site.kube.wait_for_condition("claims-a", "tlssni/names", "Programmed")?;
    // Creation times have seconds.
    let first = site.kube.get("tlssni -n claims-a names")?["metadata"]["creationTimestamp"].clone();
    wait::until("the next second", Duration::from_secs(5), || {
        let now = site.kube.kubectl("get --raw /version").ok().map(|_| jiff::Timestamp::now())?;
        let first: jiff::Timestamp = first.as_str()?.parse().ok()?;
        (now.as_second() > first.as_second() + 1).then_some(())
    })?;
    site.kube.apply(&tls_sni("claims-b", "shared.example", json!({})).to_string())?;
    let message = wait_for(site, "tlssni -n claims-b names", "Accepted", "False", "Conflicted")?;
    ensure!(message.contains("claims-a/names"), "it isn't told who has the name: {message}");
    let kept = condition(&site.kube.get("tlssni -n claims-a names")?, "Programmed").context("no condition")?;
    ensure!(kept.0 == "True", "{kept:?}");
    site.kube.kubectl("delete namespace claims-a --wait=true --timeout=90s")?;
    site.kube.wait_for_condition("claims-b", "tlssni/names", "Programmed")?;
    site.kube.kubectl("delete namespace claims-b --wait=true --timeout=90s")?;
    Ok(())
}

/// Another namespace attaches a route only where the TlsSni's owner allows it.
pub(crate) fn another_namespace_attaches_only_where_it_is_allowed(site: &Site, _: &mut Measured) -> Result<()> {
    for namespace in ["names", "guests"] {
        site.namespace(namespace)?;
    }
    site.tls_secret("names", "tls", &site.public.server(&["hosted.example"])?)?;
    site.kube.apply(&tls_sni("names", "hosted.example", json!({})).to_string())?;
    site.kube.apply(&route("guests", "hosted.example", "broker").to_string())?;
    wait_for(site, "streamroute -n guests devices", "ResolvedRefs", "False", "NotAllowedByTlsSni")?;
    site.kube
        .apply(&tls_sni("names", "hosted.example", json!({"allowedRoutes": {"namespaces": "All"}})).to_string())?;
    // Its Service is still missing, which is another matter.
    wait_for(site, "streamroute -n guests devices", "ResolvedRefs", "False", "RefNotFound")?;
    site.kube.kubectl("delete namespace names guests --wait=true --timeout=90s")?;
    Ok(())
}

/// What the gateway's owner writes into the chart's values holds.
pub(crate) fn the_owners_namespaces_and_domains_hold(site: &Site, _: &mut Measured) -> Result<()> {
    site.install(
        "gateways: {default: {allowedNamespaces: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [outsiders]}]}, \
         domains: [{namespaces: [acme], names: ['*.acme.example']}, {namespaces: [globex], names: [meters.globex.example]}, \
         {namespaces: [fleet], names: [devices.fleet.example]}, {namespaces: [insiders], names: ['*.insiders.example']}]}}",
    )?;
    for (namespace, name) in [("outsiders", "x.outsiders.example"), ("insiders", "devices.acme.example")] {
        site.namespace(namespace)?;
        site.tls_secret(namespace, "tls", &site.public.server(&[name])?)?;
        site.kube.apply(&tls_sni(namespace, name, json!({})).to_string())?;
    }
    wait_for(site, "tlssni -n outsiders names", "Accepted", "False", "NamespaceNotAllowed")?;
    wait_for(site, "tlssni -n insiders names", "Accepted", "False", "NameNotAllowed")?;
    site.kube.apply(&tls_sni("insiders", "x.insiders.example", json!({})).to_string())?;
    wait_for(site, "tlssni -n insiders names", "Accepted", "True", "Accepted")?;
    site.wait_until_all_is_true(&["acme", "globex", "fleet"])?;
    site.kube.kubectl("delete namespace outsiders insiders --wait=true --timeout=90s")?;
    site.install("")
}

/// A route leads nobody to the cloud's metadata, to the proxy's own machine, or to a proxy.
pub(crate) fn no_route_leads_to_metadata_loopback_or_a_proxy(site: &Site, _: &mut Measured) -> Result<()> {
    site.namespace("trespasser")?;
    site.tls_secret("trespasser", "tls", &site.public.server(&["x.trespasser.example"])?)?;
    site.kube.apply(&tls_sni("trespasser", "x.trespasser.example", json!({})).to_string())?;
    let proxies = site.proxies()?;
    let admin = proxies.first().and_then(|pod| pod["status"]["podIP"].as_str()).context("no proxy")?;
    let targets = [("metadata", "169.254.169.254"), ("loopback", "127.0.0.1"), ("admin", admin)];
    let mut allowed = Vec::new();
    for (name, address) in targets {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "trespasser", "name": name},
            "spec": {"ports": [{"name": "mqtt", "port": 9901}]},
        });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": "trespasser", "name": format!("{name}-1"), "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4", "endpoints": [{"addresses": [address]}],
            "ports": [{"name": "mqtt", "port": 9901, "protocol": "TCP"}],
        });
        site.kube.apply(&service.to_string())?;
        // The API server itself refuses some of these addresses.
        if site.kube.try_apply(&slice.to_string())?.success() {
            allowed.push(name);
        }
    }
    ensure!(allowed.contains(&"admin"), "the API server takes none of them: {allowed:?}");
    for name in allowed {
        let mut route = route("trespasser", "x.trespasser.example", name);
        route["metadata"]["name"] = json!(name);
        route["spec"]["match"]["sourceRanges"] = json!([format!("192.0.2.{}/32", name.len())]);
        site.kube.apply(&route.to_string())?;
        wait_for(site, &format!("streamroute -n trespasser {name}"), "ResolvedRefs", "False", "UpstreamDenied")?;
        let passed_on = site.kube.get(&format!("configmap -n {GATEWAY} endpoints.trespasser.{name}"))?;
        ensure!(!passed_on.to_string().contains(admin), "a proxy's address is passed on: {passed_on}");
    }
    for (name, host) in [("node-metadata", "169.254.169.254"), ("node-name", "localhost")] {
        let route = json!({
            "apiVersion": "streamgate.dev/v1alpha1", "kind": "StreamRoute",
            "metadata": {"namespace": "trespasser", "name": name},
            "spec": {"upstream": {"nodes": [{"name": "a", "host": host, "port": 80}]}},
        });
        site.kube.apply(&route.to_string())?;
        wait_for(
            site,
            &format!("streamroute -n trespasser {name}"),
            "Accepted",
            "False",
            "ExternalUpstreamNotAllowed",
        )?;
    }
    site.kube.kubectl("delete namespace trespasser --wait=true --timeout=90s")?;
    Ok(())
}

fn tls_sni(namespace: &str, name: &str, further: Value) -> Value {
    let mut spec = json!({"snis": [name], "certificates": [{"secretName": "tls"}]});
    if let (Some(spec), Value::Object(further)) = (spec.as_object_mut(), further) {
        spec.extend(further);
    }
    json!({
        "apiVersion": "streamgate.dev/v1alpha1", "kind": "TlsSni",
        "metadata": {"namespace": namespace, "name": "names"}, "spec": spec,
    })
}

fn route(namespace: &str, name: &str, service: &str) -> Value {
    json!({
        "apiVersion": "streamgate.dev/v1alpha1", "kind": "StreamRoute",
        "metadata": {"namespace": namespace, "name": "devices"},
        "spec": {"match": {"snis": [name]}, "upstream": {"services": [{"name": service, "port": "mqtt"}]}},
    })
}

/// Waits until the condition is so, and gives its message.
fn wait_for(site: &Site, object: &str, of_type: &str, status: &str, reason: &str) -> Result<String> {
    let mut seen = None;
    let look = || {
        seen = condition(&site.kube.get(object).ok()?, of_type);
        seen.clone().filter(|seen| seen.0 == status && seen.1 == reason).map(|seen| seen.2)
    };
    let waited = wait::until("the condition", Duration::from_secs(30), look);
    waited.with_context(|| format!("{object}: {of_type} is {seen:?}, in place of {status} by {reason}"))
}
