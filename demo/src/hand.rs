//! What to try by hand.

use std::fs;

use anyhow::{Result, bail};
use streamgate_tests::wire::{Connect, Version};
use streamgate_tests::{mosquitto, wait};

use crate::devices::{self, Outcome};
use crate::steps::LIVE_NAME;
use crate::story::{Story, say};
use crate::world::World;

/// Prints the commands, with files that are there; the first is tried, where mosquitto's clients are installed.
pub(crate) fn show(story: &mut Story, world: &World) -> Result<()> {
    let tenant = &world.tenants[0];
    let folder = world.config.scratch().join("devices");
    fs::create_dir_all(&folder)?;
    let ca = world.server_authority.write(&folder, "server-ca")?;
    let device = tenant.device("by-hand")?.write(&folder, "by-hand")?;
    let [ca, certificate, key] = [ca, device.certificate, device.key].map(|path| path.display().to_string());
    let port = world.address().port().to_string();
    let common = ["-h", LIVE_NAME, "-p", &port, "--cafile", &ca, "--cert", &certificate, "--key", &key];
    let line = common.join(" ");
    let (first, second) = neighbours(world)?;
    story.step("To try by hand")?;
    say("which broker a client id reaches (try others):");
    say(&format!("  mosquitto_sub {line} -i {first} -t broker/name -C 1"));
    say("a message between two devices of one broker:");
    say(&format!("  mosquitto_sub {line} -i {first} -t hello -V mqttv5 &"));
    say(&format!("  mosquitto_pub {line} -i {second} -t hello -m world"));
    say("a name that nobody serves, refused with its alert:");
    say(&format!("  openssl s_client -connect {} -servername nobody.example </dev/null", world.address()));
    say("what the proxy tells:");
    say(&format!("  curl http://{}/metrics", world.proxy.admin()));
    say(&format!("  cat {}", world.config.status_dir().join("status.json").display()));
    if let Some(cluster) = &world.cluster {
        say("the cluster, to be changed (`kubectl get sr,tsni -A`, `kubectl edit sr devices -n acme`):");
        let plane = cluster.gateway.cluster.path().display().to_string();
        say(&format!("  export KUBECONFIG={plane}/kubeconfig PATH={plane}/bin:$PATH"));
    } else {
        say("the configuration, to be edited:");
        say(&format!("  {}", world.config.path().display()));
    }
    if mosquitto::is_installed() {
        let asked = [&common[..], &["-i", &first, "-t", "broker/name", "-C", "1"]].concat();
        let output = mosquitto::subscribe(&asked, wait::SOON)?;
        let said = if output.success() { output.text() } else { output.stderr.clone() };
        let known = world.brokers.iter().any(|broker| broker.name == output.text().trim());
        story.check(known, &format!("the first of these, tried: {}", said.trim()));
    }
    Ok(())
}

/// Two client ids that reach the same broker.
fn neighbours(world: &World) -> Result<(String, String)> {
    let client = world.device(&world.tenants[0], "by-hand")?.named(LIVE_NAME);
    let mut seen: Vec<(String, String)> = Vec::new();
    // One more than there are brokers: two of them share one.
    for number in 1..=world.brokers.len() + 1 {
        let client_id = format!("my-device-{number}");
        let connect = Connect::new(Version::V311, &client_id);
        let outcome = devices::connect(&client, world.address(), Version::V311, &connect);
        let Some(broker) = outcome.broker().map(str::to_owned) else {
            continue;
        };
        if let Outcome::Reached(session) = outcome {
            session.leave();
        }
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == broker) {
            return Ok((first.clone(), client_id));
        }
        seen.push((broker, client_id));
    }
    bail!("no two devices reach the same broker by the name {LIVE_NAME}")
}
