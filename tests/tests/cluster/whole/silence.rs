//! A config-sync that hangs.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::stage::Stage;

#[test]
fn while_one_sync_of_two_hangs_what_is_new_is_pending_then_all_is_unknown_and_true_once_it_goes_on() -> Result<()> {
    let stage = Stage::with_proxies(2)?;
    stage.program("old")?;
    let lease = || stage.gateway.cluster.json(&["get", "lease", "proxy-1", "-n", &stage.gateway.namespace]);
    ensure!(lease()?["spec"]["leaseDurationSeconds"] == 15);

    stage.pods[1].sync.signal("STOP")?;
    let stopped = Instant::now();
    stage.apply_name("new")?;
    stage.condition("streamroute/new", ["Programmed", "False", "Pending"])?;
    stage.let_in(0, "new", "device")?;
    stage.condition("streamroute/old", ["Programmed", "True", "Programmed"])?;
    for object in ["streamroute/new", "tlssni/new", "streamroute/old", "tlssni/old"] {
        stage.condition(object, ["Programmed", "Unknown", "ProxySilent"])?;
    }
    // It was renewed five seconds before at the most.
    ensure!(stopped.elapsed().as_secs() >= 9, "{:?}", stopped.elapsed());
    // Silence says nothing of the traffic.
    stage.let_in(1, "old", "device")?;

    stage.pods[1].sync.signal("CONT")?;
    for object in ["streamroute/new", "tlssni/new", "streamroute/old", "tlssni/old"] {
        stage.condition(object, ["Programmed", "True", "Programmed"])?;
    }
    stage.let_in(1, "new", "device")?;
    Ok(())
}
