//! The steps that are told another way in a cluster: by `kubectl`.

use std::time::{Duration, Instant};

use anyhow::Result;
use streamgate_crds::Kind;
use streamgate_tests::config_dir;
use streamgate_tests::wait;
use streamgate_tests::wire::Version;

use crate::cluster::Cluster;
use crate::devices::Outcome;
use crate::steps::{LIVE_NAME, live_name, live_route, visit};
use crate::story::{Story, say};
use crate::world::{World, one_line};

/// What is added: a TlsSni and a StreamRoute of this name.
const NAME: &str = "demo-live";
/// That StreamRoute, as kubectl calls it.
const ROUTE: &str = "streamroute/demo-live";

/// A name and a route are added while the proxy runs.
pub(crate) fn a_route_added_live(story: &mut Story, world: &World<'_>, cluster: &Cluster<'_>) -> Result<()> {
    story.step("A name and a route are applied while the proxy runs, and `kubectl wait` says when they count")?;
    let tenant = &world.tenants[0];
    let namespace = tenant.namespace.as_str();
    let client_id = "newcomer";
    let client = world.device(tenant, client_id)?.named(LIVE_NAME);
    let before = visit(world, &client, Version::V5, client_id);
    story.check(
        matches!(before, Outcome::Alert(112)),
        &format!("before, a device that asks for {LIVE_NAME} is {}", before.describe()),
    );
    world.config_map(namespace, "demo-live-ca", &[("ca.crt", tenant.authority.certificate_pem().as_bytes())])?;
    let manifests = [
        config_dir::manifest("TlsSni", namespace, NAME, &live_name()),
        config_dir::manifest("StreamRoute", namespace, NAME, &live_route(world, "[4, 5]")),
    ];
    cluster.apply(namespace, &manifests.join("---\n"))?;
    // Its Secret is forgotten at first.
    told(story, cluster, namespace, &format!("tlssni/{NAME}"), "RefNotFound");
    let written = Instant::now();
    world.server_secret(namespace, "demo-live-tls", &[LIVE_NAME])?;
    let waited = cluster.wait_until_programmed(namespace, &[ROUTE, "tlssni/demo-live"])?;
    let took = written.elapsed();
    story.check(
        waited.success(),
        &format!("the Secret is applied too; kubectl wait, {} ms later: {}", took.as_millis(), one_line(&waited)),
    );
    let outcome = visit(world, &client, Version::V5, client_id);
    story.check(outcome.broker().is_some(), &format!("at the first try the same device {}", outcome.describe()));
    Ok(())
}

/// Mistakes in manifests: one that the API server refuses, and one that only the operator can see.
pub(crate) fn mistakes_in_manifests(story: &mut Story, world: &World<'_>, cluster: &Cluster<'_>) -> Result<()> {
    story.step("A mistake in a manifest is named, and what was there before goes on")?;
    let tenant = &world.tenants[0];
    let namespace = tenant.namespace.as_str();
    let old = "mqtt: {protocolName: MQIsdp, protocolLevels: [4, 5]}";
    let wrong = live_route(world, "[4, 5]").replace("mqtt: {protocolLevels: [4, 5]}", old);
    let wrong = config_dir::manifest("StreamRoute", namespace, NAME, &wrong);
    let output = cluster.kubectl(&["apply", "-f", "-"], Some(&wrong))?;
    story.check(!output.success(), &format!("{old}: kubectl apply says {}", one_line(&output)));
    let client = world.device(tenant, "newcomer")?.named(LIVE_NAME);
    let outcome = visit(world, &client, Version::V5, "newcomer");
    story.check(outcome.broker().is_some(), &format!("a device of that route still {}", outcome.describe()));

    let typo = live_route(world, "[4, 5]").replace("port: mqtt", "port: mqt");
    world.write(Kind::StreamRoute, namespace, NAME, &typo)?;
    say("applied: the port `mqt` in place of `mqtt`, which only who knows the Service can see");
    told(story, cluster, namespace, ROUTE, "InvalidPort");
    world.write(Kind::StreamRoute, namespace, NAME, &live_route(world, "[4, 5]"))?;
    let waited = cluster.wait_until_programmed(namespace, &[ROUTE])?;
    story.check(waited.success(), &format!("put right again: {}", one_line(&waited)));
    let outcome = visit(world, &client, Version::V5, "newcomer");
    story.check(outcome.broker().is_some(), &format!("and its device {}", outcome.describe()));
    cluster.show(story)
}

/// Waits until the status of an object tells why it is not resolved.
fn told(story: &mut Story, cluster: &Cluster<'_>, namespace: &str, object: &str, reason: &str) {
    let mut last = serde_json::Value::Null;
    let found = wait::until(reason, Duration::from_secs(10), || {
        last = cluster.condition(namespace, object, "ResolvedRefs").ok()?;
        (last["reason"] == reason).then_some(())
    });
    let so = format!("the status of {object}: ResolvedRefs={} {}: {}", last["status"], last["reason"], last["message"]);
    story.check(found.is_ok(), &so.replace('"', ""));
}
