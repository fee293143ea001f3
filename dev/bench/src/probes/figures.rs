//! The figures of probes.

use serde::Serialize;

use crate::figures::Spread;

/// One node agent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Probing {
    pub(crate) name: String,
    /// Two HTTP probes of each pod, each second.
    pub(crate) http: Round,
    /// One command in each pod every ten seconds.
    pub(crate) command: Round,
    /// From the answer by which a liveness probe fails to the end of the container.
    pub(crate) failure_to_stop: Option<Spread>,
    /// The same to the creation of its successor.
    pub(crate) failure_to_restart: Option<Spread>,
}

/// One kind of probes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) quiet: Window,
    /// While a thread spins on each core.
    pub(crate) busy: Window,
}

/// All probes for some time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Window {
    pub(crate) agent_millicores: f64,
    /// Of containerd, its shims and what they ran.
    pub(crate) runtime_millicores: f64,
    pub(crate) attempts_per_second: f64,
    /// Attempts that failed. No pod is ill.
    pub(crate) failed: f64,
    /// Attempts that could not be made.
    pub(crate) unknown: f64,
    /// How long after they were due attempts began; of berth, which alone tells.
    pub(crate) lateness: Option<Tail>,
    /// How long attempts that succeeded took, as the agent tells.
    pub(crate) duration: Option<Tail>,
}

/// Bounds of buckets of a histogram that half and nearly all of the observations keep.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Tail {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}
