//! The figures of nodes of an API server.

use serde::Serialize;

use crate::calls::Calls;
use crate::figures::{Burst, Spread};

/// One node agent on one API server. Times are those at which a watch of the API server told the bench.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Member {
    pub(crate) agent: String,
    pub(crate) server: &'static str,
    /// From the request that creates the pod.
    pub(crate) single_ready: Option<Spread>,
    /// From the request that deletes it.
    pub(crate) single_gone: Option<Spread>,
    /// From the death of a container's process.
    pub(crate) exit_seen: Option<Spread>,
    /// From the answer that a readiness probe was given, the first of its kind.
    pub(crate) unready_seen: Option<Spread>,
    /// The same for the answer that it is ready again.
    pub(crate) ready_seen: Option<Spread>,
    /// From the request that changes a ConfigMap to the changed file in a pod's volume.
    pub(crate) change_in_file: Option<Spread>,
    /// From the first request to the server's last answer.
    pub(crate) created_ms: f64,
    pub(crate) ready: Burst,
    pub(crate) gone: Burst,
    /// Before there was any pod.
    pub(crate) rss_fresh_kib: u64,
    /// After the first pod has come and gone.
    pub(crate) rss_empty_kib: u64,
    pub(crate) rss_full_kib: u64,
    pub(crate) rss_peak_kib: u64,
    pub(crate) threads: usize,
    pub(crate) cpu: Cpu,
    /// The server's processes, the one that clients talk to first.
    pub(crate) servers: Vec<Process>,
    /// Requests of the node per pod of the burst, by verb and resource, from the server's own log.
    pub(crate) ready_requests_per_pod: Calls,
    /// The same for deleting them.
    pub(crate) gone_requests_per_pod: Calls,
    /// Requests of the node while nothing happens.
    pub(crate) idle_requests_per_minute: Calls,
}

/// CPU time of a process.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cpu {
    /// Until all pods were ready.
    pub(crate) ready_ms: f64,
    /// Until all were gone.
    pub(crate) gone_ms: f64,
    pub(crate) idle_millicores: f64,
}

/// A process of the API server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Process {
    pub(crate) name: &'static str,
    /// With all pods.
    pub(crate) rss_kib: u64,
    pub(crate) cpu: Cpu,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) pods: usize,
    pub(crate) cores: usize,
    pub(crate) load_before: String,
    pub(crate) load_after: String,
    pub(crate) members: Vec<Member>,
}
