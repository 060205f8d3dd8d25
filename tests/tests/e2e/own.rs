//! A cluster of our own, for as long as the tests run.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Result;
use streamgate_tests::cluster::{Cluster, MOSQUITTO_IMAGE};
use streamgate_tests::{image, process, workspace};

/// Brings the cluster up, with the images, and runs this very program in it, with the same arguments.
pub(crate) fn run_inside() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let archive = image::archive()?;
    let cluster = Cluster::start_for(std::process::id())?;
    cluster.load(&archive)?;
    // What an upgrade brings: the same programs by another name.
    let next = archive.with_file_name("streamgate-next.tar");
    pack(&archive.with_file_name("binaries"), &next)?;
    cluster.load(&next)?;

    let mut inside = cluster.command(&env::current_exe()?.to_string_lossy());
    inside
        .args(env::args_os().skip(1))
        .env("E2E_KUBECONFIG", cluster.kubeconfig())
        .env("E2E_MACHINE", format!("own:{}", cluster.path().display()))
        .env("E2E_IMAGE", format!("{}:{}", image::NAME, env!("CARGO_PKG_VERSION")))
        .env("E2E_NEXT_TAG", NEXT_TAG)
        .env("E2E_MOSQUITTO_IMAGE", MOSQUITTO_IMAGE);
    let status = inside.status()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn pack(binaries: &Path, archive: &Path) -> Result<()> {
    let mut command = Command::new(workspace().join("scripts/image/pack"));
    command.args([binaries, archive]);
    command.env("IMAGE", image::NAME).env("VERSION", NEXT_TAG).env("REVISION", "unknown").env("SOURCE_DATE_EPOCH", "0");
    process::run(command, Duration::from_mins(2))?.succeeded("scripts/image/pack")?;
    Ok(())
}

const NEXT_TAG: &str = "next";
