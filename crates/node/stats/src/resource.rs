//! `/metrics/resource`: CPU time, memory and swap of the node, of pods and of containers, as samples that say when they
//! were taken (Kubernetes: "Node metrics data", KEP-727). This is what metrics-server reads.

use telemetry::metrics::{Declaration, Encoder, LabelSet, MetricKind, Stability};

use crate::summary::{ContainerStats, CpuStats, MemoryStats, PodStats, Summary, SwapStats};

const OF_CONTAINER: &[&str] = &["container", "pod", "namespace"];
const OF_POD: &[&str] = &["pod", "namespace"];

const fn family(
    name: &'static str,
    help: &'static str,
    kind: MetricKind,
    stability: Stability,
    labels: &'static [&'static str],
) -> Declaration {
    Declaration { name, help, stability, kind, labels }
}

use MetricKind::{Counter, Gauge};
use Stability::{Alpha, Stable};

const NODE_CPU: Declaration = family(
    "node_cpu_usage_seconds_total",
    "CPU time that the node has used, in core-seconds.",
    Counter,
    Stable,
    &[],
);
const NODE_MEMORY: Declaration = family(
    "node_memory_working_set_bytes",
    "Memory of the node in use, without file pages that were not used lately.",
    Gauge,
    Stable,
    &[],
);
const NODE_SWAP: Declaration =
    family("node_swap_usage_bytes", "Swap space of the node in use.", Gauge, Alpha, &[]);
const START: Declaration = family(
    "container_start_time_seconds",
    "Unix time at which the container was created.",
    Gauge,
    Stable,
    OF_CONTAINER,
);
const CONTAINER_CPU: Declaration = family(
    "container_cpu_usage_seconds_total",
    "CPU time that the container has used, in core-seconds.",
    Counter,
    Stable,
    OF_CONTAINER,
);
const CONTAINER_MEMORY: Declaration = family(
    "container_memory_working_set_bytes",
    "Memory that the container uses, without file pages that were not used lately.",
    Gauge,
    Stable,
    OF_CONTAINER,
);
const CONTAINER_SWAP: Declaration =
    family("container_swap_usage_bytes", "Swap space that the container uses.", Gauge, Alpha, OF_CONTAINER);
const CONTAINER_SWAP_LIMIT: Declaration = family(
    "container_swap_limit_bytes",
    "Swap space that the container may use.",
    Gauge,
    Alpha,
    OF_CONTAINER,
);
const POD_CPU: Declaration = family(
    "pod_cpu_usage_seconds_total",
    "CPU time that the pod has used, in core-seconds.",
    Counter,
    Stable,
    OF_POD,
);
const POD_MEMORY: Declaration = family(
    "pod_memory_working_set_bytes",
    "Memory that the pod uses, without file pages that were not used lately.",
    Gauge,
    Stable,
    OF_POD,
);
const POD_SWAP: Declaration =
    family("pod_swap_usage_bytes", "Swap space that the pod uses.", Gauge, Alpha, OF_POD);
const ERROR: Declaration =
    family("resource_scrape_error", "1 if the metrics could not be read, else 0.", Gauge, Stable, &[]);

/// The families of `/metrics/resource`.
pub const DECLARATIONS: [Declaration; 12] = [
    NODE_CPU,
    NODE_MEMORY,
    NODE_SWAP,
    START,
    CONTAINER_CPU,
    CONTAINER_MEMORY,
    CONTAINER_SWAP,
    CONTAINER_SWAP_LIMIT,
    POD_CPU,
    POD_MEMORY,
    POD_SWAP,
    ERROR,
];

/// The text of `/metrics/resource` for `summary`, or that there is none.
pub(crate) fn text(summary: Option<&Summary>) -> String {
    let mut out = Samples(Encoder::default());
    let none = LabelSet::default();
    if let Some(summary) = summary {
        let node = &summary.node;
        out.cpu(&NODE_CPU, &none, node.cpu.as_ref());
        out.memory(&NODE_MEMORY, &none, node.memory.as_ref());
        out.swap(&NODE_SWAP, &none, node.swap.as_ref());
        summary.pods.iter().for_each(|pod| out.pod(pod));
    }
    out.add(&ERROR, &none, f64::from(u8::from(summary.is_none())), None);
    out.0.finish()
}

struct Samples(Encoder);

impl Samples {
    fn pod(&mut self, pod: &PodStats) {
        let (name, namespace) = (&*pod.pod_ref.name, &*pod.pod_ref.namespace);
        for container in &pod.containers {
            let labels =
                LabelSet::new(&[("container", &*container.name), ("namespace", namespace), ("pod", name)]);
            self.container(container, &labels);
        }
        let labels = LabelSet::new(&[("namespace", namespace), ("pod", name)]);
        self.cpu(&POD_CPU, &labels, pod.cpu.as_ref());
        self.memory(&POD_MEMORY, &labels, pod.memory.as_ref());
        self.swap(&POD_SWAP, &labels, pod.swap.as_ref());
    }

    fn container(&mut self, container: &ContainerStats, labels: &LabelSet) {
        if container.start_time.as_second() > 0 {
            self.add(&START, labels, container.start_time.as_duration().as_secs_f64(), None);
        }
        self.cpu(&CONTAINER_CPU, labels, container.cpu.as_ref());
        self.memory(&CONTAINER_MEMORY, labels, container.memory.as_ref());
        self.swap(&CONTAINER_SWAP, labels, container.swap.as_ref());
        if let Some(swap) = &container.swap
            && let Some(left) = swap.swap_available_bytes
        {
            let limit = left.saturating_add(swap.swap_usage_bytes.unwrap_or(0));
            self.add(&CONTAINER_SWAP_LIMIT, labels, float(limit), Some(swap.time.as_millisecond()));
        }
    }

    fn cpu(&mut self, family: &Declaration, labels: &LabelSet, cpu: Option<&CpuStats>) {
        let Some(cpu) = cpu else { return };
        let Some(nanoseconds) = cpu.usage_core_nano_seconds else { return };
        self.add(family, labels, float(nanoseconds) / 1e9, Some(cpu.time.as_millisecond()));
    }

    fn memory(&mut self, family: &Declaration, labels: &LabelSet, memory: Option<&MemoryStats>) {
        let Some(memory) = memory else { return };
        let Some(bytes) = memory.working_set_bytes else { return };
        self.add(family, labels, float(bytes), Some(memory.time.as_millisecond()));
    }

    fn swap(&mut self, family: &Declaration, labels: &LabelSet, swap: Option<&SwapStats>) {
        let Some(swap) = swap else { return };
        let Some(bytes) = swap.swap_usage_bytes else { return };
        self.add(family, labels, float(bytes), Some(swap.time.as_millisecond()));
    }

    fn add(&mut self, family: &Declaration, labels: &LabelSet, value: f64, at_ms: Option<i64>) {
        self.0.declared(family).sample_of(labels, &[], value, at_ms);
    }
}

#[allow(clippy::cast_precision_loss, reason = "samples are floats")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use expect_test::expect;

    use super::*;
    use crate::rates::Rates;
    use crate::summary::{Inputs, build};
    use crate::testing::{reading, told};

    #[test]
    fn samples_say_when_they_were_taken() {
        let reading = reading();
        let summary = build(&Inputs {
            node_name: "node1",
            reading: &reading,
            rates: &Rates::default(),
            told: &HashMap::from([("vm1".to_owned(), told("vm1", 3))]),
            storage: None,
        });
        expect![[r##"
            # HELP container_cpu_usage_seconds_total [STABLE] CPU time that the container has used, in core-seconds.
            # TYPE container_cpu_usage_seconds_total counter
            container_cpu_usage_seconds_total{container="vm",namespace="shop",pod="front"} 3 1772366400250
            container_cpu_usage_seconds_total{container="web",namespace="shop",pod="front"} 6 1772366400250
            # HELP container_memory_working_set_bytes [STABLE] Memory that the container uses, without file pages that were not used lately.
            # TYPE container_memory_working_set_bytes gauge
            container_memory_working_set_bytes{container="vm",namespace="shop",pod="front"} 2700 1772366400250
            container_memory_working_set_bytes{container="web",namespace="shop",pod="front"} 1800 1772366400250
            # HELP container_start_time_seconds [STABLE] Unix time at which the container was created.
            # TYPE container_start_time_seconds gauge
            container_start_time_seconds{container="vm",namespace="shop",pod="front"} 1.7723652e+09
            container_start_time_seconds{container="web",namespace="shop",pod="front"} 1.7723652e+09
            # HELP container_swap_limit_bytes [ALPHA] Swap space that the container may use.
            # TYPE container_swap_limit_bytes gauge
            container_swap_limit_bytes{container="web",namespace="shop",pod="front"} 60 1772366400250
            # HELP container_swap_usage_bytes [ALPHA] Swap space that the container uses.
            # TYPE container_swap_usage_bytes gauge
            container_swap_usage_bytes{container="web",namespace="shop",pod="front"} 20 1772366400250
            # HELP node_cpu_usage_seconds_total [STABLE] CPU time that the node has used, in core-seconds.
            # TYPE node_cpu_usage_seconds_total counter
            node_cpu_usage_seconds_total 300 1772366400250
            # HELP node_memory_working_set_bytes [STABLE] Memory of the node in use, without file pages that were not used lately.
            # TYPE node_memory_working_set_bytes gauge
            node_memory_working_set_bytes 90000 1772366400250
            # HELP node_swap_usage_bytes [ALPHA] Swap space of the node in use.
            # TYPE node_swap_usage_bytes gauge
            node_swap_usage_bytes 1000 1772366400250
            # HELP pod_cpu_usage_seconds_total [STABLE] CPU time that the pod has used, in core-seconds.
            # TYPE pod_cpu_usage_seconds_total counter
            pod_cpu_usage_seconds_total{namespace="shop",pod="front"} 9 1772366400250
            # HELP pod_memory_working_set_bytes [STABLE] Memory that the pod uses, without file pages that were not used lately.
            # TYPE pod_memory_working_set_bytes gauge
            pod_memory_working_set_bytes{namespace="shop",pod="front"} 2700 1772366400250
            # HELP pod_swap_usage_bytes [ALPHA] Swap space that the pod uses.
            # TYPE pod_swap_usage_bytes gauge
            pod_swap_usage_bytes{namespace="shop",pod="front"} 30 1772366400250
            # HELP resource_scrape_error [STABLE] 1 if the metrics could not be read, else 0.
            # TYPE resource_scrape_error gauge
            resource_scrape_error 0
        "##]].assert_eq(&text(Some(&summary)));
    }

    #[test]
    fn an_error_is_a_sample() {
        expect![[r#"
            # HELP resource_scrape_error [STABLE] 1 if the metrics could not be read, else 0.
            # TYPE resource_scrape_error gauge
            resource_scrape_error 1
        "#]]
        .assert_eq(&text(None));
    }

    #[test]
    fn what_is_declared() {
        let mut names: Vec<&str> = DECLARATIONS.iter().map(|family| family.name).collect();
        names.dedup();
        assert_eq!(names.len(), DECLARATIONS.len());
    }
}
