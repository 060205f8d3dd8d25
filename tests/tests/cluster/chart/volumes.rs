//! Further volumes take none of the chart's: a proxy can't write its configuration, nor have config-sync's token.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::refused::refuses;
use super::{ValueSet, find};

/// Whose values, and the pod's specification by default.
fn pods() -> Result<[(&'static str, Value); 2]> {
    let manifests = ValueSet { name: "defaults".to_owned(), text: "{}".to_owned() }.render("streamgate-sys")?;
    let pod =
        |name: &str| Ok::<_, anyhow::Error>(find(&manifests, "Deployment", name)?["spec"]["template"]["spec"].clone());
    Ok([("operator", pod("streamgate-operator")?), ("gatewayDefaults", pod("streamgate-default")?)])
}

#[test]
fn no_further_volume_is_called_as_one_of_the_charts_and_none_of_those_is_mounted_anywhere_else() -> Result<()> {
    let mut cases = Vec::new();
    for (at, pod) in pods()? {
        for volume in pod["volumes"].as_array().context("volumes")? {
            let name = volume["name"].as_str().context("a name")?;
            let values = format!("{at}: {{extraVolumes: [{{name: {name}, emptyDir: {{}}}}]}}");
            cases.push((values, format!("extraVolumes: found `{name}`; wanted a name of its own")));
            let mounts = format!("extraVolumeMounts: [{{name: {name}, mountPath: /a}}]");
            let words = format!("extraVolumeMounts: found the volume `{name}`; wanted one of extraVolumes");
            cases.push((format!("{at}: {{{mounts}}}"), words.clone()));
            cases.push((format!("gatewayDefaults: {{sync: {{{mounts}}}}}"), format!("sync.{words}")));
        }
    }
    ensure!(cases.len() == 5 * 3, "{cases:#?}");
    refuses(&cases)
}

#[test]
fn nothing_is_mounted_over_in_or_above_a_volume_of_the_charts() -> Result<()> {
    let mut cases = Vec::new();
    let mut case = |at: &str, container: &str, path: &str, own: &str| {
        let mounts = format!("extraVolumeMounts: [{{name: a, mountPath: {path}}}]");
        let mounts = if container == "config-sync" { format!("sync: {{{mounts}}}") } else { mounts };
        let values = format!("{at}: {{extraVolumes: [{{name: a, emptyDir: {{}}}}], {mounts}}}");
        cases.push((values, format!("extraVolumeMounts: found the path `{path}`; wanted one apart from `{own}`")));
    };
    for (at, pod) in pods()? {
        for container in ["containers", "initContainers"].into_iter().filter_map(|word| pod[word].get(0)) {
            for mount in container["volumeMounts"].as_array().context("mounts")? {
                let name = container["name"].as_str().context("a name")?;
                let own = mount["mountPath"].as_str().context("a path")?;
                for path in [own, &format!("{own}/"), &format!("{own}/a"), &format!("/a/..{own}")] {
                    case(at, name, path, own);
                }
            }
        }
    }
    case("gatewayDefaults", "proxy", "/", "/run/streamgate/config");
    case("gatewayDefaults", "config-sync", "/run/streamgate/", "/run/streamgate/config");
    // Where Kubernetes mounts it by itself.
    let token = "/var/run/secrets/kubernetes.io/serviceaccount";
    case("operator", "operator", token, token);
    ensure!(cases.len() == 7 * 4 + 3, "{cases:#?}");
    refuses(&cases)
}
