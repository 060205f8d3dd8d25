//! The chart, and Helm, by `scripts/helm`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::{self, Output};
use crate::workspace;

/// How long a step of Helm may take: seconds, but minutes where it has to be built.
const STEP: Duration = Duration::from_mins(20);

/// Where the chart is.
pub fn folder() -> PathBuf {
    workspace().join("charts/streamgate")
}

/// Runs Helm with these arguments and this standard input, as the user of a kubeconfig or without a cluster.
///
/// # Errors
/// When it can't be started.
pub fn helm(kubeconfig: Option<&Path>, arguments: &[&str], input: &str) -> Result<Output> {
    let mut command = Command::new(workspace().join("scripts/helm"));
    command.args(arguments).env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null")));
    process::run_with_input(command, input.as_bytes(), Some(""), STEP)
}

/// Whom a release lets do what: the release `streamgate` in a namespace, with one gateway.
#[derive(Clone, Copy, Debug)]
pub struct Permissions<'p> {
    /// The release's namespace.
    pub system: &'p str,
    /// The gateway's name.
    pub gateway: &'p str,
    /// The namespaces that are watched; none: all.
    pub watched: &'p [&'p str],
    /// Whether the gateway chooses namespaces by label.
    pub by_label: bool,
}

impl Permissions<'_> {
    /// The manifests as the chart renders them: the gateway's namespace, accounts, their roles and bindings. Teams' roles are
    /// left out.
    ///
    /// # Errors
    /// When Helm fails, by what it wrote.
    pub fn manifests(&self) -> Result<Vec<String>> {
        let Self { system, gateway, watched, by_label } = self;
        let allowed = if *by_label { "{matchLabels: {a: b}}" } else { "null" };
        let values = format!(
            "rbac: {{aggregateToDefaultRoles: false}}\nwatchNamespaces: [{}]\n\
             gateways: {{default: null, {gateway}: {{allowedNamespaces: {allowed}}}}}\n",
            watched.join(", ")
        );
        let values = if *gateway == "default" { values.replace("default: null, ", "") } else { values };
        let folder = folder();
        let arguments = ["template", "streamgate", &folder.to_string_lossy(), "--namespace", system, "--values", "-"];
        let rendered = helm(None, &arguments, &values)?.succeeded("helm template")?.text();
        let is_one = |manifest: &&str| KINDS.iter().any(|kind| manifest.contains(&format!("\nkind: {kind}\n")));
        Ok(rendered.split("\n---\n").filter(is_one).map(str::to_owned).collect())
    }

    /// Those of one namespace, as manifests for `kubectl apply`.
    ///
    /// # Errors
    /// As [`Permissions::manifests`].
    pub fn manifests_in(&self, namespace: &str) -> Result<String> {
        let place = format!("\n  namespace: \"{namespace}\"\n");
        let manifests = self.manifests()?;
        let there: Vec<&str> = manifests.iter().map(String::as_str).filter(|text| text.contains(&place)).collect();
        Ok(there.join("\n---\n"))
    }
}

const KINDS: [&str; 6] = ["Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
