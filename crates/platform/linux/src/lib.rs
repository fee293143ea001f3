//! What berth asks of Linux itself: mounts, watches of directories and addresses, opening files beneath a root, `/proc`,
//! sysctls, memory, and what disks, networks and processes have used.
//!
//! Decides: how a kernel facility is used safely and what to tell the operator when it fails. Where a newer kernel
//! has a better way (`openat2`, tmpfs `noswap`), it is used when there and done without when not, back to Linux 5.4.
//!
//! Tasks: none. A [`watch::DirWatch`] or [`addresses::AddressChanges`] wakes whoever polls it; everything else is a call
//! that returns. Calls on paths may block for as long as a file system does: a caller that does not trust the path puts a
//! deadline around them.
//!
//! Does not: know about pods, cgroups (`cgroup`) or the runtime (`cri`).

pub mod addresses;
pub mod beneath;
pub mod diskstats;
pub mod diskuse;
pub mod error;
pub mod fs;
pub mod hugepages;
pub mod maps;
pub mod memory;
pub mod mount;
pub mod mountinfo;
pub mod netdev;
pub mod openfiles;
pub mod pressure;
pub mod proc;
pub mod projectquota;
mod readable;
pub mod statfs;
pub mod sysctl;
pub mod topology;
pub mod watch;

pub use error::PathError;
