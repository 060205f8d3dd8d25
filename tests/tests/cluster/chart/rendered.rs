//! What is rendered for each value set is taken by the API server, and by the programs that read it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::Duration;

use super::{ValueSet, find, name, of_kind, on_chart};
use crate::gateways::shared;
use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use streamgate_operator::settings::Settings;
use streamgate_proxy::bootstrap::{Bootstrap, RunArguments};
use streamgate_tests::{process, workspace};

const SYSTEM: &str = "rendered-system";

/// The pod itself, and the metadata of clouds: the operator denies them by itself, the proxy by its file.
const NEVER_AN_UPSTREAM: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
];

/// How long the Prometheus operator's definitions may take the first time.
const DOWNLOAD: Duration = Duration::from_mins(5);

#[test]
fn every_value_set_is_linted_and_taken_by_the_api_server_without_a_warning() -> Result<()> {
    let cluster = shared()?;
    let system = cluster.namespace(SYSTEM)?;
    let monitoring = definitions_of_monitoring()?;
    let apply = ["apply", "--server-side", "-f", &monitoring[0], "-f", &monitoring[1]];
    cluster.kubectl(&apply, None)?.succeeded("kubectl apply")?;
    let kinds = ["podmonitors", "prometheusrules"].map(|kind| format!("crd/{kind}.monitoring.coreos.com"));
    let wait = ["wait", "--for=condition=Established", &kinds[0], &kinds[1], "--timeout=30s"];
    cluster.kubectl(&wait, None)?.succeeded("kubectl wait")?;
    for set in ValueSet::all(&system)? {
        let linted = on_chart(None, &["lint", "--strict"], &system, &set.text)?.succeeded(&set.name)?;
        ensure!(!linted.text().contains("WARN"), "{}: {}", set.name, linted.text());
        let manifests = set.render(&system)?;
        // A dry run makes no namespace and no definition for what comes after it.
        let namespaces = manifests.iter().filter_map(|manifest| manifest["metadata"]["namespace"].as_str());
        for namespace in namespaces.collect::<BTreeSet<_>>() {
            cluster.apply(&restricted(namespace).to_string())?;
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
        let applied = cluster
            .kubectl(&["apply", "--dry-run=server", "-f", "-"], Some(&list.to_string()))?
            .succeeded(&set.name)?;
        ensure!(applied.stderr.is_empty(), "{}: {}", set.name, applied.stderr);
    }
    Ok(())
}

/// The files that define `PodMonitor` and `PrometheusRule`.
fn definitions_of_monitoring() -> Result<[String; 2]> {
    let script = Command::new(workspace().join("tests/cluster/prometheus-operator"));
    let printed = process::run(script, DOWNLOAD)?.succeeded("prometheus-operator")?.text();
    let file = |kind: &str| format!("{}/monitoring.coreos.com_{kind}.yaml", printed.trim_end());
    Ok(["podmonitors", "prometheusrules"].map(file))
}

/// A namespace that warns of a pod that the restricted profile would refuse.
fn restricted(name: &str) -> Value {
    let labels = json!({"pod-security.kubernetes.io/warn": "restricted"});
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

#[test]
fn the_operator_reads_its_settings_and_each_proxy_its_bootstrap_file_and_they_agree() -> Result<()> {
    for set in ValueSet::all(SYSTEM)? {
        agree(&set.render(SYSTEM)?).context(set.name)?;
    }
    Ok(())
}

fn agree(manifests: &[Value]) -> Result<()> {
    let settings = of_kind(manifests, "ConfigMap").find_map(|map| map["data"]["operator.yaml"].as_str());
    let settings = settings.context("no operator.yaml")?;
    let settings = Settings::parse("operator.yaml", settings).map_err(|problems| anyhow!("{problems:?}"))?;
    ensure!(settings.namespace == SYSTEM);
    find(manifests, "Lease", &settings.lease_name)?;
    let mut bootstraps = Vec::new();
    for deployment in proxies(manifests) {
        let text = bootstrap_file(deployment).with_context(|| name(deployment).to_owned())?;
        let merged = Bootstrap::merge(RunArguments::default(), Some(("proxy.yaml", text)));
        bootstraps.push(merged.map_err(|problems| anyhow!("{problems:?}"))?);
    }
    ensure!(bootstraps.len() == settings.gateways.len());
    for gateway in &settings.gateways {
        let bootstrap =
            bootstraps.iter().find(|bootstrap| bootstrap.gateway == gateway.name).context("no bootstrap")?;
        let names = |of: &[String]| of.iter().cloned().collect::<BTreeSet<_>>();
        let listeners: Vec<String> =
            gateway.listeners.iter().map(|it| format!("{} {:?}", it.name, it.protocol)).collect();
        let served: Vec<String> =
            bootstrap.listeners.iter().map(|it| format!("{} {:?}", it.name, it.protocol)).collect();
        ensure!(names(&listeners) == names(&served), "{listeners:?}, {served:?}");
        ensure!(gateway.denied_upstreams.iter().all(|denied| bootstrap.denied_upstreams.contains(denied)));
        for address in NEVER_AN_UPSTREAM {
            let is_denied = bootstrap.denied_upstreams.iter().any(|denied| denied.contains(address));
            ensure!(is_denied, "{address} may be an upstream");
        }
        let service = find(manifests, "Service", &gateway.service.name)?;
        let deployment = find(manifests, "Deployment", &gateway.service.name)?;
        leads_to(service, deployment, bootstrap).with_context(|| gateway.name.clone())?;
        if let Ok(policy) = find(manifests, "NetworkPolicy", &gateway.service.name) {
            let open = policy["spec"]["ingress"][0]["ports"].as_array().context("open ports")?;
            let open: BTreeSet<u64> = open.iter().filter_map(|port| port["port"].as_u64()).collect();
            let served = bootstrap.listeners.iter().map(|it| u64::from(it.address.port())).collect();
            ensure!(open == served, "{policy}");
            ensure!(policy["spec"]["ingress"][0]["from"].is_null(), "devices are anywhere: {policy}");
        }
        let within = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(0);
        ensure!(within >= (bootstrap.drain_delay + bootstrap.drain_time).as_secs() + 10, "{within} s to stop");
    }
    Ok(())
}

/// The Deployments of all gateways' proxies.
fn proxies(manifests: &[Value]) -> impl Iterator<Item = &Value> {
    of_kind(manifests, "Deployment").filter(|deployment| !name(deployment).ends_with("-operator"))
}

/// What the pods have as `proxy.yaml`: an annotation, which a pod keeps when its Deployment has another.
fn bootstrap_file(deployment: &Value) -> Result<&str> {
    let template = &deployment["spec"]["template"];
    let volumes = template["spec"]["volumes"].as_array().context("volumes")?;
    let volume = volumes.iter().find(|volume| volume["name"] == "bootstrap").context("a volume")?;
    let item = &volume["downwardAPI"]["items"][0];
    ensure!(item["path"] == "proxy.yaml", "{volume}");
    let field = item["fieldRef"]["fieldPath"].as_str().context("a field")?;
    let annotation = field.strip_prefix("metadata.annotations['").and_then(|rest| rest.strip_suffix("']"));
    template["metadata"]["annotations"][annotation.context("an annotation")?].as_str().context("its text")
}

/// Each port of the Service leads to the port at which the proxy listens by the name of its listener.
fn leads_to(service: &Value, deployment: &Value, bootstrap: &Bootstrap) -> Result<()> {
    let template = &deployment["spec"]["template"];
    let labels = template["metadata"]["labels"].as_object().context("labels")?;
    for (label, value) in service["spec"]["selector"].as_object().context("a selector")? {
        ensure!(labels.get(label) == Some(value), "{label}: {value}");
    }
    let ports = template["spec"]["containers"][0]["ports"].as_array().context("ports")?;
    for port in service["spec"]["ports"].as_array().context("ports of the Service")? {
        let target = ports.iter().find(|each| each["name"] == port["targetPort"]).context("a port of the pod")?;
        let listener = bootstrap.listeners.iter().find(|listener| port["name"] == listener.name.as_str());
        let listener = listener.with_context(|| format!("{port}"))?;
        ensure!(target["containerPort"] == listener.address.port(), "{port}");
    }
    Ok(())
}

#[test]
fn of_a_gateways_pod_config_sync_alone_has_a_token_and_the_proxy_only_reads_the_configuration() -> Result<()> {
    for set in ValueSet::all(SYSTEM)? {
        let manifests = set.render(SYSTEM)?;
        for account in of_kind(&manifests, "ServiceAccount") {
            ensure!(account["automountServiceAccountToken"] == false, "{}: {account}", set.name);
        }
        for deployment in proxies(&manifests) {
            let pod = &deployment["spec"]["template"]["spec"];
            ensure!(pod["automountServiceAccountToken"] == false);
            let volume = |name: &str| pod["volumes"].as_array()?.iter().find(|volume| volume["name"] == name);
            ensure!(volume("config").context("config")?["emptyDir"]["medium"] == "Memory");
            ensure!(volume("status").context("status")?["emptyDir"]["sizeLimit"].is_string());
            let [sync, proxy] = [&pod["initContainers"][0], &pod["containers"][0]];
            ensure!(sync["restartPolicy"] == "Always" && sync["startupProbe"]["httpGet"]["path"] == "/readyz");
            ensure!(sync["readinessProbe"].is_null());
            let mounts = |container: &Value| container["volumeMounts"].as_array().cloned().unwrap_or_default();
            ensure!(mounts(sync).iter().any(|mount| mount["name"] == "token"));
            for mount in mounts(proxy) {
                ensure!(mount["name"] != "token");
                ensure!(mount["readOnly"] == true || mount["name"] == "status", "{}: {mount}", set.name);
            }
        }
    }
    Ok(())
}

#[test]
fn a_pod_is_replaced_where_its_settings_change_and_not_where_the_version_of_the_chart_does() -> Result<()> {
    let template = |values: &str| -> Result<Value> {
        let set = ValueSet { name: values.to_owned(), text: values.to_owned() };
        Ok(find(&set.render(SYSTEM)?, "Deployment", "streamgate-default")?["spec"]["template"].clone())
    };
    let before = template("{}")?;
    ensure!(before != template("gatewayDefaults: {drainTime: 31s}")?);
    ensure!(before == template("gatewayDefaults: {allowedNamespaces: [acme], service: {type: ClusterIP}}")?);
    ensure!(!before["metadata"].to_string().contains(env!("CARGO_PKG_VERSION")), "{}", before["metadata"]);
    Ok(())
}

fn of_set(name: &str) -> Result<Vec<Value>> {
    ValueSet::all(SYSTEM)?.iter().find(|set| set.name == name).context("the value set")?.render(SYSTEM)
}

#[test]
fn admin_ports_are_open_to_those_alone_whom_the_values_name() -> Result<()> {
    let rules = |manifests: &[Value], name: &str| -> Result<Vec<Value>> {
        Ok(find(manifests, "NetworkPolicy", name)?["spec"]["ingress"].as_array().cloned().unwrap_or_default())
    };
    let by_default = of_set("defaults")?;
    ensure!(rules(&by_default, "streamgate-default")?.len() == 1);
    ensure!(rules(&by_default, "streamgate-operator")?.is_empty());
    let monitored = of_set("monitoring")?;
    let admin = rules(&monitored, "streamgate-default")?.get(1).cloned().context("a second rule")?;
    let ports = admin["ports"].as_array().context("ports")?.iter().map(|port| port["port"].clone());
    ensure!(ports.collect::<Vec<_>>() == [json!(9901), json!(9903)], "{admin}");
    let prometheus = json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]);
    ensure!(admin["from"] == prometheus, "{admin}");
    Ok(())
}

#[test]
fn an_autoscaler_goes_by_the_proxys_container_and_a_load_balancer_keeps_the_clients_addresses() -> Result<()> {
    let scaled = of_set("autoscaling")?;
    let scaler = &find(&scaled, "HorizontalPodAutoscaler", "streamgate-default")?["spec"];
    let deployment = find(&scaled, "Deployment", scaler["scaleTargetRef"]["name"].as_str().context("a target")?)?;
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().context("containers")?;
    let measured = &scaler["metrics"][0]["containerResource"]["container"];
    ensure!(containers.iter().any(|container| container["name"] == *measured), "{scaler}");
    ensure!(deployment["spec"]["replicas"].is_null(), "the autoscaler and Helm would both say how many");
    let by_default = of_set("defaults")?;
    let service = &find(&by_default, "Service", "streamgate-default")?["spec"];
    ensure!(service["type"] == "LoadBalancer" && service["externalTrafficPolicy"] == "Local", "{service}");
    let by_others = ValueSet { name: "null".to_owned(), text: "gatewayDefaults: {replicas: null}".to_owned() };
    let by_others = by_others.render(SYSTEM)?;
    ensure!(find(&by_others, "Deployment", "streamgate-default")?["spec"]["replicas"].is_null());
    Ok(())
}

#[test]
fn whatever_selects_pods_finds_them_whatever_labels_a_user_adds() -> Result<()> {
    for set in ValueSet::all(SYSTEM)? {
        let manifests = set.render(SYSTEM)?;
        let pods =
            of_kind(&manifests, "Pod").chain(of_kind(&manifests, "Deployment").map(|it| &it["spec"]["template"]));
        let pods: Vec<&Value> = pods.map(|pod| &pod["metadata"]["labels"]).collect();
        for manifest in &manifests {
            let spec = &manifest["spec"];
            let selectors = [&spec["selector"], &spec["selector"]["matchLabels"], &spec["podSelector"]["matchLabels"]];
            let is_selector = |labels: &&Value| labels["app.kubernetes.io/component"].is_string();
            let Some(selector) = selectors.into_iter().find(is_selector).and_then(Value::as_object) else { continue };
            let is_found = pods.iter().any(|labels| selector.iter().all(|(label, value)| labels[label] == *value));
            ensure!(is_found, "{}: {} {} selects nothing", set.name, manifest["kind"], name(manifest));
        }
    }
    Ok(())
}

#[test]
fn what_a_gateway_says_of_namespaces_and_of_rollouts_takes_the_place_of_the_defaults_as_a_whole() -> Result<()> {
    let sets = ValueSet::all(SYSTEM)?;
    let manifests = sets.iter().find(|set| set.name == "recreate").context("the value set")?.render(SYSTEM)?;
    let map = find(&manifests, "ConfigMap", "streamgate-operator")?;
    let settings: Value = serde_saphyr::from_str(map["data"]["operator.yaml"].as_str().context("operator.yaml")?)?;
    let gateway = |name: &str| settings["gateways"].as_array()?.iter().find(|gateway| gateway["name"] == name);
    let production = json!({"matchLabels": {"stage": "production"}});
    let other = gateway("other").context("other")?;
    ensure!(other["allowedNamespaces"] == json!({"matchLabels": {"stage": "test"}}), "{other}");
    ensure!(other["plaintextNamespaces"] == json!({"names": []}), "{other}");
    let all = gateway("all").context("all")?;
    ensure!(all["allowedNamespaces"].is_null() && all["plaintextNamespaces"] == production, "{all}");
    ensure!(gateway("default").context("default")?["allowedNamespaces"] == production);
    let strategy = |name: &str| Ok::<_, anyhow::Error>(&find(&manifests, "Deployment", name)?["spec"]["strategy"]);
    ensure!(*strategy("streamgate-default")? == json!({"type": "Recreate"}));
    ensure!(*strategy("streamgate-operator")? == json!({"type": "Recreate"}));
    ensure!(*strategy("streamgate-other")? == json!({"rollingUpdate": {"maxSurge": 2}}));
    Ok(())
}
