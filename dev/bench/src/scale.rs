//! How much is measured.

use std::time::Duration;

/// Numbers of pods and repetitions, and how long is waited and watched.
pub(crate) struct Scale {
    pub(crate) pods: usize,
    pub(crate) workers: &'static [usize],
    pub(crate) single_pods: usize,
    pub(crate) exits: usize,
    /// Of a ConfigMap. Kubernetes' kubelet needs more than a minute for each.
    pub(crate) changes: usize,
    /// Times that a probe is answered otherwise than before.
    pub(crate) turns: usize,
    pub(crate) settle: Duration,
    pub(crate) idle: Duration,
    /// The same for a node of an API server, whose signs of life are seconds apart.
    pub(crate) idle_node: Duration,
    /// How long probes are watched: several periods of the slowest.
    pub(crate) probing: Duration,
    pub(crate) scrapes: usize,
    /// The text of the log that is read, and what is copied out of a container and into it, in MiB.
    pub(crate) log_mib: u64,
}

impl Scale {
    /// With so many pods; `quick` shows that it works.
    pub(crate) fn of(pods: usize, quick: bool) -> Self {
        if quick {
            Self {
                pods: pods.min(20),
                workers: &[2, 4, 8],
                single_pods: 3,
                exits: 5,
                changes: 2,
                turns: 3,
                settle: Duration::from_secs(3),
                idle: Duration::from_secs(10),
                idle_node: Duration::from_secs(30),
                probing: Duration::from_secs(20),
                scrapes: 2,
                log_mib: 64,
            }
        } else {
            Self {
                pods,
                workers: &[2, 4, 8, 32],
                single_pods: 10,
                exits: 20,
                changes: 5,
                turns: 20,
                settle: Duration::from_secs(10),
                idle: Duration::from_secs(30),
                idle_node: Duration::from_secs(120),
                probing: Duration::from_secs(60),
                scrapes: 8,
                log_mib: 1024,
            }
        }
    }
}
