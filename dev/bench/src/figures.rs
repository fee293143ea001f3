//! The figures, and what is made of many measurements of one thing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Several measurements of one thing, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) worst_ms: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(mut measured: Vec<Duration>) -> Option<Self> {
        measured.sort();
        let rank = |part: usize| (measured.len() * part).div_ceil(100).saturating_sub(1);
        let at = |rank: usize| measured.get(rank).copied().map(ms);
        Some(Self { median_ms: at(rank(50))?, p99_ms: at(rank(99))?, worst_ms: at(rank(100))? })
    }
}

/// Milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// CPU time as a part of the time that passed.
pub(crate) fn millicores(used: Duration, passed: Duration) -> f64 {
    ms(used) / passed.as_secs_f64()
}

/// Many pods at once.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Burst {
    /// From the first manifest, or call, to the last pod.
    pub(crate) total_ms: f64,
    /// From a pod's manifest, or its first call, to its end.
    pub(crate) each: Option<Spread>,
}

impl Burst {
    /// Of how long each took since the beginning.
    pub(crate) fn of(times: Vec<Duration>) -> Self {
        let total_ms = times.iter().max().copied().map_or(0.0, ms);
        Self { total_ms, each: Spread::of(times) }
    }
}

/// The bare runtime with one number of workers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Workers {
    pub(crate) workers: usize,
    pub(crate) start: Burst,
    pub(crate) stop: Burst,
}

/// The bare runtime.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bare {
    pub(crate) single_start: Option<Spread>,
    pub(crate) single_stop: Option<Spread>,
    pub(crate) single_gone: Option<Spread>,
    pub(crate) bursts: Vec<Workers>,
}

impl Bare {
    /// The number of workers that is fastest at what `of` picks.
    pub(crate) fn best(&self, of: impl Fn(&Workers) -> f64) -> Option<&Workers> {
        self.bursts.iter().min_by(|a, b| of(a).total_cmp(&of(b)))
    }
}

/// One node agent. Figures named `shown_*` are what its own `GET /pods` says, if it has that; all others are read
/// off containerd.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) single_start: Option<Spread>,
    pub(crate) shown_single_ready: Option<Spread>,
    /// From a container's death to the creation of its successor.
    pub(crate) exit_to_restart: Option<Spread>,
    pub(crate) shown_exit: Option<Spread>,
    pub(crate) single_stop: Option<Spread>,
    /// Until the runtime has forgotten the pod; `None` if that took too long.
    pub(crate) single_gone: Option<Spread>,
    pub(crate) start: Burst,
    pub(crate) shown_ready: Option<Burst>,
    /// Until nothing runs any more.
    pub(crate) stop: Burst,
    /// Until the runtime has forgotten all of it; `None` if that took too long.
    pub(crate) gone_ms: Option<f64>,
    /// Before there was any pod.
    pub(crate) rss_fresh_kib: u64,
    /// After the first pod has come and gone.
    pub(crate) rss_empty_kib: u64,
    pub(crate) rss_full_kib: u64,
    pub(crate) rss_peak_kib: u64,
    pub(crate) threads: usize,
    pub(crate) idle_millicores: f64,
    /// CPU time of the agent while it starts all pods.
    pub(crate) start_cpu_ms: f64,
    /// The same while it stops them.
    pub(crate) stop_cpu_ms: f64,
    /// Calls to the runtime per pod of the burst, by operation, from its own metrics.
    pub(crate) calls_per_pod: BTreeMap<String, f64>,
    /// The same for removing them.
    pub(crate) stop_calls_per_pod: BTreeMap<String, f64>,
    /// Calls per second while idle.
    pub(crate) idle_calls_per_second: BTreeMap<String, f64>,
}

/// Node agents compared in one respect.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Compared<T> {
    pub(crate) pods: usize,
    pub(crate) cores: usize,
    pub(crate) load_before: String,
    pub(crate) load_after: String,
    pub(crate) agents: Vec<T>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) pods: usize,
    pub(crate) cores: usize,
    pub(crate) load_before: String,
    pub(crate) load_after: String,
    pub(crate) bare: Option<Bare>,
    pub(crate) agents: Vec<Agent>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_made_of_ranks() {
        let spread = Spread::of((1..=200).rev().map(Duration::from_millis).collect()).unwrap();
        assert_eq!((spread.median_ms, spread.p99_ms, spread.worst_ms), (100.0, 198.0, 200.0));
        let one = Spread::of(vec![Duration::from_millis(7)]).unwrap();
        assert_eq!((one.median_ms, one.p99_ms), (7.0, 7.0));
        assert!(Spread::of(Vec::new()).is_none());
    }
}
