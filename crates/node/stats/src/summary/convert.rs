//! Single values of the summary, from what was read or what the runtime told.

use cgroup::usage::MemoryUsage;
use cri::v1;
use jiff::Timestamp;
use linux::netdev::Interface;
use linux::pressure::{Pressure, Stall};

use super::{
    CpuStats, FsStats, InterfaceStats, IoStats, MemoryStats, NetworkStats, PsiData, PsiStats, SwapStats,
};
use crate::disks::Found;
use crate::rates::{Rate, Rates};
use crate::reading::Measured;

/// The interface that is shown as the pod's or node's own.
const DEFAULT_INTERFACE: &str = "eth0";
/// A rate over a longer time than this says little about now, and what the runtime has says more.
const LONG: std::time::Duration = std::time::Duration::from_secs(300);

/// CPU time of a cgroup. What the runtime has (`runtime`) is of use for the rate, where there was no earlier reading.
pub(super) fn cpu(group: &Measured, rates: &Rates, runtime: Option<&v1::CpuUsage>) -> Option<CpuStats> {
    let cpu = group.usage.cpu?;
    let told = || runtime.and_then(|cpu| cpu.usage_nano_cores).map(|rate| rate.value);
    let usage_nano_cores = match rates.of(&group.path) {
        Some(Rate { nano_cores, window }) if window <= LONG => Some(nano_cores),
        Some(Rate { nano_cores, .. }) => told().or(Some(nano_cores)),
        None => told(),
    };
    Some(CpuStats {
        time: group.moment.at,
        usage_nano_cores,
        usage_core_nano_seconds: Some(cpu.total_ns),
        psi: group.usage.pressure.cpu.map(psi),
    })
}

pub(super) fn memory(group: &Measured) -> Option<MemoryStats> {
    let memory = group.usage.memory?;
    let MemoryUsage { usage, working_set, rss, faults, limit, .. } = memory;
    Some(MemoryStats {
        time: group.moment.at,
        available_bytes: limit.map(|limit| limit.saturating_sub(working_set)),
        usage_bytes: Some(usage),
        working_set_bytes: Some(working_set),
        rss_bytes: Some(rss),
        page_faults: Some(faults.all),
        major_page_faults: Some(faults.major),
        psi: group.usage.pressure.memory.map(psi),
    })
}

pub(super) fn swap(group: &Measured) -> Option<SwapStats> {
    let memory = group.usage.memory?;
    Some(SwapStats {
        time: group.moment.at,
        swap_available_bytes: memory.swap_limit.map(|limit| limit.saturating_sub(memory.swap)),
        swap_usage_bytes: Some(memory.swap),
    })
}

pub(super) fn io(group: &Measured) -> Option<IoStats> {
    Some(IoStats { time: group.moment.at, psi: psi(group.usage.pressure.io?) })
}

fn psi(pressure: Pressure) -> PsiStats {
    let data = |stall: Stall| PsiData {
        total: stall.total_us,
        avg10: stall.avg10,
        avg60: stall.avg60,
        avg300: stall.avg300,
    };
    PsiStats { full: data(pressure.full), some: data(pressure.some) }
}

pub(super) fn network(interfaces: &[Interface], time: Timestamp) -> NetworkStats {
    let interfaces: Vec<InterfaceStats> = interfaces.iter().map(interface).collect();
    let default = interfaces.iter().find(|interface| interface.name == DEFAULT_INTERFACE).cloned();
    NetworkStats { time, default: default.unwrap_or_default(), interfaces }
}

fn interface(interface: &Interface) -> InterfaceStats {
    InterfaceStats {
        name: interface.name.clone(),
        rx_bytes: Some(interface.received.bytes),
        rx_errors: Some(interface.received.errors),
        tx_bytes: Some(interface.sent.bytes),
        tx_errors: Some(interface.sent.errors),
    }
}

/// A file system as a whole.
pub(super) fn fs(found: &Found) -> FsStats {
    let fs = &found.fs;
    FsStats {
        used_bytes: Some(fs.used_bytes),
        inodes_used: Some(fs.inodes.saturating_sub(fs.inodes_free)),
        ..room(found)
    }
}

/// A file system as the place of something.
pub(super) fn room(found: &Found) -> FsStats {
    let fs = &found.fs;
    FsStats {
        time: found.moment.at,
        available_bytes: Some(fs.available_bytes),
        capacity_bytes: Some(fs.capacity_bytes),
        used_bytes: None,
        inodes_free: Some(fs.inodes_free),
        inodes: Some(fs.inodes),
        inodes_used: None,
    }
}

/// A place that is not known.
pub(super) fn nowhere(time: Timestamp) -> FsStats {
    FsStats {
        time,
        available_bytes: None,
        capacity_bytes: None,
        used_bytes: None,
        inodes_free: None,
        inodes: None,
        inodes_used: None,
    }
}

/// Nanoseconds since 1970; `now` for none.
pub(super) fn time(nanoseconds: i64, now: Timestamp) -> Timestamp {
    if nanoseconds <= 0 { now } else { Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(now) }
}

fn value(number: Option<v1::UInt64Value>) -> Option<u64> {
    number.map(|number| number.value)
}

/// CPU time as the runtime tells it.
pub(super) fn told_cpu(cpu: &v1::CpuUsage, now: Timestamp) -> CpuStats {
    CpuStats {
        time: time(cpu.timestamp, now),
        usage_nano_cores: value(cpu.usage_nano_cores),
        usage_core_nano_seconds: value(cpu.usage_core_nano_seconds),
        psi: cpu.psi.as_ref().map(told_psi),
    }
}

/// Memory as the runtime tells it.
pub(super) fn told_memory(memory: &v1::MemoryUsage, now: Timestamp) -> MemoryStats {
    MemoryStats {
        time: time(memory.timestamp, now),
        available_bytes: value(memory.available_bytes),
        usage_bytes: value(memory.usage_bytes),
        working_set_bytes: value(memory.working_set_bytes),
        rss_bytes: value(memory.rss_bytes),
        page_faults: value(memory.page_faults),
        major_page_faults: value(memory.major_page_faults),
        psi: memory.psi.as_ref().map(told_psi),
    }
}

/// Swap space as the runtime tells it.
pub(super) fn told_swap(swap: &v1::SwapUsage, now: Timestamp) -> SwapStats {
    SwapStats {
        time: time(swap.timestamp, now),
        swap_available_bytes: value(swap.swap_available_bytes),
        swap_usage_bytes: value(swap.swap_usage_bytes),
    }
}

/// Pressure on disks as the runtime tells it.
pub(super) fn told_io(io: &v1::IoUsage, now: Timestamp) -> Option<IoStats> {
    Some(IoStats { time: time(io.timestamp, now), psi: told_psi(io.psi.as_ref()?) })
}

fn told_psi(psi: &v1::PsiStats) -> PsiStats {
    let data = |data: Option<&v1::PsiData>| {
        data.map_or(PsiData { total: 0, avg10: 0.0, avg60: 0.0, avg300: 0.0 }, |data| PsiData {
            total: data.total,
            avg10: data.avg10,
            avg60: data.avg60,
            avg300: data.avg300,
        })
    };
    PsiStats { full: data(psi.full.as_ref()), some: data(psi.some.as_ref()) }
}
