//! The operator without rights on the whole cluster.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use streamgate_tests::tls_client::TlsClient;

use crate::afterwards::Afterwards;
use crate::kube::condition;
use crate::measured::Measured;
use crate::scenarios::deletion::{Answer, UNRECOGNIZED_NAME, wait_for_answer};
use crate::scenarios::faults::route_takes_effect;
use crate::site::{FLEET, OPERATOR, SYSTEM, Site};

/// `helm upgrade` with `watchNamespaces`, and back: Roles in these take the place of the `ClusterRole`. Their devices notice
/// nothing, and further ones and further routes get in. Of the others nothing is served, read or written, and nothing was asked
/// for that isn't granted.
pub(crate) fn without_rights_on_the_cluster_the_watched_namespaces_are_served(
    site: &Site,
    measured: &mut Measured,
) -> Result<()> {
    let fleet = site.start_fleet(50)?;
    let start = Instant::now();
    let as_before = Afterwards::new(|| site.install(""));
    site.install("watchNamespaces: [acme, fleet]\ngateways: {default: {allowedNamespaces: [acme, fleet]}}")?;
    let operator = format!("--as=system:serviceaccount:{SYSTEM}:streamgate-operator");
    for (line, may) in [
        ("list secrets -n acme", true),
        ("list secrets -n fleet", true),
        ("list secrets -n globex", false),
        ("list streamroutes --all-namespaces", false),
        ("list namespaces", false),
    ] {
        let can = site.kube.can(&format!("{line} {operator}"))?;
        ensure!(can == may, "the operator {} {line}", if can { "can" } else { "can't" });
    }

    let outcome = the_watched_alone_are_served(site);
    let took = start.elapsed();
    // What is denied is the reason for whatever else is missing.
    let log = site.kube.kubectl(&format!("logs -n {SYSTEM} {OPERATOR} --all-pods --tail=-1"))?;
    let denials: Vec<_> = log.lines().filter(|line| line.to_lowercase().contains("forbidden")).collect();
    ensure!(!log.is_empty() && denials.is_empty(), "requests that were denied: {denials:#?}");
    outcome?;
    measured.seconds("helm upgrade with watchNamespaces until those are served and no others", took);
    as_before.now()?;
    site.wait_until_all_is_true(&[FLEET, "acme", "globex"])?;
    measured.value("helm upgrade with watchNamespaces: devices that noticed", fleet.since(start).ensure_nothing()?);
    Ok(())
}

fn the_watched_alone_are_served(site: &Site) -> Result<()> {
    route_takes_effect(site)?;
    drop(site.start_newcomers(site.address()?)?);
    site.wait_for_generated("globex", <[String]>::is_empty)?;
    let client = TlsClient::with_certificate(&site.public, "meters.globex.example", &site.globex.device("meter")?)?;
    wait_for_answer(site, &client, &Answer::Alert(UNRECOGNIZED_NAME))?;
    // Whoever may not write it leaves the status as it was.
    let route = site.kube.get("streamroute -n globex meters")?;
    let programmed = condition(&route, "Programmed").context("no condition Programmed")?;
    ensure!(programmed.0 == "True", "{programmed:?}");
    Ok(())
}
