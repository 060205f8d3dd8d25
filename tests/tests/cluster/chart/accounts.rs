//! The accounts of operator and proxies: those that are made, and those that are there already.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::installed::{Release, SYSTEM};
use super::{ValueSet, find, name, of_kind};

const OPERATOR: &str = "streamgate-operator";

/// The account that a Deployment's pods have.
fn account<'m>(manifests: &'m [Value], deployment: &str) -> Result<&'m str> {
    let deployment = find(manifests, "Deployment", deployment)?;
    deployment["spec"]["template"]["spec"]["serviceAccountName"].as_str().context("an account")
}

#[test]
fn roles_are_bound_to_the_accounts_that_the_pods_have() -> Result<()> {
    for set in ValueSet::all(SYSTEM)? {
        let manifests = set.render(SYSTEM)?;
        let operator = of_kind(&manifests, "ConfigMap").find(|map| map["data"]["operator.yaml"].is_string());
        let operator = name(operator.context("the operator's settings")?);
        let bindings = of_kind(&manifests, "RoleBinding").chain(of_kind(&manifests, "ClusterRoleBinding"));
        for binding in bindings {
            // Of config-sync it is in the gateway's namespace, which is called as its Deployment.
            let namespace = binding["metadata"]["namespace"].as_str();
            let deployment = namespace.filter(|_| name(binding) == "streamgate-sync").unwrap_or(operator);
            let [subject] = binding["subjects"].as_array().context("subjects")?.as_slice() else {
                anyhow::bail!("{}: {binding}", set.name)
            };
            ensure!(subject["kind"] == "ServiceAccount" && subject["namespace"] == SYSTEM, "{}: {binding}", set.name);
            ensure!(subject["name"] == account(&manifests, deployment)?, "{}: {binding}", set.name);
        }
    }
    Ok(())
}

#[test]
fn an_account_is_made_by_its_name_unless_it_is_there_already() -> Result<()> {
    let made = |manifests: &[Value]| of_kind(manifests, "ServiceAccount").map(name).map(str::to_owned).collect();
    let set = |name: &str| ValueSet::all(SYSTEM)?.into_iter().find(|set| set.name == name).context("the value set");
    let manifests = set("accounts")?.render(SYSTEM)?;
    for (deployment, expected) in
        [(OPERATOR, "operators"), ("streamgate-default", "proxies"), ("streamgate-other", "1e3")]
    {
        ensure!(account(&manifests, deployment)? == expected, "{deployment}");
    }
    let those: BTreeSet<String> = made(&manifests);
    ensure!(those == BTreeSet::from(["1e3".to_owned()]), "{those:?}");
    ensure!(find(&manifests, "ServiceAccount", "1e3")?["metadata"]["annotations"]["note"] == "a");
    let those: BTreeSet<String> = made(&set("defaults")?.render(SYSTEM)?);
    ensure!(those == BTreeSet::from([OPERATOR.to_owned(), "streamgate-default".to_owned()]), "{those:?}");
    Ok(())
}

#[test]
fn accounts_that_are_there_already_get_the_roles_and_outlive_the_release() -> Result<()> {
    let release = Release::install("{}")?;
    let may = |account: &str, what: &str| -> Result<bool> {
        let whose = format!("--as=system:serviceaccount:{SYSTEM}:{account}");
        let arguments: Vec<&str> =
            ["auth", "can-i"].into_iter().chain(what.split(' ')).chain([whose.as_str()]).collect();
        Ok(release.cluster.kubectl(&arguments, None)?.text().trim() == "yes")
    };
    let generated = "list secrets -n streamgate-default";
    ensure!(may("streamgate-default", generated)? && !may("proxies", generated)?);
    for account in ["operators", "proxies"] {
        let create = ["create", "serviceaccount", account, "-n", SYSTEM];
        release.cluster.kubectl(&create, None)?.succeeded("kubectl create serviceaccount")?;
    }
    release.upgrade(
        "{operator: {serviceAccount: {create: false, name: operators}}, \
          gateways: {default: {serviceAccount: {create: false, name: proxies}}}}",
    )?;
    ensure!(may("proxies", generated)? && !may("proxies", &format!("list secrets -n {SYSTEM}"))?);
    ensure!(may("operators", "list secrets -A")?);
    ensure!(!may("streamgate-default", generated)? && !may(OPERATOR, "list secrets -A")?);
    ensure!(release.start_operator("operators")?.stop()?.success());
    let accounts = || -> Result<BTreeSet<String>> {
        let list = release.cluster.json(&["get", "serviceaccounts", "-n", SYSTEM])?;
        Ok(list["items"].as_array().context("a list")?.iter().map(name).map(str::to_owned).collect())
    };
    let theirs = BTreeSet::from(["default", "operators", "proxies"].map(str::to_owned));
    ensure!(accounts()? == theirs, "{:?}", accounts());
    release.uninstall()?;
    ensure!(accounts()? == theirs, "{:?}", accounts());
    Ok(())
}
