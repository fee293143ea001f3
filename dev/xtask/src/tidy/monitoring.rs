//! Rules, their tests and dashboards name only metrics that there are.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use regex::Regex;
use serde_json::Value;

use super::Findings;
use crate::{files, workspace};

const FOLDER: &str = "docs/monitoring";
/// The page of metrics, which a test keeps current.
const PAGE: &str = "docs/metrics.md";
/// Metrics that Prometheus makes itself.
const PROMETHEUS: [&str; 2] = ["up", "ALERTS"];
/// Words of PromQL that are not followed by a bracket.
const WORDS: [&str; 7] = ["and", "or", "unless", "bool", "offset", "inf", "nan"];

pub(super) fn check() -> Result<Findings> {
    let mut findings = Findings::default();
    let page = std::fs::read_to_string(workspace::root().join(PAGE)).context(PAGE)?;
    let known = known(&page)?;
    let mut used = BTreeSet::new();
    for path in files::all()?.into_iter().filter(|path| path.starts_with(FOLDER)) {
        let text = std::fs::read_to_string(workspace::root().join(&path))?;
        let queries = match path.extension().and_then(|ending| ending.to_str()) {
            Some("yaml") => of_yaml(&text)?,
            Some("json") => {
                of_json(&serde_json::from_str(&text).with_context(|| path.display().to_string())?)
            }
            _ => continue,
        };
        for query in queries {
            for metric in metrics(&query)? {
                if !known.contains(&metric) {
                    let path = path.display();
                    findings.errors.push(format!("{path}: there is no metric {metric} in {PAGE}: {query}"));
                }
                used.insert(metric);
            }
        }
    }
    findings.notes.push(format!("{} metrics in rules and dashboards", used.len()));
    Ok(findings)
}

/// The series that the page's metrics have.
fn known(page: &str) -> Result<BTreeSet<String>> {
    let row = Regex::new(r"(?m)^\| `([a-zA-Z0-9_]+)` \| ([a-z]+) \|")?;
    let rows: BTreeMap<&str, &str> =
        row.captures_iter(page).map(|row| row.extract()).map(|(_, [name, kind])| (name, kind)).collect();
    let series = rows.into_iter().flat_map(|(name, kind)| {
        let endings: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        endings.iter().map(move |ending| format!("{name}{ending}"))
    });
    Ok(series.chain(PROMETHEUS.map(str::to_owned)).collect())
}

/// The queries of a file of rules or of their tests: what is behind `expr` and `series`, on the same line or, folded, on
/// those below it.
fn of_yaml(text: &str) -> Result<Vec<String>> {
    let opening = Regex::new(r"^( *)(?:- )?(?:expr|series): *(.*)$")?;
    let mut queries = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((_, [indent, rest])) = opening.captures(line).map(|found| found.extract()) else { continue };
        if rest != ">-" {
            queries.push(rest.trim_matches('\'').to_owned());
            continue;
        }
        let mut query = Vec::new();
        while let Some(line) = lines
            .next_if(|line| line.len() - line.trim_start().len() > indent.len() && !line.trim().is_empty())
        {
            query.push(line.trim());
        }
        queries.push(query.join(" "));
    }
    Ok(queries)
}

/// The queries of a dashboard.
fn of_json(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("expr").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(of_json)).collect()
        }
        Value::Array(items) => items.iter().flat_map(of_json).collect(),
        _ => Vec::new(),
    }
}

/// The metrics that a query names: its words, but for functions, labels and those of the language.
fn metrics(query: &str) -> Result<BTreeSet<String>> {
    // A brace inside of a label's value must not end the labels.
    let without_texts = Regex::new(r#""[^"]*""#)?.replace_all(query, "");
    let no_metrics = Regex::new(
        r"(?x) \{[^}]*\} | \[[^\]]*\] | (?:[a-z_]+\ +)? (?-u:\b)(?:by|without)\ *\([^)]*\)
        | (?-u:\b)(?:on|ignoring|group_left|group_right)\ *\([^)]*\) | (?-u:\b)[a-z0-9_:]+\ *\(",
    )?;
    let rest = no_metrics.replace_all(&without_texts, " ");
    let word = Regex::new(r"(?-u:\b)[a-zA-Z_:][a-zA-Z0-9_:]*")?;
    let words = word.find_iter(&rest).map(|word| word.as_str());
    Ok(words.filter(|word| !WORDS.contains(&word.to_lowercase().as_str())).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_told_from_everything_else() {
        let query = "histogram_quantile(0.99, sum by (instance, le) (rate(a_bucket{x=~\"b}|c\", y!=\"\"}[5m]))) > 0.5e3 \
                     or on (node) group_left (d) (e{z=\"f\"} offset 5m) / max(g) by (h) unless inf < bool time()";
        let found: Vec<_> = metrics(query).unwrap().into_iter().collect();
        assert_eq!(found, ["a_bucket", "e", "g"]);
    }

    #[test]
    fn queries_are_found_in_all_files() {
        let yaml = "rules:\n  - alert: A\n    expr: >-\n      a\n      / b\n    for: 1m\n  - expr: c > 1\n  - series: 'd{x=\"y\"}'\n    values: 1\n";
        assert_eq!(of_yaml(yaml).unwrap(), ["a / b", "c > 1", "d{x=\"y\"}"]);
        let json = serde_json::json!({"panels": [{"targets": [{"expr": "a"}, {"expr": "b"}]}], "title": "c"});
        assert_eq!(of_json(&json), ["a", "b"]);
    }

    #[test]
    fn a_histogram_has_three_series() {
        let page = "| Metric | Type |\n| `a` | histogram |  | |\n| `b_total` | counter | `x` | |\n";
        let known: Vec<_> = known(page).unwrap().into_iter().collect();
        assert_eq!(known, ["ALERTS", "a_bucket", "a_count", "a_sum", "b_total", "up"]);
    }
}
