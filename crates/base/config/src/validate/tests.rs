use serde_json::{Value, json};

use super::*;
use crate::flags::Flags;

fn problems(settings: &Value) -> Vec<String> {
    let config: KubeletConfiguration = serde_json::from_value(settings.clone()).unwrap();
    let gates = Gates::new(config.feature_gates.iter().map(|(name, on)| (name.as_str(), *on))).unwrap();
    super::config(&config, &gates)
        .into_iter()
        .map(|Found { path, message, .. }| format!("{path}: {message}"))
        .collect()
}

#[test]
fn the_default_is_valid() {
    assert_eq!(problems(&json!({})), [""; 0]);
}

#[test]
fn each_rule() {
    for (settings, expected) in [
        (json!({"port": 0}), "port: 0 is not between 1 and 65535"),
        (json!({"oomScoreAdj": -1001}), "oomScoreAdj: -1001 is not between -1000 and 1000"),
        (json!({"maxPods": -1}), "maxPods: -1 is less than 0"),
        (json!({"containerLogMaxFiles": 1}), "containerLogMaxFiles: 1 is less than 2"),
        (json!({"containerLogMonitorInterval": "1s"}), "containerLogMonitorInterval: 1s is less than 3s"),
        (json!({"containerLogMaxSize": "big"}), "containerLogMaxSize: \"big\" is not a quantity"),
        (json!({"cpuCFSQuotaPeriod": "2s"}), "cpuCFSQuotaPeriod: 2s is not between 1ms and 1s"),
        (json!({"memoryThrottlingFactor": 0.0}), "memoryThrottlingFactor: must be more than 0"),
        (json!({"runOnce": true}), "runOnce: this mode is gone"),
        (json!({"address": "localhost"}), "address: \"localhost\" is not an IP address"),
        (json!({"podLogsDir": "logs"}), "podLogsDir: must be an absolute path"),
        (json!({"podLogsDir": "/var/../log"}), "podLogsDir: must not contain"),
        (json!({"podLogsDir": "/var/lög"}), "podLogsDir: must be ASCII"),
        (json!({"imageGCLowThresholdPercent": 85}), "imageGCLowThresholdPercent: must be less"),
        (json!({"imageMaximumGCAge": "1m"}), "imageMaximumGCAge: must be more than imageMinimumGCAge"),
        (json!({"maxParallelImagePulls": 2}), "maxParallelImagePulls: more than 1 contradicts"),
        (json!({"maxParallelImagePulls": 0}), "maxParallelImagePulls: must be at least 1"),
        (json!({"systemCgroups": "/s"}), "systemCgroups: needs cgroupRoot"),
        (
            json!({"cgroupDriver": "systemD"}),
            "cgroupDriver: \"systemD\" is none of cgroupfs, systemd; did you mean systemd?",
        ),
        (json!({"userNamespaces": {"idsPerPod": 65537}}), "userNamespaces.idsPerPod: must be a multiple"),
        (
            json!({"crashLoopBackOff": {"maxContainerRestartPeriod": "10m"}}),
            "crashLoopBackOff.maxContainerRestartPeriod: 10m0s is not between 1s and 5m0s",
        ),
        (
            json!({"evictionHard": {"memory.availabel": "5%"}}),
            "evictionHard[memory.availabel]: no such eviction signal; did you mean memory.available?",
        ),
        (
            json!({"evictionHard": {"memory.available": "101%"}}),
            "evictionHard[memory.available]: \"101%\" is not a percentage",
        ),
        (
            json!({"evictionSoft": {"memory.available": "5%"}}),
            "evictionSoft[memory.available]: needs an entry",
        ),
        (
            json!({"evictionSoftGracePeriod": {"memory.available": "5s"}}),
            "evictionSoftGracePeriod[memory.available]: needs an entry",
        ),
        (json!({"kubeReserved": {"gpu": "1"}}), "kubeReserved[gpu]: only cpu"),
        (json!({"systemReserved": {"cpu": "-1"}}), "systemReserved[cpu]: must not be negative"),
        (
            json!({"enforceNodeAllocatable": ["pods", "none"]}),
            "enforceNodeAllocatable: none must stand alone",
        ),
        (
            json!({"enforceNodeAllocatable": ["pods", "pods"]}),
            "enforceNodeAllocatable: an entry occurs twice",
        ),
        (json!({"enforceNodeAllocatable": ["pod"]}), "enforceNodeAllocatable: \"pod\" is none of"),
        (
            json!({"enforceNodeAllocatable": ["kube-reserved"]}),
            "enforceNodeAllocatable: kube-reserved needs kubeReservedCgroup",
        ),
        (json!({"cgroupsPerQOS": false}), "enforceNodeAllocatable: pods needs cgroupsPerQOS"),
        (json!({"reservedSystemCPUs": "3-1"}), "reservedSystemCPUs: \"3-1\" is not a CPU"),
        (json!({"reservedSystemCPUs": "0", "kubeReservedCgroup": "/k"}), "reservedSystemCPUs: excludes"),
        (json!({"shutdownGracePeriod": "1ms"}), "shutdownGracePeriod: must be 0s, or at least 1s"),
        (json!({"shutdownGracePeriodCriticalPods": "10s"}), "shutdownGracePeriodCriticalPods: is part of"),
        (
            json!({"memoryReservationPolicy": "TieredReservation"}),
            "memoryReservationPolicy: TieredReservation needs",
        ),
        (json!({"qosReserved": {"memory": "50%"}}), "qosReserved: needs the gate"),
        (
            json!({"reservedMemory": [{"numaNode": 0, "limits": {"cpu": "1"}}]}),
            "reservedMemory[0].limits[cpu]: only memory",
        ),
        (json!({"logging": {"flushFrequency": "0s"}}), "logging.flushFrequency: 0s is less than 1ns"),
        (
            json!({"logging": {"format": "json", "vmodule": [{"filePattern": "a"}]}}),
            "logging.vmodule: works only",
        ),
        (
            json!({"logging": {"options": {"json": {"splitStream": true}}}}),
            "logging.options.json: needs the gate",
        ),
        (
            json!({"registerWithTaints": [{"key": "k", "effect": "Never"}]}),
            "registerWithTaints[0].effect: must be one of",
        ),
        (
            json!({"enableSystemLogQuery": true, "enableSystemLogHandler": false}),
            "enableSystemLogQuery: needs",
        ),
        (json!({"showHiddenMetricsForVersion": "1.20"}), "showHiddenMetricsForVersion: must be empty"),
        (json!({"tracing": {"endpoint": "http://x:4317"}}), "tracing.endpoint: its scheme"),
        (json!({"allowedUnsafeSysctls": ["kernel.hostname"]}), "allowedUnsafeSysctls[0]: is in no namespace"),
        (json!({"tlsMinVersion": "1.2"}), "tlsMinVersion: must be one of"),
        (
            json!({"tlsCipherSuites": ["TLS_AES_128_GCM_SHA265"]}),
            "tlsCipherSuites[0]: no such cipher suite; did you mean TLS_AES_128_GCM_SHA256?",
        ),
        (json!({"tlsCurvePreferences": [29, 1]}), "tlsCurvePreferences[1]: no curve has the number 1"),
        (json!({"cpuManagerPolicyOptions": {"x": "true"}}), "cpuManagerPolicyOptions[x]: is none of"),
        (
            json!({"preloadedImagesVerificationAllowlist": ["nginx"]}),
            "preloadedImagesVerificationAllowlist: needs",
        ),
    ] {
        let found = problems(&settings);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{settings}: {found:?}");
    }
}

#[test]
fn all_mistakes_at_once() {
    let found = problems(&json!({"port": 0, "maxPods": -1, "runOnce": true}));
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn valid_where_it_nearly_is_not() {
    for settings in [
        json!({"tracing": {"endpoint": "localhost:4317", "samplingRatePerMillion": 100}}),
        json!({"tracing": {"endpoint": "unix:///run/otel.sock"}}),
        json!({"allowedUnsafeSysctls": ["kernel.msg*", "net.core.somaxconn", "net.ipv4.*"]}),
        json!({"enforceNodeAllocatable": [], "cgroupsPerQOS": false}),
        json!({"enforceNodeAllocatable": ["none"], "cgroupsPerQOS": false}),
        json!({"maxParallelImagePulls": 5, "serializeImagePulls": false}),
        json!({"evictionSoft": {"pid.available": "10%"}, "evictionSoftGracePeriod": {"pid.available": "1m30s"}}),
        json!({"imagePullCredentialsVerificationPolicy": "NeverVerifyAllowlistedImages",
               "preloadedImagesVerificationAllowlist": ["registry:5000/a/*", "docker.io/library/nginx"]}),
    ] {
        assert_eq!(problems(&settings), [""; 0], "{settings}");
    }
}

#[test]
fn flags_of_their_own() {
    for (given, expected) in [
        (json!({"exit-on-lock-contention": true}), Some("--exit-on-lock-contention: needs --lock-file")),
        (json!({"cloud-provider": "aws"}), Some("--cloud-provider: must be")),
        (json!({"node-ip": "1.2.3.4,::1"}), None),
        (json!({"node-ip": "::"}), None),
        (json!({"node-ip": "1.2.3.4,1.2.3.5"}), Some("--node-ip: must be one")),
        (json!({"node-labels": {"kubernetes.io/role": "x"}}), Some("--node-labels: a node may not")),
        (json!({"node-labels": {"node.kubernetes.io/role": "x", "example.com/a": "b", "a": ""}}), None),
    ] {
        let flags: Flags = serde_json::from_value(given.clone()).unwrap();
        let found: Vec<String> =
            super::flags(&flags).iter().map(|found| format!("{}: {}", found.path, found.message)).collect();
        assert!(found.len() <= 1, "{given}: {found:?}");
        match expected {
            Some(start) => assert!(found.iter().any(|text| text.starts_with(start)), "{given}: {found:?}"),
            None => assert!(found.is_empty(), "{given}: {found:?}"),
        }
    }
}
