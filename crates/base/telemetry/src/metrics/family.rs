//! Families of series: what counters, gauges and histograms have in common, and the first two.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use super::encode::{Encoder, MetricKind};
use super::{FamilyEncoder, Stability};

/// One series of a family.
pub(super) trait Series: Send + Sync {
    fn encode(&self, family: &mut FamilyEncoder<'_>, labels: &[(&str, &str)]);
}

/// What a family is declared with.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// Its name.
    pub name: &'static str,
    /// What it says, without the stability.
    pub help: &'static str,
    /// How stable it is.
    pub stability: Stability,
    /// What its numbers mean.
    pub kind: MetricKind,
    /// The labels of its series, in the order in which values are given.
    pub labels: &'static [&'static str],
}

/// A family's series, found by their label values.
pub(super) struct Family<S> {
    declaration: Declaration,
    /// Positions in the declared labels, by label name: the order in which labels are written and series sorted.
    by_name: Box<[usize]>,
    /// Sorted by key. Families have few series and gain one seldom, so a sorted list beats a map: a look-up compares
    /// borrowed texts and allocates nothing. Only the list is locked, never a series.
    series: RwLock<Vec<Entry<S>>>,
    new: Box<dyn Fn() -> S + Send + Sync>,
}

struct Entry<S> {
    /// Label values, in the order of `by_name`.
    key: Box<[Box<str>]>,
    series: Arc<S>,
}

impl<S: Series> Family<S> {
    pub(super) fn new(declaration: Declaration, new: impl Fn() -> S + Send + Sync + 'static) -> Self {
        let mut by_name: Box<[usize]> = (0..declaration.labels.len()).collect();
        by_name.sort_by_key(|position| declaration.labels[*position]);
        let family = Self { declaration, by_name, series: RwLock::default(), new: Box::new(new) };
        if declaration.labels.is_empty() {
            family.with(&[], |_| ());
        }
        family
    }

    pub(super) fn declaration(&self) -> Declaration {
        self.declaration
    }

    /// Does `work` on the series with these label values, made if there is none yet. Values that do not match the
    /// declared labels are a slip in the caller's code; such a sample is dropped.
    pub(super) fn with(&self, values: &[&str], work: impl FnOnce(&S)) {
        if !self.fits(values) {
            return;
        }
        if let Some(series) = self.find(values) {
            return work(&series);
        }
        let series = {
            let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
            match self.position(&all, values) {
                Ok(at) => all[at].series.clone(),
                Err(at) => {
                    let key = self.by_name.iter().map(|position| values[*position].into()).collect();
                    let series = Arc::new((self.new)());
                    all.insert(at, Entry { key, series: series.clone() });
                    series
                }
            }
        };
        work(&series);
    }

    pub(super) fn find(&self, values: &[&str]) -> Option<Arc<S>> {
        if !self.fits(values) {
            return None;
        }
        let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
        Some(all[self.position(&all, values).ok()?].series.clone())
    }

    pub(super) fn remove(&self, values: &[&str]) {
        if self.fits(values) {
            let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
            if let Ok(at) = self.position(&all, values) {
                all.remove(at);
            }
        }
    }

    fn fits(&self, values: &[&str]) -> bool {
        let fits = values.len() == self.by_name.len();
        debug_assert!(fits, "{} has the labels {:?}", self.declaration.name, self.declaration.labels);
        fits
    }

    fn position(&self, all: &[Entry<S>], values: &[&str]) -> Result<usize, usize> {
        let wanted = || self.by_name.iter().map(|position| values[*position]);
        all.binary_search_by(|entry| entry.key.iter().map(|text| &**text).cmp(wanted()))
    }

    pub(super) fn encode(&self, encoder: &mut Encoder) {
        let labels = self.declaration.labels;
        let mut family = encoder.declared(&self.declaration);
        let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let mut pairs = Vec::with_capacity(labels.len());
        for entry in &*all {
            pairs.clear();
            pairs.extend(
                self.by_name.iter().zip(&entry.key).map(|(position, value)| (labels[*position], &**value)),
            );
            entry.series.encode(&mut family, &pairs);
        }
    }
}

/// Counts what happens. Clones count in the same place.
#[derive(Clone)]
pub struct Counter(pub(super) Arc<Family<CounterSeries>>);

#[derive(Default)]
pub(super) struct CounterSeries(AtomicU64);

impl Series for CounterSeries {
    fn encode(&self, family: &mut FamilyEncoder<'_>, labels: &[(&str, &str)]) {
        family.sample(labels, self.0.load(Relaxed) as f64);
    }
}

impl Counter {
    /// Counts one, in the series with these label values.
    pub fn inc(&self, labels: &[&str]) {
        self.add(labels, 1);
    }

    /// Counts `more`.
    pub fn add(&self, labels: &[&str], more: u64) {
        self.0.with(labels, |series| {
            series.0.fetch_add(more, Relaxed);
        });
    }

    /// Drops the series, as when its pod is gone.
    pub fn remove(&self, labels: &[&str]) {
        self.0.remove(labels);
    }

    /// The count so far; 0 when there is no such series.
    #[must_use]
    pub fn get(&self, labels: &[&str]) -> u64 {
        self.0.find(labels).map_or(0, |series| series.0.load(Relaxed))
    }
}

/// A number that goes up and down. Clones set the same one.
#[derive(Clone)]
pub struct Gauge(pub(super) Arc<Family<GaugeSeries>>);

#[derive(Default)]
pub(super) struct GaugeSeries(AtomicF64);

impl Series for GaugeSeries {
    fn encode(&self, family: &mut FamilyEncoder<'_>, labels: &[(&str, &str)]) {
        family.sample(labels, self.0.load());
    }
}

impl Gauge {
    /// Sets the series with these label values.
    pub fn set(&self, labels: &[&str], value: f64) {
        self.0.with(labels, |series| series.0.store(value));
    }

    /// Adds `change`, which may be negative.
    pub fn add(&self, labels: &[&str], change: f64) {
        self.0.with(labels, |series| series.0.add(change));
    }

    /// Drops the series, as when its pod is gone.
    pub fn remove(&self, labels: &[&str]) {
        self.0.remove(labels);
    }

    /// The value; 0 when there is no such series.
    #[must_use]
    pub fn get(&self, labels: &[&str]) -> f64 {
        self.0.find(labels).map_or(0.0, |series| series.0.load())
    }
}

/// A float kept as its bits.
#[derive(Default)]
pub(super) struct AtomicF64(AtomicU64);

impl AtomicF64 {
    pub(super) fn load(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn store(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    pub(super) fn add(&self, change: f64) {
        let sum = |bits| Some((f64::from_bits(bits) + change).to_bits());
        // The closure never gives up, so that the update always succeeds.
        let _ = self.0.fetch_update(Relaxed, Relaxed, sum);
    }
}
