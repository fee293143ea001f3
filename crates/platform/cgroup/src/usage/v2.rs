//! The files of cgroup v2 (kernel: "Control Group v2").

use linux::pressure::{self, Resource};

use super::files::Files;
use super::text::{device, number, of, pairs};
use super::{
    CpuLimits, CpuUsage, Detail, DeviceIo, Faults, IoCost, MemoryUsage, Pressures, TaskUsage, Throttling,
    Transfer,
};
use crate::cpu::shares_of_weight;

pub(super) fn cpu(files: &mut impl Files, detail: Detail, limits: Option<&CpuLimits>) -> Option<CpuUsage> {
    let text = files.read("cpu", "cpu.stat")?;
    let (mut found, mut throttling) = (CpuUsage::default(), None);
    let ns = |us: u64| us.saturating_mul(1000);
    for (key, value) in pairs(text) {
        match key {
            "usage_usec" => found.total_ns = ns(value),
            "user_usec" => found.user_ns = ns(value),
            "system_usec" => found.system_ns = ns(value),
            "nr_periods" => throttling.get_or_insert_with(Throttling::default).periods = value,
            "nr_throttled" => throttling.get_or_insert_with(Throttling::default).throttled_periods = value,
            "throttled_usec" => throttling.get_or_insert_with(Throttling::default).throttled_ns = ns(value),
            "nr_bursts" => throttling.get_or_insert_with(Throttling::default).bursts = value,
            "burst_usec" => throttling.get_or_insert_with(Throttling::default).burst_ns = ns(value),
            _ => {}
        }
    }
    let has_quota = limits.is_some_and(|limits| limits.quota_us.is_some());
    found.throttling = throttling.filter(|_| has_quota && detail == Detail::Full);
    Some(found)
}

pub(super) fn cpu_limits(files: &mut impl Files) -> Option<CpuLimits> {
    let shares = shares_of_weight(number(files.read("cpu", "cpu.weight")?)?);
    let max = files.read("cpu", "cpu.max")?;
    let (quota, period) = max.trim().split_once(' ')?;
    Some(CpuLimits { shares, period_us: number(period)?, quota_us: number(quota) })
}

pub(super) fn memory(files: &mut impl Files, detail: Detail) -> Option<MemoryUsage> {
    let mut found = memory_stat(files.read("memory", "memory.stat")?);
    let mut single = |file: &str| files.read("memory", file).and_then(number);
    // The root has none of these files; there the sum is what v1 shows as its usage.
    found.usage = single("memory.current").unwrap_or(found.cache.saturating_add(found.rss));
    found.working_set = found.usage.saturating_sub(found.inactive_file);
    found.swap = single("memory.swap.current").unwrap_or(0);
    found.limit = single("memory.max");
    found.swap_limit = single("memory.swap.max");
    if detail == Detail::Full {
        found.peak = single("memory.peak");
        found.reservation = single("memory.min");
        if let Some(events) = files.read("memory", "memory.events") {
            found.limit_hits = of(events, "max");
            found.oom_kills = of(events, "oom_kill");
        }
    }
    Some(found)
}

fn memory_stat(text: &str) -> MemoryUsage {
    let (mut found, mut faults) = (MemoryUsage::default(), Faults::default());
    // Kernels before 5.18 tell only the parts.
    let (mut kernel, mut parts) = (None, 0_u64);
    for (key, value) in pairs(text) {
        match key {
            "file" => found.cache = value,
            "anon" => found.rss = value,
            "file_mapped" => found.mapped_file = value,
            "active_file" => found.active_file = value,
            "inactive_file" => found.inactive_file = value,
            "pgfault" => faults.all = value,
            "pgmajfault" => faults.major = value,
            "kernel" => kernel = Some(value),
            "kernel_stack" | "pagetables" | "percpu" | "slab" => parts = parts.saturating_add(value),
            _ => {}
        }
    }
    found.faults = faults;
    found.kernel = kernel.or(Some(parts));
    found
}

pub(super) fn pressures(files: &mut impl Files) -> Pressures {
    let mut of = |resource: Resource, file| files.read(resource.as_str(), file).and_then(pressure::parse);
    Pressures {
        cpu: of(Resource::Cpu, "cpu.pressure"),
        memory: of(Resource::Memory, "memory.pressure"),
        io: of(Resource::Io, "io.pressure"),
    }
}

pub(super) fn tasks(files: &mut impl Files) -> Option<TaskUsage> {
    let current = number(files.read("pids", "pids.current")?)?;
    Some(TaskUsage { current, limit: files.read("pids", "pids.max").and_then(number) })
}

pub(super) fn io(files: &mut impl Files) -> Vec<DeviceIo> {
    files.read("io", "io.stat").map_or_else(Vec::new, |text| text.lines().filter_map(device_io).collect())
}

/// A line such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn device_io(line: &str) -> Option<DeviceIo> {
    let mut words = line.split_ascii_whitespace();
    let mut found = DeviceIo { device: device(words.next()?)?, ..DeviceIo::default() };
    for (key, value) in words.filter_map(|word| word.split_once('=')) {
        let Ok(value) = value.parse() else { continue };
        match key {
            "rbytes" => found.bytes = found.bytes.with(Transfer::Read, value),
            "wbytes" => found.bytes = found.bytes.with(Transfer::Write, value),
            "dbytes" => found.bytes = found.bytes.with(Transfer::Discard, value),
            "rios" => found.requests = found.requests.with(Transfer::Read, value),
            "wios" => found.requests = found.requests.with(Transfer::Write, value),
            "dios" => found.requests = found.requests.with(Transfer::Discard, value),
            "cost.usage" => found.cost.get_or_insert_with(IoCost::default).usage_us = value,
            "cost.wait" => found.cost.get_or_insert_with(IoCost::default).wait_us = value,
            "cost.indebt" => found.cost.get_or_insert_with(IoCost::default).indebt_us = value,
            "cost.indelay" => found.cost.get_or_insert_with(IoCost::default).indelay_us = value,
            _ => {}
        }
    }
    // A device that has done nothing is shown by its number alone.
    let silent = found.bytes == super::Transfers::default() && found.cost.is_none();
    (!silent).then_some(found)
}

#[cfg(test)]
mod tests {
    use linux::pressure::{Pressure, Stall};

    use super::super::Transfers;
    use super::super::files::Texts;
    use super::*;

    const CPU: &str = "\
usage_usec 914104192
user_usec 739709636
system_usec 174394556
nice_usec 161946999
";

    #[test]
    fn cpu_time() {
        let basic = CpuUsage {
            total_ns: 914_104_192_000,
            user_ns: 739_709_636_000,
            system_ns: 174_394_556_000,
            throttling: None,
        };
        let limited = "nr_periods 5\nnr_throttled 2\nthrottled_usec 70\nnr_bursts 1\nburst_usec 9\n";
        let throttling =
            Throttling { periods: 5, throttled_periods: 2, throttled_ns: 70_000, bursts: 1, burst_ns: 9000 };
        let with = CpuUsage { throttling: Some(throttling), ..basic };
        let quota = |quota_us| CpuLimits { shares: 2, period_us: 100_000, quota_us };
        for (more, detail, limits, expected) in [
            ("", Detail::Full, Some(quota(Some(1))), basic),
            (limited, Detail::Basic, None, basic),
            (limited, Detail::Full, Some(quota(None)), basic),
            (limited, Detail::Full, Some(quota(Some(1))), with),
        ] {
            let mut files = Texts([("cpu.stat", format!("{CPU}{more}"))].into());
            assert_eq!(cpu(&mut files, detail, limits.as_ref()), Some(expected));
        }
        assert_eq!(cpu(&mut Texts::default(), Detail::Full, None), None);
    }

    #[test]
    fn limits_of_cpu_time() {
        for (max, quota_us) in [("max 100000\n", None), ("50000 100000\n", Some(50_000))] {
            let mut files = Texts::new([("cpu.weight", "39\n"), ("cpu.max", max)]);
            let expected = CpuLimits { shares: shares_of_weight(39), period_us: 100_000, quota_us };
            assert_eq!(cpu_limits(&mut files), Some(expected));
        }
        assert_eq!(cpu_limits(&mut Texts::new([("cpu.weight", "39\n"), ("cpu.max", "max")])), None);
        assert_eq!(cpu_limits(&mut Texts::default()), None);
    }

    const STAT: &str = "\
anon 2000
file 1000
kernel 90
kernel_stack 10
pagetables 20
slab 30
file_mapped 300
inactive_file 700
active_file 250
pgfault 5800
pgmajfault 30
";

    const BASIC: MemoryUsage = MemoryUsage {
        usage: 5000,
        working_set: 4300,
        cache: 1000,
        rss: 2000,
        mapped_file: 300,
        kernel: Some(90),
        swap: 40,
        active_file: 250,
        inactive_file: 700,
        faults: Faults { all: 5800, major: 30 },
        own_faults: None,
        peak: None,
        limit_hits: None,
        oom_kills: None,
        limit: Some(8192),
        swap_limit: None,
        reservation: None,
    };

    #[test]
    fn memory_of_a_cgroup() {
        let mut files = Texts::new([
            ("memory.current", "5000\n"),
            ("memory.stat", STAT),
            ("memory.swap.current", "40\n"),
            ("memory.max", "8192\n"),
            ("memory.swap.max", "max\n"),
            ("memory.peak", "6000\n"),
            ("memory.min", "0\n"),
            ("memory.events", "low 0\nhigh 1\nmax 4\noom 3\noom_kill 2\n"),
        ]);
        assert_eq!(memory(&mut files, Detail::Basic), Some(BASIC));
        let full = MemoryUsage {
            peak: Some(6000),
            limit_hits: Some(4),
            oom_kills: Some(2),
            reservation: Some(0),
            ..BASIC
        };
        assert_eq!(memory(&mut files, Detail::Full), Some(full));
    }

    #[test]
    fn memory_of_the_root_and_of_old_kernels() {
        let root = MemoryUsage { usage: 3000, working_set: 2300, swap: 0, limit: None, ..BASIC };
        assert_eq!(memory(&mut Texts::new([("memory.stat", STAT)]), Detail::Full), Some(root));
        let parts = STAT.replace("kernel 90\n", "");
        let found = memory(&mut Texts([("memory.stat", parts)].into()), Detail::Full).unwrap();
        assert_eq!(found.kernel, Some(60));
        assert_eq!(memory(&mut Texts::default(), Detail::Full), None);
    }

    #[test]
    fn pressure_where_there_is_any() {
        let text = "some avg10=0.50 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n";
        let some = Stall { avg10: 0.5, total_us: 12, ..Stall::default() };
        let full = Stall { total_us: 3, ..Stall::default() };
        let found = pressures(&mut Texts::new([("memory.pressure", text), ("io.pressure", "")]));
        assert_eq!(found, Pressures { cpu: None, memory: Some(Pressure { some, full }), io: None });
    }

    #[test]
    fn tasks_of_a_cgroup() {
        for (max, limit) in [("max\n", None), ("100\n", Some(100))] {
            let mut files = Texts::new([("pids.current", "7\n"), ("pids.max", max)]);
            assert_eq!(tasks(&mut files), Some(TaskUsage { current: 7, limit }));
        }
    }

    #[test]
    fn disks() {
        let mut files = Texts::new([(
            "io.stat",
            "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n7:0 \n8:16 rbytes=x\nnonsense\n\
             9:0 rbytes=1 wbytes=0 rios=1 wios=0 dbytes=0 dios=0 cost.usage=5 cost.wait=6 cost.indebt=7 cost.indelay=8\n",
        )]);
        let count = |read, write, discard| {
            Transfers::default()
                .with(Transfer::Read, read)
                .with(Transfer::Write, write)
                .with(Transfer::Discard, discard)
        };
        let cost = IoCost { usage_us: 5, wait_us: 6, indebt_us: 7, indelay_us: 8 };
        let first =
            DeviceIo { device: (8, 0), bytes: count(4096, 8192, 0), requests: count(1, 2, 0), cost: None };
        let second =
            DeviceIo { device: (9, 0), bytes: count(1, 0, 0), requests: count(1, 0, 0), cost: Some(cost) };
        assert_eq!(io(&mut files), [first, second]);
    }
}
