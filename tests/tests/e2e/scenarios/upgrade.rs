//! The release itself changes, and goes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use streamgate_tests::wait;

use crate::afterwards::Afterwards;
use crate::kube::{CHART, name};
use crate::measured::Measured;
use crate::newcomers;
use crate::scenarios::proxies::wait_until_two_proxies_are_left;
use crate::site::{FLEET, GATEWAY, SYSTEM, Site};

/// `helm upgrade` with other values, then with another image, then `helm rollback`: devices go on.
pub(crate) fn devices_go_on_through_upgrades(site: &Site, measured: &mut Measured) -> Result<()> {
    let as_before = Afterwards::new(|| site.install(""));
    let changed = "gateways: {default: {drainTime: 8s, podAnnotations: {changed: 'yes'}}}";
    devices_go_on(site, measured, "helm upgrade with other values", || site.install(changed))?;
    let image = format!("image: {{tag: '{}'}}", site.images.next_tag);
    devices_go_on(site, measured, "helm upgrade with another image", || site.install(&image))?;
    // The sidecar is an init container.
    let fields = "jsonpath={.items[*].spec['initContainers','containers'][*].image}";
    let images =
        site.kube.kubectl(&format!("get pods -n {SYSTEM} -l app.kubernetes.io/name=streamgate -o {fields}"))?;
    let images: Vec<_> = images.split_whitespace().collect();
    // Two proxies with a sidecar each, and two operators.
    ensure!(images.len() >= 6 && images.iter().all(|image| image.ends_with(&site.images.next_tag)), "{images:?}");
    devices_go_on(site, measured, "helm rollback", || {
        site.kube.helm(&format!("rollback streamgate --namespace {SYSTEM} --wait --timeout 4m"), "").map(|_| ())
    })?;
    as_before.now()
}

/// Does something that replaces all proxies, under devices of which none is refused, and with further ones that connect.
fn devices_go_on(site: &Site, measured: &mut Measured, what: &str, does: impl FnOnce() -> Result<()>) -> Result<()> {
    let fleet = site.start_fleet(100)?;
    let start = Instant::now();
    let newcomers = newcomers::meanwhile(site, || {
        does()?;
        wait_until_two_proxies_are_left(site)
    });
    let newcomers = newcomers.with_context(|| what.to_owned())?;
    fleet.wait_until_whole()?;
    let happened = fleet.since(start);
    happened.ensure_nobody_was_refused().with_context(|| what.to_owned())?;
    ensure!(happened.departed.len() == 100, "{what}: not all proxies were replaced");
    measured.seconds(format!("{what}: the longest gap of a device"), happened.longest_gap());
    measured.value(format!("{what}: newcomers that were let in meanwhile"), newcomers);
    site.wait_until_all_is_true(&["acme", "globex", FLEET])
}

/// `helm test`.
pub(crate) fn helm_test_passes(site: &Site, measured: &mut Measured) -> Result<()> {
    let start = Instant::now();
    site.kube.helm(&format!("test streamgate --namespace {SYSTEM} --timeout 3m --logs"), "")?;
    measured.seconds("helm test", start.elapsed());
    Ok(())
}

/// A second release can't take a gateway that another one has.
pub(crate) fn a_second_gateway_of_one_name_is_refused(site: &Site, measured: &mut Measured) -> Result<()> {
    let line = format!("install other {CHART} --namespace other --create-namespace");
    let start = Instant::now();
    let refused = site.kube.try_helm(&line, &site.values("crds: {install: false}")?)?;
    ensure!(!refused.success() && refused.stderr.contains("found a gateway of this name"), "{refused:?}");
    measured.seconds("a second gateway of one name: until helm refuses it", start.elapsed());
    // Nothing of it stays, but for the namespace that helm made.
    site.kube.try_helm("uninstall other --namespace other --ignore-not-found", "")?;
    site.kube.kubectl("delete namespace other --ignore-not-found --wait=true --timeout=60s")?;
    site.wait_until_all_is_true(&[FLEET])
}

/// `helm uninstall`: nothing of ours stays but the custom resources, which are kept by choice, and no object hangs in its
/// deletion.
pub(crate) fn uninstalling_leaves_nothing(site: &Site, measured: &mut Measured) -> Result<()> {
    let start = Instant::now();
    site.kube.helm(&format!("uninstall streamgate --namespace {SYSTEM} --wait --timeout 3m"), "")?;
    wait::until("the gateway's namespace to go", Duration::from_mins(2), || {
        let gone = site.kube.try_kubectl(&format!("get namespace {GATEWAY}")).ok()?;
        gone.stderr.contains("NotFound").then_some(())
    })?;
    measured.seconds("helm uninstall until nothing is left", start.elapsed());
    for kind in ["clusterroles", "clusterrolebindings", "validatingwebhookconfigurations", "priorityclasses"] {
        let left: Vec<Value> =
            site.kube.list(kind)?.into_iter().filter(|object| name(object).contains("streamgate")).collect();
        ensure!(left.is_empty(), "{kind} are left: {left:?}");
    }
    let kinds = "deployments,replicasets,pods,services,endpointslices,configmaps,secrets,serviceaccounts,leases,roles,rolebindings,\
                 poddisruptionbudgets,networkpolicies,events.events.k8s.io";
    let all = site.kube.list(&format!("{kinds} -n {SYSTEM}"))?;
    let left: Vec<_> = all
        .iter()
        .filter(|object| object["kind"] != "Event" && name(object).contains("streamgate"))
        .map(|object| format!("{} {}", object["kind"], name(object)))
        .collect();
    ensure!(left.is_empty(), "{left:?}");
    // The tenants' own objects are theirs, with the definitions, and can be deleted by nobody's leave.
    ensure!(!site.kube.list("streamroutes -A")?.is_empty(), "the tenants' objects went with the release");
    site.kube.kubectl(&format!("delete namespace acme globex {FLEET} --wait=true --timeout=120s"))?;
    let definitions = site.kube.kubectl("get crds -o name")?;
    ensure!(definitions.contains("streamroutes.streamgate.dev"), "{definitions}");
    site.kube
        .kubectl("delete crd streamroutes.streamgate.dev tlssnis.streamgate.dev --timeout=60s")
        .context("the definitions")?;
    // Which these tests have made, and which has nothing of ours any more.
    site.kube.kubectl(&format!("delete namespace {SYSTEM} --wait=true --timeout=120s"))?;
    Ok(())
}
