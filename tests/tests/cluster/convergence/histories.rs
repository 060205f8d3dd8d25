//! Whatever happened, and whoever died meanwhile: in the end all is as the objects say.

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use serde_json::{Value, json};
use streamgate_tests::component::Component;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::sync::Sync;
use streamgate_tests::wait;

use super::expected::expected_and_found;
use super::history::{Materials, Step, Tampering, Victim, history, with_api_server_killed};
use super::site::{Site, namespace_of};
use streamgate_tests::gateway::apply_custom_resources;
use streamgate_tests::operator::Operator;

/// A seed, to play one history again.
const SEED: &str = "STREAMGATE_SEED";
const HISTORIES: usize = 20;
const CHANGES: usize = 300;
/// How many are played at once.
const AT_ONCE: usize = 5;
/// In one of so many the API server is killed.
const KILLS_API_SERVER: u64 = 4;
/// For how long it may take until all is as it should be: a moment, but for a busy machine.
const AT_REST: Duration = Duration::from_mins(2);

const SETTINGS: &str = "watchNamespaces: [ACME, GLOBEX]
leaseDuration: 2s";

const GATEWAY: &str = "  allowedNamespaces: {matchLabels: {devices: \"yes\"}}
  domains:
  - {namespaces: [ACME], names: [\"*.acme.test\", \"*.both.test\"]}
  - {namespaces: [GLOBEX], names: [\"*.globex.test\", \"*.both.test\"]}";

#[test]
fn whatever_changes_and_whoever_dies_in_the_end_all_is_as_the_objects_say() -> Result<()> {
    let seeds: Vec<u64> = match env::var(SEED) {
        Ok(seed) => vec![seed.parse().with_context(|| format!("{SEED}={seed}: wanted a number"))?],
        Err(_) => (0..HISTORIES).map(|_| fastrand::u64(..1_000_000)).collect(),
    };
    let (cluster, materials) = (ControlPlane::start()?, Materials::new()?);
    apply_custom_resources(&cluster)?;
    // Of two that would kill the API server at once, one does.
    let (next, api_server, failures) = (AtomicUsize::new(0), Mutex::new(()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(seeds.len()) {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = std::time::Instant::now();
                    let played = play(*seed, &cluster, &materials, &api_server);
                    eprintln!(
                        "{SEED}={seed}: {} in {:?}",
                        if played.is_ok() { "as it should be" } else { "not so" },
                        start.elapsed()
                    );
                    if let Err(error) = played {
                        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.push(format!("{SEED}={seed}: {error:#}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), seeds.len(), failures.join("\n\n"));
    Ok(())
}

/// Those that work at a site; `None`: killed, to be started again after so many steps.
struct Workers<'a> {
    site: &'a Site<'a>,
    operators: Vec<Result<Operator, usize>>,
    sync: Result<Sync, usize>,
    /// What operators wrote that are no more.
    logs: Vec<String>,
}

impl<'a> Workers<'a> {
    fn start(site: &'a Site<'a>, operators: usize) -> Result<Self> {
        let operators = (0..operators).map(|_| Ok(Ok(site.start_operator()?))).collect::<Result<_>>()?;
        Ok(Self { site, operators, sync: Ok(site.start_sync()?), logs: Vec::new() })
    }

    fn kill(&mut self, victim: Victim, down: usize) {
        match victim {
            Victim::Sync => self.sync = Err(down),
            Victim::Operator(which) => {
                let which = which % self.operators.len();
                if let Ok(operator) = std::mem::replace(&mut self.operators[which], Err(down)) {
                    self.logs.push(operator.log());
                }
            }
            Victim::ApiServer => {}
        }
    }

    /// Starts those whose time has come: all, at the end.
    fn revive(&mut self, is_end: bool) -> Result<()> {
        for operator in &mut self.operators {
            if let Ok(running) = operator
                && !running.is_running()
            {
                // A leader that lost its lease ends itself.
                self.logs.push(running.log());
                *operator = Err(0);
            }
            match operator {
                Err(down) if *down > 0 && !is_end => *down -= 1,
                Err(_) => *operator = Ok(self.site.start_operator()?),
                Ok(_) => {}
            }
        }
        match &mut self.sync {
            Err(down) if *down > 0 && !is_end => *down -= 1,
            Err(_) => self.sync = Ok(self.site.start_sync()?),
            Ok(_) => {}
        }
        Ok(())
    }

    fn log(&self) -> String {
        let running = self.operators.iter().filter_map(|operator| operator.as_ref().ok()).map(Operator::log);
        let logs: Vec<String> = self.logs.iter().cloned().chain(running).collect();
        format!("{}\n--- sync\n{}", logs.join("\n--- operator\n"), self.sync.as_ref().map_or(String::new(), Sync::log))
    }
}

fn play(seed: u64, cluster: &ControlPlane, materials: &Materials, api_server: &Mutex<()>) -> Result<()> {
    let mut random = Rng::with_seed(seed);
    let site = Site::new(cluster, SETTINGS, GATEWAY)?;
    let mut steps = history(&mut random, CHANGES, materials, &site.gateway);
    if seed.is_multiple_of(KILLS_API_SERVER) {
        steps = with_api_server_killed(steps, &mut random);
    }
    let mut workers = Workers::start(&site, 1 + usize::from(seed.is_multiple_of(2)))?;
    if let Ok(sync) = &workers.sync {
        sync.wait_until_ready(AT_REST)?;
    }
    let _proxy = site.start_proxy()?;
    for step in &steps {
        workers.revive(false)?;
        match step {
            Step::Kill(Victim::ApiServer, _) => {
                if let Ok(_only) = api_server.try_lock() {
                    cluster.kill(Component::ApiServer)?;
                    cluster.restart(Component::ApiServer)?;
                }
            }
            Step::Kill(victim, down) => workers.kill(*victim, *down),
            step => take(&site, step).with_context(|| format!("{step:?}"))?,
        }
    }
    for step in materials.healed(&mut random) {
        take(&site, &step)?;
    }
    let mut last = String::new();
    wait::until("all to be as the objects say", AT_REST, || {
        if let Err(error) = workers.revive(true) {
            last = format!("{error:#}");
            return None;
        }
        thread::sleep(Duration::from_millis(100));
        match expected_and_found(&site) {
            Ok((expected, found)) if expected == found => Some(()),
            Ok((expected, found)) => {
                last = expected.difference(&found);
                None
            }
            Err(error) => {
                last = format!("{error:#}");
                None
            }
        }
    })
    .with_context(|| format!("{last}\n--- logs\n{}", workers.log()))
}

fn take(site: &Site<'_>, step: &Step) -> Result<()> {
    let administrator = &site.administrator;
    match step {
        Step::Apply(tenant, object) => administrator.apply(&site.tenants[*tenant], object).map(drop),
        Step::Delete(tenant, object) => administrator.delete(
            &site.tenants[*tenant],
            object,
            object["metadata"]["name"].as_str().unwrap_or_default(),
        ),
        Step::Allow(tenant, is_allowed) => {
            let labels = json!({"devices": if *is_allowed { "yes" } else { "no" }});
            administrator.apply("", &namespace_of(&site.tenants[*tenant], &labels)).map(drop)
        }
        Step::Tamper(how, which) => tamper(site, *how, *which),
        Step::Pause(milliseconds) => {
            thread::sleep(Duration::from_millis(*milliseconds));
            Ok(())
        }
        Step::Kill(..) => bail!("not here"),
    }
}

fn tamper(site: &Site<'_>, how: Tampering, which: usize) -> Result<()> {
    let kind = |kind: &str| json!({"apiVersion": "v1", "kind": kind});
    let mut objects: Vec<(Value, String)> = Vec::new();
    for kind in [kind("ConfigMap"), kind("Secret")] {
        let (listed, _) = site.administrator.list_of(&site.generated, &kind)?;
        let names = listed.into_iter().filter_map(|object| object.metadata.name);
        objects.extend(names.filter(|name| name != "kube-root-ca.crt").map(|name| (kind.clone(), name)));
    }
    let Some((kind, name)) = objects.get(which % objects.len().max(1)) else { return Ok(()) };
    let data = if kind["kind"] == "Secret" { "bWluZQ==" } else { "mine" };
    let patch = match how {
        Tampering::Delete => return site.administrator.delete(&site.generated, kind, name),
        Tampering::AddKey => json!({"data": {"mine": data}}),
        Tampering::TakeLabel => json!({"metadata": {"labels": {"streamgate.dev/folder": null}}}),
    };
    site.administrator.merge(&site.generated, kind, name, &patch).map(drop)
}
