//! End to end, on a whole cluster: the image, the chart, kubelet and containers, brokers in pods, devices with certificates.
//!
//! Without more said, the cluster is one of `tests/cluster/cluster`, which this brings up, runs itself in, and takes down. With
//! `E2E_KUBECONFIG` it is any, which has the images: `E2E_IMAGE` (repository:tag), the same under the tag `E2E_NEXT_TAG`, and
//! `E2E_MOSQUITTO_IMAGE`. Of its machine `E2E_MACHINE` says `kind:<node's container>` or `own:<folder>`; without it those tests
//! are passed over that touch what lies below Kubernetes, and the summary counts them as ignored.

mod afterwards;
mod fleet;
mod kube;
mod machine;
mod measured;
mod own;
mod scenarios;
mod site;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};

use self::machine::Machine;
use self::measured::Measured;
use self::scenarios::{
    brokers, certificates, claims, deletion, faults, install, monitoring, pages, proxies, security, upgrade,
};
use self::site::{Images, Site};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // A mistyped name would pass for a success.
    if !arguments.list && trials(None).iter().all(|trial| arguments.is_filtered_out(trial)) {
        eprintln!("no test is called so: `cargo test --test e2e -- --list` names them");
        return ExitCode::FAILURE;
    }
    let Some(kubeconfig) = env::var_os("E2E_KUBECONFIG") else {
        if arguments.list {
            return libtest_mimic::run(&arguments, trials(None)).exit_code();
        }
        return own::run_inside();
    };
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

type Scenario = fn(&Site, &mut Measured) -> Result<()>;

/// After the pages' and the first, each finds the release installed and the tenants there, and leaves them so, up to the last,
/// which takes all away.
const SCENARIOS: &[(&str, Scenario)] = &[
    (PAGES, pages::what_the_pages_have_their_readers_type_works),
    ("two_tenants_connect_by_name_on_one_port", install::two_tenants_connect_by_name_on_one_port),
    ("helm_test_passes", upgrade::helm_test_passes),
    (
        "rolling_restart_of_brokers_brings_each_device_back_to_its_pod",
        brokers::rolling_restart_of_brokers_brings_each_device_back_to_its_pod,
    ),
    (
        "scaling_brokers_moves_the_share_that_it_must_and_no_other",
        brokers::scaling_brokers_moves_the_share_that_it_must_and_no_other,
    ),
    ("rolling_restart_of_proxies_hands_devices_over", proxies::rolling_restart_of_proxies_hands_devices_over),
    ("wills_are_published_at_a_drain_as_the_route_says", proxies::wills_are_published_at_a_drain_as_the_route_says),
    (
        "scaling_proxies_writes_no_status_and_refuses_nobody",
        proxies::scaling_proxies_writes_no_status_and_refuses_nobody,
    ),
    ("killed_operators_leave_devices_alone", faults::killed_operators_leave_devices_alone),
    ("a_killed_sync_comes_back", faults::a_killed_sync_comes_back),
    ("devices_of_a_killed_proxy_come_back", faults::devices_of_a_killed_proxy_come_back),
    (
        "a_node_whose_kubelet_and_containerd_restart_keeps_its_devices",
        faults::a_node_whose_kubelet_and_containerd_restart_keeps_its_devices,
    ),
    ("devices_connect_while_the_api_server_is_away", faults::devices_connect_while_the_api_server_is_away),
    (
        "a_pod_that_is_cut_off_from_the_api_keeps_its_devices",
        faults::a_pod_that_is_cut_off_from_the_api_keeps_its_devices,
    ),
    ("a_new_certificate_is_used_by_the_next_handshake", certificates::a_new_certificate_is_used_by_the_next_handshake),
    ("devices_of_a_removed_authority_are_refused", certificates::devices_of_a_removed_authority_are_refused),
    ("the_older_claim_keeps_a_name", claims::the_older_claim_keeps_a_name),
    (
        "another_namespace_attaches_only_where_it_is_allowed",
        claims::another_namespace_attaches_only_where_it_is_allowed,
    ),
    ("the_owners_namespaces_and_domains_hold", claims::the_owners_namespaces_and_domains_hold),
    ("no_route_leads_to_metadata_loopback_or_a_proxy", claims::no_route_leads_to_metadata_loopback_or_a_proxy),
    ("what_is_deleted_is_refused_and_leaves_nothing", deletion::what_is_deleted_is_refused_and_leaves_nothing),
    ("the_proxy_has_no_token", security::the_proxy_has_no_token),
    ("the_syncs_token_is_for_its_gateway_alone", security::the_syncs_token_is_for_its_gateway_alone),
    (
        "a_team_that_may_edit_its_namespace_may_write_its_routes",
        security::a_team_that_may_edit_its_namespace_may_write_its_routes,
    ),
    ("no_secret_is_seen_in_a_status_an_event_or_a_log", security::no_secret_is_seen_in_a_status_an_event_or_a_log),
    (
        "dashboard_and_alerts_ask_for_metrics_that_are_told",
        monitoring::dashboard_and_alerts_ask_for_metrics_that_are_told,
    ),
    ("devices_go_on_through_upgrades", upgrade::devices_go_on_through_upgrades),
    (AUDIT, security::the_operator_got_no_secret_that_nothing_refers_to),
];

/// Those that want to be root in the node's network, or to read the API server's files.
const ON_OUR_OWN: &[&str] = &[PAGES, AUDIT];

/// The one that finds nothing, and leaves nothing.
const PAGES: &str = "what_the_pages_have_their_readers_type_works";

/// The one that reads what the API server wrote down of all before it.
const AUDIT: &str = "the_operator_got_no_secret_that_nothing_refers_to";

/// Those that touch the node's machine.
const BELOW_KUBERNETES: &[&str] = &[
    "killed_operators_leave_devices_alone",
    "a_killed_sync_comes_back",
    "devices_of_a_killed_proxy_come_back",
    "a_node_whose_kubelet_and_containerd_restart_keeps_its_devices",
    "devices_connect_while_the_api_server_is_away",
    "a_pod_that_is_cut_off_from_the_api_keeps_its_devices",
];

fn trials(site: Option<&Arc<Site>>) -> Vec<Trial> {
    let last: [(&str, Scenario); 2] = [
        ("a_second_gateway_of_one_name_is_refused", upgrade::a_second_gateway_of_one_name_is_refused),
        ("uninstalling_leaves_nothing", upgrade::uninstalling_leaves_nothing),
    ];
    let trial = |(name, scenario): (&'static str, Scenario)| {
        let site = site.cloned();
        let is_out_of_reach = site.as_ref().is_some_and(|site| {
            BELOW_KUBERNETES.contains(&name) && !site.machine.is_at_hand()
                || ON_OUR_OWN.contains(&name) && !site.machine.is_own()
        });
        let run = move || -> Result<(), Failed> {
            let Some(site) = site else { return Ok(()) };
            let outcome = site.prepare(name).and_then(|()| scenario(&site, &mut Measured::default()));
            outcome.map_err(|error| Failed::from(format!("{error:#}\n{}", site.picture())))
        };
        Trial::test(name, run).with_ignored_flag(is_out_of_reach)
    };
    SCENARIOS.iter().copied().chain(last).map(trial).collect()
}

fn given(kubeconfig: PathBuf) -> Result<Site> {
    let text = |name: &str| env::var(name).with_context(|| format!("{name} isn't set: main.rs says what it is to be"));
    let machine = match env::var("E2E_MACHINE").unwrap_or_default().split_once(':') {
        Some(("own", folder)) => Machine::Own(folder.into()),
        Some(("kind", node)) => Machine::Kind(node.to_owned()),
        _ => Machine::Unknown,
    };
    let image = text("E2E_IMAGE")?;
    let (repository, tag) = image.rsplit_once(':').context("E2E_IMAGE is to be repository:tag")?;
    let images = Images {
        product: (repository.to_owned(), tag.to_owned()),
        next_tag: text("E2E_NEXT_TAG")?,
        mosquitto: text("E2E_MOSQUITTO_IMAGE")?,
    };
    Site::new(kubeconfig, machine, images)
}
