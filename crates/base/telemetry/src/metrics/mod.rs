//! Metrics: typed families handed down from one registry, written in the Prometheus text format.
//!
//! Unlike the usual client libraries, names are written as they are declared (the kubelet has counters without
//! `_total`), samples may carry timestamps, and there is no global registry.

mod encode;
mod family;
mod float;
mod histogram;
mod registry;

pub use encode::{Encoder, FamilyEncoder, LabelSet, MetricKind};
pub use family::{Counter, Declaration, Gauge};
pub use histogram::Histogram;
pub use registry::Registry;

/// `Content-Type` of what [`Registry::encode`] returns.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The buckets that Prometheus clients use unless told otherwise, in seconds.
pub const PROM_DEFAULT_BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How stable a metric is (Kubernetes: "Metrics for Kubernetes System Components"). It opens the help text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stability {
    /// Not said: a metric that is not Kubernetes' own, such as those of a process.
    Unstated,
    /// For the project's own use.
    Internal,
    /// May change or vanish at any time.
    Alpha,
    /// Keeps its name and labels for a while.
    Beta,
    /// Kept as it is.
    Stable,
}

impl Stability {
    /// The word in the brackets of the help text; empty for no brackets.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unstated => "",
            Self::Internal => "INTERNAL",
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
            Self::Stable => "STABLE",
        }
    }
}

/// `count` bucket bounds, the first `start`, each `factor` times the one before.
#[must_use]
pub fn exponential_buckets(start: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound * factor)).take(count).collect()
}
