//! 10,000 routes over 1,000 Services with 100,000 endpoints.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use serde_json::json;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::wait;
use tokio::time::sleep;

use super::objects::{Size, api, create_all};
use super::stage::{Operator, Stage, start_proxy};
use crate::{row, usage};

const POD_CHANGES: u32 = 50;

pub(crate) async fn measure(scale: u32) -> Result<()> {
    let scale = scale as usize;
    let size = Size { namespaces: 100, services: 1000, endpoints_each: 100, routes: 10_000 };
    let size = Size { services: size.services / scale, routes: size.routes / scale, namespaces: 100 / scale, ..size };
    let stage = Stage::new().await?;
    let authority = CertificateAuthority::new("Bench CA")?;
    let start = Instant::now();
    create_all(&stage.client, size.namespaces()).await?;
    let tls = size.tls(&authority)?;
    let count = create_all(&stage.client, tls.into_iter().chain(size.services()).chain(size.routes())).await?;
    eprintln!("{count} objects created in {:.0} s", start.elapsed().as_secs_f64());

    let config = ConfigDir::new()?;
    let sync = stage.start_sync(&config)?;
    sync.wait_until_ready(wait::SOON)?;
    let proxy = start_proxy(&config)?;
    let audit = stage.audit_end()?;
    let start = Instant::now();
    let operator = stage.start_operator()?;
    wait::until("an operator that is ready", LONG, || operator.is_ready().then_some(()))?;
    tell_time("cold start of the operator, until all is read", start, &operator)?;
    wait::until("all routes", LONG, || (proxy.status()["applied"]["streamroutes"] == size.routes).then_some(()))?;
    tell_time("until the proxy has applied all", start, &operator)?;
    let until = wait_for_all_programmed(&stage, &operator, size.routes).await?;
    let cpu = usage::processor_time(operator.id())?;
    row("until all is Programmed", figure(until.duration_since(start), cpu));
    row("writes of the operator in that", tally(stage.operator_writes_since(audit)?));
    tell_memory("operator after a cold start", operator.id())?;

    wait_for_rest(&stage).await?;
    measure_rest(&operator).await?;
    measure_pods(&stage, &operator, size).await?;
    tell_memory("operator after that", operator.id())?;

    let audit = stage.audit_end()?;
    operator.stop()?;
    let start = Instant::now();
    let operator = stage.start_operator()?;
    wait::until("an operator that is ready", LONG, || operator.is_ready().then_some(()))?;
    tell_time("start of the operator where all is written already, until all is read", start, &operator)?;
    sleep(SETTLED).await;
    row("writes of the operator in that", tally(stage.operator_writes_since(audit)?));
    tell_memory("operator after that start", operator.id())?;
    drop((sync, proxy));

    let config = ConfigDir::new()?;
    let start = Instant::now();
    let sync = stage.start_sync(&config)?;
    sync.wait_until_ready(LONG)?;
    let cpu = usage::processor_time(sync.id())?;
    let files = ["streamroutes", "tlssnis", "endpoints", "secrets", "configmaps"];
    let files: usize =
        files.iter().filter_map(|folder| fs::read_dir(config.path().join(folder)).ok()).map(Iterator::count).sum();
    row(&format!("config-sync, {files} objects into an empty directory"), figure(start.elapsed(), cpu));
    tell_memory("config-sync after that", sync.id())?;
    let start = Instant::now();
    let proxy = start_proxy(&config)?;
    row("proxy, until it has loaded them and serves", figure(start.elapsed(), usage::processor_time(proxy.id())?));
    tell_memory("proxy after that", proxy.id())
}

/// When the last status was written: after it, all are programmed.
async fn wait_for_all_programmed(stage: &Stage, operator: &Operator, routes: usize) -> Result<Instant> {
    let start = Instant::now();
    let (mut writes, mut latest) = (0, start);
    while start.elapsed() < LONG {
        let now = operator.metric("streamgate_operator_writes_total", "")?;
        if now != writes {
            (writes, latest) = (now, Instant::now());
        }
        if latest.elapsed() > SETTLED {
            let programmed = count_programmed(stage).await?;
            if programmed == routes {
                return Ok(latest);
            }
            eprintln!("{programmed} of {routes} are programmed");
            latest = Instant::now();
        }
        sleep(Duration::from_millis(100)).await;
    }
    bail!("not all routes are programmed: {}", operator.log());
}

async fn count_programmed(stage: &Stage) -> Result<usize> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("streamgate.dev", "v1alpha1", "StreamRoute"));
    let api: Api<DynamicObject> = Api::all_with(stage.client.clone(), &resource);
    let is_programmed = |route: &&DynamicObject| {
        let conditions = route.data["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|condition| {
            condition["type"] == "Programmed"
                && condition["status"] == "True"
                && condition["observedGeneration"].as_i64() == route.metadata.generation
        })
    };
    let routes = api.list(&ListParams::default().match_any()).await?;
    Ok(routes.items.iter().filter(is_programmed).count())
}

/// Returns once the operator writes nothing more: Events follow the statuses that they tell of.
async fn wait_for_rest(stage: &Stage) -> Result<()> {
    loop {
        let audit = stage.audit_end()?;
        sleep(SETTLED).await;
        if stage.operator_writes_since(audit)?.is_empty() {
            return Ok(());
        }
    }
}

/// With a proxy that renews its Lease, for so long that everything is worked out anew once.
async fn measure_rest(operator: &Operator) -> Result<()> {
    let (first, start) = (usage::processor_time(operator.id())?, Instant::now());
    let (mut before, mut busiest) = (first, Duration::ZERO);
    while start.elapsed() < REST {
        sleep(Duration::from_secs(1)).await;
        let now = usage::processor_time(operator.id())?;
        busiest = busiest.max(now.saturating_sub(before));
        before = now;
    }
    let share = 100.0 * before.saturating_sub(first).as_secs_f64() / start.elapsed().as_secs_f64();
    row("operator at rest", format!("{share:.2} % of a core"));
    row("operator at rest, its busiest second", format!("{} ms of CPU", busiest.as_millis()));
    Ok(())
}

async fn measure_pods(stage: &Stage, operator: &Operator, size: Size) -> Result<()> {
    let (audit, before) = (stage.audit_end()?, usage::processor_time(operator.id())?);
    for number in 0..usize::try_from(POD_CHANGES)? {
        let service = number % size.services;
        let changed = size.slice(service, number + 1);
        let patch = Patch::Merge(json!({"endpoints": changed["endpoints"]}));
        let name = changed["metadata"]["name"].as_str().context("a slice has a name")?;
        let namespace = changed["metadata"]["namespace"].as_str().context("a slice has a namespace")?;
        api(&stage.client, &changed)?.patch(name, &PatchParams::default(), &patch).await?;
        let kind = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "streamgate-default"}});
        let (copies, copy) = (api(&stage.client, &kind)?, format!("endpoints.{namespace}.s{service}"));
        let pod = changed["endpoints"][0]["targetRef"]["name"].as_str().context("an endpoint has a pod")?;
        let start = Instant::now();
        while !copies.get(&copy).await?.data["data"].to_string().contains(pod) {
            if start.elapsed() > LONG {
                bail!("{copy} does not change");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
    let spent = usage::processor_time(operator.id())?.saturating_sub(before);
    sleep(Duration::from_secs(2)).await;
    row(
        &format!("writes of the operator for {POD_CHANGES} changes of a pod"),
        tally(stage.operator_writes_since(audit)?),
    );
    let each = spent.as_secs_f64() * 1e3 / f64::from(POD_CHANGES);
    row("operator, for a change of a pod", format!("{each:.1} ms of CPU"));
    Ok(())
}

fn tell_time(what: &str, start: Instant, operator: &Operator) -> Result<()> {
    row(what, figure(start.elapsed(), usage::processor_time(operator.id())?));
    Ok(())
}

fn figure(wall: Duration, cpu: Duration) -> String {
    format!("{:.1} s, {:.1} s of CPU", wall.as_secs_f64(), cpu.as_secs_f64())
}

fn tell_memory(what: &str, id: u32) -> Result<()> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let of = |name: &str| -> Result<u64> {
        let line = status.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
        Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
    };
    let (own, resident, most) = (usage::memory_kib(id)?, of("VmRSS:")?, of("VmHWM:")?);
    row(
        &format!("memory of {what}: its own share, resident, at most until then"),
        format!("{} MiB, {} MiB, {} MiB", own / 1024, resident / 1024, most / 1024),
    );
    Ok(())
}

fn tally(writes: Vec<String>) -> String {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for write in writes {
        *counts.entry(write).or_default() += 1;
    }
    let words: Vec<String> = counts.iter().map(|(write, count)| format!("{count} {write}")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

const LONG: Duration = Duration::from_mins(10);
const SETTLED: Duration = Duration::from_secs(3);
/// Longer than the time in which the operator works everything out anew.
const REST: Duration = Duration::from_mins(11);
