use std::fs;

use expect_test::expect;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::CgroupDriver;

/// What kubeadm writes.
pub(crate) const KUBEADM: &str = "\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
  webhook:
    cacheTTL: 0s
    enabled: true
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
authorization:
  mode: Webhook
  webhook:
    cacheAuthorizedTTL: 0s
    cacheUnauthorizedTTL: 0s
cgroupDriver: systemd
clusterDNS:
- 10.96.0.10
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///var/run/containerd/containerd.sock
cpuManagerReconcilePeriod: 0s
crashLoopBackOff: {}
evictionPressureTransitionPeriod: 0s
fileCheckFrequency: 0s
healthzBindAddress: 127.0.0.1
healthzPort: 10248
httpCheckFrequency: 0s
imageMaximumGCAge: 0s
imageMinimumGCAge: 0s
kind: KubeletConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: \"0\"
    text:
      infoBufferSize: \"0\"
  verbosity: 0
memorySwap: {}
nodeStatusReportFrequency: 0s
nodeStatusUpdateFrequency: 0s
rotateCertificates: true
runtimeRequestTimeout: 0s
shutdownGracePeriod: 0s
shutdownGracePeriodCriticalPods: 0s
staticPodPath: /etc/kubernetes/manifests
streamingConnectionIdleTimeout: 0s
syncFrequency: 0s
volumeStatsAggPeriod: 0s
";

const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

/// A directory with `kubelet.yaml` and drop-ins in `drop`.
struct Files(TempDir);

impl Files {
    fn new(base: &str, drop_ins: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("kubelet.yaml"), format!("{HEAD}{base}")).unwrap();
        for (name, text) in drop_ins {
            let path = directory.path().join("drop").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{HEAD}{text}")).unwrap();
        }
        fs::create_dir_all(directory.path().join("drop")).unwrap();
        Self(directory)
    }

    fn load(&self, flags: &[&str]) -> Result<Loaded, LoadError> {
        let at = self.0.path().display();
        let mut args = vec![format!("--config={at}/kubelet.yaml"), format!("--config-dir={at}/drop")];
        args.extend(flags.iter().map(ToString::to_string));
        run(args)
    }

    /// `text` without the name of the directory.
    fn relative(&self, text: impl ToString) -> String {
        text.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn run(args: Vec<String>) -> Result<Loaded, LoadError> {
    match load(args.into_iter().map(OsString::from))? {
        Outcome::Run(loaded) => Ok(*loaded),
        Outcome::Request(request) => panic!("{request:?}"),
    }
}

#[test]
fn without_a_file_old_defaults_hold() {
    let loaded = run(vec![]).unwrap();
    assert!(loaded.config.authentication.anonymous.enabled);
    assert!(!loaded.config.authentication.webhook.enabled);
    assert_eq!(loaded.config.authorization.mode.as_str(), "AlwaysAllow");
    assert_eq!(loaded.config.read_only_port, 10255);
    assert!(loaded.config.eviction_hard.is_empty());
    assert_eq!(loaded.provenance.origin("readOnlyPort"), &Origin::Default);
    assert!(loaded.warnings.is_empty() && loaded.unacted().is_empty());
}

#[test]
fn with_a_file_new_defaults_hold() {
    let files = Files::new("", &[]);
    let config = files.load(&[]).unwrap().config;
    assert!(!config.authentication.anonymous.enabled);
    assert_eq!(config.read_only_port, 0);
    assert_eq!(config.eviction_hard.len(), 5);
    assert_eq!(config.crash_loop_back_off.max_container_restart_period, Some(Duration::seconds(300)));
}

#[test]
fn kubeadm() {
    let files = Files::new("", &[]);
    fs::write(files.0.path().join("kubelet.yaml"), KUBEADM).unwrap();
    let loaded = files.load(&[]).unwrap();
    assert_eq!(loaded.warnings, [""; 0]);
    let config = loaded.config;
    assert_eq!(config.cgroup_driver, CgroupDriver::Systemd);
    assert_eq!(config.sync_frequency, Duration::seconds(60));
    assert_eq!(config.node_status_report_frequency, Duration::seconds(300));
    assert_eq!(config.logging.flush_frequency, Duration::seconds(5));
    assert_eq!(config.shutdown_grace_period, Duration::ZERO);
}

#[test]
fn precedence() {
    let files = Files::new(
        "maxPods: 10\npodsPerCore: 1\nclusterDNS: [1.1.1.1]\nhealthzPort: 1\nfeatureGates: {EventedPLEG: true, MemoryQoS: true}\n",
        &[
            ("20.conf", "maxPods: 20\nclusterDNS: [2.2.2.2]\nhealthzPort: null\n"),
            ("10.conf", "maxPods: 15\npodsPerCore: 2\n"),
            ("15/deep.conf", "podsPerCore: 3\n"),
            ("30.yaml", "maxPods: 99\n"),
        ],
    );
    let loaded = files.load(&["--feature-gates=EventedPLEG=false", "--cluster-domain=x"]).unwrap();
    let Loaded { config, gates, provenance, .. } = &loaded;
    assert_eq!((config.max_pods, config.pods_per_core, config.healthz_port), (20, 3, 10248));
    assert_eq!(config.cluster_dns, ["2.2.2.2"]);
    assert!(!gates.enabled(Gate::EventedPLEG) && gates.enabled(Gate::MemoryQoS));
    assert_eq!(loaded.unacted(), ["featureGates.MemoryQoS=true"]);
    for (path, expected) in [
        ("maxPods", "drop-in drop/20.conf:3"),
        ("podsPerCore", "drop-in drop/15/deep.conf:3"),
        ("healthzPort", "default"),
        ("clusterDomain", "flag --cluster-domain"),
        ("featureGates.EventedPLEG", "flag --feature-gates"),
        ("featureGates.MemoryQoS", "kubelet.yaml:7"),
        ("port", "default"),
    ] {
        assert_eq!(files.relative(provenance.origin(path)), expected, "{path}");
    }
    assert_eq!(files.load(&["--max-pods=5", "--max-pods", "6"]).unwrap().config.max_pods, 6);
}

#[test]
fn eviction_thresholds() {
    let memory = "evictionHard: {memory.available: 1Gi}\n";
    let merged = "mergeDefaultEvictionSettings: true\n";
    for (base, drop_in, flag, expected) in [
        ("", "", None, 5),
        ("", memory, None, 5),
        (memory, "", None, 1),
        ("evictionHard: {}\n", "", None, 0),
        (&format!("{memory}{merged}"), "", None, 5),
        ("", "evictionHard: {imagefs.available: null}\n", None, 4),
        ("", "", Some("--eviction-hard=memory.available<1Gi"), 1),
    ] {
        let files = Files::new(base, &[("a.conf", drop_in)]);
        let flags: Vec<&str> = flag.into_iter().collect();
        let config = files.load(&flags).unwrap().config;
        assert_eq!(config.eviction_hard.len(), expected, "{base} {drop_in} {flag:?}");
        if !format!("{base}{drop_in}").is_empty() && expected != 0 && !drop_in.contains("null") {
            assert_eq!(config.eviction_hard["memory.available"], "1Gi");
        }
    }
}

#[test]
fn derived_values() {
    for (base, check) in [
        (
            "nodeStatusUpdateFrequency: 20s\n",
            (|c| c.node_status_report_frequency == Duration::seconds(20))
                as fn(&KubeletConfiguration) -> bool,
        ),
        ("maxParallelImagePulls: 4\n", |c| !c.serialize_image_pulls),
        ("maxParallelImagePulls: 1\n", |c| c.serialize_image_pulls),
        ("podPidsLimit: -5\n", |c| c.pod_pids_limit == -1),
        ("reservedSystemCPUs: 0-1,4\nkubeReserved: {cpu: 500m, memory: 1Gi}\n", |c| {
            c.system_reserved["cpu"] == "3" && !c.kube_reserved.contains_key("cpu")
        }),
        ("featureGates: {KubeletEnsureSecretPulledImages: false}\n", |c| {
            c.image_pull_credentials_verification_policy == PullVerification::Unset
        }),
    ] {
        let config = Files::new(base, &[]).load(&[]).unwrap().config;
        assert!(check(&config), "{base}");
    }
}

#[test]
fn paths_are_relative_to_their_file() {
    let files = Files::new("staticPodPath: ../m/./pods\n", &[("sub/x.conf", "resolvConf: resolv\n")]);
    let config = files.load(&[]).unwrap().config;
    let base = files.0.path();
    assert_eq!(config.static_pod_path, base.parent().unwrap().join("m/pods"));
    assert_eq!(config.resolv_conf, base.join("drop/sub/resolv"));
}

#[test]
fn lapses_are_warnings() {
    let files = Files::new("maxPod: 5\nport: 1\nport: 10250\nport2: 1\nkubeletCgroups: /x\n", &[]);
    let loaded = files.load(&["--pleg-relist-period=1s", "--max-pods=5", "--register-node"]).unwrap();
    let warnings: String = loaded.warnings.iter().map(|line| files.relative(line) + "\n").collect();
    expect![[r#"
        flag --pleg-relist-period has no effect any more; what took its place: nothing, since the runtime's events are used, and a relist is only the safety net
        flag --max-pods is deprecated: use the field maxPods of the configuration file
        flag --register-node is deprecated: use the field registerNode of the configuration file
        kubelet.yaml:3:1: maxPod: unknown field (did you mean maxPods?)
        kubelet.yaml:5:1: port: duplicate field: the last one counts (it is in line 4 already)
        kubelet.yaml:6:1: port2: unknown field (did you mean port?)
    "#]]
    .assert_eq(&warnings);
    assert_eq!(loaded.unacted(), ["kubeletCgroups"]);
}

#[test]
fn errors_name_the_place() {
    let mut text = String::new();
    for (base, drop_in, flags) in [
        ("maxPods: many\n", "", &[][..]),
        (
            "maxPods: -1\nimageGCHighThresholdPercent: 50\n",
            "podLogsDir: /lög\n",
            &["--port=0", "--exit-on-lock-contention"],
        ),
        ("featureGates: {NodeSwap: false, MemoryQos: true}\n", "", &[]),
        ("a: [\n", "", &[]),
        ("", "", &["-v=-1"]),
        ("registerWithTaints: [{key: a, effect: x}]\n", "", &[]),
        ("", "", &["--max-pods=x"]),
    ] {
        let files = Files::new(base, &[("a.conf", drop_in)]);
        text.push_str(&files.relative(files.load(flags).unwrap_err()));
        text.push('\n');
    }
    expect![[r#"
        kubelet.yaml:3:10: maxPods: invalid type: string "many", expected i32
        the configuration is invalid:
          flag --port: port: 0 is not between 1 and 65535
          kubelet.yaml:3:1: maxPods: -1 is less than 0
          drop/a.conf:3:1: podLogsDir: must be ASCII: runtimes cannot be told of other paths
          kubelet.yaml:4:1: imageGCLowThresholdPercent: must be less than imageGCHighThresholdPercent
          flag --exit-on-lock-contention: needs --lock-file
        the configuration is invalid:
          kubelet.yaml:3:33: featureGates.MemoryQos: feature gate MemoryQos is unknown; did you mean MemoryQoS?
          kubelet.yaml:3:16: featureGates.NodeSwap: feature gate NodeSwap is locked to true: remove it
        kubelet.yaml:3:4: unclosed bracket '['
        flag --v: "-1" is not a whole number of that size
        the configuration is invalid:
          kubelet.yaml:3:1: registerWithTaints[0].effect: must be one of NoSchedule, PreferNoSchedule, NoExecute
        flag --max-pods: "x" is not a whole number
    "#]].assert_eq(&text);
}

#[test]
fn other_kinds_and_missing_files() {
    let files = Files::new("", &[]);
    let path = files.0.path().join("kubelet.yaml");
    for (text, expected) in [
        ("kind: KubeletConfiguration\n", "kubelet.yaml:1:1: apiVersion is \"\", but must be"),
        ("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: Pod\n", "kubelet.yaml:2:1: kind is \"Pod\""),
        ("", "kubelet.yaml: the document is empty"),
    ] {
        fs::write(&path, text).unwrap();
        let error = files.relative(files.load(&[]).unwrap_err());
        assert!(error.starts_with(expected), "{error}");
    }
    let error = run(vec!["--config=/nowhere/at/all".into()]).unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nowhere/at/all");
}

#[test]
fn seccomp_default_is_either() {
    let loaded = run(vec!["--seccomp-default".into()]).unwrap();
    assert!(loaded.config.seccomp_default);
    assert_eq!(loaded.provenance.origin("seccompDefault"), &Origin::Flag("seccomp-default"));
}

proptest! {
    #[test]
    fn gates_have_the_last_word_of_the_flag(on in any::<bool>(), index in 0..gates::ALL.len()) {
        let info = gates::ALL[index];
        let loaded = run(vec![format!("--feature-gates={}={on}", info.name)]);
        prop_assert_eq!(loaded.map(|loaded| loaded.gates.enabled(info.gate)).ok(), (!info.locked || info.default == on).then_some(on));
    }

    #[test]
    fn reservations_survive_printing(
        reserved in prop::collection::btree_map(prop::sample::select(vec!["cpu", "memory", "pid", "ephemeral-storage"]), "[1-9][0-9]{0,3}(m|Ki|Mi|Gi|)", 0..4)
    ) {
        let flag: Vec<String> = reserved.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
        let loaded = run(vec![format!("--kube-reserved={}", flag.join(","))]).unwrap();
        let printed = crate::print::yaml(&loaded);
        let file = file::parse(FilePath::new("/printed"), printed.as_bytes()).unwrap();
        let again = combine(&Arguments::default(), Some(&file), &[]).unwrap();
        prop_assert_eq!(loaded.config, again.config);
    }
}
