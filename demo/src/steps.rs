//! The steps: what a user would want to see.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use streamgate_crds::Kind;
use streamgate_tests::pki::Leaf;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wait;
use streamgate_tests::wire::{Connect, Version};

use crate::cluster_steps;
use crate::devices::{self, Outcome, Session};
use crate::story::{Story, say};
use crate::world::World;

/// The name of the route that is added while the proxy runs.
pub(crate) const LIVE_NAME: &str = "localhost";
/// The devices of which the demo looks where they land.
const CLIENT_IDS: [&str; 6] = ["sensor-1", "sensor-2", "sensor-3", "sensor-4", "sensor-5", "sensor-6"];

/// Goes through all of them.
pub(crate) fn tell(story: &mut Story, world: &mut World) -> Result<()> {
    two_tenants_on_one_port(story, world)?;
    let mut sessions = sticky_by_client_id(story, world)?;
    match &world.cluster {
        Some(cluster) => cluster_steps::a_route_added_live(story, world, cluster)?,
        None => a_route_added_live(story, world)?,
    }
    a_broker_stops(story, world, &mut sessions)?;
    for (_, session) in sessions {
        session.leave();
    }
    certificates_refused(story, world)?;
    unknown_name_refused(story, world)?;
    wrong_levels_refused(story, world)?;
    match &world.cluster {
        Some(cluster) => cluster_steps::mistakes_in_manifests(story, world, cluster),
        None => an_invalid_manifest(story, world),
    }
}

fn two_tenants_on_one_port(story: &mut Story, world: &mut World) -> Result<()> {
    story.step("Devices of two tenants on one port: the name that they ask for (SNI) decides")?;
    for at in 0..2 {
        let tenant = &world.tenants[at];
        let client_id = format!("{}-device", tenant.namespace);
        let client = world.device(tenant, &client_id)?;
        let outcome = visit(world, &client, Version::V5, &client_id);
        let claim = format!("a device of {} asks for {}: {}", tenant.namespace, tenant.server_name, outcome.describe());
        let route = format!("{}/{}", tenant.namespace, tenant.route);
        let reached = outcome.broker().is_some();
        story.check(reached, &claim);
        if let Outcome::Reached(session) = outcome {
            session.leave();
            let line = world.proxy.wait_for_connection(&format!("the access line of {client_id}"), |line| {
                line["client_id"] == client_id.as_str()
            })?;
            let good = line["route"] == route.as_str();
            story.check(good, &format!("its access line names route {}, subject {}", line["route"], line["subject"]));
        }
    }
    Ok(())
}

fn sticky_by_client_id(story: &mut Story, world: &World) -> Result<Vec<(&'static str, Box<Session>)>> {
    story.step("Which broker a device reaches is decided by its client id, and is the same again")?;
    let tenant = &world.tenants[0];
    let mut sessions = Vec::new();
    for (at, client_id) in CLIENT_IDS.into_iter().enumerate() {
        let client = world.device(tenant, client_id)?;
        let first = visit(world, &client, version(at), client_id);
        let mut brokers = vec![first.describe()];
        if let Outcome::Reached(session) = first {
            let name = session.broker.clone();
            session.leave();
            for _ in 0..2 {
                let again = visit(world, &client, version(at), client_id);
                brokers.push(again.describe());
                if let Outcome::Reached(session) = again {
                    if brokers.len() < 3 {
                        session.leave();
                    } else if session.broker == name {
                        sessions.push((client_id, session));
                    }
                }
            }
        }
        let same = brokers.len() == 3 && brokers.windows(2).all(|pair| pair[0] == pair[1]);
        let so = if same { format!("{}, three times", brokers[0]) } else { brokers.join(", then ") };
        story.check(same && sessions.len() == at + 1, &format!("{client_id} ({}) {so}", version_name(version(at))));
    }
    Ok(sessions)
}

fn a_route_added_live(story: &mut Story, world: &World) -> Result<()> {
    story.step("A name and a route are added while the proxy runs")?;
    let tenant = &world.tenants[0];
    let client_id = "newcomer";
    let client = world.device(tenant, client_id)?.named(LIVE_NAME);
    let before = visit(world, &client, Version::V5, client_id);
    story.check(
        matches!(before, Outcome::Alert(112)),
        &format!("before, a device that asks for {LIVE_NAME} is {}", before.describe()),
    );
    let namespace = tenant.namespace.as_str();
    let authority = tenant.authority.certificate_pem();
    world.server_secret(namespace, "demo-live-tls", &[LIVE_NAME])?;
    world.config_map(namespace, "demo-live-ca", &[("ca.crt", authority.as_bytes())])?;
    let written = Instant::now();
    world.write(Kind::TlsSni, namespace, "demo-live", &live_name())?;
    world.write(Kind::StreamRoute, namespace, "demo-live", &live_route(world, "[4, 5]"))?;
    say(&format!("written: tlssnis/{namespace}.demo-live.yaml, streamroutes/{namespace}.demo-live.yaml"));
    let mut last = before;
    let reached = wait::until("the new route", Duration::from_secs(10), || {
        last = visit(world, &client, Version::V5, client_id);
        last.broker().map(str::to_owned)
    });
    let took = written.elapsed();
    match reached {
        Ok(broker) => story.check(
            took < Duration::from_secs(1),
            &format!("{} ms after the files were written, the same device reaches {broker}", took.as_millis()),
        ),
        Err(_) => story.check(false, &format!("{} s later the device is {}", took.as_secs(), last.describe())),
    }
    Ok(())
}

fn a_broker_stops(
    story: &mut Story,
    world: &mut World,
    sessions: &mut Vec<(&'static str, Box<Session>)>,
) -> Result<()> {
    let count = |name: &str| sessions.iter().filter(|(_, session)| session.broker == name).count();
    let stopped = (0..world.brokers.len()).max_by_key(|&at| count(&world.brokers[at].name)).context("no broker")?;
    let name = world.brokers[stopped].name.clone();
    story.step(&format!("Broker {name} is stopped: its devices move, the others stay"))?;
    world.brokers[stopped].stop();
    world.tell_of_brokers(|broker| broker.name != name)?;
    let (moving, staying): (Vec<_>, Vec<_>) = sessions.drain(..).partition(|(_, session)| session.broker == name);
    for (client_id, mut session) in staying {
        let alive = session.is_alive();
        let so = if alive { "is connected" } else { "is connected no more" };
        story.check(alive, &format!("{client_id} {so} to {}, which still runs", session.broker));
        sessions.push((client_id, session));
    }
    let mut moved = Vec::new();
    for (client_id, mut session) in moving {
        let ended = session.was_ended();
        let outcome = visit(world, &world.device(&world.tenants[0], client_id)?, Version::V311, client_id);
        let elsewhere = outcome.broker().is_some_and(|broker| broker != name);
        story.check(ended && elsewhere, &format!("{client_id} lost {name}, connects again: {}", outcome.describe()));
        if let Outcome::Reached(session) = outcome {
            session.leave();
        }
        moved.push(client_id);
    }
    world.brokers[stopped].restart()?;
    world.tell_of_brokers(|_| true)?;
    for client_id in moved {
        let client = world.device(&world.tenants[0], client_id)?;
        let mut outcome = visit(world, &client, Version::V311, client_id);
        let deadline = Instant::now() + Duration::from_secs(10);
        // In a cluster it takes a moment until the proxy knows of it.
        while world.cluster.is_some() && outcome.broker() != Some(name.as_str()) && Instant::now() < deadline {
            outcome = visit(world, &client, Version::V311, client_id);
        }
        let back = outcome.broker() == Some(name.as_str());
        story.check(back, &format!("{name} runs again, and {client_id} {}", outcome.describe()));
    }
    Ok(())
}

fn certificates_refused(story: &mut Story, world: &World) -> Result<()> {
    story.step("Devices without the right certificate are refused, each with the alert that says why")?;
    let (tenant, other) = (&world.tenants[0], &world.tenants[1]);
    let name = &tenant.server_name;
    let without = TlsClient::new(&world.server_authority, name)?;
    expect_alert(story, world, &without, 116, "a device without a certificate");
    let foreign = TlsClient::with_certificate(&world.server_authority, name, &other.device("sensor-1")?)?;
    expect_alert(story, world, &foreign, 48, &format!("a device of {}", other.namespace));
    let expired = tenant.authority.issue(&Leaf::device("sensor-1").organization(&tenant.namespace).expired())?;
    let expired = TlsClient::with_certificate(&world.server_authority, name, &expired)?;
    expect_alert(story, world, &expired, 45, "a device whose certificate is over");
    Ok(())
}

fn unknown_name_refused(story: &mut Story, world: &World) -> Result<()> {
    story.step("A name that nobody serves is refused before any certificate is shown")?;
    let client = world.device(&world.tenants[0], "sensor-1")?;
    expect_alert(story, world, &client.clone().named("nobody.example"), 112, "a device that asks for nobody.example");
    expect_alert(story, world, &client.without_sni(), 112, "a device that asks for no name");
    Ok(())
}

fn wrong_levels_refused(story: &mut Story, world: &World) -> Result<()> {
    story.step("A version of MQTT that the route does not serve is refused with its code")?;
    let client = world.device(&world.tenants[0], "sensor-1")?;
    let old = Connect::new(Version::V31, "sensor-1");
    let outcome = devices::connect(&client, world.address(), Version::V31, &old);
    let good = matches!(outcome, Outcome::Refused(0x01, None));
    story.check(good, &format!("a device of MQTT 3.1 (level 3) is {}", outcome.describe()));
    let future = Connect::new(Version::V5, "sensor-1").level(6);
    let outcome = devices::connect(&client, world.address(), Version::V5, &future);
    let good = matches!(outcome, Outcome::Refused(0x84, _));
    story.check(good, &format!("a device of level 6 is {}", outcome.describe()));
    Ok(())
}

fn an_invalid_manifest(story: &mut Story, world: &World) -> Result<()> {
    story.step("A mistake in a manifest is named, and what was there before goes on")?;
    let tenant = &world.tenants[0];
    let namespace = tenant.namespace.as_str();
    world.write(Kind::StreamRoute, namespace, "demo-live", &live_route(world, "[4, 9]"))?;
    say("written: protocolLevels: [4, 9] into the route that was added before");
    let names_it = |status: &serde_json::Value| {
        let refused = status["refused"].as_array()?;
        refused.iter().find(|refusal| refusal["name"] == "demo-live").cloned()
    };
    match world.proxy.wait_for_status("the refusal in status.json", |status| names_it(status).is_some()) {
        Ok(status) => {
            let refusal = names_it(&status).unwrap_or_default();
            story.check(true, &format!("status.json: {} {}", refusal["reason"], refusal["message"]));
        }
        Err(error) => story.check(false, &format!("status.json names it: {error:#}")),
    }
    let client = world.device(tenant, "newcomer")?.named(LIVE_NAME);
    let outcome = visit(world, &client, Version::V5, "newcomer");
    story.check(outcome.broker().is_some(), &format!("a device of that route still {}", outcome.describe()));
    world.write(Kind::StreamRoute, namespace, "demo-live", &live_route(world, "[4, 5]"))?;
    let cleared = world.proxy.wait_for_status("no refusal", |status| names_it(status).is_none());
    story.check(cleared.is_ok(), "put right again, nothing is refused");
    Ok(())
}

/// The name that is added, as a `spec`.
pub(crate) fn live_name() -> String {
    format!(
        "
        snis: [{LIVE_NAME}]
        certificates: [{{secretName: demo-live-tls}}]
        clientAuth: {{ca: {{configMapName: demo-live-ca}}}}
        "
    )
}

/// The route that is added, as a `spec`.
pub(crate) fn live_route(world: &World, levels: &str) -> String {
    format!(
        "
        match: {{snis: [{LIVE_NAME}]}}
        mqtt: {{protocolLevels: {levels}}}
        upstream:
          loadBalancer: {{type: ConsistentHash}}
          {}
        ",
        world.upstream()
    )
}

pub(crate) fn visit(world: &World, client: &TlsClient, version: Version, client_id: &str) -> Outcome {
    devices::connect(client, world.address(), version, &Connect::new(version, client_id))
}

fn expect_alert(story: &mut Story, world: &World, client: &TlsClient, number: u8, who: &str) {
    let outcome = visit(world, client, Version::V5, "sensor-1");
    let good = matches!(outcome, Outcome::Alert(got) if got == number);
    let wanted =
        if good { String::new() } else { format!("; alert {number} ({}) is right", devices::alert_name(number)) };
    story.check(good, &format!("{who} is {}{wanted}", outcome.describe()));
}

fn version(at: usize) -> Version {
    if at.is_multiple_of(2) { Version::V311 } else { Version::V5 }
}

fn version_name(version: Version) -> &'static str {
    match version {
        Version::V31 => "MQTT 3.1",
        Version::V311 => "MQTT 3.1.1",
        Version::V5 => "MQTT 5.0",
    }
}
