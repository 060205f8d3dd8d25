//! While the API server is away.

use anyhow::Result;
use streamgate_tests::component::Component;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::gateway::apply_custom_resources;
use streamgate_tests::operator::EVENTUALLY;
use streamgate_tests::wait;

use super::stage::{BROKER, Stage, credentials};

#[test]
fn an_operator_waits_for_an_api_server_that_is_away_and_goes_on_when_it_comes_back() -> Result<()> {
    let cluster = ControlPlane::start()?;
    apply_custom_resources(&cluster)?;
    let stage = Stage::on(&cluster)?;
    cluster.kill(Component::ApiServer)?;

    let mut operator = stage.start_operator()?;
    operator.wait_for_log("watch failed")?;
    assert!(operator.get("/readyz")?.starts_with("not all"), "{}", operator.log());
    cluster.restart(Component::ApiServer)?;
    operator.wait_until_ready()?;
    stage.apply_all(&credentials()?)?;
    stage.condition("streamroute/devices", "Programmed", "False", "NoProxies")?;

    cluster.kill(Component::ApiServer)?;
    // Longer than the lease lasts.
    operator.wait_for_log("can't be renewed")?;
    let start = std::time::Instant::now();
    wait::until("the end of the lease", EVENTUALLY, || (start.elapsed().as_secs() >= 6).then_some(()))?;
    cluster.restart(Component::ApiServer)?;
    stage.apply(&BROKER.replace("10.1.0.7", "10.1.0.8"))?;
    let file = format!("{}.broker.yaml", stage.tenant);
    stage.generated("configmap", "endpoints.TENANT.broker", |object| {
        object["data"][&file].as_str().is_some_and(|text| text.contains("10.1.0.8"))
    })?;
    assert!(operator.is_running(), "{}", operator.log());
    Ok(())
}
