//! What `kubectl wait --for=condition=Programmed` promises.

use anyhow::{Context, Result};

use super::stage::Stage;

#[test]
fn once_kubectl_wait_returns_devices_connect_at_the_first_try_fifty_times_at_each_of_two_proxies() -> Result<()> {
    let stage = Stage::with_proxies(2)?;
    for number in 0..50 {
        let name = format!("site-{number}");
        stage.program(&name)?;
        for proxy in 0..2 {
            stage.let_in(proxy, &name, &format!("device-{number}")).with_context(|| stage.operator.log())?;
        }
    }
    Ok(())
}
