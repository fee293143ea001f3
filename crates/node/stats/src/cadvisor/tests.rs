use std::collections::{BTreeMap, BTreeSet, HashSet};

use expect_test::expect;
use linux::proc::Memory;
use linux::topology::{Modules, Topology};
use telemetry::metrics::MetricKind::{Counter, Gauge};

use super::*;
use crate::testing::{finds, reading};

fn machine() -> Machine {
    Machine {
        machine_id: "m".to_owned(),
        system_uuid: "s".to_owned(),
        boot_id: "b".to_owned(),
        kernel: "6.1".to_owned(),
        os: "Debian".to_owned(),
        topology: Topology { cpus: 8, cores: 4, sockets: 2, books: 0, drawers: 0 },
        modules: BTreeMap::from([("DDR4".to_owned(), Modules { count: 2, bytes: 1 << 30 })]),
        memory: Memory { total_bytes: 1000, available_bytes: 400, swap_total_bytes: 50, swap_free_bytes: 20 },
    }
}

/// The lines that are samples of series that `wanted` is part of.
fn lines(text: &str, wanted: &str) -> String {
    let samples = text.lines().filter(|line| !line.starts_with('#') && line.contains(wanted));
    samples.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_container() {
    let text = text(&machine(), Some(&reading()), &finds());
    expect![[r#"
        container_blkio_device_usage_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",device="/dev/sda",major="8",minor="0",operation="Read"} 8192 1772366400250
        container_blkio_device_usage_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",device="/dev/sda",major="8",minor="0",operation="Write"} 16384 1772366400250
        container_cpu_cfs_burst_periods_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 2 1772366400250
        container_cpu_cfs_burst_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 0.2 1772366400250
        container_cpu_cfs_periods_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 100 1772366400250
        container_cpu_cfs_throttled_periods_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 10 1772366400250
        container_cpu_cfs_throttled_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 1 1772366400250
        container_cpu_system_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 2 1772366400250
        container_cpu_usage_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",cpu="total"} 6 1772366400250
        container_cpu_user_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 4 1772366400250
        container_file_descriptors{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 20 1772366400250
        container_fs_io_cost_indebt_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",device="/dev/sda"} 0 1772366400250
        container_fs_io_cost_indelay_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",device="/dev/sda"} 0 1772366400250
        container_fs_io_cost_usage_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",device="/dev/sda"} 2e-06 1772366400250
        container_fs_io_cost_wait_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",device="/dev/sda"} 0 1772366400250
        container_fs_reads_bytes_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",device="/dev/sda"} 8192 1772366400250
        container_fs_reads_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",device="/dev/sda"} 2 1772366400250
        container_fs_writes_bytes_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",device="/dev/sda"} 16384 1772366400250
        container_fs_writes_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",device="/dev/sda"} 4 1772366400250
        container_health_state{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} -1 1772366400250
        container_last_seen{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 1.7723664e+09 1772366400250
        container_memory_cache{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 800 1772366400250
        container_memory_failcnt{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 2 1772366400250
        container_memory_failures_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",failure_type="pgfault",scope="container"} 140 1772366400250
        container_memory_failures_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",failure_type="pgmajfault",scope="container"} 14 1772366400250
        container_memory_failures_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",failure_type="pgfault",scope="hierarchy"} 140 1772366400250
        container_memory_failures_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",failure_type="pgmajfault",scope="hierarchy"} 14 1772366400250
        container_memory_kernel_usage{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 120 1772366400250
        container_memory_mapped_file{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 100 1772366400250
        container_memory_max_usage_bytes{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 2200 1772366400250
        container_memory_rss{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 1000 1772366400250
        container_memory_swap{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 20 1772366400250
        container_memory_total_active_file_bytes{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 400 1772366400250
        container_memory_total_inactive_file_bytes{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 200 1772366400250
        container_memory_usage_bytes{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 2000 1772366400250
        container_memory_working_set_bytes{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 1800 1772366400250
        container_oom_events_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 2 1772366400250
        container_pressure_cpu_stalled_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 0 1772366400250
        container_pressure_cpu_waiting_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 0.002 1772366400250
        container_pressure_io_stalled_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 0.0012 1772366400250
        container_pressure_io_waiting_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 0.006 1772366400250
        container_pressure_memory_stalled_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 0.001 1772366400250
        container_pressure_memory_waiting_seconds_total{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 0.004 1772366400250
        container_processes{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 2 1772366400250
        container_sockets{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 2 1772366400250
        container_spec_cpu_period{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 100000
        container_spec_cpu_quota{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 50000
        container_spec_cpu_shares{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 1024
        container_spec_memory_limit_bytes{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 4000
        container_spec_memory_reservation_limit_bytes{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 0
        container_spec_memory_swap_limit_bytes{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 60
        container_start_time_seconds{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 1.7723652e+09
        container_threads{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 8 1772366400250
        container_threads_max{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front"} 200 1772366400250
        container_ulimits_soft{container="web",id="/kubepods/poduid1/web1",image="docker.io/library/nginx:1.25",name="web1",namespace="shop",pod="front",ulimit="max_open_files"} 1024 1772366400250
    "#]].assert_eq(&lines(&text, "name=\"web1\""));
}

#[test]
fn a_sandbox_has_the_network() {
    let text = text(&machine(), Some(&reading()), &finds());
    let sandbox = lines(&text, "name=\"sandbox1\"");
    expect![[r#"
        container_network_receive_bytes_total{container="",id="/kubepods/poduid1/sandbox1",image="registry.k8s.io/pause:3.10",name="sandbox1",namespace="shop",pod="front",interface="eth0"} 1000 1772366400250
        container_network_receive_errors_total{container="",id="/kubepods/poduid1/sandbox1",image="registry.k8s.io/pause:3.10",name="sandbox1",namespace="shop",pod="front",interface="eth0"} 1 1772366400250
        container_network_receive_packets_dropped_total{container="",id="/kubepods/poduid1/sandbox1",image="registry.k8s.io/pause:3.10",name="sandbox1",namespace="shop",pod="front",interface="eth0"} 2 1772366400250
        container_network_receive_packets_total{container="",id="/kubepods/poduid1/sandbox1",image="registry.k8s.io/pause:3.10",name="sandbox1",namespace="shop",pod="front",interface="eth0"} 10 1772366400250
        container_network_transmit_bytes_total{container="",id="/kubepods/poduid1/sandbox1",image="registry.k8s.io/pause:3.10",name="sandbox1",namespace="shop",pod="front",interface="eth0"} 2000 1772366400250
        container_network_transmit_errors_total{container="",id="/kubepods/poduid1/sandbox1",image="registry.k8s.io/pause:3.10",name="sandbox1",namespace="shop",pod="front",interface="eth0"} 2 1772366400250
        container_network_transmit_packets_dropped_total{container="",id="/kubepods/poduid1/sandbox1",image="registry.k8s.io/pause:3.10",name="sandbox1",namespace="shop",pod="front",interface="eth0"} 4 1772366400250
        container_network_transmit_packets_total{container="",id="/kubepods/poduid1/sandbox1",image="registry.k8s.io/pause:3.10",name="sandbox1",namespace="shop",pod="front",interface="eth0"} 20 1772366400250
    "#]].assert_eq(&lines(&sandbox, "eth0"));
    assert_eq!(lines(&text, "interface=\"eth1\"").lines().count(), 8, "once for each family");
    let mut apart = reading();
    apart.pods[0].sandbox = None;
    apart.view.sandbox_container = "POD";
    let text = super::text(&machine(), Some(&apart), &finds());
    let eth1 = lines(&text, "interface=\"eth1\"");
    assert!(
        eth1.lines().all(|line| line.contains("id=\"/kubepods/poduid1\",image=\"\",name=\"\"")),
        "{eth1}"
    );
}

#[test]
fn the_nodes_disks() {
    let text = text(&machine(), Some(&reading()), &finds());
    expect![[r#"
        container_fs_inodes_free{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 900 1772366400250
        container_fs_inodes_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 1000 1772366400250
        container_fs_io_cost_indebt_seconds_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda"} 0 1772366400250
        container_fs_io_cost_indelay_seconds_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda"} 0 1772366400250
        container_fs_io_cost_usage_seconds_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda"} 0.0001 1772366400250
        container_fs_io_cost_wait_seconds_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda"} 0 1772366400250
        container_fs_io_current{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 0 1772366400250
        container_fs_io_time_seconds_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 0.006 1772366400250
        container_fs_io_time_weighted_seconds_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 0.012 1772366400250
        container_fs_limit_bytes{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 1e+06 1772366400250
        container_fs_read_seconds_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 0.002 1772366400250
        container_fs_reads_bytes_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda"} 409600 1772366400250
        container_fs_reads_merged_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 1 1772366400250
        container_fs_reads_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 5 1772366400250
        container_fs_reads_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda"} 100 1772366400250
        container_fs_sector_reads_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 40 1772366400250
        container_fs_sector_writes_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 80 1772366400250
        container_fs_usage_bytes{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 300000 1772366400250
        container_fs_write_seconds_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 0.004 1772366400250
        container_fs_writes_bytes_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda"} 819200 1772366400250
        container_fs_writes_merged_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 2 1772366400250
        container_fs_writes_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda1"} 10 1772366400250
        container_fs_writes_total{container="",id="/",image="",name="",namespace="",pod="",device="/dev/sda"} 200 1772366400250
    "#]].assert_eq(&lines(&lines(&text, "id=\"/\""), "_fs_"));
}

#[test]
fn the_nodes_network() {
    let text = text(&machine(), Some(&reading()), &finds());
    let own = lines(&lines(&text, "id=\"/\""), "interface=\"ens3\"");
    assert_eq!(own.lines().count(), 8);
    let received = "container_network_receive_bytes_total{container=\"\",id=\"/\",image=\"\",name=\"\",namespace=\"\",pod=\"\",interface=\"ens3\"} 50000 1772366400250\n";
    assert!(own.contains(received), "{own}");
}

#[test]
fn the_machine() {
    let text = text(&machine(), Some(&reading()), &finds());
    let rest = text.lines().filter(|line| !line.starts_with('#') && !line.contains("id=\"/"));
    let rest: String = rest.map(|line| format!("{line}\n")).collect();
    expect![[r#"
        cadvisor_version_info{kernelVersion="6.1",osVersion="Debian",dockerVersion="",cadvisorVersion="0.1.0",cadvisorRevision=""} 1
        container_scrape_error 0
        machine_cpu_books{boot_id="b",machine_id="m",system_uuid="s"} 0 1772366400250
        machine_cpu_cores{boot_id="b",machine_id="m",system_uuid="s"} 8 1772366400250
        machine_cpu_drawers{boot_id="b",machine_id="m",system_uuid="s"} 0 1772366400250
        machine_cpu_physical_cores{boot_id="b",machine_id="m",system_uuid="s"} 4 1772366400250
        machine_cpu_sockets{boot_id="b",machine_id="m",system_uuid="s"} 2 1772366400250
        machine_dimm_capacity_bytes{boot_id="b",machine_id="m",system_uuid="s",type="DDR4"} 1.073741824e+09 1772366400250
        machine_dimm_count{boot_id="b",machine_id="m",system_uuid="s",type="DDR4"} 2 1772366400250
        machine_memory_bytes{boot_id="b",machine_id="m",system_uuid="s"} 1000 1772366400250
        machine_nvm_avg_power_budget_watts{boot_id="b",machine_id="m",system_uuid="s"} 0 1772366400250
        machine_nvm_capacity{boot_id="b",machine_id="m",system_uuid="s",mode="memory_mode"} 0 1772366400250
        machine_nvm_capacity{boot_id="b",machine_id="m",system_uuid="s",mode="app_direct_mode"} 0 1772366400250
        machine_scrape_error 0
        machine_swap_bytes{boot_id="b",machine_id="m",system_uuid="s"} 50 1772366400250
    "#]].assert_eq(&rest);
}

#[test]
fn who_has_series() {
    let text = text(&machine(), Some(&reading()), &finds());
    let ids: BTreeSet<&str> =
        text.split("id=\"/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let expected = [
        "",
        "kubepods",
        "kubepods/burstable",
        "kubepods/poduid1",
        "kubepods/poduid1/sandbox1",
        "kubepods/poduid1/web1",
        "system.slice/containerd.service",
    ];
    assert_eq!(ids, BTreeSet::from(expected));
}

#[test]
fn nothing_could_be_read() {
    let text = text(&machine(), None, &Finds::new());
    assert!(text.contains("\ncontainer_scrape_error 1\n"));
    assert!(!text.contains("container_cpu"), "{text}");
    assert!(text.contains("\nmachine_cpu_cores{boot_id=\"b\",machine_id=\"m\",system_uuid=\"s\"} 8\n"));
}

#[test]
fn without_a_quota_nothing_is_throttled() {
    let mut reading = reading();
    for member in reading.pods[0].containers.iter_mut().filter_map(|container| container.member.as_mut()) {
        let usage = &mut member.group.usage;
        usage.cpu_limits.as_mut().unwrap().quota_us = None;
        usage.cpu.as_mut().unwrap().throttling = None;
    }
    let web = lines(&text(&machine(), Some(&reading), &finds()), "name=\"web1\"");
    assert!(!web.contains("cfs") && !web.contains("container_spec_cpu_quota"), "{web}");
    assert!(web.contains("container_spec_cpu_period"));
}

/// Each series is there once, belongs to a declared family and has just its labels.
#[test]
fn series_are_as_declared() {
    let text = text(&machine(), Some(&reading()), &finds());
    let declared: BTreeMap<&str, Declaration> = declarations().map(|family| (family.name, family)).collect();
    assert_eq!(declared.len(), declarations().count(), "no family twice");
    let mut seen = HashSet::new();
    let mut families = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.split_once("} ").or_else(|| line.split_once(' ')).unwrap();
        assert!(seen.insert(series), "{series} is there twice");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels: Vec<&str> =
            labels.split("\",").filter_map(|pair| pair.split_once('=')).map(|(l, _)| l).collect();
        assert_eq!(labels, declared[name].labels, "{line}");
        families.insert(name);
    }
    let missing: Vec<_> = declared.keys().filter(|name| !families.contains(*name)).collect();
    assert!(missing.is_empty(), "no sample of {missing:?}");
}

/// The names, types and labels that cAdvisor made common, as far as the kubelet shows them.
#[test]
fn names_are_cadvisors() {
    let table: &[(_, &[&str], &str)] = &[
        (Gauge, &[], "last_seen health_state start_time_seconds"),
        (Gauge, &[], "spec_cpu_period spec_cpu_quota spec_cpu_shares spec_memory_limit_bytes"),
        (Gauge, &[], "spec_memory_swap_limit_bytes spec_memory_reservation_limit_bytes"),
        (Counter, &[], "cpu_user_seconds_total cpu_system_seconds_total"),
        (Counter, &["cpu"], "cpu_usage_seconds_total"),
        (
            Counter,
            &[],
            "cpu_cfs_periods_total cpu_cfs_throttled_periods_total cpu_cfs_throttled_seconds_total",
        ),
        (Counter, &[], "cpu_cfs_burst_periods_total cpu_cfs_burst_seconds_total"),
        (Gauge, &[], "memory_cache memory_rss memory_kernel_usage memory_mapped_file memory_swap"),
        (Gauge, &[], "memory_usage_bytes memory_max_usage_bytes memory_working_set_bytes"),
        (Gauge, &[], "memory_total_active_file_bytes memory_total_inactive_file_bytes"),
        (Counter, &[], "memory_failcnt oom_events_total"),
        (Counter, &["failure_type", "scope"], "memory_failures_total"),
        (Gauge, &["device"], "fs_inodes_free fs_inodes_total fs_limit_bytes fs_usage_bytes fs_io_current"),
        (
            Counter,
            &["device"],
            "fs_reads_bytes_total fs_reads_total fs_sector_reads_total fs_reads_merged_total",
        ),
        (Counter, &["device"], "fs_read_seconds_total fs_writes_bytes_total fs_writes_total"),
        (Counter, &["device"], "fs_sector_writes_total fs_writes_merged_total fs_write_seconds_total"),
        (Counter, &["device"], "fs_io_time_seconds_total fs_io_time_weighted_seconds_total"),
        (Counter, &["device"], "fs_io_cost_usage_seconds_total fs_io_cost_wait_seconds_total"),
        (Counter, &["device"], "fs_io_cost_indebt_seconds_total fs_io_cost_indelay_seconds_total"),
        (Counter, &["device", "major", "minor", "operation"], "blkio_device_usage_total"),
        (Counter, &["interface"], "network_receive_bytes_total network_receive_packets_total"),
        (Counter, &["interface"], "network_receive_packets_dropped_total network_receive_errors_total"),
        (Counter, &["interface"], "network_transmit_bytes_total network_transmit_packets_total"),
        (Counter, &["interface"], "network_transmit_packets_dropped_total network_transmit_errors_total"),
        (Gauge, &[], "processes file_descriptors sockets threads_max threads"),
        (Gauge, &["ulimit"], "ulimits_soft"),
        (Counter, &[], "pressure_cpu_stalled_seconds_total pressure_cpu_waiting_seconds_total"),
        (Counter, &[], "pressure_memory_stalled_seconds_total pressure_memory_waiting_seconds_total"),
        (Counter, &[], "pressure_io_stalled_seconds_total pressure_io_waiting_seconds_total"),
    ];
    let base = ["container", "id", "image", "name", "namespace", "pod"];
    let of_containers = table.iter().flat_map(|(kind, more, names)| {
        let labels: Vec<&str> = base.iter().chain(*more).copied().collect();
        names.split(' ').map(move |name| (format!("container_{name}"), (*kind, labels.clone())))
    });
    let ids = ["boot_id", "machine_id", "system_uuid"];
    let machine = [
        (&[][..], "machine_cpu_physical_cores machine_cpu_cores machine_cpu_sockets machine_cpu_books"),
        (
            &[],
            "machine_cpu_drawers machine_memory_bytes machine_swap_bytes machine_nvm_avg_power_budget_watts",
        ),
        (&["mode"], "machine_nvm_capacity"),
        (&["type"], "machine_dimm_count machine_dimm_capacity_bytes"),
    ];
    let of_machine = machine.into_iter().flat_map(|(more, names)| {
        let labels: Vec<&str> = ids.iter().chain(more).copied().collect();
        names.split(' ').map(move |name| (name.to_owned(), (Gauge, labels.clone())))
    });
    let versions = ["kernelVersion", "osVersion", "dockerVersion", "cadvisorVersion", "cadvisorRevision"];
    let others = [
        ("cadvisor_version_info", versions.to_vec()),
        ("container_scrape_error", Vec::new()),
        ("machine_scrape_error", Vec::new()),
    ];
    let others = others.map(|(name, labels)| (name.to_owned(), (Gauge, labels)));
    let expected: BTreeMap<String, _> = of_containers.chain(of_machine).chain(others).collect();
    let declared: BTreeMap<String, _> = declarations()
        .map(|family| (family.name.to_owned(), (family.kind, family.labels.to_vec())))
        .collect();
    assert_eq!(declared, expected);
}
