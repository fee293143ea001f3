//! What a cgroup, with all below it, uses and may use: read from the kernel's files of either version.
//!
//! The numbers mean the same on both versions. What the kernel does not tell is absent, not 0.

mod files;
mod reader;
mod text;
mod v1;
mod v2;

use std::time::SystemTime;

use linux::pressure::Pressure;

pub use reader::UsageReader;

/// How much of a cgroup is read. Each file costs some µs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Detail {
    /// CPU time, memory and swap in use, and their limits.
    Basic,
    /// Pressure as well (cgroup v2 only).
    Pressure,
    /// Everything.
    Full,
}

/// What one cgroup uses.
#[derive(Clone, PartialEq, Debug)]
pub struct Usage {
    /// When its directory came into being, or was first looked at: the kernel does not tell these apart.
    pub since: SystemTime,
    /// CPU time; absent without the controller.
    pub cpu: Option<CpuUsage>,
    /// Memory; absent without the controller, and of the root on kernels that do not account for it.
    pub memory: Option<MemoryUsage>,
    /// For how long its tasks waited.
    pub pressure: Pressures,
    /// CPU limits; absent unless read in full, and of the root.
    pub cpu_limits: Option<CpuLimits>,
    /// Processes and threads; absent unless read in full, and of the root.
    pub tasks: Option<TaskUsage>,
    /// Block devices with what went to and from them; none unless read in full.
    pub io: Vec<DeviceIo>,
}

/// CPU time since the cgroup was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuUsage {
    /// All, in ns.
    pub total_ns: u64,
    /// Of it in user mode, in ns; 0 unless read in full.
    pub user_ns: u64,
    /// Of it in kernel mode, in ns; 0 unless read in full.
    pub system_ns: u64,
    /// What the quota did; absent unless read in full, and where there is no quota.
    pub throttling: Option<Throttling>,
}

/// What a CPU quota did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Throttling {
    /// Periods that have passed.
    pub periods: u64,
    /// Those in which the cgroup was stopped.
    pub throttled_periods: u64,
    /// For how long it was stopped, in ns.
    pub throttled_ns: u64,
    /// Periods in which it used what it had saved up.
    pub bursts: u64,
    /// For how long it did, in ns.
    pub burst_ns: u64,
}

/// How much CPU time a cgroup may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuLimits {
    /// Its weight, on the scale of cgroup v1 (2 to 262144).
    pub shares: u64,
    /// Length of a period, in µs.
    pub period_us: u64,
    /// CPU time for each period, in µs; none for no limit.
    pub quota_us: Option<u64>,
}

/// Memory, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryUsage {
    /// All of it, with what the kernel keeps for it in caches.
    pub usage: u64,
    /// That without file pages that were not used lately.
    pub working_set: u64,
    /// Page cache.
    pub cache: u64,
    /// Anonymous memory.
    pub rss: u64,
    /// File pages that are mapped.
    pub mapped_file: u64,
    /// The kernel's own memory on its behalf.
    pub kernel: Option<u64>,
    /// Swap space.
    pub swap: u64,
    /// File pages that were used lately.
    pub active_file: u64,
    /// File pages that were not.
    pub inactive_file: u64,
    /// Page faults of the cgroup and of those below.
    pub faults: Faults,
    /// Page faults of its own processes alone; none where the kernel does not tell them apart.
    pub own_faults: Option<Faults>,
    /// The most it has used.
    pub peak: Option<u64>,
    /// How often it ran into its limit.
    pub limit_hits: Option<u64>,
    /// Processes that were killed because memory ran out.
    pub oom_kills: Option<u64>,
    /// What it may use; none for no limit.
    pub limit: Option<u64>,
    /// How much swap space it may use; none for no limit.
    pub swap_limit: Option<u64>,
    /// What it gets back when memory is short.
    pub reservation: Option<u64>,
}

/// Page faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// All of them.
    pub all: u64,
    /// Those for which something had to be read from a disk.
    pub major: u64,
}

/// Pressure on each resource; none where it is not accounted for.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Pressures {
    /// On CPU time.
    pub cpu: Option<Pressure>,
    /// On memory.
    pub memory: Option<Pressure>,
    /// On disks.
    pub io: Option<Pressure>,
}

/// Processes and threads together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TaskUsage {
    /// How many there are.
    pub current: u64,
    /// How many there may be; none for no limit.
    pub limit: Option<u64>,
}

/// What went to and from one block device.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeviceIo {
    /// Major and minor number.
    pub device: (u32, u32),
    /// Bytes.
    pub bytes: Transfers,
    /// Requests.
    pub requests: Transfers,
    /// What the I/O cost controller has charged; none where it is off.
    pub cost: Option<IoCost>,
}

/// A count by kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transfers {
    counts: [Option<u64>; Transfer::ALL.len()],
}

/// Kinds of requests; they overlap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the kernel's names")]
pub enum Transfer {
    Read,
    Write,
    Sync,
    Async,
    Discard,
    Total,
}

impl Transfer {
    /// All kinds.
    pub const ALL: [Self; 6] = [Self::Read, Self::Write, Self::Sync, Self::Async, Self::Discard, Self::Total];

    /// The kernel's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Sync => "Sync",
            Self::Async => "Async",
            Self::Discard => "Discard",
            Self::Total => "Total",
        }
    }
}

impl Transfers {
    /// The count of one kind, if the kernel tells it.
    #[must_use]
    pub fn get(&self, kind: Transfer) -> Option<u64> {
        self.counts[kind as usize]
    }

    /// The kinds that the kernel tells, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Transfer, u64)> + '_ {
        Transfer::ALL.into_iter().filter_map(|kind| Some((kind, self.get(kind)?)))
    }

    /// With the count of `kind`.
    #[must_use]
    pub fn with(mut self, kind: Transfer, count: u64) -> Self {
        self.counts[kind as usize] = Some(count);
        self
    }
}

/// What the I/O cost controller has charged, in µs (kernel: "Control Group v2", `io.cost`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IoCost {
    /// Of the device's time.
    pub usage_us: u64,
    /// Waiting for its turn.
    pub wait_us: u64,
    /// In debt.
    pub indebt_us: u64,
    /// Held back for the debt.
    pub indelay_us: u64,
}
