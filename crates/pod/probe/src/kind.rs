//! The kinds of probes.

use std::time::Duration;

use types::Container;
use types::corev1::Probe;

/// What a probe is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Has the container started? Until then nothing else is asked.
    Startup,
    /// Does it still work? If not, it is started again.
    Liveness,
    /// May it get traffic?
    Readiness,
}

impl Kind {
    /// All of them. The startup probe comes first, as it holds back the others.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// The kubelet's word, in messages and as the metrics label `probe_type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    /// The container's probe of this kind.
    #[must_use]
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

/// When a probe asks and how often it has to be told the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Timing {
    pub(crate) initial_delay: Duration,
    pub(crate) period: Duration,
    /// How long one attempt may take.
    pub(crate) limit: Duration,
    pub(crate) success_threshold: u32,
    pub(crate) failure_threshold: u32,
}

impl Timing {
    /// That of `probe`. What is missing is as the API server sets it.
    pub(crate) fn of(probe: &Probe) -> Self {
        let or = |value: Option<i32>, usual: u32| {
            value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(usual)
        };
        let seconds = |value, usual| Duration::from_secs(or(value, usual).into());
        Self {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            limit: seconds(probe.timeout_seconds, 1),
            success_threshold: or(probe.success_threshold, 1),
            failure_threshold: or(probe.failure_threshold, 3),
        }
    }
}
