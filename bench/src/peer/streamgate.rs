use std::process::Command;

use anyhow::Result;
use streamgate_tests::proxy::binary;

use crate::stage::{Site, TENANTS};

pub(super) fn write(site: &Site, change: usize) -> Result<()> {
    let authority = site.stage.authority.certificate_pem();
    site.write_secrets(change)?;
    if change == 0 {
        site.config.config_map("bench", "ca", &[("ca.crt", authority.as_bytes())])?;
        for tenant in TENANTS {
            let template = include_str!("../../peers/streamgate-tlssni.yaml").replace("@TENANT@", tenant);
            site.config.write(&format!("tlssnis/bench.{tenant}.yaml"), site.filled(&template, change)?.as_bytes())?;
        }
    }
    let route = site.filled(include_str!("../../peers/streamgate-route.yaml"), change)?;
    site.config.write("streamroutes/bench.devices.yaml", route.as_bytes())?;
    Ok(())
}

/// Without its access lines, for the others write none.
pub(super) fn command(site: &Site) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.arg("run").arg("--config-dir").arg(site.config.path()).arg("--status-dir").arg(site.config.status_dir());
    command.arg("--listener").arg(format!("name=plain,address={},protocol=MQTT", site.plain));
    command.arg("--listener").arg(format!("name=mqtts,address={},protocol=MQTTS", site.tls));
    command.args(["--admin", "127.0.0.1:0", "--workers", "1", "--client-hello-timeout", "60s"]);
    command.env("RUST_LOG", "warn");
    Ok(command)
}
