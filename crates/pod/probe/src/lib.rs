//! Liveness, readiness and startup probes (Kubernetes: "Configure Liveness, Readiness and Startup Probes"; KEP-753 for
//! sidecars, KEP-2238 for their grace periods, KEP-2727 for gRPC).
//!
//! Decides, purely: when each probe of a container is due, and what its answers come to (`machine`, `group`): thresholds,
//! delays, the startup probe that holds back the others, a new instance, the end of the pod, a restart of berth.
//!
//! Each pod's worker shows its pod with [`Prober::see`] whenever it changes. What the probes found is in the pod's cell, and
//! wakes its worker.
//!
//! One task, [`Wheel::run`], has the only timer of all probes; it wakes when a probe is due, when an attempt ends, and when
//! a pod was shown. Each attempt is a task of its own: one that hangs delays nobody. Commands are started so many at a time,
//! since each is a process; a slow one gives its place up.
//!
//! Does not: kill containers (`sync`), derive status (`status`), or speak HTTP (`podhttp`) and CRI ([`Exec`]).

mod attempt;
mod exec;
mod group;
mod key;
mod kind;
mod machine;
mod metrics;
mod past;
mod prober;
mod seen;
mod shared;
mod table;
mod wheel;

pub use exec::{Exec, ExecError, Ran};
pub use group::Stage;
pub use kind::Kind;
pub use metrics::Metrics;
pub use prober::{Options, Prober};
pub use seen::Seen;
pub use table::Trouble;
pub use wheel::Wheel;
