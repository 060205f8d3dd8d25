//! While the API server is away.

use anyhow::{Result, ensure};
use streamgate_tests::component::Component;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::gateway::{Terms, apply_custom_resources};
use streamgate_tests::operator::EVENTUALLY;

use super::stage::Stage;

#[test]
fn traffic_goes_on_through_restarts_of_proxy_and_sync_and_no_status_turns() -> Result<()> {
    let cluster = ControlPlane::start()?;
    apply_custom_resources(&cluster)?;
    let mut stage = Stage::on(&cluster, 2, Terms::default())?;
    stage.program("devices")?;
    let mut live = stage.let_in(0, "devices", "early")?;
    let before = cluster.json(&["get", "streamroute/devices", "-n", &stage.tenant])?["status"].clone();

    cluster.kill(Component::ApiServer)?;
    stage.let_in(0, "devices", "late")?;
    stage.restart_proxy(0)?;
    // That one went with its proxy.
    ensure!(stage.is_alive(&mut live).is_err());
    let mut live = stage.let_in(0, "devices", "after a restart of the proxy")?;
    stage.pods[0].sync.signal("KILL")?;
    stage.pods[0].sync.wait_for_end(EVENTUALLY)?;
    stage.pods[0].sync = stage.gateway.start_sync("proxy-0", &stage.pods[0].config)?;
    // It waits for the API server first, and goes on with what it had.
    stage.pods[0].sync.wait_until_ready(EVENTUALLY)?;
    stage.restart_proxy(0)?;
    drop(live);
    live = stage.let_in(0, "devices", "after a restart of both")?;

    cluster.restart(Component::ApiServer)?;
    stage.program("new")?;
    for proxy in 0..2 {
        stage.let_in(proxy, "new", "device")?;
    }
    stage.is_alive(&mut live)?;
    let after = cluster.json(&["get", "streamroute/devices", "-n", &stage.tenant])?["status"].clone();
    ensure!(after == before, "{before:#}\n{after:#}");
    Ok(())
}
