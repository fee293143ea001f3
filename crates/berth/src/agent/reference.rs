//! The page for operators that lists every metric: `docs/metrics.md`.
//!
//! The test fails when the page is not what the code says. `cargo xtask codegen` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use config::{Loaded, Outcome};
use expect_test::expect_file;
use telemetry::metrics::{Declaration, Registry};

use super::metrics::{self, LOG_BYTES};
use super::podobjects;

const HEAD: &str = "\
<!-- Derived from the code by `cargo xtask codegen`: change the code. -->
# Metrics

What `/metrics` shows, and `/metrics/probes` (the metrics of probes, and when the process started), under the kubelet's names;
those that begin with `berth_` are our own. Stability is as in Kubernetes' *Metrics for Kubernetes System Components*; metrics of
the process have none.

";

const RESOURCE: &str = "
## `/metrics/resource`

What the node, pods and containers use, for metrics-server. But for the last one and the start of containers, samples bear the
time at which they were read.

";

const CADVISOR: &str = "
## `/metrics/cadvisor`

What the kernel counts, under cAdvisor's names. Every `container_*` series has the labels `container`, `id` (the cgroup),
`image`, `name` (the id of the container or sandbox), `namespace` and `pod`; those that do not apply are empty. The table shows
the others. The node has the `id` `/`. What this kernel or runtime does not tell has no series.

";

const TABLE: &str = "\
| Metric | Type | Labels | Stability | What it says |
| --- | --- | --- | --- | --- |
";

/// The labels of every `container_*` series of `/metrics/cadvisor`.
const OF_CONTAINERS: [&str; 6] = ["container", "id", "image", "name", "namespace", "pod"];

struct Row {
    kind: String,
    labels: String,
    stability: String,
    help: String,
}

#[test]
fn metrics_page_is_current() {
    let mut page = HEAD.to_owned();
    add_table(&mut page, rows());
    page.push_str(RESOURCE);
    add_table(&mut page, stats::resource::DECLARATIONS.into_iter().map(row).collect());
    page.push_str(CADVISOR);
    let shown = |mut declaration: Declaration| {
        if let Some(more) = declaration.labels.strip_prefix(&OF_CONTAINERS) {
            declaration.labels = more;
        }
        row(declaration)
    };
    add_table(&mut page, stats::cadvisor::declarations().map(shown).collect());
    expect_file!["../../../../docs/metrics.md"].assert_eq(&page);
}

fn add_table(page: &mut String, rows: BTreeMap<String, Row>) {
    page.push_str(TABLE);
    for (name, Row { kind, labels, stability, help }) in rows {
        let _ =
            writeln!(page, "| `{name}` | {kind} | {labels} | {stability} | {} |", help.replace('|', "\\|"));
    }
}

fn row(declaration: Declaration) -> (String, Row) {
    let Declaration { name, help, stability, kind, labels } = declaration;
    let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
    let row = Row {
        kind: kind.as_str().to_owned(),
        labels: labels.join(", "),
        stability: stability.as_str().to_owned(),
        help: help.to_owned(),
    };
    (name.to_owned(), row)
}

#[test]
fn no_metric_is_missing_from_the_page() {
    let rows = rows();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for layer in crates.read_dir().unwrap() {
        for room in layer.unwrap().path().read_dir().unwrap() {
            let text =
                std::fs::read_to_string(room.unwrap().path().join("src/metrics.rs")).unwrap_or_default();
            let ours = ["kubelet_", "prober_", "berth_"];
            let names = text.split('"').filter(|text| ours.iter().any(|own| text.starts_with(own)));
            for name in names.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
                assert!(rows.contains_key(name), "{name}: have `registry` register the crate's metrics");
            }
        }
    }
}

/// All families by name: those that are registered, and what collectors tell.
fn rows() -> BTreeMap<String, Row> {
    let registry = registry();
    let mut rows = collected(&registry.encode());
    let told = [LOG_BYTES, volume::TOTAL_VOLUMES, kubeapi::POD_CERTIFICATE_STATES];
    rows.extend(registry.declarations().into_iter().chain(told).chain(stats::claims::DECLARATIONS).map(row));
    rows
}

/// The families of a scrape. Only those of the process are from collectors that need nothing else, and they have no
/// labels and no stability.
fn collected(text: &str) -> BTreeMap<String, Row> {
    let of = |line: &str, what| line.strip_prefix(what).and_then(|rest| rest.split_once(' ')).map(owned);
    let helps: BTreeMap<String, String> = text.lines().filter_map(|line| of(line, "# HELP ")).collect();
    let kinds = text.lines().filter_map(|line| of(line, "# TYPE "));
    let row = |(name, kind): (String, String)| {
        let help = helps[&name].clone();
        (name, Row { kind, labels: String::new(), stability: String::new(), help })
    };
    kinds.map(row).collect()
}

fn owned((first, second): (&str, &str)) -> (String, String) {
    (first.to_owned(), second.to_owned())
}

/// What the agent registers, without an agent.
fn registry() -> Registry {
    let registry = Registry::new();
    let _ = (
        metrics::Metrics::register(&registry, &loaded()),
        cgroup::Metrics::register(&registry),
        cri::Metrics::register(&registry),
        image::Metrics::register(&registry),
        kubeapi::Metrics::register(&registry),
        node::Metrics::register(&registry),
        pleg::Metrics::register(&registry),
        server::Metrics::register(&registry),
        probe::Metrics::register(&registry),
        pluginapi::csi::Metrics::register(&registry),
        podobjects::Metrics::register(&registry),
        super::drivers::LabelMetrics::register(&registry),
        registry::Metrics::register(&registry),
        stats::Metrics::register(&registry),
        sync::Metrics::register(&registry),
        volume::Metrics::register(&registry),
        worker::Metrics::register(&registry),
    );
    metrics::count_families(&registry);
    registry
}

fn loaded() -> Loaded {
    match config::load(std::iter::empty()).unwrap() {
        Outcome::Run(loaded) => *loaded,
        Outcome::Request(_) => panic!("nothing was asked for"),
    }
}
