//! What the benchmark needs of the machine: a core for the proxy, one for the load, open files, and nobody else at work.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::usage::{self, TICK_MILLISECONDS};

/// Where the proxy runs.
pub(crate) const PROXY_CORE: u32 = 0;
/// Where the load and the brokers run.
const LOAD_CORE: u32 = 1;

/// The machine while the benchmark runs; on drop it is as before.
pub(crate) struct Machine {
    /// What was changed, as it was.
    before: Vec<(&'static str, String)>,
}

impl Machine {
    /// Goes to the load's core, with as many open files as may be, for the peers as well, which inherit them.
    pub(crate) fn prepare() -> Result<Self> {
        let output = Command::new("taskset")
            .args(["-acp", &LOAD_CORE.to_string(), &std::process::id().to_string()])
            .output()
            .context("can't run taskset (util-linux)")?;
        if !output.status.success() {
            bail!("the benchmark needs two cores: taskset: {}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
        // Only root may do this, and without it a run goes well too, mostly.
        let mut machine = Self { before: Vec::new() };
        for (path, value) in SETTINGS {
            if let Ok(before) = fs::read_to_string(path)
                && fs::write(path, value).is_ok()
            {
                machine.before.push((path, before));
            }
        }
        Ok(machine)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for (path, before) in &self.before {
            if let Err(error) = fs::write(path, before) {
                eprintln!("{path} was {} before: {error}", before.trim_end());
            }
        }
    }
}

/// Its processor and its kernel, in a phrase.
pub(crate) fn description() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("a processor without a name", |(_, name)| name.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Not those alone that this process may use.
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}

/// Fails when others use a core, and says who.
pub(crate) fn check_quiet() -> Result<()> {
    let (cores, processes) = (cores()?, usage::all());
    sleep(WATCHED);
    let (cores_after, processes_after) = (self::cores()?, usage::all());
    let part = |ticks: u64| ticks * TICK_MILLISECONDS * 100 / u64::try_from(WATCHED.as_millis()).unwrap_or(u64::MAX);
    let busiest = cores_after.iter().zip(&cores).map(|(after, before)| part(after.saturating_sub(*before))).max();
    let busiest = busiest.context("no core in /proc/stat")?;
    if busiest <= QUIET_PERCENT {
        return Ok(());
    }
    let mut others: Vec<(u64, String)> = processes_after
        .into_iter()
        .map(|(id, (name, ticks))| {
            let before = processes.get(&id).map_or(0, |(_, before)| *before);
            (part(ticks.saturating_sub(before)), format!("{name} ({id})"))
        })
        .filter(|(part, _)| *part > 2)
        .collect();
    others.sort_unstable_by(|one, other| other.cmp(one));
    let others: Vec<String> = others.iter().take(5).map(|(part, name)| format!("{name} {part} %")).collect();
    bail!(
        "the machine is busy: a core is used to {busiest} % by others: {}. Figures need a quiet one; --busy measures all the same",
        if others.is_empty() { "none of this machine's processes".to_owned() } else { others.join(", ") }
    );
}

/// The ticks that each core was used, by what runs here or by the machine that it is a part of.
fn cores() -> Result<Vec<u64>> {
    let text = fs::read_to_string("/proc/stat")?;
    let lines = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
    let used = lines.map(|line| {
        let fields = line.split_whitespace().skip(1).map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()?;
        // user nice system idle iowait irq softirq steal
        Ok(fields.iter().take(8).enumerate().filter(|(at, _)| *at != 3 && *at != 4).map(|(_, ticks)| ticks).sum())
    });
    used.collect()
}

const WATCHED: Duration = Duration::from_secs(2);
const QUIET_PERCENT: u64 = 20;

const SETTINGS: [(&str, &str); 2] = [
    // Thousands of connections that have just ended would take the ports that the next ones need.
    ("/proc/sys/net/ipv4/tcp_max_tw_buckets", "512"),
    // The longest queue of new connections that a proxy may ask for.
    ("/proc/sys/net/core/somaxconn", "65535"),
];
