use std::collections::HashMap;
use std::time::Duration;

use expect_test::expect_file;

use super::*;
use crate::disks::Finds;
use crate::rates::Rates;
use crate::reading::{Measured, Reading};
use crate::testing::{answers, finds, group, image_fs, logs, moment, reading, told};
use crate::told::Answers;

/// Rates after two readings, `secs` apart.
fn rates(reading: &Reading, secs: u64) -> Rates {
    let mut rates = Rates::default();
    let earlier: Vec<Measured> = reading
        .rated()
        .map(|group| {
            let mut group = group.clone();
            group.moment.since_boot = group.moment.since_boot.saturating_sub(Duration::from_secs(secs));
            let cpu = group.usage.cpu.as_mut().unwrap();
            cpu.total_ns -= cpu.total_ns / 10;
            group
        })
        .collect();
    rates.update(earlier.iter());
    rates.update(reading.rated());
    rates
}

struct Made {
    reading: Reading,
    rates: Rates,
    told: HashMap<String, cri::v1::ContainerStats>,
    finds: Finds,
    drivers: Answers,
    logs: HashMap<types::PodUid, crate::logs::LogUse>,
}

impl Made {
    fn new() -> Self {
        let reading = reading();
        let told = [told("web1", 2), told("vm1", 3)].map(|told| (told.attributes.clone().unwrap().id, told));
        Self {
            rates: rates(&reading, 20),
            reading,
            told: told.into(),
            finds: finds(),
            drivers: answers(),
            logs: logs(),
        }
    }

    fn build(&self, whole: bool) -> Summary {
        let image_fs = image_fs();
        let storage = whole.then(|| Storage {
            node: self.finds.get(std::path::Path::new("/r")),
            image_fs: Some(&image_fs),
            finds: &self.finds,
            drivers: &self.drivers,
            logs: &self.logs,
        });
        build(&Inputs {
            node_name: "node1",
            reading: &self.reading,
            rates: &self.rates,
            told: &self.told,
            storage,
        })
    }

    fn web(&self) -> ContainerStats {
        self.build(true).pods[0].containers.iter().find(|container| container.name == "web").unwrap().clone()
    }
}

#[test]
fn the_whole_summary() {
    let json = serde_json::to_string_pretty(&Made::new().build(true)).unwrap();
    expect_file!["whole.json"].assert_eq(&format!("{json}\n"));
}

#[test]
fn only_cpu_and_memory() {
    let summary = Made::new().build(false);
    let (node, pod) = (&summary.node, &summary.pods[0]);
    assert!(node.cpu.is_some() && node.memory.is_some() && node.swap.is_some());
    assert!(node.network.is_none() && node.fs.is_none() && node.runtime.is_none() && node.rlimit.is_none());
    assert!(pod.cpu.is_some() && pod.memory.is_some() && pod.swap.is_some());
    assert!(pod.network.is_none() && pod.volumes.is_empty() && pod.ephemeral_storage.is_none());
    assert!(pod.process_stats.is_none() && pod.io.is_none());
    for container in pod.containers.iter().chain(&node.system_containers) {
        assert!(container.cpu.is_some() && container.memory.is_some());
        assert!(container.rootfs.is_none() && container.logs.is_none() && container.io.is_none());
    }
}

#[test]
fn who_tells_the_rate() {
    let mut made = Made::new();
    let rate = |made: &Made| made.web().cpu.unwrap().usage_nano_cores;
    // A tenth of 6 s, in 20 s.
    assert_eq!(rate(&made), Some(30_000_000));
    made.rates = Rates::default();
    made.rates.update(made.reading.rated());
    assert_eq!(rate(&made), Some(200_000_000), "the runtime, while there is no earlier reading");
    let pod = made.build(true).pods[0].cpu.clone().unwrap();
    assert_eq!(pod.usage_nano_cores, Some(500_000_000), "and the pod is the sum of its containers");
    made.rates = rates(&made.reading, 600);
    assert_eq!(rate(&made), Some(200_000_000), "the runtime, when the earlier reading is old");
    made.told.clear();
    assert_eq!(rate(&made), Some(1_000_000));
    made.rates = Rates::default();
    assert_eq!(rate(&made), None);
    assert_eq!(made.build(true).pods[0].cpu.clone().unwrap().usage_nano_cores, None);
}

#[test]
fn a_pod_without_a_cgroup_is_the_sum_of_its_containers() {
    let mut made = Made::new();
    made.reading.pods[0].group = None;
    let pod = &made.build(true).pods[0];
    let (cpu, memory) = (pod.cpu.clone().unwrap(), pod.memory.clone().unwrap());
    assert_eq!(cpu.usage_core_nano_seconds, Some(6_000_000_000 + 3_000_000_000));
    assert_eq!(cpu.usage_nano_cores, Some(30_000_000 + 300_000_000));
    assert_eq!(memory.working_set_bytes, Some(1800 + 2700));
    assert_eq!(memory.usage_bytes, Some(2000), "of those that tell");
    assert_eq!(pod.swap, None);
}

#[test]
fn no_limit_leaves_nothing_to_be_available() {
    let mut free = group("/x", 1);
    free.usage.memory.as_mut().unwrap().limit = None;
    free.usage.memory.as_mut().unwrap().swap_limit = None;
    assert_eq!(convert::memory(&free).unwrap().available_bytes, None);
    assert_eq!(convert::swap(&free).unwrap().swap_available_bytes, None);
    let mut over = group("/x", 1);
    over.usage.memory.as_mut().unwrap().limit = Some(1);
    assert_eq!(convert::memory(&over).unwrap().available_bytes, Some(0));
}

#[test]
fn what_is_not_known_is_left_out() {
    let mut made = Made::new();
    made.told.clear();
    made.finds.clear();
    made.drivers.clear();
    made.reading.pods[0].network = None;
    made.reading.node.root = None;
    made.reading.node.tasks = None;
    let summary = made.build(true);
    let pod = &summary.pods[0];
    assert!(pod.network.is_none() && pod.volumes.is_empty() && pod.ephemeral_storage.is_none());
    assert!(summary.node.cpu.is_none() && summary.node.fs.is_none() && summary.node.rlimit.is_none());
    let vm = pod.containers.iter().find(|container| container.name == "vm").unwrap();
    assert!(vm.cpu.is_none() && vm.memory.is_none() && vm.rootfs.is_none() && vm.logs.is_none());
    // Where the runtime keeps things is known, and not how full that is.
    let images = summary.node.runtime.unwrap().image_fs.unwrap();
    assert_eq!((images.used_bytes, images.capacity_bytes), (Some(123_456), None));
}

#[test]
fn writable_layers_kept_apart() {
    let made = Made::new();
    let mut info = image_fs();
    let apart =
        cri::FilesystemUsage { mountpoint: "/layers".into(), used_bytes: 5, ..info.images[0].clone() };
    info.containers.push(apart);
    let storage = Storage {
        node: None,
        image_fs: Some(&info),
        finds: &made.finds,
        drivers: &made.drivers,
        logs: &made.logs,
    };
    let summary = build(&Inputs {
        node_name: "",
        reading: &made.reading,
        rates: &made.rates,
        told: &made.told,
        storage: Some(storage),
    });
    let runtime = summary.node.runtime.unwrap();
    assert_eq!(runtime.image_fs.unwrap().used_bytes, Some(123_456));
    assert_eq!(runtime.container_fs.unwrap().used_bytes, Some(5));
}

#[test]
fn times_are_whole_seconds() {
    let stats = RlimitStats { time: moment().at, maxpid: 2, curproc: 1 };
    let json = serde_json::to_string(&stats).unwrap();
    assert_eq!(json, r#"{"time":"2026-03-01T12:00:00Z","maxpid":2,"curproc":1}"#);
}
