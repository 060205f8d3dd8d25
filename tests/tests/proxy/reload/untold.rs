//! A kernel that tells of no change, as some filesystems don't: here the process may have no watch.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use streamgate_tests::proxy::{Listener, Proxy, binary};
use streamgate_tests::wait;

use crate::routing::place::{PLAIN, Place, by_source};

#[test]
fn a_change_that_nobody_tells_of_is_found_all_the_same() -> Result<()> {
    let place = Place::new()?;
    let without_watches = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$@\"";
    let allowed = Command::new("unshare").args(["-r", "sh", "-c", without_watches, "sh", "true"]).output();
    let allowed = allowed.context("can't run unshare (util-linux)")?;
    let error = String::from_utf8_lossy(&allowed.stderr);
    ensure!(allowed.status.success(), "there can be no namespace of users here: run the tests as root: {error}");
    let mut command = Command::new("unshare");
    command.args(["-r", "sh", "-c", without_watches, "sh"]).arg(binary()?);
    let mut proxy = Proxy::start_by(command, &place.config, &[Listener::mqtt(PLAIN)], &[])?;
    proxy.wait_for_log("that nothing is told", wait::SOON, |event| {
        event["message"]
            .as_str()
            .is_some_and(|message| message.contains("changes of the configuration directory are not told"))
    })?;
    place.route("acme/all", "")?;
    wait::until("the new route", Duration::from_mins(1), || {
        (proxy.status()["applied"]["streamroutes"] == 1).then_some(())
    })?;
    assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");
    Ok(())
}
