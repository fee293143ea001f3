//! Histograms.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::FamilyEncoder;
use super::family::{AtomicF64, Family, Series};

/// Counts observations in buckets. Clones observe into the same ones.
#[derive(Clone)]
pub struct Histogram(pub(super) Arc<Family<HistogramSeries>>);

pub(super) struct HistogramSeries {
    bounds: Arc<[f64]>,
    /// Observations in each bucket alone; one more than there are bounds, for what is above the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicF64,
}

impl HistogramSeries {
    pub(super) fn new(bounds: Arc<[f64]>) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicF64::default() }
    }

    fn observe(&self, value: f64) {
        // A bound belongs to its bucket. NaN compares false and falls into the last one.
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum.add(value);
    }

    fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }
}

impl Series for HistogramSeries {
    fn encode(&self, family: &mut FamilyEncoder<'_>, labels: &[(&str, &str)]) {
        let mut total = 0;
        let mut up_to = self.counts.iter().map(|count| {
            total += count.load(Relaxed);
            total
        });
        let buckets: Vec<(f64, u64)> = self.bounds.iter().copied().zip(&mut up_to).collect();
        // Each bucket is read once, so that the count never falls short of a bucket.
        let count = up_to.next_back().unwrap_or_default();
        family.histogram(labels, &buckets, self.sum.load(), count);
    }
}

impl Histogram {
    /// Counts `value` in the series with these label values.
    pub fn observe(&self, labels: &[&str], value: f64) {
        self.0.with(labels, |series| series.observe(value));
    }

    /// Drops the series, as when its pod is gone.
    pub fn remove(&self, labels: &[&str]) {
        self.0.remove(labels);
    }

    /// How many observations there were, and their sum; nothing when there is no such series.
    #[must_use]
    pub fn get(&self, labels: &[&str]) -> (u64, f64) {
        self.0.find(labels).map_or((0, 0.0), |series| (series.count(), series.sum.load()))
    }
}
