//! Who can read what.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use streamgate_tests::wait;

use crate::afterwards::Afterwards;
use crate::kube::{Kube, condition, container_id, name};
use crate::measured::Measured;
use crate::site::{FLEET, GATEWAY, OPERATOR, SYSTEM, Site};

/// The proxy faces the internet, so it has no way to the API: no token is mounted into its container, nor into any but the
/// sidecar's.
pub(crate) fn the_proxy_has_no_token(site: &Site, measured: &mut Measured) -> Result<()> {
    let (mut specified, mut inside) = (0, 0);
    for pod in site.proxies()? {
        ensure!(
            pod["spec"]["automountServiceAccountToken"] == false,
            "the token is mounted by itself into {}",
            name(&pod)
        );
        let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let tokens: Vec<_> =
            volumes.iter().filter(|volume| has_token(volume)).map(|volume| volume["name"].clone()).collect();
        ensure!(tokens.len() == 1, "{} has {} volumes with a token", name(&pod), tokens.len());
        let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
        for container in &containers {
            let mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            ensure!(
                mounts.iter().all(|mount| !tokens.contains(&mount["name"])),
                "the container {} of {} has the token",
                name(container),
                name(&pod)
            );
            let text = container["env"].to_string();
            ensure!(!text.contains("ervice-account") && !text.contains("KUBECONFIG"), "{text}");
            specified += 1;
        }
        // And as it is inside, where nobody has a shell.
        for (container, has) in [("proxy", false), ("config-sync", true)] {
            if site.machine.is_at_hand() {
                let file = site.machine.file_in_container(container_id(&pod, container)?, TOKEN)?;
                ensure!(file.is_some() == has, "{TOKEN} in {container}: {}", file.is_some());
                inside += 1;
            }
        }
    }
    measured.value(
        "the sidecar alone has a token: containers looked at as specified, from inside",
        format!("{specified}, {inside}"),
    );
    Ok(())
}

const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

fn has_token(volume: &Value) -> bool {
    let sources = volume["projected"]["sources"].as_array();
    sources.into_iter().flatten().any(|source| !source["serviceAccountToken"].is_null())
        || volume["secret"]["secretName"].as_str().is_some_and(|name| name.contains("token"))
}

/// With the sidecar's token one can do in its gateway's namespace what it must, and nothing anywhere else.
pub(crate) fn the_syncs_token_is_for_its_gateway_alone(site: &Site, measured: &mut Measured) -> Result<()> {
    let mut config: Value = serde_json::from_str(&site.kube.kubectl("config view --raw --minify -o json")?)?;
    config["users"][0]["user"] = json!({"token": token_of_a_sync(site)?.trim()});
    let mut file = tempfile::NamedTempFile::new()?;
    serde_json::to_writer(&mut file, &config)?;
    file.flush()?;
    let its = Kube::new(file.path().to_owned());
    let can = |line: &str| its.can(line);
    let mut refused = 0;
    for line in
        ["list configmaps", "watch configmaps", "list secrets", "watch secrets", "create leases", "patch leases"]
    {
        ensure!(can(&format!("{line} -n {GATEWAY}"))?, "it can't {line} in its gateway's namespace");
        for elsewhere in [FLEET, "acme", SYSTEM, "kube-system"] {
            ensure!(!can(&format!("{line} -n {elsewhere}"))?, "it can {line} in {elsewhere}");
            refused += 1;
        }
    }
    let others = [
        "get configmaps",
        "get secrets",
        "create configmaps",
        "update secrets",
        "delete leases",
        "create pods",
        "create pods --subresource=exec",
        "create serviceaccounts --subresource=token",
        "create rolebindings",
        "patch streamroutes --subresource=status",
        "list nodes",
        "list namespaces",
        "impersonate users",
    ];
    for line in others {
        for anywhere in [GATEWAY, SYSTEM, FLEET, "acme"] {
            ensure!(!can(&format!("{line} -n {anywhere}"))?, "it can {line} in {anywhere}");
            refused += 1;
        }
    }
    // And as it is when it is used.
    its.kubectl(&format!("get secrets -n {GATEWAY} -o name"))?;
    let answer = its.try_kubectl(&format!("get secrets -n {FLEET}"))?;
    ensure!(!answer.success() && answer.stderr.contains("Forbidden"), "{answer:?}");
    measured.value("the sidecar's token: requests beyond its duty that are refused", refused + 1);
    Ok(())
}

/// The token that lies in a sidecar's container; where its machine is out of reach, one that is issued for the same account.
fn token_of_a_sync(site: &Site) -> Result<String> {
    if !site.machine.is_at_hand() {
        return site.kube.kubectl(&format!("create token -n {SYSTEM} streamgate-default --duration=10m"));
    }
    let pod = site.proxies()?.into_iter().next().context("no proxy")?;
    let file = site.machine.file_in_container(container_id(&pod, "config-sync")?, TOKEN)?;
    file.with_context(|| format!("there is no {TOKEN}"))
}

/// The audit log of all tests until here, of the operator's and the sidecars' requests. Each was allowed; what was forbidden
/// where the API server had just started, and knew no roles yet, was allowed afterwards. And no Secret was got that no object
/// refers to, though there were such beside those that are referred to: the fleet's `unused`, devices' keys, Helm's own.
pub(crate) fn nothing_was_asked_for_beyond_what_is_granted_and_referred_to(
    site: &Site,
    measured: &mut Measured,
) -> Result<()> {
    let Some(log) = site.machine.audit_log() else { bail!("there is no audit log at hand") };
    let (mut requests, mut secrets, mut last) = (0, BTreeSet::new(), BTreeMap::new());
    for line in fs::read_to_string(log)?.lines() {
        // The last one may be half written.
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let user = text(&event["user"]["username"]);
        // The test that has the sidecar's token in hand asks by kubectl.
        let is_ours = user.starts_with(&format!("system:serviceaccount:{SYSTEM}:"))
            && !text(&event["userAgent"]).starts_with("kubectl");
        let object = &event["objectRef"];
        let [namespace, name] = ["namespace", "name"].map(|word| text(&object[word]));
        // Of the gateway that one test adds and takes away the roles go before those who had them.
        if !is_ours || user.ends_with(":streamgate-other") || namespace == "streamgate-other" {
            continue;
        }
        requests += 1;
        let what = ["apiGroup", "resource", "subresource"].map(|word| text(&object[word]).to_owned());
        let asked = (user.to_owned(), text(&event["verb"]).to_owned(), what, namespace.to_owned());
        last.insert(asked, text(&event["annotations"]["authorization.k8s.io/decision"]).to_owned());
        if event["verb"] == "get" && object["resource"] == "secrets" {
            secrets.insert(format!("{namespace}/{name}"));
        }
    }
    let forbidden: Vec<_> = last.iter().filter(|(_, decision)| *decision != "allow").collect();
    ensure!(forbidden.is_empty(), "requests that were forbidden for good: {forbidden:#?}");
    let is_referred_to = |secret: &&String| {
        let (namespace, name) = secret.split_once('/').unwrap_or_default();
        namespace == GATEWAY
            || ["tls", "ca"].contains(&name)
            || name.ends_with("-tls")
            || name.starts_with("helm-test-") && name.ends_with("-server")
    };
    let others: Vec<_> = secrets.iter().filter(|secret| !is_referred_to(secret)).collect();
    ensure!(others.is_empty(), "Secrets were got that nothing refers to: {others:?}");
    ensure!(requests > 50 && secrets.len() >= 3, "{requests} requests, of Secrets {secrets:?}");
    measured.value(
        "requests of operator and sidecars in all tests, Secrets got by name",
        format!("{requests}, {}", secrets.len()),
    );
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// By the cluster's own role `edit`, in the team's namespace alone.
pub(crate) fn a_team_that_may_edit_its_namespace_may_write_its_routes(
    site: &Site,
    measured: &mut Measured,
) -> Result<()> {
    site.kube.kubectl("create rolebinding team -n acme --clusterrole=edit --user=team")?;
    let binding = Afterwards::new(|| site.kube.kubectl("delete rolebinding team -n acme").map(|_| ()));
    let can = |line: &str| site.kube.can(&format!("{line} --as=team"));
    let (mut allowed, mut refused) = (0, 0);
    for verb in ["get", "create", "patch", "delete"] {
        for kind in ["streamroutes", "tlssnis"] {
            ensure!(can(&format!("{verb} {kind} -n acme"))?, "it can't {verb} {kind} in its namespace");
            allowed += 1;
            ensure!(!can(&format!("{verb} {kind} -n globex"))?, "it can {verb} {kind} in another's");
            refused += 1;
        }
    }
    ensure!(
        !can("patch streamroutes --subresource=status -n acme")?,
        "it can say itself that its routes are programmed"
    );
    refused += 1;
    measured.value("a team with the role `edit`: requests that are allowed, refused", format!("{allowed}, {refused}"));
    binding.now()
}

/// Of no key there is a line in what others than its owner can read: the status of objects, Events, generated ConfigMaps, and
/// even the platform's logs. And who names another's Secret in a TlsSni gets nothing of it.
pub(crate) fn no_secret_is_seen_in_a_status_an_event_or_a_log(site: &Site, measured: &mut Measured) -> Result<()> {
    // A key that is broken, so that something is said of it.
    site.namespace("leaks")?;
    let namespace =
        Afterwards::new(|| site.kube.kubectl("delete namespace leaks --wait=true --timeout=90s").map(|_| ()));
    let credentials = site.public.server(&["leaks.example"])?;
    let broken = credentials.key_pem.replace("-----END PRIVATE KEY-----", "-----END");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"namespace": "leaks", "name": "tls"},
        "stringData": {"tls.crt": credentials.chain_pem, "tls.key": broken},
    });
    let objects = [secret, tls_sni("names", "leaks.example", "tls"), tls_sni("thief", "thief.example", "devices-tls")];
    site.kube.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())?;
    site.kube.kubectl("wait -n leaks tlssni/names tlssni/thief --for=condition=ResolvedRefs=false --timeout=60s")?;

    // acme has a Secret of this name.
    let thief = condition(&site.kube.get("tlssni -n leaks thief")?, "ResolvedRefs").context("no condition")?;
    ensure!(thief.1 == "RefNotFound" && !thief.2.contains("acme"), "{thief:?}");
    site.kube.kubectl("get secret -n acme devices-tls -o name")?;
    site.wait_for_generated("leaks", |names| !names.iter().any(|name| name.ends_with(".devices-tls")))?;
    let by_namespace = site.kube.try_apply(&tls_sni("thief", "thief.example", "acme/devices-tls").to_string())?;
    ensure!(!by_namespace.success() && by_namespace.stderr.contains("secretName"), "{by_namespace:?}");

    let said = condition(&site.kube.get("tlssni -n leaks names")?, "ResolvedRefs").context("no condition")?;
    ensure!(said.2.contains("tls.key"), "nothing is said of the broken key: {said:?}");
    wait::until("an Event of the broken key", wait::SOON, || {
        site.kube.kubectl("get events -n leaks -o yaml").ok().filter(|events| events.contains("tls.key"))
    })?;
    let mut seen = site.kube.kubectl("get streamroutes,tlssnis,events -A -o yaml")?;
    seen += &site.kube.kubectl(&format!("get configmaps,leases -n {GATEWAY} -o yaml"))?;
    seen += &site.kube.kubectl(&format!("get configmaps,pods,deployments -n {SYSTEM} -o yaml"))?;
    seen += &site.kube.kubectl(&format!("logs -n {SYSTEM} {OPERATOR} --all-pods --tail=-1"))?;
    for pod in site.proxies()? {
        seen += &site.kube.kubectl(&format!("logs -n {SYSTEM} {} --all-containers --tail=-1", name(&pod)))?;
    }
    let template = r#"go-template={{index .data "tls.key" | base64decode}}"#;
    let read = site.kube.kubectl_words(&["get", "secret", "-n", FLEET, "tls", "-o", template])?;
    let keys = [credentials.key_pem, read.succeeded("the fleet's key")?.text()];
    for key in keys {
        // The first line has much in common with those of other keys.
        let own: Vec<&str> = key.lines().filter(|line| !line.starts_with('-') && line.len() > 16).skip(1).collect();
        ensure!(own.len() > 1 && !own.iter().any(|line| seen.contains(line)), "a line of a key is seen");
    }
    ensure!(!seen.contains("PRIVATE KEY"), "a key is seen");
    measured.value("lines of statuses, Events, ConfigMaps and logs without a key", seen.lines().count());
    namespace.now()
}

fn tls_sni(name: &str, sni: &str, secret: &str) -> Value {
    json!({
        "apiVersion": "streamgate.dev/v1alpha1", "kind": "TlsSni", "metadata": {"namespace": "leaks", "name": name},
        "spec": {"snis": [sni], "certificates": [{"secretName": secret}]},
    })
}
