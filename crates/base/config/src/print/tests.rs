use std::path::Path;

use expect_test::expect;

use super::*;
use crate::file;
use crate::flags;
use crate::load::combine;

fn loaded(file: &str, flags: &[&str]) -> Loaded {
    let file = file::parse(Path::new("/etc/k.yaml"), file.as_bytes()).unwrap();
    let arguments = flags::parse(flags.iter().map(Into::into)).unwrap();
    combine(&arguments, Some(&file), &[]).unwrap()
}

const FILE: &str = "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
clusterDNS: [10.96.0.10]
staticPodPath: /etc/kubernetes/manifests
staticPodURLHeader: {Authorization: [Bearer secret]}
registerWithTaints:
- key: node-role.kubernetes.io/control-plane
  effect: NoSchedule
evictionHard: {memory.available: 5%}
kubeReserved: {cpu: \"1\", memory: 1Gi}
logging:
  vmodule: [{filePattern: \"a*\", verbosity: 3}]
providerID: \"yes\"
";

#[test]
fn as_yaml() {
    let text = yaml(&loaded(FILE, &["-v=4", "--feature-gates=EventedPLEG=true", "--node-labels=a=b"]));
    expect![[r#"
        apiVersion: kubelet.config.k8s.io/v1beta1
        kind: KubeletConfiguration
        enableServer: true # default
        staticPodPath: /etc/kubernetes/manifests # /etc/k.yaml:5
        podLogsDir: /var/log/pods # default
        syncFrequency: "1m0s" # default
        fileCheckFrequency: "20s" # default
        httpCheckFrequency: "20s" # default
        staticPodURL: "" # default
        staticPodURLHeader:
          Authorization: # /etc/k.yaml:6
          - "<masked>"
        address: "0.0.0.0" # default
        port: 10250 # default
        readOnlyPort: 0 # default
        tlsCertFile: "" # default
        tlsPrivateKeyFile: "" # default
        tlsCipherSuites: [] # default
        tlsCurvePreferences: [] # default
        tlsMinVersion: "" # default
        rotateCertificates: false # default
        serverTLSBootstrap: false # default
        authentication:
          x509:
            clientCAFile: "" # default
          webhook:
            enabled: true # default
            cacheTTL: "2m0s" # default
          anonymous:
            enabled: false # default
        authorization:
          mode: Webhook # default
          webhook:
            cacheAuthorizedTTL: "5m0s" # default
            cacheUnauthorizedTTL: "30s" # default
        registryPullQPS: 5 # default
        registryBurst: 10 # default
        imagePullCredentialsVerificationPolicy: NeverVerifyPreloadedImages # default
        preloadedImagesVerificationAllowlist: [] # default
        eventRecordQPS: 50 # default
        eventBurst: 100 # default
        enableDebuggingHandlers: true # default
        enableContentionProfiling: false # default
        healthzPort: 10248 # default
        healthzBindAddress: "127.0.0.1" # default
        oomScoreAdj: -999 # default
        clusterDomain: "" # default
        clusterDNS: # /etc/k.yaml:4
        - "10.96.0.10"
        streamingConnectionIdleTimeout: "4h0m0s" # default
        nodeStatusUpdateFrequency: "10s" # default
        nodeStatusReportFrequency: "5m0s" # default
        nodeLeaseDurationSeconds: 40 # default
        imageMinimumGCAge: "2m0s" # default
        imageMaximumGCAge: "0s" # default
        imageGCHighThresholdPercent: 85 # default
        imageGCLowThresholdPercent: 80 # default
        volumeStatsAggPeriod: "1m0s" # default
        kubeletCgroups: "" # default
        systemCgroups: "" # default
        cgroupRoot: "" # default
        cgroupsPerQOS: true # default
        cgroupDriver: systemd # /etc/k.yaml:3
        cpuManagerPolicy: none # default
        cpuManagerPolicyOptions: {} # default
        cpuManagerReconcilePeriod: "10s" # default
        memoryManagerPolicy: "None" # default
        topologyManagerPolicy: none # default
        topologyManagerScope: container # default
        topologyManagerPolicyOptions: {} # default
        qosReserved: {} # default
        runtimeRequestTimeout: "2m0s" # default
        hairpinMode: promiscuous-bridge # default
        maxPods: 110 # default
        podCIDR: "" # default
        podPidsLimit: -1 # default
        resolvConf: /etc/resolv.conf # default
        runOnce: false # default
        cpuCFSQuota: true # default
        cpuCFSQuotaPeriod: "100ms" # default
        nodeStatusMaxImages: 50 # default
        maxOpenFiles: 1000000 # default
        contentType: application/vnd.kubernetes.protobuf # default
        kubeAPIQPS: 50 # default
        kubeAPIBurst: 100 # default
        serializeImagePulls: true # default
        evictionHard:
          memory.available: "5%" # /etc/k.yaml:10
        evictionSoft: {} # default
        evictionSoftGracePeriod: {} # default
        evictionPressureTransitionPeriod: "5m0s" # default
        evictionMaxPodGracePeriod: 0 # default
        evictionMinimumReclaim: {} # default
        mergeDefaultEvictionSettings: false # default
        podsPerCore: 0 # default
        enableControllerAttachDetach: true # default
        protectKernelDefaults: false # default
        makeIPTablesUtilChains: true # default
        iptablesMasqueradeBit: 14 # default
        iptablesDropBit: 15 # default
        featureGates:
          EventedPLEG: true # flag --feature-gates
        failSwapOn: true # default
        memorySwap:
          swapBehavior: "" # default
        containerLogMaxSize: "10Mi" # default
        containerLogMaxFiles: 5 # default
        containerLogMaxWorkers: 1 # default
        containerLogMonitorInterval: "10s" # default
        configMapAndSecretChangeDetectionStrategy: Watch # default
        systemReserved: {} # default
        kubeReserved:
          cpu: "1" # /etc/k.yaml:11
          memory: "1Gi" # /etc/k.yaml:11
        reservedSystemCPUs: "" # default
        showHiddenMetricsForVersion: "" # default
        systemReservedCgroup: "" # default
        kubeReservedCgroup: "" # default
        enforceNodeAllocatable: # default
        - pods
        allowedUnsafeSysctls: [] # default
        volumePluginDir: /usr/libexec/kubernetes/kubelet-plugins/volume/exec/ # default
        providerID: "yes" # /etc/k.yaml:14
        kernelMemcgNotification: false # default
        logging:
          format: text # default
          flushFrequency: "5s" # default
          verbosity: 4 # flag --v
          vmodule: # /etc/k.yaml:13
          - filePattern: "a*"
            verbosity: 3
          options:
            text:
              splitStream: false # default
              infoBufferSize: "0" # default
            json:
              splitStream: false # default
              infoBufferSize: "0" # default
        enableSystemLogHandler: true # default
        enableSystemLogQuery: false # default
        shutdownGracePeriod: "0s" # default
        shutdownGracePeriodCriticalPods: "0s" # default
        shutdownGracePeriodByPodPriority: [] # default
        crashLoopBackOff:
          maxContainerRestartPeriod: "5m0s" # default
        reservedMemory: [] # default
        enableProfilingHandler: true # default
        enableDebugFlagsHandler: true # default
        seccompDefault: false # default
        memoryThrottlingFactor: 0.9 # default
        memoryReservationPolicy: "None" # default
        registerWithTaints: # /etc/k.yaml:7
        - key: node-role.kubernetes.io/control-plane
          value: ""
          effect: NoSchedule
        registerNode: true # default
        localStorageCapacityIsolation: true # default
        containerRuntimeEndpoint: unix:///run/containerd/containerd.sock # default
        imageServiceEndpoint: "" # default
        failCgroupV1: true # default
        userNamespaces:
          idsPerPod: 65536 # default
    "#]]
    .assert_eq(&text);
}

#[test]
fn what_is_printed_reads_the_same() {
    let first = loaded(&FILE.replace("Bearer secret", "<masked>"), &["-v=4", "--max-pods=7"]);
    let second = loaded(&yaml(&first), &[]);
    assert_eq!(first.config, second.config);
}

#[test]
fn as_json() {
    let text = json(&loaded(FILE, &["--max-pods=7"]));
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["config"]["maxPods"], 7);
    assert_eq!(value["origins"]["maxPods"], "flag --max-pods");
    assert_eq!(value["origins"]["clusterDNS"], "/etc/k.yaml:4");
    assert!(!text.contains("secret"));
    assert!(!format!("{:?}", loaded(FILE, &[])).contains("Bearer"));
}

#[test]
fn as_flags() {
    let flags = flags(&loaded(FILE, &["--max-pods=7", "--node-labels=a=b,c=d"]));
    let value = |name: &str| flags.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    for (name, expected) in [
        ("max-pods", "7"),
        ("cluster-dns", "10.96.0.10"),
        ("eviction-hard", "memory.available=5%"),
        ("node-labels", "a=b,c=d"),
        ("manifest-url-header", "Authorization=<masked>"),
        ("root-dir", "/var/lib/kubelet"),
        ("enable-server", "true"),
    ] {
        assert!(value(name).is_some_and(|value| value.starts_with(expected)), "{name}: {:?}", value(name));
    }
    assert!(flags.is_sorted());
}

#[test]
fn text_that_looks_like_something_else_is_quoted() {
    for (text, expected) in [
        ("plain", "plain"),
        ("/var/log/pods", "/var/log/pods"),
        ("none", "none"),
        ("unix:///run/x.sock", "unix:///run/x.sock"),
        ("", "\"\""),
        ("yes", "\"yes\""),
        ("NULL", "\"NULL\""),
        ("10Mi", "\"10Mi\""),
        ("0.0.0.0", "\"0.0.0.0\""),
        ("a # b", "\"a # b\""),
        ("a:", "\"a:\""),
        ("two\nlines", "\"two\\nlines\""),
    ] {
        assert_eq!(scalar(text), expected);
    }
}
