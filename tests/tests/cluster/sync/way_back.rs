//! What the proxy says, on its Lease.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::wait;

use super::gateway::{Gateway, POD, revision};
use super::traffic::broker;

#[test]
fn the_lease_says_up_to_where_the_proxy_has_applied_what_there_is() -> Result<()> {
    let broker = broker()?;
    let gateway = Gateway::before(ControlPlane::shared()?, broker.address())?;
    let _sync = gateway.start_ready_sync()?;
    let (lease, _) = gateway.wait_for_lease("a Lease before the proxy", |_, report| report.is_null())?;
    assert_eq!(lease["metadata"]["labels"], json!({"streamgate.dev/proxy": gateway.name()}));
    assert_eq!(lease["spec"]["holderIdentity"], POD);
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 15);

    let _proxy = gateway.start_proxy()?;
    gateway.wait_for_lease("one route", |_, report| report["applied"] == json!({"streamroutes": 1, "tlssnis": 1}))?;
    let of_secret: u64 = gateway.write("secrets", "acme.other", &[("key", "one")])?.parse()?;
    let of_route: u64 = gateway.write_route("second", "match: {sourceRanges: [10.0.0.0/8]}")?.parse()?;
    let (_, report) = gateway.wait_for_lease("both versions", |_, report| {
        let found = report["revision"].as_str().and_then(|text| revision(text).ok());
        found.is_some_and(|(config_maps, secrets)| config_maps >= of_route && secrets >= of_secret)
    })?;
    assert_eq!(report["applied"], json!({"streamroutes": 2, "tlssnis": 1}));
    assert_eq!((&report["refusedCount"], &report["refused"]), (&json!(0), &json!([])));
    Ok(())
}

#[test]
fn the_lease_names_what_the_proxy_refuses() -> Result<()> {
    let gateway = Gateway::new(ControlPlane::shared()?)?;
    let _sync = gateway.start_ready_sync()?;
    let _proxy = gateway.start_proxy()?;
    for number in 0..10 {
        gateway.write_file("streamroutes", &format!("acme.broken-{number}"), "kind: [\n\u{7}")?;
    }
    let (_, report) = gateway.wait_for_lease("ten refusals", |_, report| report["refusedCount"] == 10)?;
    let refused = report["refused"].as_array().context("a list")?;
    assert_eq!(refused.len(), 8);
    assert_eq!(refused[0]["name"], "broken-0");
    assert_eq!(refused[0]["reason"], "Invalid");
    Ok(())
}

#[test]
fn the_lease_is_renewed_while_nothing_changes() -> Result<()> {
    let gateway = Gateway::new(ControlPlane::shared()?)?;
    let _sync = gateway.start_ready_sync()?;
    let (first, _) = gateway.wait_for_lease("a Lease", |_, _| true)?;
    gateway.wait_for_lease("its renewal", |lease, _| lease["spec"]["renewTime"] != first["spec"]["renewTime"])?;
    Ok(())
}

#[test]
fn a_status_that_is_not_a_proxys_is_not_reported() -> Result<()> {
    let gateway = Gateway::new(ControlPlane::shared()?)?;
    let sync = gateway.start_ready_sync()?;
    let path = gateway.config.status_dir().join("status.json");
    let put = |text: &[u8]| {
        let staged = gateway.config.scratch().join("staged");
        fs::write(&staged, text)?;
        anyhow::Ok(fs::rename(staged, &path)?)
    };
    let good =
        br#"{"revision": "by hand", "generation": 3, "applied": {"streamroutes": 1, "tlssnis": 2}, "refused": []}"#;
    let elsewhere = gateway.config.scratch().join("elsewhere");
    fs::write(&elsewhere, good)?;
    for bad in [b"{".as_slice(), b"[1, 2]", &vec![b' '; 20 << 20], b"a symlink"] {
        put(good)?;
        let (_, report) = gateway.wait_for_lease("the good one", |_, report| !report.is_null())?;
        let applied = json!({"streamroutes": 1, "tlssnis": 2});
        let expected = json!({"revision": null, "generation": 3, "applied": applied, "refusedCount": 0, "refused": []});
        assert_eq!(report, expected);
        if bad == b"a symlink" {
            fs::remove_file(&path)?;
            symlink(&elsewhere, &path)?;
        } else {
            put(bad)?;
        }
        gateway.wait_for_lease("no report", |_, report| report.is_null())?;
    }
    let metrics = sync.admin_get("/metrics")?.body;
    assert!(metrics.contains("streamgate_sync_status_rejected_total 4"), "{metrics}");
    Ok(())
}

#[test]
fn sync_ends_in_order_when_it_is_told_to() -> Result<()> {
    let gateway = Gateway::new(ControlPlane::shared()?)?;
    let mut sync = gateway.start_ready_sync()?;
    gateway.write_file("streamroutes", "acme.devices", "good")?;
    sync.signal("TERM")?;
    assert!(sync.wait_for_end(Duration::from_secs(5))?.success(), "{}", sync.log());
    Ok(())
}

#[test]
fn sync_does_all_that_its_role_grants_and_nothing_else() -> Result<()> {
    let gateway = Gateway::new(ControlPlane::shared()?)?;
    let _sync = gateway.start_ready_sync()?;
    let (first, _) = gateway.wait_for_lease("a Lease", |_, _| true)?;
    gateway.wait_for_lease("its renewal", |lease, _| lease["spec"]["renewTime"] != first["spec"]["renewTime"])?;
    let user = format!("system:serviceaccount:streamgate-system:{}", gateway.namespace);
    let wanted: BTreeSet<String> =
        ["list configmaps", "watch configmaps", "list secrets", "watch secrets", "create leases", "patch leases"]
            .map(str::to_owned)
            .into();
    let done = || {
        let events = gateway.cluster.audit_events()?;
        let of_sync = events.iter().filter(|event| event["user"]["username"] == user.as_str());
        let allowed = of_sync.map(|event| {
            let decision = &event["annotations"]["authorization.k8s.io/decision"];
            assert_eq!(decision, "allow", "{event}");
            assert_eq!(event["objectRef"]["namespace"], gateway.namespace.as_str(), "{event}");
            let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            format!("{} {}", word(&event["verb"]), word(&event["objectRef"]["resource"]))
        });
        anyhow::Ok(allowed.collect::<BTreeSet<_>>())
    };
    wait::until("all of them", wait::SOON, || done().ok().filter(|done| *done == wanted)).map(drop)
}
