//! What values say of pods and Services is found there, and in what Helm says.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{ValueSet, find, manifests, of_kind, on_chart};

const SYSTEM: &str = "streamgate-system";

fn of_set(name: &str) -> Result<(Value, Vec<Value>)> {
    let sets = ValueSet::all(SYSTEM)?;
    let set = sets.iter().find(|set| set.name == name).context("the value set")?;
    Ok((serde_saphyr::from_str(&set.text)?, set.render(SYSTEM)?))
}

#[test]
fn in_the_pods_of_operator_and_proxies() -> Result<()> {
    let (values, manifests) = of_set("placement")?;
    for (name, container) in [("streamgate-operator", "operator"), ("streamgate-default", "proxy")] {
        let said = &values["operator"];
        let deployment = find(&manifests, "Deployment", name)?;
        ensure!(deployment["spec"]["replicas"] == said["replicas"], "{name}: {deployment}");
        ensure!(deployment["metadata"]["annotations"]["note"] == said["annotations"]["note"], "{name}");
        let template = &deployment["spec"]["template"];
        ensure!(template["metadata"]["annotations"]["note"] == said["podAnnotations"]["note"], "{name}");
        ensure!(template["metadata"]["labels"]["tier"] == said["podLabels"]["tier"], "{name}");
        let pod = &template["spec"];
        for word in PLACEMENT.iter().chain(&SILENT_PODS) {
            ensure!(pod[word] == said[word] && !pod[word].is_null(), "{name}: {word}: {}", pod[word]);
        }
        let rolled = &deployment["spec"]["strategy"]["rollingUpdate"];
        ensure!(*rolled == said["strategy"]["rollingUpdate"] && !rolled.is_null(), "{name}: {deployment}");
        for word in SILENT_DEPLOYMENTS {
            ensure!(deployment["spec"][word] == said[word] && !said[word].is_null(), "{name}: {word}: {deployment}");
        }
        let spread = &pod["topologySpreadConstraints"][0];
        ensure!(spread["whenUnsatisfiable"] == "DoNotSchedule", "{name}: {spread}");
        ensure!(pod["imagePullSecrets"] == values["imagePullSecrets"], "{name}");
        let containers = pod["containers"].as_array().context("containers")?;
        let container = containers.iter().find(|it| it["name"] == container).context("a container")?;
        ensure!(container["image"] == "registry.example/mirror/streamgate:9.9.9", "{name}: {}", container["image"]);
        ensure!(container["imagePullPolicy"] == "Always", "{name}");
        further(container, pod, said, &said["extraVolumes"]).context(name)?;
        let environment = container["env"].as_array().context("env")?;
        ensure!(environment.contains(&json!({"name": "RUST_LOG", "value": said["logLevel"]})), "{name}");
        let account = find(&manifests, "ServiceAccount", name)?;
        ensure!(account["metadata"]["annotations"] == said["serviceAccount"]["annotations"], "{account}");
    }
    let said = &values["gatewayDefaults"];
    let pod = &find(&manifests, "Deployment", "streamgate-default")?["spec"]["template"]["spec"];
    further(&pod["initContainers"][0], pod, &said["sync"], &said["extraVolumes"]).context("config-sync")?;
    let test = of_kind(&manifests, "Pod").next().context("the pod of helm test")?;
    for word in ["nodeSelector", "tolerations"] {
        ensure!(test["spec"][word] == values["test"][word] && !test["spec"][word].is_null(), "{word}");
    }
    for container in [&test["spec"]["initContainers"][0], &test["spec"]["containers"][0]] {
        let resources = json!({"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": 1, "memory": "64Mi"}});
        ensure!(container["resources"] == resources, "{container}");
    }
    Ok(())
}

/// What is said of further variables and volumes is in the container, beside the chart's own.
fn further(container: &Value, pod: &Value, said: &Value, volumes: &Value) -> Result<()> {
    let has_all = |found: &Value, wanted: &Value| -> Result<bool> {
        let found = found.as_array().context("a list")?;
        let wanted = wanted.as_array().filter(|wanted| !wanted.is_empty()).context("a wanted list")?;
        Ok(wanted.iter().all(|one| found.contains(one)) && found.len() > wanted.len())
    };
    ensure!(has_all(&container["env"], &said["extraEnv"])?, "{container}");
    ensure!(container["envFrom"] == said["extraEnvFrom"] && !said["extraEnvFrom"].is_null(), "{container}");
    ensure!(has_all(&container["volumeMounts"], &said["extraVolumeMounts"])?, "{container}");
    ensure!(has_all(&pod["volumes"], volumes)?, "{pod}");
    Ok(())
}

const PLACEMENT: [&str; 4] = ["nodeSelector", "tolerations", "priorityClassName", "affinity"];
/// What Kubernetes says of pods and Deployments where the values don't.
const SILENT_PODS: [&str; 5] = ["schedulerName", "runtimeClassName", "dnsPolicy", "dnsConfig", "hostAliases"];
const SILENT_DEPLOYMENTS: [&str; 2] = ["minReadySeconds", "revisionHistoryLimit"];

#[test]
fn by_default_kubernetes_says_how_pods_resolve_names_and_how_deployments_are_rolled() -> Result<()> {
    let (_, manifests) = of_set("defaults")?;
    for deployment in of_kind(&manifests, "Deployment") {
        let spec = &deployment["spec"];
        ensure!(SILENT_PODS.iter().all(|word| spec["template"]["spec"].get(word).is_none()), "{deployment}");
        ensure!(SILENT_DEPLOYMENTS.iter().all(|word| spec.get(word).is_none()), "{deployment}");
    }
    Ok(())
}

#[test]
fn a_budget_says_how_many_stay_or_how_many_go_and_a_gateways_own_word_counts() -> Result<()> {
    let text = "
operator: {podDisruptionBudget: {minAvailable: 1}}
gatewayDefaults: {podDisruptionBudget: {minAvailable: 50%}}
gateways:
  default: {}
  none: {podDisruptionBudget: {minAvailable: 0}}
  other: {podDisruptionBudget: {maxUnavailable: 25%}}
  both: {podDisruptionBudget: {maxUnavailable: 2, minAvailable: 3}}
";
    let manifests = ValueSet { name: "budgets".to_owned(), text: text.to_owned() }.render(SYSTEM)?;
    for (name, [stay, go]) in [
        ("operator", [json!(1), Value::Null]),
        ("default", [json!("50%"), Value::Null]),
        ("none", [json!(0), Value::Null]),
        ("other", [Value::Null, json!("25%")]),
        ("both", [json!(3), Value::Null]),
    ] {
        let budget = &find(&manifests, "PodDisruptionBudget", &format!("streamgate-{name}"))?["spec"];
        ensure!(budget["minAvailable"] == stay && budget["maxUnavailable"] == go, "{name}: {budget}");
    }
    Ok(())
}

#[test]
fn by_default_pods_are_spread_and_not_all_are_evicted_at_once() -> Result<()> {
    let (_, manifests) = of_set("defaults")?;
    for name in ["streamgate-operator", "streamgate-default"] {
        let template = &find(&manifests, "Deployment", name)?["spec"]["template"];
        let labels = template["metadata"]["labels"].as_object().context("labels")?;
        let is_of_these = |selector: &Value| {
            selector["matchLabels"].as_object().is_some_and(|wanted| {
                !wanted.is_empty() && wanted.iter().all(|(label, value)| labels.get(label) == Some(value))
            })
        };
        let apart = &template["spec"]["affinity"]["podAntiAffinity"];
        let apart = &apart["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"];
        ensure!(apart["topologyKey"] == "kubernetes.io/hostname" && is_of_these(&apart["labelSelector"]), "{apart}");
        if name == "streamgate-default" {
            let spread = &template["spec"]["topologySpreadConstraints"][0];
            ensure!(spread["topologyKey"] == "topology.kubernetes.io/zone", "{name}: {spread}");
            ensure!(is_of_these(&spread["labelSelector"]), "{name}: {spread}");
        }
        let budget = &find(&manifests, "PodDisruptionBudget", name)?["spec"];
        ensure!(budget["maxUnavailable"] == 1 && is_of_these(&budget["selector"]), "{name}: {budget}");
    }
    Ok(())
}

#[test]
fn in_the_service_of_a_gateway() -> Result<()> {
    let (values, manifests) = of_set("cloud-load-balancer")?;
    let service = find(&manifests, "Service", "streamgate-default")?;
    let said = &values["gateways"]["default"]["service"];
    for (annotation, value) in said["annotations"].as_object().context("annotations")? {
        ensure!(service["metadata"]["annotations"][annotation] == *value, "{annotation}");
    }
    for word in OF_LOAD_BALANCERS.iter().chain(&["externalTrafficPolicy"]) {
        ensure!(service["spec"][word] == said[word] && !said[word].is_null(), "{word}: {}", service["spec"][word]);
    }
    let (values, manifests) = of_set("node-port")?;
    let spec = &find(&manifests, "Service", "streamgate-default")?["spec"];
    ensure!(spec["type"] == "NodePort", "{spec}");
    let listeners = values["gateways"]["default"]["listeners"].as_array().context("listeners")?;
    for listener in listeners.iter().filter(|listener| !listener["nodePort"].is_null()) {
        let ports = spec["ports"].as_array().context("ports")?;
        let port = ports.iter().find(|port| port["name"] == listener["name"]).context("a port")?;
        ensure!(port["nodePort"] == listener["nodePort"] && port["port"] == listener["port"], "{port}");
    }
    Ok(())
}

const OF_LOAD_BALANCERS: [&str; 3] = ["loadBalancerClass", "loadBalancerIP", "loadBalancerSourceRanges"];

#[test]
fn in_the_services_of_gateways_that_can_have_it_where_it_is_said_for_all() -> Result<()> {
    let (values, manifests) = of_set("inherited-service")?;
    let said = &values["gatewayDefaults"]["service"];
    let spec = |name: &str| Ok::<_, anyhow::Error>(&find(&manifests, "Service", name)?["spec"]);
    let [balanced, inside, nodes] =
        [spec("streamgate-default")?, spec("streamgate-inside")?, spec("streamgate-nodes")?];
    for word in OF_LOAD_BALANCERS {
        ensure!(balanced[word] == said[word] && !said[word].is_null(), "{word}: {balanced}");
        ensure!(inside.get(word).is_none() && nodes.get(word).is_none(), "{word}: {inside}, {nodes}");
    }
    ensure!(nodes["externalTrafficPolicy"] == "Local" && balanced["ports"][0]["nodePort"] == 31884);
    ensure!(inside.get("externalTrafficPolicy").is_none() && inside["ports"][0].get("nodePort").is_none(), "{inside}");
    Ok(())
}

#[test]
fn a_release_may_have_a_dot_in_its_name_or_begin_with_a_digit_or_be_as_long_as_helm_allows() -> Result<()> {
    let overridden = "fullnameOverride: 4iot";
    for (release, values) in [
        ("my.release", "{}"),
        ("4iot", "{}"),
        ("iot", overridden),
        ("a".repeat(53).as_str(), "{}"),
        ("4".repeat(53).as_str(), "{}"),
    ] {
        let rendered = on_chart(None, &["template", release], SYSTEM, values)?.succeeded(release)?;
        for manifest in manifests(&rendered.text())? {
            let name = manifest["metadata"]["name"].as_str().context("a name")?;
            let kind = manifest["kind"].as_str().context("a kind")?;
            ensure!(!name.contains('.') || kind == "CustomResourceDefinition", "{kind}: {name}");
            let is_label = ["Namespace", "Pod", "Service"].contains(&kind);
            ensure!(!is_label || name.len() <= 63, "{kind}: {name}");
            // From Kubernetes 1.36 on it may begin with a digit.
            ensure!(kind != "Service" || name.starts_with(|first: char| first.is_ascii_lowercase()), "{kind}: {name}");
        }
    }
    Ok(())
}

#[test]
fn a_name_in_place_of_the_charts_is_in_that_of_the_operator_and_not_in_what_pods_are_selected_by() -> Result<()> {
    let operator = |release: &str, values: &str| -> Result<Value> {
        let rendered = on_chart(None, &["template", release], SYSTEM, values)?.succeeded(release)?;
        let is_it = |it: &&Value| it["metadata"]["labels"]["app.kubernetes.io/component"] == "operator";
        let manifests = manifests(&rendered.text())?;
        of_kind(&manifests, "Deployment").find(is_it).cloned().context("the operator")
    };
    for (release, values, name) in [
        ("acme", "{}", "acme-streamgate-operator"),
        ("acme", "nameOverride: mqtt", "acme-mqtt-operator"),
        ("mqtt", "nameOverride: mqtt", "mqtt-operator"),
        ("acme", "{nameOverride: mqtt, fullnameOverride: ingress}", "ingress-operator"),
    ] {
        let deployment = operator(release, values)?;
        ensure!(deployment["metadata"]["name"] == name, "{release}, {values}: {}", deployment["metadata"]);
        ensure!(deployment["spec"]["selector"] == operator(release, "{}")?["spec"]["selector"], "{deployment}");
    }
    Ok(())
}

#[test]
fn on_every_object_where_it_is_said_for_all_and_the_object_says_nothing_itself() -> Result<()> {
    let (_, manifests) = of_set("colliding-labels")?;
    for manifest in &manifests {
        let annotations = &manifest["metadata"]["annotations"];
        let kind = manifest["kind"].as_str().context("a kind")?;
        ensure!(annotations["team"] == "iot", "{kind}: {}", manifest["metadata"]);
        let is_hook = !annotations["helm.sh/hook"].is_null();
        let says_itself = !is_hook && ["Deployment", "ServiceAccount", "Namespace", "Service"].contains(&kind);
        let is_dashboard = manifest["data"]["streamgate.json"].is_string();
        let note = if says_itself || is_dashboard { "own" } else { "of all" };
        ensure!(annotations["note"] == note, "{kind}: {annotations}");
        ensure!(is_hook == (annotations["helm.sh/hook-weight"] != "7"), "{kind}: {annotations}");
        let is_definition = kind == "CustomResourceDefinition";
        ensure!(is_definition == (annotations["helm.sh/resource-policy"] == "keep"), "{kind}: {annotations}");
        ensure!(manifest["spec"]["template"]["metadata"]["annotations"]["team"].is_null(), "pods would be replaced");
    }
    Ok(())
}

#[test]
fn in_what_helm_says_after_an_installation() -> Result<()> {
    let said = |values: &str| -> Result<String> {
        let command = ["install", "streamgate", "--dry-run=client"];
        let text = on_chart(None, &command, SYSTEM, values)?.succeeded(values)?.text();
        Ok(text.split_once("NOTES:").context("no notes")?.1.to_owned())
    };
    let by_default = said("{}")?;
    for command in [
        "kubectl get service -n streamgate-system streamgate-default",
        "helm test streamgate -n streamgate-system",
        "kubectl wait --for=condition=Programmed --timeout=1m streamroute,tlssni --all -n NAMESPACE",
    ] {
        ensure!(by_default.contains(command), "no {command} in {by_default}");
    }
    ensure!(!by_default.contains("adminFrom"), "{by_default}");
    let others = said("gateways: {default: null, other: {listeners: [{name: mqtt, protocol: MQTT, port: 1883}]}}")?;
    ensure!(!others.contains("helm test") && others.contains("`gateway: other`"), "{others}");
    ensure!(said("podMonitor: {enabled: true}")?.contains("`networkPolicy.adminFrom`"));
    Ok(())
}
