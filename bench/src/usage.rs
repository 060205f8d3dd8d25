//! What the processes of a peer use, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The processor time that was used up to a moment.
pub(crate) struct Usage {
    at: Instant,
    /// Of each thread, to the nanosecond. What a thread used that has ended is not there.
    threads: BTreeMap<String, u64>,
    /// Of each process with the threads that have ended, in ticks of 10 ms.
    processes: BTreeMap<u32, u64>,
}

/// What was used from one moment to another.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) processor: Duration,
    clock: Duration,
}

impl Usage {
    /// Of all processes of a group.
    pub(crate) fn of(group: u32) -> Result<Self> {
        let (mut threads, mut processes) = (BTreeMap::new(), BTreeMap::new());
        for id in processes_of(group)? {
            threads.extend(threads_of(id)?);
            processes.insert(id, stat(id).map_or(0, |stat| stat.ticks));
        }
        Ok(Self { at: Instant::now(), threads, processes })
    }

    /// What was used since an earlier moment. Where threads have ended meanwhile, as the coarser count has it.
    pub(crate) fn since(&self, before: &Self) -> Spent {
        let threads = Duration::from_nanos(sum_of_growth(&self.threads, &before.threads));
        let processes = Duration::from_millis(sum_of_growth(&self.processes, &before.processes) * TICK_MILLISECONDS);
        let fine = Duration::from_millis(5 * TICK_MILLISECONDS) + threads.mul_f64(1.02);
        let processor = if processes > fine { processes } else { threads };
        Spent { processor, clock: self.at - before.at }
    }
}

impl Spent {
    /// How much of the core was used.
    pub(crate) fn core(self) -> f64 {
        self.processor.as_secs_f64() / self.clock.as_secs_f64()
    }
}

/// The processor time of all threads of one process.
pub(crate) fn processor_time(id: u32) -> Result<Duration> {
    Ok(Duration::from_nanos(threads_of(id)?.values().sum()))
}

/// The memory that is the share of a group's processes, in KiB (PSS).
pub(crate) fn memory_of_group_kib(group: u32) -> Result<u64> {
    processes_of(group)?.into_iter().map(memory_kib).sum()
}

/// The memory that is a process's own share, in KiB (PSS).
pub(crate) fn memory_kib(id: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let line = text.lines().find(|line| line.starts_with("Pss:")).context("no Pss")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

/// The processor time of every process of this machine, in ticks, with its name.
pub(crate) fn all() -> BTreeMap<u32, (String, u64)> {
    ids().filter_map(|id| stat(id).map(|stat| (id, (stat.name, stat.ticks)))).collect()
}

/// What each thread of a process used, in nanoseconds.
fn threads_of(id: u32) -> Result<BTreeMap<String, u64>> {
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        let path = task?.path();
        // It may end at any moment.
        let Ok(text) = fs::read_to_string(path.join("schedstat")) else { continue };
        let first = text.split(' ').next().context("no schedstat")?;
        threads.insert(path.display().to_string(), first.parse()?);
    }
    Ok(threads)
}

/// Every one that runs; one that has ended and waits for its parent is none.
fn processes_of(group: u32) -> Result<Vec<u32>> {
    let found: Vec<u32> =
        ids().filter(|id| stat(*id).is_some_and(|stat| stat.group == group && stat.state != "Z")).collect();
    if found.is_empty() {
        anyhow::bail!("the peer has ended");
    }
    Ok(found)
}

struct Stat {
    name: String,
    state: String,
    group: u32,
    ticks: u64,
}

/// Of a process that may have ended.
fn stat(id: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name may hold anything, parentheses too.
    let (start, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        name: start.split_once('(')?.1.to_owned(),
        state: (*fields.first()?).to_owned(),
        group: u32::try_from(number(2)?).ok()?,
        ticks: number(11)? + number(12)?,
    })
}

fn ids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
}

fn sum_of_growth<K: Ord>(now: &BTreeMap<K, u64>, before: &BTreeMap<K, u64>) -> u64 {
    now.iter().map(|(key, count)| count.saturating_sub(before.get(key).copied().unwrap_or(0))).sum()
}

/// Linux tells its users of 100 ticks a second everywhere.
pub(crate) const TICK_MILLISECONDS: u64 = 10;
