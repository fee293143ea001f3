//! What a node counts, read from its `/metrics/resource` (Kubernetes: "Node metrics data", KEP-727).

use std::collections::BTreeMap;

/// What was counted of a node or a container.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Counters {
    /// CPU time that was used, and when that was.
    pub(crate) cpu: Option<CpuTime>,
    /// Memory without what can be dropped (working set), in bytes.
    pub(crate) memory: Option<u64>,
    /// When it began, in milliseconds since 1970.
    pub(crate) began: Option<i64>,
}

/// CPU time at one time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct CpuTime {
    /// In core-seconds.
    pub(crate) seconds: f64,
    /// In milliseconds since 1970.
    pub(crate) at: i64,
}

/// The containers of a pod, by name.
pub(crate) type Containers = BTreeMap<String, Counters>;

/// What a node said at one time.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) node: Counters,
    /// By namespace and name.
    pub(crate) pods: BTreeMap<(String, String), Containers>,
}

impl Reading {
    /// Reads Prometheus' text format. Lines that are nothing of interest, or nothing at all, are passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let mut reading = Self::default();
        for sample in text.lines().filter_map(Sample::parse) {
            reading.take(&sample);
        }
        reading
    }

    /// What was counted of a container.
    pub(crate) fn container(&self, pod: &(String, String), name: &str) -> Option<&Counters> {
        self.pods.get(pod)?.get(name)
    }

    fn take(&mut self, sample: &Sample<'_>) {
        let (node, name) = match sample.name.split_once('_') {
            Some(("node", name)) => (true, name),
            Some(("container", name)) => (false, name),
            _ => return,
        };
        let counters = if node {
            &mut self.node
        } else {
            let label = |name: &str| sample.labels.get(name).filter(|value| !value.is_empty()).cloned();
            let (Some(namespace), Some(pod), Some(container)) =
                (label("namespace"), label("pod"), label("container"))
            else {
                return;
            };
            self.pods.entry((namespace, pod)).or_default().entry(container).or_default()
        };
        let value = sample.value.max(0.0);
        match name {
            "cpu_usage_seconds_total" => {
                counters.cpu = sample.at.map(|at| CpuTime { seconds: value, at });
            }
            "memory_working_set_bytes" => counters.memory = Some(whole(value)),
            "start_time_seconds" => counters.began = i64::try_from(whole(value * 1000.0)).ok(),
            _ => {}
        }
    }
}

/// A number that is not negative, without its fraction.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it saturates, and is not negative"
)]
pub(super) fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// One line: `name{label="value",…} value milliseconds`.
struct Sample<'a> {
    name: &'a str,
    labels: BTreeMap<&'a str, String>,
    value: f64,
    at: Option<i64>,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        if name.is_empty() || name.starts_with('#') {
            return None;
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (BTreeMap::new(), rest),
        };
        let mut numbers = rest.split_ascii_whitespace();
        let value: f64 = numbers.next()?.parse().ok()?;
        let at = match numbers.next() {
            Some(at) => Some(at.parse().ok()?),
            None => None,
        };
        value.is_finite().then_some(Self { name, labels, value, at })
    }
}

/// Labels up to the closing brace, and what is behind it.
fn labels(mut rest: &str) -> Option<(BTreeMap<&str, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.insert(name, value);
        rest = after;
    }
}

/// A text up to the closing quote, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            plain => value.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_node_counts() {
        let reading = Reading::parse(
            r#"# HELP node_cpu_usage_seconds_total [STABLE] CPU time.
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 300.5 1772366400250
node_memory_working_set_bytes 9e+04 1772366400250
node_swap_usage_bytes 1000 1772366400250
container_cpu_usage_seconds_total{container="web",namespace="shop",pod="front"} 6 1772366400250
container_memory_working_set_bytes{container="web",namespace="shop",pod="front"} 1800 1772366400250
container_start_time_seconds{container="web",namespace="shop",pod="front"} 1.7723652e+09
container_cpu_usage_seconds_total{container="a \"b\" }",pod="c",namespace="d",} 1
container_cpu_usage_seconds_total{container="",namespace="shop",pod="front"} 6 1
pod_cpu_usage_seconds_total{namespace="shop",pod="front"} 9 1772366400250
resource_scrape_error 0
"#,
        );
        let at = 1_772_366_400_250;
        let node = Counters { cpu: Some(CpuTime { seconds: 300.5, at }), memory: Some(90_000), began: None };
        assert_eq!(reading.node, node);
        let web = Counters {
            cpu: Some(CpuTime { seconds: 6.0, at }),
            memory: Some(1800),
            began: Some(1_772_365_200_000),
        };
        let pod = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
        assert_eq!(reading.container(&pod("shop", "front"), "web"), Some(&web));
        assert_eq!(reading.container(&pod("d", "c"), "a \"b\" }"), Some(&Counters::default()), "no time");
        assert_eq!(reading.pods.len(), 2);
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"(node_|container_)?[a-z_]{0,5}[{}"=, \\0-9a-z.#é]{0,40}"#) {
            Reading::parse(&text);
        }
    }
}
