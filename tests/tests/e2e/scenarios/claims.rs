//! Who may have what: names, namespaces, and where a route may lead.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use streamgate_tests::pki::Credentials;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use crate::afterwards::Afterwards;
use crate::kube::{condition, name};
use crate::measured::Measured;
use crate::scenarios::certificates::certificate;
use crate::scenarios::deletion::{Answer, UNRECOGNIZED_NAME, wait_for_answer};
use crate::scenarios::proxies::wait_until_two_proxies_are_left;
use crate::site::{FLEET, GATEWAY, SYSTEM, Site};

/// Of two namespaces that claim one name the older keeps it, and the younger is told who has it: devices are shown the older's
/// certificate, and the younger's from when the older has gone.
pub(crate) fn the_older_claim_keeps_a_name(site: &Site, measured: &mut Measured) -> Result<()> {
    let (older, younger) = (site.public.server(&["shared.example"])?, site.public.server(&["shared.example"])?);
    for (namespace, its) in [("claims-a", &older), ("claims-b", &younger)] {
        site.namespace(namespace)?;
        site.tls_secret(namespace, "tls", its)?;
    }
    site.kube.apply(&tls_sni("claims-a", "shared.example", json!({})).to_string())?;
    site.kube.wait_for_condition("claims-a", "tlssni/names", "Programmed")?;
    // Creation times have seconds.
    let first = site.kube.get("tlssni -n claims-a names")?["metadata"]["creationTimestamp"].clone();
    wait::until("the next second", Duration::from_secs(5), || {
        // By the clock of the API server.
        let fields = "jsonpath={.metadata.creationTimestamp}";
        let line = format!("create configmap clock -n claims-b --dry-run=server -o {fields}");
        let now: jiff::Timestamp = site.kube.kubectl(&line).ok()?.parse().ok()?;
        let first: jiff::Timestamp = first.as_str()?.parse().ok()?;
        (now > first).then_some(())
    })?;
    let start = Instant::now();
    site.kube.apply(&tls_sni("claims-b", "shared.example", json!({})).to_string())?;
    let message = wait_for(site, "tlssni -n claims-b names", "Accepted", "False", "Conflicted")?;
    measured.seconds("a second claim of a name: until it is told who has it", start.elapsed());
    ensure!(message.contains("claims-a/names"), "it isn't told who has the name: {message}");
    let kept = condition(&site.kube.get("tlssni -n claims-a names")?, "Programmed").context("no condition")?;
    ensure!(kept.0 == "True", "{kept:?}");
    is_shown(site, &older).context("two claim the name")?;
    let start = Instant::now();
    site.kube.kubectl("delete tlssni -n claims-a names")?;
    site.kube.wait_for_condition("claims-b", "tlssni/names", "Programmed")?;
    measured.seconds("the older claim deleted: until the younger has the name", start.elapsed());
    is_shown(site, &younger).context("the younger alone claims the name")?;
    site.kube.kubectl("delete namespace claims-a claims-b --wait=true --timeout=90s")?;
    Ok(())
}

/// A device that asks for the contested name is shown this certificate, whichever proxy it meets.
fn is_shown(site: &Site, wanted: &Credentials) -> Result<()> {
    let client = TlsClient::new(&site.public, "shared.example")?;
    for _ in 0..8 {
        ensure!(
            Some(&certificate(site, &client)?) == wanted.chain_der().first(),
            "a device is shown another certificate"
        );
    }
    Ok(())
}

/// Another namespace attaches a route only where the TlsSni's owner allows it.
pub(crate) fn another_namespace_attaches_only_where_it_is_allowed(site: &Site, measured: &mut Measured) -> Result<()> {
    for namespace in ["names", "guests"] {
        site.namespace(namespace)?;
    }
    site.tls_secret("names", "tls", &site.public.server(&["hosted.example"])?)?;
    site.kube.apply(&tls_sni("names", "hosted.example", json!({})).to_string())?;
    let start = Instant::now();
    site.kube.apply(&route("guests", "hosted.example", "broker").to_string())?;
    wait_for(site, "streamroute -n guests devices", "ResolvedRefs", "False", "NotAllowedByTlsSni")?;
    measured.seconds("a route at another namespace's name: until it is told that it may not", start.elapsed());
    let start = Instant::now();
    site.kube
        .apply(&tls_sni("names", "hosted.example", json!({"allowedRoutes": {"namespaces": "All"}})).to_string())?;
    // Its Service is still missing, which is another matter.
    wait_for(site, "streamroute -n guests devices", "ResolvedRefs", "False", "RefNotFound")?;
    measured.seconds("the name's owner allows it: until the route is told that it may", start.elapsed());
    site.kube.kubectl("delete namespace names guests --wait=true --timeout=90s")?;
    Ok(())
}

/// What the gateway's owner writes into the chart's values holds: a name that it refuses is no device's either.
pub(crate) fn the_owners_namespaces_and_domains_hold(site: &Site, measured: &mut Measured) -> Result<()> {
    let as_before = Afterwards::new(|| site.install(""));
    site.install(
        "gateways: {default: {allowedNamespaces: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [outsiders]}]}, \
         domains: [{namespaces: [acme], names: ['*.acme.example']}, {namespaces: [globex], names: [meters.globex.example]}, \
         {namespaces: [fleet], names: [devices.fleet.example]}, {namespaces: [insiders], names: ['*.insiders.example']}]}}",
    )?;
    let start = Instant::now();
    let refused = [("outsiders", "x.outsiders.example"), ("insiders", "x.acme.example")];
    for (namespace, name) in refused {
        site.namespace(namespace)?;
        site.tls_secret(namespace, "tls", &site.public.server(&[name])?)?;
        site.kube.apply(&tls_sni(namespace, name, json!({})).to_string())?;
    }
    wait_for(site, "tlssni -n outsiders names", "Accepted", "False", "NamespaceNotAllowed")?;
    wait_for(site, "tlssni -n insiders names", "Accepted", "False", "NameNotAllowed")?;
    for (_, name) in refused {
        let device = TlsClient::new(&site.public, name)?;
        wait_for_answer(site, &device, &Answer::Alert(UNRECOGNIZED_NAME)).context(name)?;
    }
    measured.seconds("names that the gateway's owner refuses: until tenants and devices are told", start.elapsed());
    site.kube.apply(&tls_sni("insiders", "x.insiders.example", json!({})).to_string())?;
    wait_for(site, "tlssni -n insiders names", "Accepted", "True", "Accepted")?;
    site.wait_until_all_is_true(&["acme", "globex", "fleet"])?;
    site.kube.kubectl("delete namespace outsiders insiders --wait=true --timeout=90s")?;
    as_before.now()
}

/// A route leads nobody to the cloud's metadata, to the proxy's own machine, or to a proxy, be it another gateway's.
pub(crate) fn no_route_leads_to_metadata_loopback_or_a_proxy(site: &Site, measured: &mut Measured) -> Result<()> {
    let as_before = Afterwards::new(|| {
        site.kube.kubectl("delete namespace trespasser --ignore-not-found --wait=true --timeout=90s")?;
        site.install("")?;
        wait_until_two_proxies_are_left(site)
    });
    site.install(&format!("gateways: {{other: {OTHER}}}"))?;
    let start = Instant::now();
    a_device_passes_through_the_other(site)?;
    measured.seconds("a second gateway: until a device passes through it", start.elapsed());
    site.namespace("trespasser")?;
    site.tls_secret("trespasser", "tls", &site.public.server(&NAMES)?)?;
    let mut names = tls_sni("trespasser", NAMES[0], json!({}));
    names["spec"]["snis"] = json!(NAMES);
    site.kube.apply(&names.to_string())?;
    let proxies = site.proxies()?;
    let of_pod = |deployment: &str| -> Result<String> {
        let pod = proxies.iter().find(|pod| name(pod).starts_with(deployment)).context("no such proxy")?;
        Ok(pod["status"]["podIP"].as_str().context("a pod without an address")?.to_owned())
    };
    let gateway = site.kube.get(&format!("service -n {SYSTEM} streamgate-other"))?;
    let of_service = gateway["spec"]["clusterIP"].as_str().context("a Service without an address")?.to_owned();
    let proxies = [
        ("own-admin", of_pod("streamgate-default-")?),
        ("others-admin", of_pod("streamgate-other-")?),
        ("others", of_service),
    ];
    for (service, address) in &proxies {
        site.kube.apply(&endpoints_at(service, address).to_string())?;
        site.kube.apply(&route("trespasser", NAMES[0], service).to_string())?;
        let message = wait_for(site, "streamroute -n trespasser devices", "ResolvedRefs", "False", "UpstreamDenied")?;
        ensure!(message.contains(service), "it isn't told which Service: {message}");
        let passed_on = site.kube.get(&format!("configmap -n {GATEWAY} endpoints.trespasser.{service}"))?;
        ensure!(!passed_on.to_string().contains(&**address), "a proxy's address is passed on: {passed_on}");
        site.kube.kubectl("delete -n trespasser streamroute/devices")?;
    }
    // Of loopback and of the metadata's address the API server takes no EndpointSlice, but a route can name them itself.
    let nodes = [("metadata", "169.254.169.254"), ("loopback", "127.0.0.1")];
    for ((node, host), sni) in nodes.iter().zip(NAMES) {
        let mut route = route("trespasser", sni, "none");
        route["metadata"]["name"] = json!(node);
        // At the proxy's own machine somebody listens at this port.
        route["spec"]["upstream"] = json!({"nodes": [{"name": "a", "host": host, "port": 9901}]});
        site.kube.apply(&route.to_string())?;
        let object = format!("streamroute -n trespasser {node}");
        wait_for(site, &object, "Accepted", "False", "ExternalUpstreamNotAllowed")?;
    }
    // Where the owner lets routes lead outside, the proxy itself doesn't go there.
    site.install(&format!("gateways: {{default: {{allowExternalUpstreams: true}}, other: {OTHER}}}"))?;
    for ((node, _), sni) in nodes.iter().zip(NAMES) {
        site.kube.wait_for_condition("trespasser", &format!("streamroute/{node}"), "Programmed")?;
        let client = TlsClient::new(&site.public, sni)?;
        let mut device = client.connect(site.address()?)?;
        let code = wire::connack(&mut device, &Connect::new(Version::V5, "trespasser"))?.body.get(1).copied();
        ensure!(code == Some(SERVER_UNAVAILABLE), "a device that is to go to {node} was told {code:x?}");
    }
    let attempts = attempts_of_trespasser(site)?;
    for (node, _) in nodes {
        let of_node: Vec<_> = attempts.iter().filter(|line| line.contains(&format!("trespasser/{node}\""))).collect();
        let denied = !of_node.is_empty() && of_node.iter().all(|line| line.contains("reason=\"Denied\""));
        ensure!(denied, "attempts to reach {node} that the proxy did not deny by itself: {attempts:?}");
    }
    measured.value("attempts of proxies to reach metadata or loopback, denied by themselves", attempts.len());
    as_before.now()
}

/// A device comes to the fleet's brokers by the gateway `other`; the first knows nothing of its name.
fn a_device_passes_through_the_other(site: &Site) -> Result<()> {
    let sni = "other.fleet.example";
    site.tls_secret(FLEET, "other-tls", &site.public.server(&[sni])?)?;
    let mut objects = [tls_sni(FLEET, sni, json!({})), route(FLEET, sni, "broker")];
    for object in &mut objects {
        object["metadata"]["name"] = json!("other");
        object["spec"]["gateway"] = json!("other");
    }
    objects[0]["spec"]["certificates"] = json!([{"secretName": "other-tls"}]);
    site.kube.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())?;
    let nothing = Afterwards::new(|| {
        site.kube.kubectl(&format!("delete -n {FLEET} streamroute/other tlssni/other secret/other-tls")).map(|_| ())
    });
    site.kube.wait_for_condition(FLEET, "streamroute/other tlssni/other", "Programmed")?;
    let device = TlsClient::new(&site.public, sni)?;
    let mut stream = device.connect(site.address_of("streamgate-other")?)?;
    let code = wire::connack(&mut stream, &Connect::new(Version::V5, "other"))?.code();
    ensure!(code == Some(0), "a device of the second gateway was told {code:x?}");
    wait_for_answer(site, &device, &Answer::Alert(UNRECOGNIZED_NAME)).context("its name at the first gateway")?;
    nothing.now()
}

/// What proxies count of attempts to go where that tenant's routes lead.
fn attempts_of_trespasser(site: &Site) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for pod in site.proxies()? {
        let metrics = site.kube.ask_pod(SYSTEM, name(&pod), 9901, "metrics")?;
        let attempts = metrics.lines().filter(|line| line.starts_with("streamgate_upstream_attempts_total{"));
        lines.extend(attempts.filter(|line| line.contains("trespasser/")).map(str::to_owned));
    }
    Ok(lines)
}

/// A Service whose endpoints somebody wrote by hand.
fn endpoints_at(service: &str, address: &str) -> Value {
    let metadata = json!({"namespace": "trespasser", "name": service});
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"ports": [{"name": "mqtt", "port": 9901}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": "trespasser", "name": format!("{service}-1"),
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4", "endpoints": [{"addresses": [address]}],
            "ports": [{"name": "mqtt", "port": 9901, "protocol": "TCP"}],
        },
    ]})
}

/// Another gateway, which is gone soon after it is taken away.
const OTHER: &str = "{replicas: 1, service: {type: NodePort}, drainDelay: 1s, drainTime: 1s}";
const NAMES: [&str; 2] = ["x.trespasser.example", "y.trespasser.example"];
/// The reason code "Server unavailable" of a CONNACK (MQTT 5, 3.2.2.2).
const SERVER_UNAVAILABLE: u8 = 0x88;

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
