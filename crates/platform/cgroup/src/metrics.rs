//! Metrics of this crate.

use std::time::Duration;

use crate::Version;

/// How long work on cgroups takes, and their version.
#[derive(Clone, Debug, Default)]
pub struct Metrics {}

impl Metrics {
    #[allow(clippy::unused_self)]
    pub(crate) fn observe(&self, _operation: &'static str, _took: Duration) {}
    #[allow(clippy::unused_self)]
    pub(crate) fn version(&self, _version: Version) {}
}
