//! The files of cgroup v1 (kernel: "Control Groups version 1").

use super::files::Files;
use super::text::{device, number, of, pairs};
use super::{CpuLimits, CpuUsage, Detail, DeviceIo, Faults, MemoryUsage, TaskUsage, Throttling, Transfer};

/// What the kernel counts CPU time in user and kernel mode in: hundredths of a second (`USER_HZ`).
const TICK_NS: u64 = 10_000_000;
/// Limits of memory from here on are none: the kernel's largest number, rounded to pages.
const UNLIMITED: u64 = 1 << 62;

pub(super) fn cpu(files: &mut impl Files, detail: Detail) -> Option<CpuUsage> {
    let total_ns = number(files.read("cpuacct", "cpuacct.usage")?)?;
    let mut found = CpuUsage { total_ns, ..CpuUsage::default() };
    if detail < Detail::Full {
        return Some(found);
    }
    for (key, ticks) in files.read("cpuacct", "cpuacct.stat").into_iter().flat_map(pairs) {
        match key {
            "user" => found.user_ns = ticks.saturating_mul(TICK_NS),
            "system" => found.system_ns = ticks.saturating_mul(TICK_NS),
            _ => {}
        }
    }
    Some(found)
}

/// What the quota does, where there is one.
pub(super) fn throttling(files: &mut impl Files, limits: Option<&CpuLimits>) -> Option<Throttling> {
    limits?.quota_us?;
    files.read("cpu", "cpu.stat").map(parse_throttling)
}

fn parse_throttling(text: &str) -> Throttling {
    let mut found = Throttling::default();
    for (key, value) in pairs(text) {
        match key {
            "nr_periods" => found.periods = value,
            "nr_throttled" => found.throttled_periods = value,
            "throttled_time" => found.throttled_ns = value,
            "nr_bursts" => found.bursts = value,
            "burst_time" => found.burst_ns = value,
            _ => {}
        }
    }
    found
}

pub(super) fn cpu_limits(files: &mut impl Files) -> Option<CpuLimits> {
    let shares = number(files.read("cpu", "cpu.shares")?)?;
    let period_us = number(files.read("cpu", "cpu.cfs_period_us")?)?;
    // -1 is no limit.
    let quota_us = files.read("cpu", "cpu.cfs_quota_us").and_then(number);
    Some(CpuLimits { shares, period_us, quota_us })
}

pub(super) fn memory(files: &mut impl Files, detail: Detail) -> Option<MemoryUsage> {
    let usage = number(files.read("memory", "memory.usage_in_bytes")?)?;
    let mut found = files.read("memory", "memory.stat").map(memory_stat).unwrap_or_default();
    found.usage = usage;
    found.working_set = usage.saturating_sub(found.inactive_file);
    let mut single = |file: &str| files.read("memory", file).and_then(number);
    let limit = |bytes: Option<u64>| bytes.filter(|bytes| *bytes < UNLIMITED);
    found.limit = limit(single("memory.limit_in_bytes"));
    // This limit is one of memory and swap together.
    let both = limit(single("memory.memsw.limit_in_bytes"));
    found.swap_limit = both.and_then(|both| Some(both.saturating_sub(found.limit?)));
    if detail == Detail::Full {
        found.peak = single("memory.max_usage_in_bytes");
        found.limit_hits = single("memory.failcnt");
        found.kernel = single("memory.kmem.usage_in_bytes");
        found.reservation = limit(single("memory.soft_limit_in_bytes"));
        found.oom_kills = files.read("memory", "memory.oom_control").and_then(|text| of(text, "oom_kill"));
    }
    Some(found)
}

fn memory_stat(text: &str) -> MemoryUsage {
    let (mut found, mut own) = (MemoryUsage::default(), Faults::default());
    for (key, value) in pairs(text) {
        match key {
            "total_cache" => found.cache = value,
            "total_rss" => found.rss = value,
            "total_mapped_file" => found.mapped_file = value,
            "total_swap" => found.swap = value,
            "total_active_file" => found.active_file = value,
            "total_inactive_file" => found.inactive_file = value,
            "total_pgfault" => found.faults.all = value,
            "total_pgmajfault" => found.faults.major = value,
            "pgfault" => own.all = value,
            "pgmajfault" => own.major = value,
            _ => {}
        }
    }
    found.own_faults = Some(own);
    found
}

pub(super) fn tasks(files: &mut impl Files) -> Option<TaskUsage> {
    let current = number(files.read("pids", "pids.current")?)?;
    Some(TaskUsage { current, limit: files.read("pids", "pids.max").and_then(number) })
}

pub(super) fn io(files: &mut impl Files) -> Vec<DeviceIo> {
    // Throttling counts everything; where the kernel was built without, the scheduler BFQ counts what goes through it.
    for [bytes, requests] in [
        ["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive"],
        ["blkio.bfq.io_service_bytes_recursive", "blkio.bfq.io_serviced_recursive"],
        ["blkio.throttle.io_service_bytes", "blkio.throttle.io_serviced"],
    ] {
        let mut devices = Vec::new();
        let Some(text) = files.read("blkio", bytes) else { continue };
        add_transfers(&mut devices, text, Counted::Bytes);
        if !devices.is_empty()
            && let Some(text) = files.read("blkio", requests)
        {
            add_transfers(&mut devices, text, Counted::Requests);
        }
        return devices;
    }
    Vec::new()
}

#[derive(Clone, Copy)]
enum Counted {
    Bytes,
    Requests,
}

/// Lines such as `8:0 Read 4096`.
fn add_transfers(devices: &mut Vec<DeviceIo>, text: &str, counted: Counted) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(device), Some(kind), Some(Ok(count))) = (
            words.next().and_then(device),
            words.next().and_then(|word| Transfer::ALL.into_iter().find(|kind| kind.as_str() == word)),
            words.next().map(str::parse::<u64>),
        ) else {
            continue;
        };
        let at = devices.iter().position(|known| known.device == device).unwrap_or_else(|| {
            devices.push(DeviceIo { device, ..DeviceIo::default() });
            devices.len() - 1
        });
        let transfers = match counted {
            Counted::Bytes => &mut devices[at].bytes,
            Counted::Requests => &mut devices[at].requests,
        };
        *transfers = transfers.with(kind, count);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Transfers;
    use super::super::files::Texts;
    use super::*;

    #[test]
    fn cpu_time() {
        let mut files =
            Texts::new([("cpuacct.usage", "919809941988\n"), ("cpuacct.stat", "user 74433\nsystem 17547\n")]);
        let basic = CpuUsage { total_ns: 919_809_941_988, ..CpuUsage::default() };
        assert_eq!(cpu(&mut files, Detail::Basic), Some(basic));
        let full = CpuUsage { user_ns: 744_330_000_000, system_ns: 175_470_000_000, ..basic };
        assert_eq!(cpu(&mut files, Detail::Full), Some(full));
        assert_eq!(cpu(&mut Texts::default(), Detail::Full), None);
    }

    #[test]
    fn throttling_by_a_quota() {
        let text = "nr_periods 5\nnr_throttled 2\nthrottled_time 70\nnr_bursts 1\nburst_time 9\n";
        let mut files = Texts::new([("cpu.stat", text)]);
        let limits = |quota_us| CpuLimits { shares: 2, period_us: 100_000, quota_us };
        let expected =
            Throttling { periods: 5, throttled_periods: 2, throttled_ns: 70, bursts: 1, burst_ns: 9 };
        for (limits, expected) in
            [(None, None), (Some(limits(None)), None), (Some(limits(Some(1))), Some(expected))]
        {
            assert_eq!(throttling(&mut files, limits.as_ref()), expected);
        }
    }

    #[test]
    fn limits_of_cpu_time() {
        for (quota, quota_us) in [("-1\n", None), ("50000\n", Some(50_000))] {
            let mut files = Texts::new([
                ("cpu.shares", "1024\n"),
                ("cpu.cfs_period_us", "100000\n"),
                ("cpu.cfs_quota_us", quota),
            ]);
            let expected = CpuLimits { shares: 1024, period_us: 100_000, quota_us };
            assert_eq!(cpu_limits(&mut files), Some(expected));
        }
        assert_eq!(cpu_limits(&mut Texts::new([("cpu.shares", "2")])), None);
    }

    const STAT: &str = "\
cache 1
rss 2
pgfault 58
pgmajfault 3
hierarchical_memory_limit 9223372036854771712
total_cache 1000
total_rss 2000
total_mapped_file 300
total_swap 40
total_pgfault 5800
total_pgmajfault 30
total_inactive_file 700
total_active_file 250
";

    #[test]
    fn memory_of_a_cgroup() {
        let mut files = Texts::new([
            ("memory.usage_in_bytes", "5000\n"),
            ("memory.stat", STAT),
            ("memory.limit_in_bytes", "8192\n"),
            ("memory.memsw.limit_in_bytes", "10240\n"),
            ("memory.max_usage_in_bytes", "6000\n"),
            ("memory.failcnt", "4\n"),
            ("memory.kmem.usage_in_bytes", "90\n"),
            ("memory.soft_limit_in_bytes", "9223372036854771712\n"),
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ]);
        let basic = MemoryUsage {
            usage: 5000,
            working_set: 4300,
            cache: 1000,
            rss: 2000,
            mapped_file: 300,
            swap: 40,
            active_file: 250,
            inactive_file: 700,
            faults: Faults { all: 5800, major: 30 },
            own_faults: Some(Faults { all: 58, major: 3 }),
            limit: Some(8192),
            swap_limit: Some(2048),
            ..MemoryUsage::default()
        };
        assert_eq!(memory(&mut files, Detail::Pressure), Some(basic));
        let full = MemoryUsage {
            peak: Some(6000),
            limit_hits: Some(4),
            kernel: Some(90),
            oom_kills: Some(2),
            ..basic
        };
        assert_eq!(memory(&mut files, Detail::Full), Some(full));
        assert_eq!(memory(&mut Texts::default(), Detail::Full), None);
    }

    #[test]
    fn no_limit_of_memory_or_of_both() {
        let none = "9223372036854771712\n";
        for (limit, both, expected) in [
            ("8192", none, (Some(8192), None)),
            (none, none, (None, None)),
            ("8192", "8192", (Some(8192), Some(0))),
        ] {
            let mut files = Texts::new([
                ("memory.usage_in_bytes", "1"),
                ("memory.limit_in_bytes", limit),
                ("memory.memsw.limit_in_bytes", both),
            ]);
            let found = memory(&mut files, Detail::Basic).unwrap();
            assert_eq!((found.limit, found.swap_limit), expected);
        }
    }

    #[test]
    fn more_cache_is_idle_than_there_is() {
        let mut files =
            Texts::new([("memory.usage_in_bytes", "5"), ("memory.stat", "total_inactive_file 6\n")]);
        assert_eq!(memory(&mut files, Detail::Basic).unwrap().working_set, 0);
    }

    #[test]
    fn tasks_of_a_cgroup() {
        for (max, limit) in [("max\n", None), ("100\n", Some(100))] {
            let mut files = Texts::new([("pids.current", "7\n"), ("pids.max", max)]);
            assert_eq!(tasks(&mut files), Some(TaskUsage { current: 7, limit }));
        }
        assert_eq!(tasks(&mut Texts::default()), None);
    }

    #[test]
    fn disks() {
        let mut files = Texts::new([
            (
                "blkio.bfq.io_service_bytes_recursive",
                "8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\n8:16 Read 1\n8:16 Odd 1\nTotal 12289\n",
            ),
            ("blkio.bfq.io_serviced_recursive", "8:0 Read 1\n8:0 Write 2\n7:0 Read x\nTotal 3\n"),
        ]);
        let count =
            |read, write| Transfers::default().with(Transfer::Read, read).with(Transfer::Write, write);
        let first = DeviceIo {
            device: (8, 0),
            bytes: count(4096, 8192).with(Transfer::Total, 12288),
            requests: count(1, 2),
            cost: None,
        };
        let second = DeviceIo {
            device: (8, 16),
            bytes: Transfers::default().with(Transfer::Read, 1),
            ..DeviceIo::default()
        };
        assert_eq!(io(&mut files), [first, second]);
        assert!(io(&mut Texts::default()).is_empty());
    }
}
