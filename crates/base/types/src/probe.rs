//! What the probes found of each container instance.

use std::collections::BTreeMap;

use crate::corev1::Container;
use crate::{ContainerId, ObservedContainer};

/// The probe results of one container instance. A probe that has not come to a result yet says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// The startup probe: succeeded (`true`), failed its last allowed attempt (`false`), or not known yet.
    pub startup: Option<bool>,
    /// The liveness probe: alive or not.
    pub liveness: Option<bool>,
    /// The readiness probe: ready or not.
    pub readiness: Option<bool>,
}

/// The results of all probes of a pod. A container with a probe and without a result is not yet started, or not yet ready.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Probes {
    /// Results by instance.
    pub verdicts: BTreeMap<ContainerId, Verdict>,
    /// Whether some container ran before berth did, and neither is it known what was said of it last, nor has it been
    /// asked how it is. Nothing is to be said of its readiness until then.
    pub awaited: bool,
}

impl Probes {
    fn verdict(&self, id: &ContainerId) -> Verdict {
        self.verdicts.get(id).copied().unwrap_or_default()
    }

    /// Whether `instance` of `container` has started: it runs, and its startup probe succeeded if it has one.
    #[must_use]
    pub fn started(&self, container: &Container, instance: &ObservedContainer) -> bool {
        let unprobed = container.startup_probe.is_none();
        instance.state.is_running() && self.verdict(&instance.id).startup.unwrap_or(unprobed)
    }

    /// Whether `instance` of `container` is ready: it has started, and its readiness probe succeeded if it has one.
    #[must_use]
    pub fn ready(&self, container: &Container, instance: &ObservedContainer) -> bool {
        let unprobed = container.readiness_probe.is_none();
        self.started(container, instance) && self.verdict(&instance.id).readiness.unwrap_or(unprobed)
    }

    /// Whether the startup probe gave `instance` up.
    #[must_use]
    pub fn startup_failed(&self, instance: &ObservedContainer) -> bool {
        self.verdict(&instance.id).startup == Some(false)
    }

    /// Whether the liveness probe gave `instance` up.
    #[must_use]
    pub fn liveness_failed(&self, instance: &ObservedContainer) -> bool {
        self.verdict(&instance.id).liveness == Some(false)
    }
}

impl<const N: usize> From<[(ContainerId, Verdict); N]> for Probes {
    fn from(verdicts: [(ContainerId, Verdict); N]) -> Self {
        Self { verdicts: verdicts.into(), awaited: false }
    }
}
