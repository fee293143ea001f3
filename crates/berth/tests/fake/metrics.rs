//! The metrics are Kubernetes': names, types, labels, buckets and stability.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;
use testkit::pod::pod;

use crate::exposition::{self, Family};
use crate::rig::Rig;

/// A family of the table: name, type, labels in the order of their names, stability, and whether it is there once a
/// pod has run.
type Row = (&'static str, &'static str, &'static [&'static str], &'static str, bool);

const ALPHA: &str = "ALPHA";
const BETA: &str = "BETA";
const UNSTATED: &str = "";

#[rustfmt::skip]
const FAMILIES: &[Row] = &[
    ("apiserver_client_certificate_expiration_seconds", "histogram", &[], ALPHA, true),
    ("apiserver_delegated_authn_request_duration_seconds", "histogram", &["code"], ALPHA, false),
    ("apiserver_delegated_authn_request_total", "counter", &["code"], ALPHA, false),
    ("apiserver_delegated_authz_request_duration_seconds", "histogram", &["code"], ALPHA, false),
    ("apiserver_delegated_authz_request_total", "counter", &["code"], ALPHA, false),
    ("authentication_token_cache_active_fetch_count", "gauge", &["status"], ALPHA, false),
    ("authentication_token_cache_fetch_total", "counter", &["status"], ALPHA, false),
    ("authentication_token_cache_request_duration_seconds", "histogram", &["status"], ALPHA, false),
    ("authentication_token_cache_request_total", "counter", &["status"], ALPHA, false),
    ("disabled_metrics_total", "counter", &[], BETA, true),
    ("hidden_metrics_total", "counter", &[], BETA, true),
    ("kubelet_active_pods", "gauge", &["static"], ALPHA, true),
    ("kubelet_admission_rejections_total", "counter", &["reason"], ALPHA, false),
    ("kubelet_cgroup_manager_duration_seconds", "histogram", &["operation_type"], ALPHA, false),
    ("kubelet_cgroup_version", "gauge", &[], ALPHA, true),
    ("kubelet_container_log_filesystem_used_bytes", "gauge", &["container", "namespace", "pod", "uid"], ALPHA, true),
    ("kubelet_containers_per_pod_count", "histogram", &[], ALPHA, true),
    ("kubelet_cri_losing_support", "gauge", &["version"], ALPHA, false),
    ("kubelet_desired_pods", "gauge", &["static"], ALPHA, true),
    ("kubelet_evented_pleg_connection_error_count", "counter", &[], ALPHA, true),
    ("kubelet_evented_pleg_connection_latency_seconds", "histogram", &[], ALPHA, true),
    ("kubelet_evented_pleg_connection_success_count", "counter", &[], ALPHA, true),
    ("kubelet_http_inflight_requests", "gauge", &["long_running", "method", "path", "server_type"], ALPHA, false),
    ("kubelet_http_requests_duration_seconds", "histogram", &["long_running", "method", "path", "server_type"], ALPHA, false),
    ("kubelet_http_requests_total", "counter", &["long_running", "method", "path", "server_type"], ALPHA, false),
    ("kubelet_image_garbage_collected_total", "counter", &["reason"], ALPHA, false),
    ("kubelet_image_manager_ensure_image_requests_total", "counter", &["present_locally", "pull_policy", "pull_required"], ALPHA, true),
    ("kubelet_image_pull_duration_seconds", "histogram", &["image_size_in_bytes"], ALPHA, false),
    ("kubelet_image_volume_mounted_errors_total", "counter", &[], BETA, true),
    ("kubelet_image_volume_mounted_succeed_total", "counter", &[], BETA, true),
    ("kubelet_image_volume_requested_total", "counter", &[], BETA, true),
    ("kubelet_imagemanager_image_mustpull_checks_total", "counter", &["result"], ALPHA, false),
    ("kubelet_imagemanager_ondisk_pulledrecords", "gauge", &[], ALPHA, true),
    ("kubelet_imagemanager_ondisk_pullintents", "gauge", &[], ALPHA, true),
    ("kubelet_lifecycle_handler_http_fallbacks_total", "counter", &[], ALPHA, true),
    ("kubelet_managed_ephemeral_containers", "gauge", &[], ALPHA, true),
    ("kubelet_metrics_provider", "gauge", &["provider"], ALPHA, true),
    ("kubelet_mirror_pods", "gauge", &[], ALPHA, false),
    ("kubelet_node_name", "gauge", &["node"], ALPHA, true),
    ("kubelet_node_startup_duration_seconds", "gauge", &[], ALPHA, true),
    ("kubelet_node_startup_post_registration_duration_seconds", "gauge", &[], ALPHA, true),
    ("kubelet_node_startup_pre_kubelet_duration_seconds", "gauge", &[], ALPHA, true),
    ("kubelet_node_startup_pre_registration_duration_seconds", "gauge", &[], ALPHA, true),
    ("kubelet_node_startup_registration_duration_seconds", "gauge", &[], ALPHA, true),
    ("kubelet_orphan_pod_cleaned_volumes", "gauge", &[], ALPHA, true),
    ("kubelet_orphan_pod_cleaned_volumes_errors", "gauge", &[], ALPHA, true),
    ("kubelet_orphaned_runtime_pods_total", "counter", &[], ALPHA, true),
    ("kubelet_pleg_discard_events", "counter", &[], ALPHA, false),
    ("kubelet_pleg_last_seen_seconds", "gauge", &[], ALPHA, true),
    ("kubelet_pleg_pod_relist_duration_seconds", "histogram", &[], ALPHA, true),
    ("kubelet_pleg_relist_duration_seconds", "histogram", &[], ALPHA, true),
    ("kubelet_pleg_relist_interval_seconds", "histogram", &[], ALPHA, true),
    ("kubelet_pod_resources_endpoint_errors_get", "counter", &["server_api_version"], ALPHA, false),
    ("kubelet_pod_resources_endpoint_requests_get", "counter", &["server_api_version"], ALPHA, false),
    ("kubelet_pod_resources_endpoint_requests_get_allocatable", "counter", &["server_api_version"], ALPHA, false),
    ("kubelet_pod_resources_endpoint_requests_list", "counter", &["server_api_version"], ALPHA, false),
    ("kubelet_pod_resources_endpoint_requests_total", "counter", &["server_api_version"], ALPHA, false),
    ("kubelet_pod_start_duration_seconds", "histogram", &[], ALPHA, true),
    ("kubelet_pod_start_total_duration_seconds", "histogram", &[], ALPHA, true),
    ("kubelet_pod_status_sync_duration_seconds", "histogram", &[], ALPHA, false),
    ("kubelet_pod_worker_duration_seconds", "histogram", &["operation_type"], ALPHA, true),
    ("kubelet_pod_worker_start_duration_seconds", "histogram", &[], ALPHA, true),
    ("kubelet_preemptions", "counter", &["preemption_signal"], ALPHA, false),
    ("kubelet_restarted_pods_total", "counter", &["static"], ALPHA, false),
    ("kubelet_run_podsandbox_duration_seconds", "histogram", &["runtime_handler"], ALPHA, true),
    ("kubelet_run_podsandbox_errors_total", "counter", &["runtime_handler"], ALPHA, false),
    ("kubelet_running_containers", "gauge", &["container_state"], ALPHA, true),
    ("kubelet_running_pods", "gauge", &[], ALPHA, true),
    ("kubelet_runtime_operations_duration_seconds", "histogram", &["operation_type"], ALPHA, true),
    ("kubelet_runtime_operations_errors_total", "counter", &["operation_type"], ALPHA, false),
    ("kubelet_runtime_operations_total", "counter", &["operation_type"], ALPHA, true),
    ("kubelet_sleep_action_terminated_early_total", "counter", &[], ALPHA, true),
    ("kubelet_started_containers_errors_total", "counter", &["code", "container_type"], ALPHA, false),
    ("kubelet_started_containers_total", "counter", &["container_type"], ALPHA, true),
    ("kubelet_started_pods_errors_total", "counter", &[], ALPHA, true),
    ("kubelet_started_pods_total", "counter", &[], ALPHA, true),
    ("kubelet_started_user_namespaced_pods_errors_total", "counter", &[], ALPHA, true),
    ("kubelet_started_user_namespaced_pods_total", "counter", &[], ALPHA, true),
    ("kubelet_terminated_containers_total", "counter", &["container_type", "exit_code", "reason"], ALPHA, true),
    ("kubelet_volume_stats_available_bytes", "gauge", &["namespace", "persistentvolumeclaim"], ALPHA, false),
    ("kubelet_volume_stats_capacity_bytes", "gauge", &["namespace", "persistentvolumeclaim"], ALPHA, false),
    ("kubelet_volume_stats_health_status_abnormal", "gauge", &["namespace", "persistentvolumeclaim"], ALPHA, false),
    ("kubelet_volume_stats_inodes", "gauge", &["namespace", "persistentvolumeclaim"], ALPHA, false),
    ("kubelet_volume_stats_inodes_free", "gauge", &["namespace", "persistentvolumeclaim"], ALPHA, false),
    ("kubelet_volume_stats_inodes_used", "gauge", &["namespace", "persistentvolumeclaim"], ALPHA, false),
    ("kubelet_volume_stats_used_bytes", "gauge", &["namespace", "persistentvolumeclaim"], ALPHA, false),
    ("kubelet_websocket_streaming_requests_total", "counter", &["subresource"], ALPHA, false),
    ("kubelet_working_pods", "gauge", &["config", "lifecycle", "static"], ALPHA, true),
    ("kubernetes_build_info", "gauge", &["build_date", "compiler", "git_commit", "git_tree_state", "git_version", "go_version", "major", "minor", "platform"], BETA, true),
    ("kubernetes_feature_enabled", "gauge", &["name", "stage"], BETA, true),
    ("process_cpu_seconds_total", "counter", &[], UNSTATED, true),
    ("process_max_fds", "gauge", &[], UNSTATED, true),
    ("process_network_receive_bytes_total", "counter", &[], UNSTATED, true),
    ("process_network_transmit_bytes_total", "counter", &[], UNSTATED, true),
    ("process_open_fds", "gauge", &[], UNSTATED, true),
    ("process_resident_memory_bytes", "gauge", &[], UNSTATED, true),
    ("process_start_time_seconds", "gauge", &[], UNSTATED, true),
    ("process_virtual_memory_bytes", "gauge", &[], UNSTATED, true),
    ("registered_metrics_total", "counter", &["deprecated_version", "stability_level"], BETA, true),
    ("rest_client_exec_plugin_ttl_seconds", "gauge", &[], ALPHA, true),
    ("storage_operation_duration_seconds", "histogram", &["migrated", "operation_name", "status", "volume_plugin"], ALPHA, true),
    ("volume_manager_total_volumes", "gauge", &["plugin_name", "state"], ALPHA, true),
];

const USUAL: &str = "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 +Inf";
const POD_START: &str =
    "0.5 1 2 3 4 5 6 8 10 20 30 45 60 120 180 240 300 360 480 600 900 1200 1800 2700 3600 +Inf";

/// The buckets of the histogram `name`.
fn buckets(name: &str) -> &'static str {
    match name {
        "kubelet_containers_per_pod_count" => "1 2 4 8 16 +Inf",
        "kubelet_pod_start_duration_seconds" | "kubelet_pod_start_total_duration_seconds" => POD_START,
        "kubelet_pod_status_sync_duration_seconds" => "0.01 0.05 0.1 0.5 1 5 10 20 30 45 60 +Inf",
        "kubelet_image_pull_duration_seconds" => {
            "1 5 10 20 30 60 120 180 240 300 360 480 600 900 1200 1800 2700 3600 +Inf"
        }
        "apiserver_client_certificate_expiration_seconds" => {
            "0 1800 3600 7200 21600 43200 86400 172800 345600 604800 2.592e+06 7.776e+06 1.5552e+07 3.1104e+07 +Inf"
        }
        "apiserver_delegated_authn_request_duration_seconds"
        | "apiserver_delegated_authz_request_duration_seconds" => "0.25 0.5 0.7 1 1.5 3 5 10 +Inf",
        "storage_operation_duration_seconds" => "0.1 0.25 0.5 1 2.5 5 10 15 25 50 120 300 600 +Inf",
        _ => USUAL,
    }
}

/// What is wrong with the families that berth shows.
fn wrongs(families: &BTreeMap<String, Family>) -> Vec<String> {
    let mut wrongs = Vec::new();
    for (name, kind, labels, stability, needed) in FAMILIES {
        let Some(family) = families.get(*name) else {
            if *needed {
                wrongs.push(format!("{name} is missing"));
            }
            continue;
        };
        if (family.kind.as_str(), family.stability.as_str()) != (kind, stability) {
            wrongs.push(format!("{name} is a {} [{}]", family.kind, family.stability));
        }
        wrongs.extend(
            family
                .samples
                .iter()
                .filter(|sample| sample.label_names() != *labels)
                .map(|sample| format!("{name} has the labels {:?}", sample.label_names())),
        );
        // Those of the runtime's calls are multiples that floats do not have: their crate tests them.
        if *kind == "histogram" && *name != "kubelet_runtime_operations_duration_seconds" {
            let series = family.samples.iter().take_while(|sample| sample.suffix == "_bucket");
            let bounds: Vec<&str> = series.filter_map(|sample| sample.label("le")).collect();
            if bounds.join(" ") != buckets(name) {
                wrongs.push(format!("{name} has the buckets {bounds:?}"));
            }
        }
    }
    let known = |name: &String| FAMILIES.iter().any(|(known, ..)| known == name);
    wrongs.extend(
        families.keys().filter(|name| !known(name)).map(|name| format!("{name} is none of the table")),
    );
    wrongs
}

/// Has Prometheus' own tool read the page, where there is one. What it says against names that are the kubelet's counts for
/// nothing.
fn promtool_reads(page: &str) {
    let command = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = command else {
        eprintln!("there is no promtool");
        return;
    };
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // 3 is for names, helps and types that are not as they should be.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {said}", output.status);
    let ours: Vec<_> = said.lines().filter(|line| line.starts_with("berth_")).collect();
    assert_eq!(ours, [""; 0]);
}

#[tokio::test]
async fn every_family_is_kubernetes() {
    let rig = Rig::start().await;
    rig.put(
        &pod("web")
            .container("app", &["httpd"])
            .with_container("app", &json!({"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}))
            .with_spec(&json!({"volumes": [{"name": "tmp", "emptyDir": {}}]}))
            .container("once", &["sh"]),
    );
    rig.until_ready("web").await;
    rig.runtime.exit_container("web-node", "once", 3);
    let ended = "kubelet_terminated_containers_total{container_type=\"container\",exit_code=\"3\"";
    let text = rig
        .until(
            "the end of a container is counted",
            crate::rig::DEADLINE,
            async || rig.ask("/metrics").await.unwrap_or_default().into(),
            |text| text.as_str().is_some_and(|text| text.contains(ended)),
        )
        .await;
    let families = exposition::parse(text.as_str().unwrap()).unwrap();
    assert_eq!(wrongs(&families), [""; 0]);
    promtool_reads(text.as_str().unwrap());

    let value = |name: &str| families[name].samples.last().map(|sample| sample.value);
    assert_eq!(value("kubelet_containers_per_pod_count"), Some(1.0), "one pod");
    assert_eq!(value("kubelet_pod_start_total_duration_seconds"), Some(1.0), "one start");
    assert_eq!(value("kubelet_running_pods"), Some(1.0));
    let registered: f64 =
        families["registered_metrics_total"].samples.iter().map(|sample| sample.value).sum();
    assert!(registered >= 50.0, "{registered} families are registered");
}
