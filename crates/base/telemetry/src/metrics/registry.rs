//! The registry: all families of a process, and what is computed when they are read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Stability;
use super::encode::{Encoder, MetricKind};
use super::family::{Counter, Declaration, Family, Gauge};
use super::histogram::{Histogram, HistogramSeries};

type Collector = Box<dyn Fn(&mut Encoder) + Send + Sync>;

/// All metrics of one endpoint. Clones share them.
#[derive(Clone, Default)]
pub struct Registry {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    families: BTreeMap<&'static str, Registered>,
    collectors: Vec<Arc<Collector>>,
}

#[derive(Clone)]
enum Registered {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl Registry {
    /// A registry without metrics.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter family `name`, made if it is new. Without labels it has its one series from the start, at 0.
    #[must_use]
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        stability: Stability,
        labels: &'static [&'static str],
    ) -> Counter {
        let declaration = Declaration { name, help, stability, kind: MetricKind::Counter, labels };
        let new = || Counter(Arc::new(Family::new(declaration, Default::default)));
        match self.register(name, || Registered::Counter(new())) {
            Registered::Counter(counter) => counter,
            _ => new(),
        }
    }

    /// The gauge family `name`, made if it is new. Without labels it has its one series from the start, at 0.
    #[must_use]
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        stability: Stability,
        labels: &'static [&'static str],
    ) -> Gauge {
        let declaration = Declaration { name, help, stability, kind: MetricKind::Gauge, labels };
        let new = || Gauge(Arc::new(Family::new(declaration, Default::default)));
        match self.register(name, || Registered::Gauge(new())) {
            Registered::Gauge(gauge) => gauge,
            _ => new(),
        }
    }

    /// The histogram family `name`, made if it is new. `buckets` are upper bounds, ascending, without `+Inf`.
    #[must_use]
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        stability: Stability,
        labels: &'static [&'static str],
        buckets: impl Into<Arc<[f64]>>,
    ) -> Histogram {
        let declaration = Declaration { name, help, stability, kind: MetricKind::Histogram, labels };
        let bounds = buckets.into();
        debug_assert!(bounds.is_sorted(), "the buckets of {name} do not ascend");
        let new = || {
            let bounds = bounds.clone();
            Histogram(Arc::new(Family::new(declaration, move || HistogramSeries::new(bounds.clone()))))
        };
        match self.register(name, || Registered::Histogram(new())) {
            Registered::Histogram(histogram) => histogram,
            _ => new(),
        }
    }

    /// Adds what is computed at each scrape. It is called without a lock held, and must not block.
    pub fn collector(&self, collect: Box<dyn Fn(&mut Encoder) + Send + Sync>) {
        self.lock().collectors.push(Arc::new(collect));
    }

    /// How many families are registered, by stability. Collectors are not known to have any.
    #[must_use]
    pub fn registered(&self) -> BTreeMap<Stability, u64> {
        let mut count = BTreeMap::new();
        for declaration in self.declarations() {
            *count.entry(declaration.stability).or_default() += 1;
        }
        count
    }

    /// What each registered family was declared with, by name. Those of collectors are not known.
    #[must_use]
    pub fn declarations(&self) -> Vec<Declaration> {
        let inner = self.lock();
        let families = inner.families.values().map(|family| match family {
            Registered::Counter(counter) => counter.0.declaration(),
            Registered::Gauge(gauge) => gauge.0.declaration(),
            Registered::Histogram(histogram) => histogram.0.declaration(),
        });
        families.collect()
    }

    /// Everything in the Prometheus text format ([`super::TEXT_FORMAT`]): families by name, series by label values.
    #[must_use]
    pub fn encode(&self) -> String {
        self.encode_with(|_| {})
    }

    /// The same with what `more` adds: what whoever is asked has found out for this scrape.
    #[must_use]
    pub fn encode_with(&self, more: impl FnOnce(&mut Encoder)) -> String {
        let (families, collectors) = {
            let inner = self.lock();
            (inner.families.values().cloned().collect::<Vec<_>>(), inner.collectors.clone())
        };
        let mut encoder = Encoder::default();
        for family in families {
            match family {
                Registered::Counter(counter) => counter.0.encode(&mut encoder),
                Registered::Gauge(gauge) => gauge.0.encode(&mut encoder),
                Registered::Histogram(histogram) => histogram.0.encode(&mut encoder),
            }
        }
        for collect in collectors {
            collect(&mut encoder);
        }
        more(&mut encoder);
        encoder.finish()
    }

    /// Two crates may share a family. One name for two kinds is a slip in the code: the later one is not exposed.
    fn register(&self, name: &'static str, new: impl FnOnce() -> Registered) -> Registered {
        self.lock().families.entry(name).or_insert_with(new).clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::metrics::{PROM_DEFAULT_BUCKETS, exponential_buckets};

    #[test]
    fn text() {
        let registry = Registry::new();
        let discards = registry.counter("kubelet_pleg_discard_events", "Dropped.", Stability::Alpha, &[]);
        let ended = registry.counter(
            "kubelet_terminated_containers_total",
            "Ended.",
            Stability::Alpha,
            &["exit_code", "container_type"],
        );
        ended.inc(&["137", "container"]);
        ended.add(&["0", "init_container"], 2);
        let running = registry.gauge("kubelet_running_pods", "Run.", Stability::Beta, &["static"]);
        running.set(&["true"], 3.0);
        running.add(&["true"], -1.0);
        running.set(&[""], 1.0);
        let start = registry.histogram("start_seconds", "Start.", Stability::Stable, &[], [0.005, 1.0]);
        start.observe(&[], 0.005);
        start.observe(&[], 0.006);
        start.observe(&[], 2.0);
        registry.collector(Box::new(|encoder| {
            encoder.family("a_now", "Now.", Stability::Internal, MetricKind::Gauge).sample_at(&[], 1.5, 12);
        }));

        expect![[r#"
            # HELP a_now [INTERNAL] Now.
            # TYPE a_now gauge
            a_now 1.5 12
            # HELP kubelet_pleg_discard_events [ALPHA] Dropped.
            # TYPE kubelet_pleg_discard_events counter
            kubelet_pleg_discard_events 0
            # HELP kubelet_running_pods [BETA] Run.
            # TYPE kubelet_running_pods gauge
            kubelet_running_pods{static=""} 1
            kubelet_running_pods{static="true"} 2
            # HELP kubelet_terminated_containers_total [ALPHA] Ended.
            # TYPE kubelet_terminated_containers_total counter
            kubelet_terminated_containers_total{container_type="container",exit_code="137"} 1
            kubelet_terminated_containers_total{container_type="init_container",exit_code="0"} 2
            # HELP start_seconds [STABLE] Start.
            # TYPE start_seconds histogram
            start_seconds_bucket{le="0.005"} 1
            start_seconds_bucket{le="1"} 2
            start_seconds_bucket{le="+Inf"} 3
            start_seconds_sum 2.011
            start_seconds_count 3
        "#]]
        .assert_eq(&registry.encode());

        let one_each = [Stability::Alpha, Stability::Beta, Stability::Stable].map(|level| (level, 1));
        let mut registered = BTreeMap::from(one_each);
        registered.insert(Stability::Alpha, 2);
        assert_eq!(registry.registered(), registered);
        assert_eq!(discards.get(&[]), 0);
        assert_eq!(ended.get(&["0", "init_container"]), 2);
        assert_eq!(start.get(&[]), (3, 2.011));
        ended.remove(&["0", "init_container"]);
        assert_eq!(ended.get(&["0", "init_container"]), 0);
        assert!(!registry.encode().contains("init_container"));
    }

    #[test]
    fn one_name_is_one_family() {
        let registry = Registry::new();
        let declare = |registry: &Registry| registry.counter("shared", "Shared.", Stability::Alpha, &[]);
        declare(&registry).inc(&[]);
        declare(&registry.clone()).inc(&[]);
        assert_eq!(declare(&registry).get(&[]), 2);
        let other = registry.histogram("shared", "Another.", Stability::Alpha, &[], PROM_DEFAULT_BUCKETS);
        other.observe(&[], 1.0);
        assert!(!registry.encode().contains("shared_bucket"));
    }

    #[test]
    fn concurrent_counts_are_not_lost() {
        let registry = Registry::new();
        let counter = registry.counter("c", "C.", Stability::Alpha, &["l"]);
        let gauge = registry.gauge("g", "G.", Stability::Alpha, &[]);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (counter, gauge) = (&counter, &gauge);
                scope.spawn(move || {
                    let label = (worker % 2).to_string();
                    for _ in 0..1000 {
                        counter.inc(&[&label]);
                        gauge.add(&[], 1.0);
                    }
                });
            }
        });
        assert_eq!((counter.get(&["0"]), counter.get(&["1"])), (2000, 2000));
        assert_eq!(gauge.get(&[]), 4000.0);
    }

    #[test]
    fn exponential() {
        assert_eq!(exponential_buckets(1.0, 2.0, 5), [1.0, 2.0, 4.0, 8.0, 16.0]);
    }
}
