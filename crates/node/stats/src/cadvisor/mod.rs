//! `/metrics/cadvisor`: what the kernel counts, under the names and labels that cAdvisor made common. Dashboards and
//! alerts are written for these.
//!
//! Every `container_*` series has the labels `container`, `id`, `image`, `name`, `namespace` and `pod`; what does not
//! apply is empty. The node is the one with the `id` `/`; a pod's cgroup has `pod` and `namespace`, and its sandbox
//! `image` and `name` as well.

/// The labels of every series, and more.
macro_rules! labels {
    ($($more:literal),*) => { &["container", "id", "image", "name", "namespace", "pod", $($more),*] };
}

mod cpu;
mod disk;
mod machine;
mod memory;
mod network;
mod pressure;
mod process;
mod spec;
mod target;
#[cfg(test)]
mod tests;

use telemetry::metrics::{Declaration, Encoder, FamilyEncoder, MetricKind, Stability};

use crate::disks::Finds;
use crate::machine::Machine;
use crate::reading::Reading;
use target::Target;

/// One family of `container_*` series.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricKind,
    labels: &'static [&'static str],
    /// Adds the samples of one target.
    samples: fn(&Target<'_>, &mut Samples<'_, '_>),
}

const fn counter(
    name: &'static str,
    help: &'static str,
    samples: fn(&Target<'_>, &mut Samples<'_, '_>),
) -> Family {
    Family { name, help, kind: MetricKind::Counter, labels: labels!(), samples }
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    samples: fn(&Target<'_>, &mut Samples<'_, '_>),
) -> Family {
    Family { name, help, kind: MetricKind::Gauge, labels: labels!(), samples }
}

impl Family {
    const fn by(mut self, labels: &'static [&'static str]) -> Self {
        self.labels = labels;
        self
    }
}

/// Where the samples of one target go.
struct Samples<'a, 'b> {
    family: &'a mut FamilyEncoder<'b>,
    target: &'a Target<'a>,
}

impl Samples<'_, '_> {
    /// A sample taken when the target was read.
    fn add(&mut self, value: f64) {
        self.with(&[], value);
    }

    /// The same, if there is one.
    fn maybe(&mut self, value: Option<f64>) {
        value.into_iter().for_each(|value| self.add(value));
    }

    /// A sample with more labels, taken when the target was read.
    fn with(&mut self, more: &[(&str, &str)], value: f64) {
        let at_ms = self.target.group.moment.at.as_millisecond();
        self.family.sample_of(&self.target.labels, more, value, Some(at_ms));
    }

    /// A sample that was not taken at any time.
    fn timeless(&mut self, value: f64) {
        self.family.sample_of(&self.target.labels, &[], value, None);
    }
}

/// All families of `container_*` series.
fn families() -> impl Iterator<Item = &'static Family> {
    [
        spec::FAMILIES,
        cpu::FAMILIES,
        memory::FAMILIES,
        disk::FAMILIES,
        network::FAMILIES,
        process::FAMILIES,
        pressure::FAMILIES,
    ]
    .into_iter()
    .flatten()
}

/// The families of `/metrics/cadvisor`.
pub fn declarations() -> impl Iterator<Item = Declaration> {
    let of_targets = families().map(|family| {
        let Family { name, help, kind, labels, .. } = *family;
        Declaration { name, help, stability: Stability::Unstated, kind, labels }
    });
    of_targets.chain(machine::declarations())
}

/// The text of `/metrics/cadvisor` for what was read, or that nothing could be read.
pub(crate) fn text(machine: &Machine, reading: Option<&Reading>, finds: &Finds) -> String {
    let mut encoder = Encoder::default();
    if let Some(reading) = reading {
        target::with_all(reading, finds, |targets| {
            for family in families() {
                let mut encoded = encoder.family(family.name, family.help, Stability::Unstated, family.kind);
                for target in targets {
                    (family.samples)(target, &mut Samples { family: &mut encoded, target });
                }
            }
        });
    }
    machine::encode(&mut encoder, machine, reading.map(|reading| reading.moment));
    encoder.finish()
}

#[allow(clippy::cast_precision_loss, reason = "samples are floats")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Seconds of nanoseconds.
fn seconds(nanoseconds: u64) -> f64 {
    float(nanoseconds) / 1e9
}

/// Seconds of microseconds.
fn seconds_of_us(microseconds: u64) -> f64 {
    float(microseconds) / 1e6
}
