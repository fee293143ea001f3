//! File systems of the node, and block devices by who used them.

use cgroup::usage::{DeviceIo, IoCost, Transfer};
use linux::diskstats::Disk;

use super::target::{Filesystem, Target};
use super::{Family, Samples, counter, float, gauge, seconds_of_us};

const BY: &[&str] = labels!("device");

pub(super) const FAMILIES: &[Family] = &[
    gauge("container_fs_inodes_free", "Inodes that are free.", |target, samples| {
        filesystems(target, samples, |fs| float(fs.found.fs.inodes_free));
    })
    .by(BY),
    gauge("container_fs_inodes_total", "Inodes that there can be.", |target, samples| {
        filesystems(target, samples, |fs| float(fs.found.fs.inodes));
    })
    .by(BY),
    gauge("container_fs_limit_bytes", "Size of the file system.", |target, samples| {
        filesystems(target, samples, |fs| float(fs.found.fs.capacity_bytes));
    })
    .by(BY),
    gauge("container_fs_usage_bytes", "What is written on the file system.", |target, samples| {
        filesystems(target, samples, |fs| float(fs.found.fs.used_bytes));
    })
    .by(BY),
    counter("container_fs_reads_bytes_total", "Bytes read.", |target, samples| {
        devices(target, samples, |io| io.bytes.get(Transfer::Read).map(float), |_| None);
    })
    .by(BY),
    counter("container_fs_reads_total", "Reads.", |target, samples| {
        let own = |io: &DeviceIo| io.requests.get(Transfer::Read).map(float);
        devices(target, samples, own, |disk| Some(float(disk.read.requests)));
    })
    .by(BY),
    counter("container_fs_sector_reads_total", "Sectors read.", |target, samples| {
        devices(target, samples, |_| None, |disk| Some(float(disk.read.sectors)));
    })
    .by(BY),
    counter("container_fs_reads_merged_total", "Reads that were merged with others.", |target, samples| {
        devices(target, samples, |_| None, |disk| Some(float(disk.read.merged)));
    })
    .by(BY),
    counter("container_fs_read_seconds_total", "Time that reads took.", |target, samples| {
        devices(target, samples, |_| None, |disk| Some(seconds_of_ms(disk.read.time_ms)));
    })
    .by(BY),
    counter("container_fs_writes_bytes_total", "Bytes written.", |target, samples| {
        devices(target, samples, |io| io.bytes.get(Transfer::Write).map(float), |_| None);
    })
    .by(BY),
    counter("container_fs_writes_total", "Writes.", |target, samples| {
        let own = |io: &DeviceIo| io.requests.get(Transfer::Write).map(float);
        devices(target, samples, own, |disk| Some(float(disk.written.requests)));
    })
    .by(BY),
    counter("container_fs_sector_writes_total", "Sectors written.", |target, samples| {
        devices(target, samples, |_| None, |disk| Some(float(disk.written.sectors)));
    })
    .by(BY),
    counter("container_fs_writes_merged_total", "Writes that were merged with others.", |target, samples| {
        devices(target, samples, |_| None, |disk| Some(float(disk.written.merged)));
    })
    .by(BY),
    counter("container_fs_write_seconds_total", "Time that writes took.", |target, samples| {
        devices(target, samples, |_| None, |disk| Some(seconds_of_ms(disk.written.time_ms)));
    })
    .by(BY),
    gauge("container_fs_io_current", "Requests under way.", |target, samples| {
        devices(target, samples, |_| None, |disk| Some(float(disk.in_flight)));
    })
    .by(BY),
    counter("container_fs_io_time_seconds_total", "Time with requests under way.", |target, samples| {
        devices(target, samples, |_| None, |disk| Some(seconds_of_ms(disk.busy_ms)));
    })
    .by(BY),
    counter(
        "container_fs_io_time_weighted_seconds_total",
        "Time with requests under way, times their number.",
        |target, samples| devices(target, samples, |_| None, |disk| Some(seconds_of_ms(disk.weighted_ms))),
    )
    .by(BY),
    counter(
        "container_fs_io_cost_usage_seconds_total",
        "What the I/O cost controller has charged.",
        |target, samples| {
            cost(target, samples, |cost| cost.usage_us);
        },
    )
    .by(BY),
    counter(
        "container_fs_io_cost_wait_seconds_total",
        "Waiting for the I/O cost controller.",
        |target, samples| {
            cost(target, samples, |cost| cost.wait_us);
        },
    )
    .by(BY),
    counter(
        "container_fs_io_cost_indebt_seconds_total",
        "In debt to the I/O cost controller.",
        |target, samples| {
            cost(target, samples, |cost| cost.indebt_us);
        },
    )
    .by(BY),
    counter(
        "container_fs_io_cost_indelay_seconds_total",
        "Held back for a debt to the I/O cost controller.",
        |target, samples| cost(target, samples, |cost| cost.indelay_us),
    )
    .by(BY),
    counter("container_blkio_device_usage_total", "Bytes to and from a block device.", |target, samples| {
        for io in &target.group.usage.io {
            let [major, minor] = [io.device.0, io.device.1].map(|number| number.to_string());
            let device = name(target, io);
            for (kind, bytes) in io.bytes.iter() {
                let labels = [
                    ("device", device),
                    ("major", &*major),
                    ("minor", &*minor),
                    ("operation", kind.as_str()),
                ];
                samples.with(&labels, float(bytes));
            }
        }
    })
    .by(labels!("device", "major", "minor", "operation")),
];

fn seconds_of_ms(milliseconds: u64) -> f64 {
    float(milliseconds) / 1e3
}

/// The device's file; nothing for one that is gone.
fn name<'a>(target: &Target<'a>, io: &DeviceIo) -> &'a str {
    target.devices.get(&io.device).map_or("", String::as_str)
}

fn filesystems(target: &Target<'_>, samples: &mut Samples<'_, '_>, value: fn(&Filesystem<'_>) -> f64) {
    for fs in &target.filesystems {
        samples.with(&[("device", &fs.device)], value(fs));
    }
}

/// A sample for each device: of those with file systems of the target what the kernel counts for all (`whole`), of the
/// others what it counts for the cgroup (`own`).
fn devices(
    target: &Target<'_>,
    samples: &mut Samples<'_, '_>,
    own: fn(&DeviceIo) -> Option<f64>,
    whole: fn(&Disk) -> Option<f64>,
) {
    let mut told: Vec<&str> = Vec::new();
    for fs in &target.filesystems {
        if let Some(value) = fs.disk.and_then(whole) {
            samples.with(&[("device", &fs.device)], value);
            told.push(&fs.device);
        }
    }
    for io in &target.group.usage.io {
        let device = name(target, io);
        if let Some(value) = own(io).filter(|_| !told.contains(&device)) {
            samples.with(&[("device", device)], value);
            told.push(device);
        }
    }
}

fn cost(target: &Target<'_>, samples: &mut Samples<'_, '_>, value: fn(&IoCost) -> u64) {
    for io in &target.group.usage.io {
        if let Some(cost) = &io.cost {
            samples.with(&[("device", name(target, io))], seconds_of_us(value(cost)));
        }
    }
}
