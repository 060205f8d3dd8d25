//! Where nothing changes, nothing is written: neither by operators nor by the sync, which both look after everything now and
//! then, nor by those that start anew.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result};
use kube::ResourceExt;
use serde_json::{Value, json};
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::wait;

use super::history::base64;
use super::site::{Site, slice};
use crate::gateways::shared;
use streamgate_tests::operator::EVENTUALLY;

/// Longer than a watch lasts and than it is from one round of the operator's to the next; the sync sweeps every 3 s.
const A_WHILE: Duration = Duration::from_secs(63);

/// The versions of all objects, Leases aside, and which files there are: each by its number and its last change.
type Everything = BTreeMap<String, String>;

fn everything(site: &Site<'_>) -> Result<Everything> {
    let mut found = Everything::new();
    let core = ["ConfigMap", "Secret", "Event", "Service"].map(|kind| json!({"apiVersion": "v1", "kind": kind}));
    let ours = ["StreamRoute", "TlsSni"].map(|kind| json!({"apiVersion": "streamgate.dev/v1alpha1", "kind": kind}));
    let slices = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"});
    for namespace in [&site.generated, &site.system, &site.tenants[0], &site.tenants[1]] {
        for kind in core.iter().chain(&ours).chain([&slices]) {
            for object in site.administrator.list_of(namespace, kind)?.0 {
                let name = format!("{} {namespace}/{}", kind["kind"], object.name_any());
                found.insert(name, object.resource_version().unwrap_or_default());
            }
        }
    }
    add_files(&site.config.path(), &mut found)?;
    Ok(found)
}

fn add_files(folder: &Path, found: &mut Everything) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            add_files(&path, found)?;
        } else {
            let change = format!("{} {}.{:09}", metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
            found.insert(path.display().to_string(), change);
        }
    }
    Ok(())
}

/// Waits until nothing has changed for two seconds.
fn at_rest(site: &Site<'_>) -> Result<Everything> {
    let mut last = (Everything::new(), Instant::now());
    wait::until("a steady state", EVENTUALLY * 2, || {
        thread::sleep(Duration::from_millis(200));
        let now = everything(site).ok()?;
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_secs(2)).then(|| last.0.clone())
    })
}

/// Whether all that is served is programmed, and said to be.
fn is_programmed(site: &Site<'_>) -> Option<()> {
    for kind in ["StreamRoute", "TlsSni"] {
        let kind = json!({"apiVersion": "streamgate.dev/v1alpha1", "kind": kind});
        for object in site.administrator.list_of(&site.tenants[0], &kind).ok()?.0 {
            let conditions = object.data["status"]["conditions"].as_array()?;
            let is_so = |condition: &Value| condition["type"] == "Programmed" && condition["status"] == "True";
            conditions.iter().any(is_so).then_some(())?;
        }
    }
    Some(())
}

#[test]
fn where_nothing_changes_nothing_is_written_by_those_who_run_and_those_who_start() -> Result<()> {
    let site = Site::new(shared()?, "leaseDuration: 2s", "")?;
    for object in objects(&site)? {
        site.apply(&object)?;
    }
    let (leader, follower) = (site.start_leader()?, site.start_operator()?);
    let sync = site.start_sync()?;
    sync.wait_until_ready(wait::SOON)?;
    let proxy = site.start_proxy()?;
    wait::until("all to be programmed", EVENTUALLY, || is_programmed(&site))
        .with_context(|| format!("{}\n--- sync\n{}\n--- proxy\n{}", leader.log(), sync.log(), proxy.log()))?;
    let before = at_rest(&site)?;
    let writes = leader.writes()?;

    let start = Instant::now();
    wait::until("a while", A_WHILE * 2, || (start.elapsed() > A_WHILE).then_some(()))?;
    assert_eq!(everything(&site)?, before, "\n{}", leader.log());
    assert_eq!(leader.writes()?, writes, "\n{}", leader.log());

    drop(leader);
    follower.wait_until_leading(EVENTUALLY)?;
    assert_eq!(at_rest(&site)?, before, "after another leads\n{}", follower.log());
    assert!(follower.stop()?.success());
    drop(sync);
    let operator = site.start_leader()?;
    let sync = site.start_sync()?;
    sync.wait_until_ready(wait::SOON)?;
    assert_eq!(at_rest(&site)?, before, "after both started anew\n{}\n--- sync\n{}", operator.log(), sync.log());
    assert_eq!(operator.writes()?, 0, "\n{}", operator.log());
    Ok(())
}

fn objects(site: &Site<'_>) -> Result<Vec<Value>> {
    let authority = CertificateAuthority::new("the tenant's")?;
    let certificate = authority.server(&["devices.example.com"])?;
    let endpoint = json!({"addresses": ["10.1.0.7"], "targetRef": {"kind": "Pod", "name": "broker-0"}});
    Ok(vec![
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"}, "type": "kubernetes.io/tls",
            "data": {"tls.crt": base64(&certificate.chain_pem), "tls.key": base64(&certificate.key_pem)},
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"},
            "data": {"ca.crt": authority.certificate_pem()},
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "broker"},
            "spec": {"clusterIP": "None", "ports": [{"name": "mqtt", "port": 1883, "protocol": "TCP"}]},
        }),
        slice("broker-1", "broker", &[endpoint]),
        json!({
            "apiVersion": "streamgate.dev/v1alpha1", "kind": "TlsSni", "metadata": {"name": "devices"},
            "spec": {
                "gateway": site.gateway, "snis": ["devices.example.com"], "certificates": [{"secretName": "tls"}],
                "clientAuth": {"ca": {"configMapName": "ca"}},
            },
        }),
        json!({
            "apiVersion": "streamgate.dev/v1alpha1", "kind": "StreamRoute", "metadata": {"name": "devices"},
            "spec": {
                "gateway": site.gateway, "match": {"snis": ["devices.example.com"]},
                "upstream": {"services": [{"name": "broker", "port": "mqtt"}]},
            },
        }),
    ])
}
