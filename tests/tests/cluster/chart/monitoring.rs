//! Alerts and dashboard ask for metrics that there are, by labels that these have. The tables of docs/standalone.md and
//! docs/kubernetes.md are what programs tell, which other tests prove.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;

use anyhow::{Context, Result, anyhow, ensure};
use promql_parser::parser::{self, AggregateExpr, Expr, MatrixSelector, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;
use streamgate_tests::page::Page;
use streamgate_tests::workspace;

use super::{ValueSet, find, manifests, of_kind};

const SYSTEM: &str = "monitored";

/// Labels that Prometheus adds to what it reads, by the `PodMonitor`s; `le` is of a histogram's buckets.
const OF_PROMETHEUS: [&str; 4] = ["namespace", "pod", "gateway", "le"];

/// The labels of each metric that is documented.
fn metrics() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut metrics = BTreeMap::new();
    for (page, heading, column) in [
        ("docs/standalone.md", "Metric", 2),
        ("docs/kubernetes.md", "Operator metric", 1),
        ("docs/kubernetes.md", "Sync metric", 1),
    ] {
        for row in Page::read(page)?.table(heading) {
            let labels = row[column].split(", ").map(|label| label.trim_matches('`').to_owned());
            metrics.insert(row[0].trim_matches('`').to_owned(), labels.filter(|label| label != "none").collect());
        }
    }
    ensure!(metrics.len() > 25, "{} metrics", metrics.len());
    Ok(metrics)
}

fn monitored() -> Result<Vec<Value>> {
    let sets = ValueSet::all(SYSTEM)?;
    sets.iter().find(|set| set.name == "monitoring").context("the value set")?.render(SYSTEM)
}

/// All texts below a value under this key.
fn texts(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(text) if name == key => found.push(text.to_owned()),
                    _ => texts(field, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, key, found)),
        _ => {}
    }
}

fn dashboard() -> Result<Value> {
    let monitored = monitored()?;
    let map = find(&monitored, "ConfigMap", "streamgate-dashboard")?;
    Ok(serde_json::from_str(map["data"]["streamgate.json"].as_str().context("a dashboard")?)?)
}

/// An expression, as Prometheus reads it.
#[derive(Default)]
struct Expression {
    /// The metrics, each with the labels by which it is selected and their values.
    selected: Vec<(String, Vec<(String, String)>)>,
    /// The labels that it groups by.
    grouped: Vec<String>,
}

impl Expression {
    fn read(text: &str) -> Result<Self> {
        // Grafana puts a time in the place of its own word.
        let text = text.replace("$__rate_interval", "5m");
        let parsed = parser::parse(&text).map_err(|error| anyhow!("{error}: {text}"))?;
        let mut expression = Self::default();
        let Ok(_) = walk_expr(&mut expression, &parsed);
        ensure!(!expression.selected.is_empty(), "no metric in {text}");
        Ok(expression)
    }

    fn metrics(&self) -> impl Iterator<Item = &String> {
        self.selected.iter().map(|(name, _)| name)
    }

    fn select(&mut self, selector: &VectorSelector) {
        let matchers = selector.matchers.matchers.iter();
        let labels = matchers.map(|matcher| (matcher.name.clone(), matcher.value.clone())).collect();
        self.selected.push((selector.name.clone().unwrap_or_default(), labels));
    }
}

impl ExprVisitor for Expression {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        match expression {
            Expr::VectorSelector(selector) => self.select(selector),
            Expr::MatrixSelector(MatrixSelector { vs, .. }) => self.select(vs),
            Expr::Aggregate(AggregateExpr { modifier: Some(by), .. }) => {
                self.grouped.extend(by.labels().labels.iter().cloned());
            }
            _ => {}
        }
        Ok(true)
    }
}

fn there_are(expressions: &[String]) -> Result<()> {
    let metrics = metrics()?;
    let words = [("reason", "docs/refusals.md"), ("outcome", "docs/kubernetes.md")];
    for text in expressions {
        let expression = Expression::read(text)?;
        let mut known: BTreeSet<&str> = OF_PROMETHEUS.into();
        for (name, labels) in &expression.selected {
            let of_metric = metrics.get(name).or_else(|| metrics.get(name.strip_suffix("_bucket")?));
            let of_metric = of_metric.with_context(|| format!("there is no metric {name}: {text}"))?;
            known.extend(of_metric.iter().map(String::as_str));
            for (label, value) in labels {
                let is_known = of_metric.contains(label) || OF_PROMETHEUS.contains(&label.as_str());
                ensure!(is_known, "{name} has no label {label}: {text}");
                for (_, page) in words.iter().filter(|(word, _)| word == label) {
                    let page_text = fs::read_to_string(workspace().join(page))?;
                    for value in value.split('|') {
                        ensure!(page_text.contains(&format!("`{value}`")), "{page} knows no {label} {value}: {text}");
                    }
                }
            }
        }
        for label in &expression.grouped {
            ensure!(known.contains(label.as_str()), "no label {label}: {text}");
        }
    }
    Ok(())
}

#[test]
fn every_alert_asks_for_metrics_that_there_are() -> Result<()> {
    let mut expressions = Vec::new();
    texts(find(&monitored()?, "PrometheusRule", "streamgate")?, "expr", &mut expressions);
    ensure!(expressions.len() > 15, "{} alerts", expressions.len());
    there_are(&expressions)
}

#[test]
fn every_panel_asks_for_metrics_that_there_are_and_every_metric_has_one() -> Result<()> {
    let mut expressions = Vec::new();
    texts(&dashboard()?, "expr", &mut expressions);
    there_are(&expressions)?;
    let mut shown: BTreeSet<String> = BTreeSet::new();
    for text in &expressions {
        shown.extend(Expression::read(text)?.metrics().cloned());
    }
    for name in metrics()?.into_keys() {
        ensure!(shown.contains(&name) || shown.contains(&format!("{name}_bucket")), "{name} is in no panel");
    }
    Ok(())
}

#[test]
fn what_is_about_a_gateway_selects_it_by_its_label_so_that_the_name_of_another_may_begin_alike() -> Result<()> {
    let monitored = monitored()?;
    let groups = find(&monitored, "PrometheusRule", "streamgate")?["spec"]["groups"].as_array().context("groups")?;
    let of_gateway =
        groups.iter().find(|group| group["name"] == "streamgate-default").context("the gateway's group")?;
    let mut expressions = Vec::new();
    texts(of_gateway, "expr", &mut expressions);
    texts(&dashboard()?, "expr", &mut expressions);
    for expression in expressions {
        for (name, labels) in Expression::read(&expression)?.selected {
            let is_right =
                name.starts_with("streamgate_operator_") || labels.iter().any(|(label, _)| label == "gateway");
            ensure!(is_right, "{name} is that of all gateways: {expression}");
            ensure!(
                !labels.iter().any(|(label, _)| label == "pod"),
                "{name} is selected by names of pods: {expression}"
            );
        }
    }
    Ok(())
}

#[test]
fn an_alert_says_what_it_means_and_where_more_is_said_and_one_that_is_disabled_is_left_out() -> Result<()> {
    let monitored = monitored()?;
    let rule = find(&monitored, "PrometheusRule", "streamgate")?;
    let groups = rule["spec"]["groups"].as_array().context("groups")?;
    let alerts: Vec<&Value> = groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
    for alert in &alerts {
        let name = alert["alert"].as_str().context("a name")?;
        ensure!(name != "StreamgateConfigRefused", "it is disabled");
        let annotations = &alert["annotations"];
        ensure!(annotations["summary"].is_string() && annotations["description"].is_string(), "{alert}");
        let anchor = format!("docs/operations.md#{}", name.to_lowercase());
        ensure!(annotations["runbook_url"].as_str().is_some_and(|url| url.ends_with(&anchor)), "{alert}");
        ensure!(alert["labels"]["team"] == "iot" && alert["labels"]["severity"].is_string(), "{alert}");
        ensure!(!alert.to_string().contains("NAMESPACE") && !alert.to_string().contains("GATEWAY"), "{alert}");
    }
    Ok(())
}

#[test]
fn every_port_with_metrics_is_read() -> Result<()> {
    let monitored = monitored()?;
    let mut read = BTreeSet::new();
    for monitor in of_kind(&monitored, "PodMonitor") {
        let component = monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"].as_str();
        for endpoint in monitor["spec"]["podMetricsEndpoints"].as_array().context("endpoints")? {
            read.insert(format!("{} {}", component.unwrap_or_default(), endpoint["port"].as_str().unwrap_or_default()));
        }
    }
    let mut there = BTreeSet::new();
    for deployment in of_kind(&monitored, "Deployment") {
        let template = &deployment["spec"]["template"];
        let component = template["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap_or_default();
        for containers in ["initContainers", "containers"] {
            for container in template["spec"][containers].as_array().into_iter().flatten() {
                for port in container["ports"].as_array().into_iter().flatten().filter_map(|port| port["name"].as_str())
                {
                    there.insert(format!("{component} {port}"));
                }
            }
        }
    }
    there.remove("proxy mqtts");
    ensure!(read == there, "{read:?}, {there:?}");
    Ok(())
}

#[test]
fn manifests_are_told_apart() -> Result<()> {
    ensure!(manifests("a: 1\n---\n---\nb: 2\n")?.len() == 2);
    Ok(())
}
