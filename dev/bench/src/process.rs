//! What the kernel tells of a process.

use std::time::Duration;

use anyhow::{Context, Result};

/// What the kernel counts time in for users (`USER_HZ`), on x86-64 and arm64.
const TICKS_PER_SECOND: u64 = 100;

/// A value of `/proc/PID/status` in KiB: `VmRSS`, `VmHWM`.
pub(crate) fn memory_kib(pid: u32, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).context("read the process's status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("the process's status has no {name}"))
}

/// The number of its threads.
pub(crate) fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Lets `VmHWM` begin again from what the process has now.
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
        .context("have the process's highest memory forgotten")
}

/// The CPU time that it has used.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    times(pid, 2)
}

/// The same with that of its children that have ended and for which it has waited.
pub(crate) fn cpu_time_with_children(pid: u32) -> Result<Duration> {
    times(pid, 4)
}

/// The sum of the first `count` of utime, stime, cutime and cstime.
fn times(pid: u32, count: usize) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("read the process's times")?;
    // The program's name, in parentheses, may contain anything; utime is the 12th word after it.
    let (_, rest) = text.rsplit_once(')').context("the process's times are unreadable")?;
    let ticks: u64 =
        rest.split_whitespace().skip(11).take(count).filter_map(|word| word.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// The three load averages: how much else the machine did.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
