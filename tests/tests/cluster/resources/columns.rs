use anyhow::{Context, Result};
use serde_json::json;

use super::{cluster, least, manifest, printed};

#[test]
fn kubectl_get_shows_what_a_route_matches_where_it_leads_and_whether_it_is_in_effect() -> Result<()> {
    let cluster = cluster()?;
    let namespace = cluster.namespace("columns")?;
    let spec = json!({
        "match": { "snis": ["a.example", "*.b.example"] },
        "upstream": { "services": [{ "name": "broker", "port": "mqtt" }] },
    });
    cluster.apply(&manifest("StreamRoute", &namespace, "devices", &spec).to_string())?;
    let rows = || rows(&["get", "sr", "-n", &namespace]);
    assert_eq!(rows()?[0], ["NAME", "SNIS", "UPSTREAM", "ACCEPTED", "PROGRAMMED", "AGE"]);
    assert_eq!(rows()?[1][..5], ["devices", r#"["a.example","*.b.example"]"#, "", "", ""]);

    let conditions = [condition("Accepted", "True"), condition("Programmed", "Unknown")];
    let status = json!({ "status": { "upstream": "broker:mqtt", "conditions": conditions } }).to_string();
    patch("streamroute", &namespace, &status)?;
    assert_eq!(rows()?[1][2..5], ["broker:mqtt", "True", "Unknown"]);
    Ok(())
}

#[test]
fn kubectl_get_shows_what_a_tls_sni_serves_until_when_and_whether_it_is_in_effect() -> Result<()> {
    let cluster = cluster()?;
    let namespace = cluster.namespace("columns")?;
    cluster.apply(&manifest("TlsSni", &namespace, "devices", &least("TlsSni")?).to_string())?;
    let conditions = [condition("Programmed", "True")];
    let status = json!({ "status": { "notAfter": "2030-01-02T03:04:05Z", "conditions": conditions } }).to_string();
    patch("tlssni", &namespace, &status)?;
    let rows = rows(&["get", "tsni", "-n", &namespace])?;
    assert_eq!(rows[0], ["NAME", "SNIS", "UNTIL", "PROGRAMMED", "AGE"]);
    assert_eq!(rows[1][..4], ["devices", r#"["a.example"]"#, "2030-01-02T03:04:05Z", "True"]);
    Ok(())
}

#[test]
fn kubectl_get_streamgate_shows_both() -> Result<()> {
    let cluster = cluster()?;
    let namespace = cluster.namespace("columns")?;
    for kind in ["StreamRoute", "TlsSni"] {
        cluster.apply(&manifest(kind, &namespace, "devices", &least(kind)?).to_string())?;
    }
    let text = printed(cluster, &["get", "streamgate", "-n", &namespace, "-o", "name"])?;
    let mut names: Vec<_> = text.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["streamroute.streamgate.dev/devices", "tlssni.streamgate.dev/devices"]);
    Ok(())
}

#[test]
fn a_status_is_no_part_of_what_a_person_applies() -> Result<()> {
    let cluster = cluster()?;
    let namespace = cluster.namespace("status")?;
    let mut route = manifest("StreamRoute", &namespace, "devices", &least("StreamRoute")?);
    route["status"] = json!({ "upstream": "elsewhere" });
    cluster.apply(&route.to_string())?;
    let stored = cluster.json(&["get", "streamroute", "devices", "-n", &namespace])?;
    assert_eq!(stored.get("status"), None);
    Ok(())
}

fn condition(name: &str, status: &str) -> serde_json::Value {
    json!({
        "type": name,
        "status": status,
        "reason": name,
        "message": "as it is",
        "observedGeneration": 1,
        "lastTransitionTime": "2025-01-02T03:04:05Z",
    })
}

fn patch(kind: &str, namespace: &str, status: &str) -> Result<()> {
    let patch = ["patch", kind, "devices", "-n", namespace, "--subresource=status", "--type=merge", "--patch", status];
    cluster()?.kubectl(&patch, None)?.succeeded("kubectl patch")?;
    Ok(())
}

/// The table that kubectl prints, cut where the columns of its first line begin.
fn rows(arguments: &[&str]) -> Result<Vec<Vec<String>>> {
    let text = printed(cluster()?, arguments)?;
    let head = text.lines().next().context("a first line")?;
    let begins: Vec<usize> = head
        .char_indices()
        .filter(|(at, character)| *character != ' ' && (*at == 0 || head[..*at].ends_with(' ')))
        .map(|(at, _)| at)
        .collect();
    let cells = |line: &str| {
        let ends = begins.iter().skip(1).copied().chain([line.len()]);
        let cell =
            |(begin, end): (&usize, usize)| line.get(*begin..end.min(line.len())).unwrap_or_default().trim().to_owned();
        begins.iter().zip(ends).map(cell).collect()
    };
    Ok(text.lines().map(cells).collect())
}
