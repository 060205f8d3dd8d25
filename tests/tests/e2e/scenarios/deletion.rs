//! What is deleted takes no further connection, cuts none, and leaves nothing behind.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use streamgate_tests::tls_client::{self, TlsClient};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use crate::measured::Measured;
use crate::site::{FLEET, Site};

/// The reason code "Not authorized" of a CONNACK (MQTT 5, 3.2.2.2).
const NOT_AUTHORIZED: u8 = 0x87;
/// The alert `unrecognized_name` (RFC 6066, 3).
pub(super) const UNRECOGNIZED_NAME: u8 = 112;
const NAME: &str = "devices.passing.example";

/// First the route, then the TlsSni, then the namespace; and at last a namespace with all that is in it at once.
pub(crate) fn what_is_deleted_is_refused_and_leaves_nothing(site: &Site, measured: &mut Measured) -> Result<()> {
    set_up_passing(site)?;
    let client = TlsClient::with_certificate(&site.public, NAME, &site.fleet.device("device")?)?;
    let mut live = client.connect(site.address()?)?;
    let connect = Connect::new(Version::V5, "passing");
    ensure!(wire::connack(&mut live, &connect)?.body.get(1) == Some(&0), "the device isn't let in");

    let start = Instant::now();
    site.kube.kubectl("delete -n passing streamroute/devices")?;
    wait_for_answer(site, &client, &Answer::Connack(NOT_AUTHORIZED))?;
    measured.seconds("a route deleted: until its devices are refused", start.elapsed());
    let start = Instant::now();
    site.kube.kubectl("delete -n passing tlssni/devices")?;
    wait_for_answer(site, &client, &Answer::Alert(UNRECOGNIZED_NAME))?;
    measured.seconds("a TlsSni deleted: until its names are refused", start.elapsed());
    live.write_all(&wire::PINGREQ)?;
    ensure!(wire::read_packet(&mut live, wait::SOON)?.first_byte == 0xd0, "the connection from before was cut");
    delete_passing(site)?;

    set_up_passing(site)?;
    wait_for_answer(site, &client, &Answer::Connack(0))?;
    let start = Instant::now();
    delete_passing(site)?;
    wait_for_answer(site, &client, &Answer::Alert(UNRECOGNIZED_NAME))?;
    measured.seconds("a namespace deleted: until it is gone and its names are refused", start.elapsed());
    site.wait_until_all_is_true(&[FLEET])
}

/// A tenant who has what the fleet has, until all of it is generated.
fn set_up_passing(site: &Site) -> Result<()> {
    site.namespace("passing")?;
    site.tls_secret("passing", "tls", &site.public.server(&[NAME])?)?;
    site.ca_secret("passing", "ca", &[&site.fleet])?;
    let brokers = include_str!("../manifests/fleet.yaml")
        .replace("namespace: fleet", "namespace: passing")
        .replace(".fleet.", ".passing.");
    site.kube.apply(&site.with_mosquitto(&brokers))?;
    site.kube.wait_for_rollout("passing", "statefulset/broker")?;
    site.kube.wait_for_condition("passing", "streamroute/devices tlssni/devices", "Programmed")?;
    let wanted = [
        "secrets.passing.ca",
        "endpoints.passing.broker",
        "secrets.passing.tls",
        "streamroutes.passing.devices",
        "tlssnis.passing.devices",
    ];
    site.wait_for_generated("passing", |names| wanted.iter().all(|wanted| names.iter().any(|name| name == wanted)))
}

/// Deletes the namespace with all that is in it: it must go, and nothing of it be left with the gateway.
fn delete_passing(site: &Site) -> Result<()> {
    site.kube.kubectl("delete namespace passing --wait=true --timeout=120s")?;
    site.wait_for_generated("passing", <[String]>::is_empty)
}

/// What a device is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Connack(u8),
    Alert(u8),
}

/// Waits until every proxy answers a device so.
pub(super) fn wait_for_answer(site: &Site, client: &TlsClient, wanted: &Answer) -> Result<()> {
    let mut seen = None;
    let waited = wait::until("the refusal", Duration::from_secs(30), || {
        // By every proxy: each connection may be to another.
        let all = (0..6).all(|_| {
            seen = Some(answer(site, client));
            seen.as_ref().is_some_and(|seen| seen.as_ref().is_ok_and(|seen| seen == wanted))
        });
        all.then_some(())
    });
    waited.with_context(|| format!("{seen:?} in place of {wanted:?}"))
}

fn answer(site: &Site, client: &TlsClient) -> Result<Answer> {
    let mut stream = match client.clone().without_resumption().connect(site.address()?) {
        Ok(stream) => stream,
        Err(error) => match tls_client::alert_of(&error) {
            Some(alert) => return Ok(Answer::Alert(alert)),
            None => return Err(error),
        },
    };
    let connect = Connect::new(Version::V5, "after");
    match wire::connack(&mut stream, &connect)?.body.get(1) {
        Some(code) => Ok(Answer::Connack(*code)),
        None => bail!("a CONNACK without a code"),
    }
}
