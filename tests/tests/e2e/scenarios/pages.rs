//! What the pages of the documentation have their readers type, line by line.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use streamgate_tests::page::{Kind, Page};
use streamgate_tests::{process, workspace};

use crate::afterwards::Afterwards;
use crate::measured::Measured;
use crate::site::{GATEWAY, SYSTEM, Site};

/// The quickstart, then what other pages do to the same site.
const PAGES: [&str; 4] = ["docs/quickstart.md", "docs/operations.md", "docs/install.md", "docs/upgrade.md"];

/// The lines that are about kind's own cluster, or pull an image, are passed over: this cluster has the images.
pub(crate) fn what_the_pages_have_their_readers_type_works(site: &Site, measured: &mut Measured) -> Result<()> {
    let checkout = site.checkout()?;
    symlink(workspace().join("charts"), checkout.path().join("charts"))?;
    let mut script = PREPARE.to_owned();
    for page in PAGES {
        let blocks = Page::read(page)?.blocks()?.into_iter().filter(|block| block.kind == Kind::ClusterShell);
        let lines: Vec<String> = blocks.map(|block| format!("echo '== {}'\n{}", block.place, block.text)).collect();
        ensure!(!lines.is_empty(), "{page} has no line to type any more");
        script += &lines.concat();
    }
    fs::write(checkout.path().join("script"), script)?;
    fs::write(checkout.path().join("hosts"), fs::read_to_string("/etc/hosts")? + "127.0.0.1 devices.acme.example\n")?;

    site.namespace(SYSTEM)?;
    let nothing = Afterwards::new(|| {
        let line = format!("uninstall streamgate --namespace {SYSTEM} --ignore-not-found --wait --timeout 3m");
        site.kube.helm(&line, "")?;
        let line = format!("delete namespace {GATEWAY} acme globex --ignore-not-found --wait=true --timeout=120s");
        site.kube.kubectl(&line)?;
        Ok(())
    });
    let start = Instant::now();
    // Its own /etc/hosts, in place of the line that the quickstart has its reader add to that of the machine; and its own
    // processes, all of which end with their first, at the deadline too.
    let mut command: Command =
        site.kube.command("unshare", "--mount --propagation private --pid --fork --kill-child bash script");
    command.current_dir(checkout.path()).env("HELM", workspace().join("scripts/helm"));
    let output = process::run(command, Duration::from_mins(8))?.succeeded("the pages' lines")?;
    ensure!(output.text().contains("received CONNACK (0)"), "the quickstart's device was not let in: {output:?}");
    measured.seconds("the quickstart and the other pages' lines", start.elapsed());

    nothing.now()
}

/// Helm by its name, and nothing left running.
const PREPARE: &str = r#"set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
helm() { "$HELM" "$@"; }
mount --bind hosts /etc/hosts
"#;
