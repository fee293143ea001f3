//! The volumes of pods: made before the first container starts, kept while the pod lives, taken away after it.
//!
//! Decides: which volumes a pod needs, whether a host path is what the pod says it is, what is in a file of the
//! downward API, how large a tmpfs may grow, as what a file system counts a volume, and what may safely be removed.
//! Everything is decided from the pod and from what is on disk and mounted; nothing is remembered between calls but which
//! volumes are counted, which is on disk too, what failed and until when it is not tried again (`backoff`), and for a metric
//! which volumes there are (`tally`), so that a restart changes nothing.
//!
//! Tasks: none of its own. [`Volumes`] is called by the pod's worker. Each volume is prepared on a thread of its own with
//! a deadline, since a path of the host can hang (a dead NFS server); a volume whose last attempt still hangs is
//! refused until that ends, so that hung threads do not add up.
//!
//! Does not: talk to the API server or to the runtime. What volumes show of the former's objects is handed in as values
//! ([`references`] says which); image volumes are passed on for the runtime to mount; claims, and what CSI drivers make, are
//! handed to [`Drivers`], and refused with a word on why without any.

pub mod atomic;
mod attempts;
pub mod backoff;
pub mod claim;
mod downward;
mod drivers;
mod emptydir;
pub mod error;
mod file;
pub mod giving;
pub mod growth;
pub mod held;
mod hostpath;
mod keys;
mod kind;
mod measured;
mod metrics;
mod nested;
pub mod ownership;
pub mod paths;
mod prepare;
pub mod prepared;
mod projected;
mod quota;
pub mod selinux;
pub mod subpath;
mod tally;
mod teardown;
mod volumes;

pub use drivers::{Attempt, Drivers, FoundVolume, FoundVolumes, NotShown, Onlooker, digest};
pub use error::{DriverError, Problem, VolumeError, VolumeFailure};
pub use file::ReadError;
pub use kind::references;
pub use measured::{Measurable, MeasuredBy, measurable};
pub use metrics::Metrics;
pub use paths::{PodPaths, UnusableUid};
pub use prepared::{MountSource, Mounted, Prepared};
pub use quota::Quotas;
pub use tally::TOTAL_VOLUMES;
pub use teardown::{NotTornDown, TeardownError};
pub use volumes::{HeldOrphan, Volumes, VolumesConfig};

#[cfg(test)]
mod testing;
