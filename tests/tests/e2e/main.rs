//! End to end, on a whole cluster: the image, the chart, kubelet and containers, brokers in pods, devices with certificates.
//!
//! Without more said, the cluster is one of `tests/cluster/cluster`, which this brings up, runs itself in, and takes down. With
//! `E2E_KUBECONFIG` it is any, which has the images: `E2E_IMAGE` (repository:tag), the same under the tag `E2E_NEXT_TAG`, and
//! `E2E_MOSQUITTO_IMAGE`. Of its machine `E2E_MACHINE` says `kind:<node's container>` or `own:<folder>`; without it those tests
//! are passed over that touch what lies below Kubernetes, and the summary counts them as ignored.

mod afterwards;
mod fleet;
mod handover;
mod kube;
mod machine;
mod measured;
mod newcomers;
mod outside;
mod own;
mod scenarios;
mod site;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use libtest_mimic::{Arguments, Failed, Trial};

use self::machine::Machine;
use self::measured::Measured;
use self::scenarios::{Cluster, Finds, SCENARIOS, Scenario};
use self::site::{Images, Site};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // No cluster is needed for a list, nor where another binary's tests are meant.
    if arguments.list || trials(None).iter().all(|trial| arguments.is_filtered_out(trial)) {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    let Some(kubeconfig) = env::var_os("E2E_KUBECONFIG") else { return own::run_inside() };
    let site = match given(kubeconfig.into()).and_then(|site| site.ensure_nothing_is_anothers().map(|()| site)) {
        Ok(site) => Arc::new(site),
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    // One after the other: each has the cluster for itself.
    let arguments = Arguments { test_threads: Some(1), ..arguments };
    let conclusion = libtest_mimic::run(&arguments, trials(Some(&site)));
    measured::print();
    conclusion.exit_code()
}

fn trials(site: Option<&Arc<Site>>) -> Vec<Trial> {
    let trial = |scenario: &'static Scenario| {
        let site = site.cloned();
        let is_out_of_reach = site.as_ref().is_some_and(|site| match scenario.cluster {
            Cluster::Any => false,
            Cluster::AtHand => !site.machine.is_at_hand(),
            Cluster::OurOwn => !site.machine.is_own(),
        });
        let run = move || -> Result<(), Failed> {
            let Some(site) = site else { return Ok(()) };
            let prepared = if scenario.finds == Finds::Site { site.prepare() } else { Ok(()) };
            let outcome = prepared.and_then(|()| (scenario.run)(&site, &mut Measured::default()));
            outcome.map_err(|error| Failed::from(format!("{error:#}\n{}", site.picture())))
        };
        Trial::test(scenario.name, run).with_ignored_flag(is_out_of_reach)
    };
    SCENARIOS.iter().map(trial).collect()
}

fn given(kubeconfig: PathBuf) -> Result<Site> {
    let text = |name: &str| env::var(name).with_context(|| format!("{name} isn't set: main.rs says what it is to be"));
    let machine = env::var("E2E_MACHINE").unwrap_or_default();
    let machine = match machine.split_once(':') {
        Some(("own", folder)) => Machine::Own(folder.into()),
        Some(("kind", node)) => Machine::Kind(node.to_owned()),
        None if machine.is_empty() => Machine::Unknown,
        _ => bail!("E2E_MACHINE is `{machine}`: it is to be kind:<node's container> or own:<folder>"),
    };
    let image = text("E2E_IMAGE")?;
    let (repository, tag) = image.rsplit_once(':').context("E2E_IMAGE is to be repository:tag")?;
    let images = Images {
        product: (repository.to_owned(), tag.to_owned()),
        next_tag: text("E2E_NEXT_TAG")?,
        mosquitto: text("E2E_MOSQUITTO_IMAGE")?,
    };
    // Some commands run in other folders.
    Site::new(std::path::absolute(kubeconfig)?, machine, images)
}
