//! What users do, in an order in which each finds what it needs.

mod brokers;
mod certificates;
mod claims;
mod deletion;
mod drain;
mod faults;
mod install;
mod load_balancer;
mod monitoring;
mod pages;
mod proxies;
mod security;
mod upgrade;
mod watched;

use anyhow::Result;

use crate::measured::Measured;
use crate::site::Site;

/// One test.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) finds: Finds,
    pub(crate) cluster: Cluster,
    pub(crate) run: fn(&Site, &mut Measured) -> Result<()>,
}

/// What is there when a test begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finds {
    /// Nothing of ours.
    Nothing,
    /// The release, the tenants and the fleet, which it leaves as they were.
    Site,
}

/// On which clusters a test can be run.
#[derive(Clone, Copy)]
pub(crate) enum Cluster {
    /// On any whose API can be reached.
    Any,
    /// Where what lies below Kubernetes can be touched.
    AtHand,
    /// Where the test is root in the node's network, or reads the API server's files.
    OurOwn,
}

macro_rules! scenarios {
    ($($finds:ident $cluster:ident $module:ident::$name:ident,)*) => {
        &[$(Scenario {
            name: stringify!($name),
            finds: Finds::$finds,
            cluster: Cluster::$cluster,
            run: $module::$name,
        }),*]
    };
}

/// All of them; the last takes all away.
pub(crate) const SCENARIOS: &[Scenario] = scenarios! {
    Nothing OurOwn pages::what_the_pages_have_their_readers_type_works,
    Nothing Any install::two_tenants_connect_by_name_on_one_port,
    Site Any upgrade::helm_test_passes,
    Site Any brokers::rolling_restart_of_brokers_brings_each_device_back_to_its_pod,
    Site Any brokers::scaling_brokers_moves_the_share_that_it_must_and_no_other,
    Site Any proxies::rolling_restart_of_proxies_hands_devices_over,
    Site Any drain::a_drained_node_lets_its_proxies_go_one_at_a_time,
    Site Any proxies::wills_are_published_at_a_drain_as_the_route_says,
    Site Any proxies::scaling_proxies_writes_no_status_and_refuses_nobody,
    Site Any load_balancer::devices_keep_their_addresses_through_a_load_balancer,
    Site AtHand faults::killed_operators_leave_devices_alone,
    Site AtHand faults::a_killed_sync_comes_back,
    Site AtHand faults::devices_of_a_killed_proxy_come_back,
    Site AtHand faults::a_node_whose_kubelet_and_containerd_restart_keeps_its_devices,
    Site AtHand faults::devices_connect_while_the_api_server_is_away,
    Site AtHand faults::a_pod_that_is_cut_off_from_the_api_keeps_its_devices,
    Site Any certificates::a_new_certificate_is_used_by_the_next_handshake,
    Site Any certificates::devices_of_a_removed_authority_are_refused,
    Site Any claims::the_older_claim_keeps_a_name,
    Site Any claims::another_namespace_attaches_only_where_it_is_allowed,
    Site Any claims::the_owners_namespaces_and_domains_hold,
    Site Any claims::no_route_leads_to_metadata_loopback_or_a_proxy,
    Site Any deletion::what_is_deleted_is_refused_and_leaves_nothing,
    Site Any security::the_proxy_has_no_token,
    Site Any security::the_syncs_token_is_for_its_gateway_alone,
    Site Any security::a_team_that_may_edit_its_namespace_may_write_its_routes,
    Site Any security::no_secret_is_seen_in_a_status_an_event_or_a_log,
    Site Any monitoring::dashboard_and_alerts_ask_for_metrics_that_are_told,
    Site Any upgrade::devices_go_on_through_upgrades,
    Site OurOwn security::nothing_was_asked_for_beyond_what_is_granted_and_referred_to,
    Site Any watched::without_rights_on_the_cluster_the_watched_namespaces_are_served,
    Site Any upgrade::a_second_gateway_of_one_name_is_refused,
    Site Any upgrade::uninstalling_leaves_nothing,
};
