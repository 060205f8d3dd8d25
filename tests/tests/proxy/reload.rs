//! The directory changes while clients are there.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::proxy::Proxy;

mod broken;
mod changes;
mod directory;
mod files;
mod live;
mod many;
mod overflow;
mod secrets;
mod under_load;
mod untold;

/// The path of a route's file.
fn route_file(object: &str) -> String {
    format!("streamroutes/{}.yaml", object.replace('/', "."))
}

/// The text of a file of the configuration directory.
fn text_of(config: &ConfigDir, path: &str) -> Result<String> {
    std::fs::read_to_string(config.path().join(path)).with_context(|| format!("can't read {path}"))
}

/// Waits until this object is refused, and gives the refusal.
fn wait_for_refusal(proxy: &Proxy, kind: &str, object: &str) -> Result<Value> {
    let is_of = |refusal: &Value| {
        refusal["kind"] == kind
            && format!("{}/{}", refusal["namespace"].as_str().unwrap_or("-"), refusal["name"].as_str().unwrap_or("-"))
                == object
    };
    let find = |status: &Value| status["refused"].as_array().and_then(|all| all.iter().find(|one| is_of(one)).cloned());
    let status = proxy.wait_for_status(&format!("the refusal of {kind} {object}"), |status| find(status).is_some())?;
    find(&status).context("it is gone again")
}

/// Waits until nothing is refused.
fn wait_for_no_refusal(proxy: &Proxy) -> Result<()> {
    proxy.wait_for_status("no refusal", |status| status["refused"] == json!([]))?;
    Ok(())
}

/// The value of a metric by its whole series, `streamgate_config_refused{kind="StreamRoute",reason="Invalid"}`.
pub(crate) fn metric(proxy: &Proxy, series: &str) -> Result<Option<u64>> {
    let metrics = proxy.admin_get("/metrics")?.body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(value.map(str::parse).transpose()?)
}
