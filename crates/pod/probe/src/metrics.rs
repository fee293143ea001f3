//! Metrics of probes. Those of the name `prober_…` are the kubelet's, labels and buckets too.

use std::time::Duration;

use telemetry::metrics::{
    Counter, Histogram, PROM_DEFAULT_BUCKETS, Registry,
    Stability::{Alpha, Beta, Internal},
};
use types::PodRef;

use crate::kind::Kind;
use crate::machine::Answer;

/// The values of the label `result`.
const RESULTS: [&str; 3] = ["successful", "failed", "unknown"];

/// The families that the prober feeds.
#[derive(Clone)]
pub struct Metrics {
    results: Counter,
    duration: Histogram,
    pub(crate) lateness: Histogram,
}

impl Metrics {
    /// Adds the families to `registry`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            results: registry.counter(
                "prober_probe_total",
                "Attempts of liveness, readiness and startup probes, by what came of them.",
                Beta,
                &["probe_type", "result", "container", "pod", "namespace", "pod_uid"],
            ),
            duration: registry.histogram(
                "prober_probe_duration_seconds",
                "Duration of attempts that succeeded.",
                Alpha,
                &["probe_type", "container", "pod", "namespace"],
                PROM_DEFAULT_BUCKETS,
            ),
            lateness: registry.histogram(
                "berth_probe_lateness_seconds",
                "How long after it was due an attempt began.",
                Internal,
                &["probe_type"],
                [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
            ),
        }
    }

    /// Counts an attempt and how long it took.
    pub(crate) fn count(&self, pod: &PodRef, container: &str, kind: Kind, answer: Answer, took: Duration) {
        let (namespace, name) = (&*pod.name.namespace, &*pod.name.name);
        let result = match answer {
            Answer::Pass => RESULTS[0],
            Answer::Fail => RESULTS[1],
            Answer::Void => RESULTS[2],
        };
        self.results.inc(&[kind.as_str(), result, container, name, namespace, pod.uid.as_str()]);
        if answer == Answer::Pass {
            self.duration.observe(&[kind.as_str(), container, name, namespace], took.as_secs_f64());
        }
    }

    /// Drops the series of a container that is not probed any more.
    pub(crate) fn forget(&self, pod: &PodRef, container: &str) {
        let (namespace, name) = (&*pod.name.namespace, &*pod.name.name);
        for kind in Kind::ALL.map(Kind::as_str) {
            for result in RESULTS {
                self.results.remove(&[kind, result, container, name, namespace, pod.uid.as_str()]);
            }
            self.duration.remove(&[kind, container, name, namespace]);
        }
    }
}
