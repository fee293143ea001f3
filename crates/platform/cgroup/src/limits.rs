//! Limits of a cgroup, and the files of each cgroup version that say them to the kernel.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Version, cpu};

/// An upper bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cap {
    /// None.
    Unlimited,
    /// This much, and no more.
    At(u64),
}

impl Cap {
    fn v1(self) -> String {
        match self {
            Self::Unlimited => "-1".to_owned(),
            Self::At(value) => value.to_string(),
        }
    }
}

/// As cgroup v2 writes it: a number or `max`.
impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("max"),
            Self::At(value) => write!(f, "{value}"),
        }
    }
}

/// CFS bandwidth: how much CPU time a cgroup may use in each period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuQuota {
    /// µs of CPU time per period.
    pub quota: Cap,
    /// The period, in µs.
    pub period: u64,
}

/// What a cgroup may use. What is `None` or absent is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// CPU weight on the scale of cgroup v1 (2..262144); [`cpu::weight`] makes it one of cgroup v2.
    pub cpu_shares: Option<u64>,
    /// CFS bandwidth.
    pub cpu_quota: Option<CpuQuota>,
    /// Memory, in bytes.
    pub memory: Option<Cap>,
    /// Number of processes and threads.
    pub pids: Option<Cap>,
    /// Huge pages, in bytes by page size in bytes.
    pub hugetlb: BTreeMap<u64, Cap>,
    /// Further files of cgroup v2, such as `memory.min`. Not written on cgroup v1.
    pub unified: BTreeMap<String, String>,
}

/// One value for one file of a cgroup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// The controller that the file belongs to; on cgroup v1 it chooses the hierarchy.
    pub controller: String,
    /// The file's name.
    pub file: String,
    /// The text to write.
    pub value: String,
    /// Whether a kernel without that file, or a node without that controller, is no error.
    pub optional: bool,
}

impl Write {
    fn new(controller: &str, file: &str, value: impl fmt::Display) -> Self {
        Self { controller: controller.into(), file: file.into(), value: value.to_string(), optional: false }
    }
}

impl Limits {
    /// The files to write, in order.
    #[must_use]
    pub fn writes(&self, version: Version) -> Vec<Write> {
        let mut writes = match version {
            Version::V1 => self.v1(),
            Version::V2 => self.v2(),
        };
        for (page, cap) in &self.hugetlb {
            writes.extend(hugetlb(version, *page, *cap));
        }
        writes
    }

    fn v1(&self) -> Vec<Write> {
        let mut writes = Vec::new();
        if let Some(shares) = self.cpu_shares {
            writes.push(Write::new("cpu", "cpu.shares", shares));
        }
        if let Some(CpuQuota { quota, period }) = self.cpu_quota {
            writes.push(Write::new("cpu", "cpu.cfs_period_us", period));
            writes.push(Write::new("cpu", "cpu.cfs_quota_us", quota.v1()));
        }
        if let Some(memory) = self.memory {
            writes.push(Write::new("memory", "memory.limit_in_bytes", memory.v1()));
        }
        if let Some(pids) = self.pids {
            // The one file of cgroup v1 that says "max".
            writes.push(Write { optional: pids == Cap::Unlimited, ..Write::new("pids", "pids.max", pids) });
        }
        writes
    }

    fn v2(&self) -> Vec<Write> {
        let mut writes = Vec::new();
        if let Some(shares) = self.cpu_shares {
            writes.push(Write::new("cpu", "cpu.weight", cpu::weight(shares)));
        }
        if let Some(CpuQuota { quota, period }) = self.cpu_quota {
            writes.push(Write::new("cpu", "cpu.max", format_args!("{quota} {period}")));
        }
        if let Some(memory) = self.memory {
            writes.push(Write::new("memory", "memory.max", memory));
        }
        if let Some(pids) = self.pids {
            writes.push(Write { optional: pids == Cap::Unlimited, ..Write::new("pids", "pids.max", pids) });
        }
        for (file, value) in &self.unified {
            let controller = file.split('.').next().unwrap_or_default();
            writes.push(Write::new(controller, file, value));
        }
        writes
    }
}

/// Pages in use, and pages set aside for mappings (kernel 5.7 and newer), are counted apart and limited alike. A node
/// without the controller has no huge pages to give, so that only a limit above 0 needs it.
fn hugetlb(version: Version, page: u64, cap: Cap) -> [Write; 2] {
    let size = page_size_name(page);
    let file = |infix: &str| match version {
        Version::V1 => format!("hugetlb.{size}.{infix}limit_in_bytes"),
        Version::V2 => format!("hugetlb.{size}.{infix}max"),
    };
    let value = match version {
        Version::V1 => cap.v1(),
        Version::V2 => cap.to_string(),
    };
    let needed = matches!(cap, Cap::At(1..));
    [
        Write { optional: !needed, ..Write::new("hugetlb", &file(""), &value) },
        Write { optional: true, ..Write::new("hugetlb", &file("rsvd."), &value) },
    ]
}

/// A page size as the kernel writes it in file names: `64KB`, `2MB`, `1GB`.
#[must_use]
pub fn page_size_name(bytes: u64) -> String {
    match bytes {
        0x4000_0000.. => format!("{}GB", bytes >> 30),
        0x10_0000.. => format!("{}MB", bytes >> 20),
        _ => format!("{}KB", bytes >> 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Limits {
        Limits {
            cpu_shares: Some(1024),
            cpu_quota: Some(CpuQuota { quota: Cap::At(50_000), period: 100_000 }),
            memory: Some(Cap::At(1 << 30)),
            pids: Some(Cap::At(100)),
            hugetlb: BTreeMap::from([(2 << 20, Cap::At(0))]),
            unified: BTreeMap::from([("memory.min".to_owned(), "4096".to_owned())]),
        }
    }

    fn texts(writes: &[Write]) -> Vec<String> {
        writes.iter().map(|w| format!("{} {}={}", w.controller, w.file, w.value)).collect()
    }

    #[test]
    fn files_of_v1() {
        assert_eq!(
            texts(&all().writes(Version::V1)),
            [
                "cpu cpu.shares=1024",
                "cpu cpu.cfs_period_us=100000",
                "cpu cpu.cfs_quota_us=50000",
                "memory memory.limit_in_bytes=1073741824",
                "pids pids.max=100",
                "hugetlb hugetlb.2MB.limit_in_bytes=0",
                "hugetlb hugetlb.2MB.rsvd.limit_in_bytes=0",
            ]
        );
    }

    #[test]
    fn files_of_v2() {
        assert_eq!(
            texts(&all().writes(Version::V2)),
            [
                "cpu cpu.weight=39",
                "cpu cpu.max=50000 100000",
                "memory memory.max=1073741824",
                "pids pids.max=100",
                "memory memory.min=4096",
                "hugetlb hugetlb.2MB.max=0",
                "hugetlb hugetlb.2MB.rsvd.max=0",
            ]
        );
    }

    #[test]
    fn unlimited() {
        let limits = Limits {
            cpu_quota: Some(CpuQuota { quota: Cap::Unlimited, period: 100_000 }),
            memory: Some(Cap::Unlimited),
            pids: Some(Cap::Unlimited),
            ..Limits::default()
        };
        let values = |version| limits.writes(version).into_iter().map(|w| w.value).collect::<Vec<_>>();
        assert_eq!(values(Version::V1), ["100000", "-1", "-1", "max"]);
        assert_eq!(values(Version::V2), ["max 100000", "max", "max"]);
        assert_eq!(Limits::default().writes(Version::V2), []);
    }

    #[test]
    fn page_sizes() {
        assert_eq!(page_size_name(64 << 10), "64KB");
        assert_eq!(page_size_name(2 << 20), "2MB");
        assert_eq!(page_size_name(1 << 30), "1GB");
    }
}
