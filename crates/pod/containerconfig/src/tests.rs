//! Facts for the tests of all modules, and snapshots of whole configurations.

use std::path::Path;
use std::time::Duration;

use cri::RuntimeHandler;
use expect_test::expect;
use serde_json::json;
use types::{ContainerKind, Pod, Quantity, pod};

use crate::dns::ResolvConf;
use crate::env::{EnvFiles, EnvInput, environment};
use crate::security::ImageUser;
use crate::*;

pub(crate) fn facts() -> NodeFacts {
    let gib = |count: i64| Quantity::bytes(count << 30);
    NodeFacts {
        node_name: "node-1".into(),
        host_ips: vec!["192.0.2.10".parse().unwrap()],
        root_dir: "/var/lib/kubelet".into(),
        pod_logs_dir: "/var/log/pods".into(),
        cluster_domain: "cluster.local".into(),
        cluster_dns: vec!["10.96.0.10".parse().unwrap()],
        resolv_conf: Some(ResolvConf::parse("nameserver 192.0.2.53\nsearch example.com\noptions edns0")),
        allocatable: [("cpu".to_owned(), Quantity::whole(2)), ("memory".to_owned(), gib(3))].into(),
        capacity: [("cpu".to_owned(), Quantity::whole(2)), ("memory".to_owned(), gib(4))].into(),
        seccomp_default: false,
        selinux: false,
        cgroup_v2: true,
        cpu_cfs_quota: true,
        cpu_cfs_period: Duration::from_millis(100),
        swap: Swap::NoSwap,
        single_process_oom_kill: false,
        hugepage_sizes: vec![2 << 20, 1 << 30],
        runtime_handlers: vec![RuntimeHandler {
            name: String::new(),
            recursive_read_only_mounts: true,
            user_namespaces: true,
        }],
    }
}

fn web() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "labels": {"app": "web"}},
        "spec": {
            "terminationGracePeriodSeconds": 30,
            "securityContext": {"fsGroup": 2000, "sysctls": [{"name": "net.ipv4.ip_forward", "value": "1"}]},
            "containers": [{
                "name": "nginx", "image": "nginx:1",
                "command": ["serve", "--ip=$(IP)", "$$(IP)", "$(NONE)"],
                "env": [
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "URL", "value": "http://$(IP)/"}],
                "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}],
                "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": true, "recursiveReadOnly": "IfPossible"}],
            }],
        },
    }))
    .unwrap()
}

#[test]
fn a_whole_sandbox() {
    let Built { mut config, events } = sandbox_config(&web(), 2, &facts(), "/kubepods/podu1", None).unwrap();
    assert!(events.is_empty());
    assert_eq!((config.labels.len(), config.annotations.len()), (4, 0));
    // A map that prints in no order; the module's own tests have what is in it.
    config.labels.clear();
    expect![[r#"
        PodSandboxConfig {
            metadata: Some(
                PodSandboxMetadata {
                    name: "web",
                    uid: "u1",
                    namespace: "shop",
                    attempt: 2,
                },
            ),
            hostname: "web",
            log_directory: "/var/log/pods/shop_web_u1",
            dns_config: Some(
                DnsConfig {
                    servers: [
                        "10.96.0.10",
                    ],
                    searches: [
                        "shop.svc.cluster.local",
                        "svc.cluster.local",
                        "cluster.local",
                        "example.com",
                    ],
                    options: [
                        "ndots:5",
                    ],
                },
            ),
            port_mappings: [
                PortMapping {
                    protocol: Tcp,
                    container_port: 80,
                    host_port: 0,
                    host_ip: "",
                },
            ],
            labels: {},
            annotations: {},
            linux: Some(
                LinuxPodSandboxConfig {
                    cgroup_parent: "/kubepods/podu1",
                    security_context: Some(
                        LinuxSandboxSecurityContext {
                            namespace_options: Some(
                                NamespaceOption {
                                    network: Pod,
                                    pid: Container,
                                    ipc: Pod,
                                    target_id: "",
                                    userns_options: Some(
                                        UserNamespace {
                                            mode: Node,
                                            uids: [],
                                            gids: [],
                                        },
                                    ),
                                },
                            ),
                            selinux_options: None,
                            run_as_user: None,
                            run_as_group: None,
                            readonly_rootfs: false,
                            supplemental_groups: [
                                2000,
                            ],
                            supplemental_groups_policy: Merge,
                            privileged: false,
                            seccomp: Some(
                                SecurityProfile {
                                    profile_type: RuntimeDefault,
                                    localhost_ref: "",
                                },
                            ),
                            apparmor: None,
                            seccomp_profile_path: "",
                        },
                    ),
                    sysctls: {
                        "net.ipv4.ip_forward": "1",
                    },
                    overhead: Some(
                        LinuxContainerResources {
                            cpu_period: 0,
                            cpu_quota: 0,
                            cpu_shares: 0,
                            memory_limit_in_bytes: 0,
                            oom_score_adj: 0,
                            cpuset_cpus: "",
                            cpuset_mems: "",
                            hugepage_limits: [],
                            unified: {},
                            memory_swap_limit_in_bytes: 0,
                        },
                    ),
                    resources: Some(
                        LinuxContainerResources {
                            cpu_period: 100000,
                            cpu_quota: 0,
                            cpu_shares: 102,
                            memory_limit_in_bytes: 2147483648,
                            oom_score_adj: 0,
                            cpuset_cpus: "",
                            cpuset_mems: "",
                            hugepage_limits: [],
                            unified: {},
                            memory_swap_limit_in_bytes: 0,
                        },
                    ),
                },
            ),
            windows: None,
        }
    "#]]
    .assert_debug_eq(&config);
}

#[test]
fn a_whole_container() {
    let (pod, facts) = (web(), facts());
    let container = &pod::regular_containers(&pod)[0];
    let pod_ips = ["10.0.0.2".parse().unwrap()];
    let env = environment(&EnvInput {
        pod: &pod,
        container,
        pod_ips: &pod_ips,
        services: &[],
        objects: &types::objects::Objects::default(),
        facts: &facts,
        files: &EnvFiles::new(),
    });
    let env = env.unwrap();
    let mount = &container.volume_mounts.as_ref().unwrap()[0];
    let source = MountSource::Path("/var/lib/kubelet/pods/u1/volumes/kubernetes.io~empty-dir/data".into());
    let input = ContainerInput {
        pod: &pod,
        kind: ContainerKind::Regular,
        container,
        restart_count: 1,
        image_ref: "sha256:1",
        image_user: &ImageUser::default(),
        runtime_handler: "",
        env: &env,
        mounts: &[ResolvedMount { mount, source, read_only: false, relabel: false }],
        devices: &[],
        cdi_devices: &[],
        annotations: &labels::Map::new(),
        hosts_file: Some(Path::new("/var/lib/kubelet/pods/u1/etc-hosts")),
        termination_log: Some(Path::new("/var/lib/kubelet/pods/u1/containers/nginx/0a1b2c3d")),
        target_container_id: None,
        userns: None,
        exclusive_cpus: false,
        facts: &facts,
    };
    let mut config = container_config(&input).unwrap();
    assert_eq!((config.labels.len(), config.annotations.len()), (4, 6));
    config.labels.clear();
    config.annotations.clear();
    let unified = &mut config.linux.as_mut().unwrap().resources.as_mut().unwrap().unified;
    assert_eq!(unified.remove("memory.oom.group").as_deref(), Some("1"));
    let security = config.linux.as_mut().unwrap().security_context.as_mut().unwrap();
    security.masked_paths.clear();
    let values: Vec<_> =
        config.envs.drain(..).map(|env| (env.key, String::from_utf8(env.value).unwrap())).collect();
    let expected =
        [("IP", "10.0.0.2"), ("URL", "http://10.0.0.2/")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(values, expected);
    expect![[r#"
        ContainerConfig {
            metadata: Some(
                ContainerMetadata {
                    name: "nginx",
                    attempt: 1,
                },
            ),
            image: Some(
                ImageSpec {
                    image: "sha256:1",
                    annotations: {},
                    user_specified_image: "nginx:1",
                    runtime_handler: "",
                    image_ref: "",
                },
            ),
            command: [
                "serve",
                "--ip=10.0.0.2",
                "$(IP)",
                "$(NONE)",
            ],
            args: [],
            working_dir: "",
            envs: [],
            mounts: [
                Mount {
                    container_path: "/data",
                    host_path: "/var/lib/kubelet/pods/u1/volumes/kubernetes.io~empty-dir/data",
                    readonly: true,
                    selinux_relabel: false,
                    propagation: PropagationPrivate,
                    uid_mappings: [],
                    gid_mappings: [],
                    recursive_read_only: true,
                    image: None,
                    image_sub_path: "",
                    mount_options: [],
                },
                Mount {
                    container_path: "/etc/hosts",
                    host_path: "/var/lib/kubelet/pods/u1/etc-hosts",
                    readonly: false,
                    selinux_relabel: false,
                    propagation: PropagationPrivate,
                    uid_mappings: [],
                    gid_mappings: [],
                    recursive_read_only: false,
                    image: None,
                    image_sub_path: "",
                    mount_options: [],
                },
                Mount {
                    container_path: "/dev/termination-log",
                    host_path: "/var/lib/kubelet/pods/u1/containers/nginx/0a1b2c3d",
                    readonly: false,
                    selinux_relabel: false,
                    propagation: PropagationPrivate,
                    uid_mappings: [],
                    gid_mappings: [],
                    recursive_read_only: false,
                    image: None,
                    image_sub_path: "",
                    mount_options: [],
                },
            ],
            devices: [],
            labels: {},
            annotations: {},
            log_path: "nginx/1.log",
            stdin: false,
            stdin_once: false,
            tty: false,
            linux: Some(
                LinuxContainerConfig {
                    resources: Some(
                        LinuxContainerResources {
                            cpu_period: 100000,
                            cpu_quota: 0,
                            cpu_shares: 102,
                            memory_limit_in_bytes: 2147483648,
                            oom_score_adj: 750,
                            cpuset_cpus: "",
                            cpuset_mems: "",
                            hugepage_limits: [
                                HugepageLimit {
                                    page_size: "2MB",
                                    limit: 0,
                                },
                                HugepageLimit {
                                    page_size: "1GB",
                                    limit: 0,
                                },
                            ],
                            unified: {
                                "memory.swap.max": "0",
                            },
                            memory_swap_limit_in_bytes: 0,
                        },
                    ),
                    security_context: Some(
                        LinuxContainerSecurityContext {
                            capabilities: None,
                            privileged: false,
                            namespace_options: Some(
                                NamespaceOption {
                                    network: Pod,
                                    pid: Container,
                                    ipc: Pod,
                                    target_id: "",
                                    userns_options: Some(
                                        UserNamespace {
                                            mode: Node,
                                            uids: [],
                                            gids: [],
                                        },
                                    ),
                                },
                            ),
                            selinux_options: None,
                            run_as_user: Some(
                                Int64Value {
                                    value: 0,
                                },
                            ),
                            run_as_group: None,
                            run_as_username: "",
                            readonly_rootfs: false,
                            supplemental_groups: [
                                2000,
                            ],
                            supplemental_groups_policy: Merge,
                            no_new_privs: false,
                            masked_paths: [],
                            readonly_paths: [
                                "/proc/bus",
                                "/proc/fs",
                                "/proc/irq",
                                "/proc/sys",
                                "/proc/sysrq-trigger",
                            ],
                            seccomp: Some(
                                SecurityProfile {
                                    profile_type: Unconfined,
                                    localhost_ref: "",
                                },
                            ),
                            apparmor: None,
                            apparmor_profile: "",
                            seccomp_profile_path: "",
                        },
                    ),
                },
            ),
            windows: None,
            cdi_devices: [],
            stop_signal: RuntimeDefault,
        }
    "#]]
    .assert_debug_eq(&config);
}
