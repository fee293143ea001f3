//! Puts the rooms together and supervises their tasks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use cgroup::{CgroupName, Cgroups, Driver, PodCgroups, Version};
use config::{CgroupDriver, Loaded, SwapBehavior};
use containerconfig::{NodeFacts, Swap};
use cri::{Endpoint, Runtime};
use image::Images;
use image::gc::Collector;
use image::keyring::Keyring;
use logs::{RotationPolicy, Rotator};
use node::{Machine, NodeIp, RuntimeHealth, RuntimeWatch};
use pleg::Pleg;
use server::{Local, healthz, local_api, serve_tcp, serve_unix};
use source::{SourceConfig, Sources};
use status::StatusStore;
use sync::{Executor, Needs, PodCgroup, Settings, UserNamespaces};
use task::events::Recorder;
use task::supervisor::Supervisor;
use telemetry::metrics::{Gauge, Registry};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use types::resources::Amounts;
use types::{Event, EventKind, Quantity, reason};
use volume::{Volumes, VolumesConfig};
use worker::Workers;

use super::admission::Admission;
use super::collection::ImagesInUse;
use super::events::EventLog;
use super::housekeeping::Housekeeping;
use super::lifecycle::PodLifecycle;
use super::local::LocalAnswers;
use super::metrics::{self, Metrics, Milestones};
use super::rotation::RunningContainers;
use super::settings::ReservedCgroup;
use super::termination::TerminationMessages;
use super::{lock, notify, settings};

/// Pods started at once. The runtime itself is the limit; more than this only makes each of them slower.
const PARALLEL_STARTS: usize = 8;
/// How long one volume may take.
const VOLUME_DEADLINE: Duration = Duration::from_secs(123);
/// Wait before the runtime is asked again what it is, when it did not say.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long tasks have to end.
const STOP_DEADLINE: Duration = Duration::from_secs(2);
/// The version of Kubernetes from which on a runtime has to say which cgroup driver it uses.
const DRIVER_NEEDED_FROM: &str = "1.37.0";
/// Where log collectors look for the logs of containers.
const CONTAINER_LOGS_DIR: &str = "/var/log/containers";

/// Runs the agent until a signal or until a task that must not end has ended.
pub(super) async fn run(loaded: Loaded) -> anyhow::Result<()> {
    let flags = &loaded.flags;
    let _lock = match flags.lock_file.as_os_str().is_empty() {
        true => None,
        false => Some(lock::take(&flags.lock_file).await?),
    };
    let contended = async {
        if flags.exit_on_lock_contention {
            lock::contended(&flags.lock_file).await
        } else {
            std::future::pending().await
        }
    };
    let mut supervisor = Supervisor::new();
    let started = start(&loaded, &mut supervisor);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let outcome = tokio::select! {
        started = started => match started {
            Ok(()) => None,
            Err(error) => Some(Err(error)),
        },
        _ = terminate.recv() => Some(Ok(())),
        _ = interrupt.recv() => Some(Ok(())),
    };
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => tokio::select! {
            ended = supervisor.first_end() => Err(ended.into()),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            contended = contended => {
                tracing::info!("Another agent wants the lock; making way for it");
                contended
            }
        },
    };
    supervisor.stop(STOP_DEADLINE).await;
    outcome
}

/// What is known of this machine and its place as a node.
struct NodeHere {
    machine: Machine,
    name: String,
    cgroup_version: Version,
    capacity: Amounts,
    allocatable: Amounts,
    /// The limits of all pods together.
    together: Amounts,
}

async fn start(loaded: &Loaded, supervisor: &mut Supervisor) -> anyhow::Result<()> {
    let (config, flags) = (&loaded.config, &loaded.flags);
    let registry = Registry::new();
    let metrics = Metrics::register(&registry, loaded);
    let here = prepare_node(loaded)?;
    node::Metrics::register(&registry).node_name(&here.name);
    let ip = NodeIp::parse(&flags.node_ip)?;
    let host_ips = node::node_ips(&ip, &here.name).await.context("the node has no address")?;
    prepare_directories(loaded)?;

    let (recorder, event_queue) = Recorder::channel(1024);
    let events = EventLog::default();
    supervisor.spawn("events", events.clone().run(event_queue));
    tell_node_events(&recorder, here.cgroup_version);

    let endpoint: Endpoint = config.container_runtime_endpoint.parse().context("containerRuntimeEndpoint")?;
    let image_endpoint = match config.image_service_endpoint.as_str() {
        "" => None,
        endpoint => Some(endpoint.parse::<Endpoint>().context("imageServiceEndpoint")?),
    };
    let cri_options = cri::Options { request_timeout: config.runtime_request_timeout.get() };
    let runtime =
        Runtime::new(&endpoint, image_endpoint.as_ref(), cri_options, cri::Metrics::register(&registry));
    let runtime_watch = RuntimeWatch::new(runtime.clone());
    let (health, doubt) = (runtime_watch.subscribe(), runtime_watch.doubt());
    supervisor.spawn("runtime status", runtime_watch.run());

    let facts = watch::Sender::new(Arc::new(node_facts(loaded, &here, host_ips)?));
    let pleg = Pleg::new(runtime.clone(), pleg::Options::default(), pleg::Metrics::register(&registry));
    supervisor.spawn("pleg", pleg.clone().run());
    supervisor.spawn("runtime doubt", doubt_runtime(pleg.health(), doubt));
    let cgroups = watch::Sender::new(None);
    let cgroups_seen = cgroups.subscribe();
    let volumes = Volumes::new(VolumesConfig {
        root_dir: flags.root_dir.clone(),
        allocatable: here.allocatable.clone(),
        deadline: VOLUME_DEADLINE,
        metrics: volume::Metrics::register(&registry),
    });
    let home = std::env::home_dir();
    let keyring = Keyring::load(&flags.root_dir, home.as_deref()).unwrap_or_else(|error| {
        tracing::warn!(error = %telemetry::chain(&error), "Images are pulled without the node's credentials");
        Keyring::default()
    });
    let image_metrics = image::Metrics::register(&registry);
    let collector =
        Collector::new(runtime.clone(), settings::image_gc(config), recorder.clone(), image_metrics.clone());
    let images = Images::new(
        runtime.clone(),
        keyring,
        image::Options {
            registry_pull_qps: u32::try_from(config.registry_pull_qps).unwrap_or(0),
            registry_burst: u32::try_from(config.registry_burst).unwrap_or(0),
            parallel: settings::parallel_pulls(config),
            ..image::Options::default()
        },
        recorder.clone(),
        image_metrics,
    );
    let ids_per_pod =
        u32::try_from(config.user_namespaces.ids_per_pod).context("userNamespaces.idsPerPod")?;
    let max_pods = usize::try_from(config.max_pods).unwrap_or(0);
    let userns = UserNamespaces::load(&flags.root_dir, ids_per_pod, max_pods)?;
    let statuses = StatusStore::default();
    let executor = Executor::new(
        Needs {
            runtime: runtime.clone(),
            pleg: pleg.clone(),
            images,
            volumes: volumes.clone(),
            userns: Arc::new(userns),
            cgroups: cgroups.subscribe(),
            recorder: recorder.clone(),
            facts: facts.subscribe(),
            metrics: sync::Metrics::register(&registry),
        },
        Settings {
            parallel_starts: PARALLEL_STARTS,
            max_crash_back_off: settings::max_crash_back_off(loaded),
            dead_containers: settings::dead_containers(flags),
            root_dir: flags.root_dir.clone(),
            pod_logs_dir: config.pod_logs_dir.clone(),
            container_logs_dir: CONTAINER_LOGS_DIR.into(),
            cgroup: settings::pod_cgroup(config, &here.machine),
        },
    );
    let lifecycle = Arc::new(PodLifecycle {
        executor,
        pleg: pleg.clone(),
        statuses: statuses.clone(),
        admission: Admission { node: admission_node(loaded, &here), health: health.clone(), recorder },
        health: health.clone(),
        facts: facts.subscribe(),
        messages: TerminationMessages::default(),
        milestones: Milestones::new(metrics.clone()),
        runtime_name: watch::Sender::new("containerd".to_owned()),
    });

    let sources = Sources::new(source_config(loaded), &here.name)?;
    let problems = sources.problems();
    let (workers, table) = Workers::new(
        Arc::clone(&lifecycle),
        sources.configured(),
        config.sync_frequency.get(),
        worker::Metrics::register(&registry),
    );
    let (changes, change_queue) = mpsc::channel(50);
    supervisor.spawn("workers", workers.run(change_queue, pleg.pods()));
    supervisor.spawn("sources", sources.run(changes));

    let in_use = ImagesInUse { runtime: runtime.clone(), pleg: pleg.clone(), table: table.clone() };
    supervisor.spawn("image collection", collector.run(in_use));

    let local: Arc<dyn Local> = Arc::new(LocalAnswers {
        table: table.clone(),
        statuses: statuses.clone(),
        problems,
        pleg: pleg.clone(),
        events: events.clone(),
        registry: registry.clone(),
    });
    serve(loaded, &local, supervisor)?;

    supervisor.spawn_fallible("cgroups and runtime facts", {
        let setup = CgroupSetup::new(loaded, &here, &registry, metrics.losing_support.clone())?;
        let (runtime, health) = (runtime.clone(), health.clone());
        async move {
            let outcome = negotiate(setup, runtime, health, cgroups, facts, lifecycle).await;
            outcome.map_err(|error| format!("{error:#}"))
        }
    });
    let housekeeping = Housekeeping {
        table,
        runtime: pleg.pods(),
        cgroups: cgroups_seen,
        volumes,
        statuses,
        events,
        metrics,
    };
    supervisor.spawn("housekeeping", housekeeping.run());
    spawn_rotation(loaded, runtime, pleg.clone(), supervisor)?;
    metrics::collect_logs(&registry, pleg);
    metrics::count_families(&registry);
    notify::ready();
    let watched = Arc::clone(&local);
    supervisor.spawn("watchdog", async move { notify::watchdog(move || watched.health()).await });
    tracing::info!(node = here.name, "berth is up");
    Ok(())
}

/// Checks that this machine is fit to be a node, and finds out what it has.
fn prepare_node(loaded: &Loaded) -> anyhow::Result<NodeHere> {
    let (config, flags) = (&loaded.config, &loaded.flags);
    let cgroup_version = Version::detect(Path::new(cgroup::version::MOUNT_POINT))
        .context("cannot find out the version of cgroups")?;
    let limited_swap = config.memory_swap.swap_behavior == SwapBehavior::LimitedSwap;
    node::start::check_cgroup(cgroup_version, config.fail_cgroup_v1, limited_swap)?;
    node::start::check_swap(config.fail_swap_on)?;
    node::start::prepare_process(config.oom_score_adj, u64::try_from(config.max_open_files).unwrap_or(0));
    for deviation in node::kernel::ensure_tunables(config.protect_kernel_defaults)? {
        tracing::warn!(
            name = deviation.name,
            is = deviation.is,
            should_be = deviation.should_be,
            "A kernel setting is not as Kubernetes wants it"
        );
    }
    std::fs::create_dir_all(&flags.root_dir)
        .with_context(|| format!("cannot make --root-dir {}", flags.root_dir.display()))?;
    let machine = Machine::detect(&flags.root_dir)?;
    let overridden = Some(flags.hostname_override.as_str()).filter(|name| !name.is_empty());
    let name = node::node_name(overridden, &machine.hostname)?;
    let capacity = node::resources::capacity(&machine, settings::pod_room(config));
    let reservations = settings::reservations(loaded)?;
    node::resources::check_reservations(&machine, &capacity, &reservations)?;
    let allocatable = node::resources::allocatable(&capacity, &reservations);
    let enforced = config.enforce_node_allocatable.iter().any(|name| name == "pods");
    let together = node::resources::pods_together(&machine, &capacity, &reservations, enforced);
    Ok(NodeHere { machine, name, cgroup_version, capacity, allocatable, together })
}

/// Makes the directories of the state, and the root one from which containers' mounts come back.
fn prepare_directories(loaded: &Loaded) -> anyhow::Result<()> {
    let root = &loaded.flags.root_dir;
    let made = [root.clone(), volume::paths::pods_dir(root)].into_iter().map(|dir| (dir, 0o750));
    let logs = [loaded.config.pod_logs_dir.clone(), PathBuf::from(CONTAINER_LOGS_DIR)]
        .into_iter()
        .map(|dir| (dir, 0o755));
    for (dir, mode) in made.chain(logs) {
        linux::fs::create_dir_all(&dir, mode)?;
    }
    linux::mount::make_rshared(root)
        .with_context(|| format!("--root-dir {} cannot be shared with containers", root.display()))?;
    Ok(())
}

fn tell_node_events(recorder: &Recorder, version: Version) {
    let event = |kind, reason, message: &str| Event {
        pod: None,
        field_path: None,
        kind,
        reason,
        message: message.to_owned(),
    };
    recorder.record(event(EventKind::Normal, reason::event::STARTING, "Starting kubelet."));
    if version == Version::V1 {
        recorder.record(event(EventKind::Warning, reason::event::CGROUP_V1, node::start::CGROUP_V1_MESSAGE));
    }
}

fn node_facts(
    loaded: &Loaded,
    here: &NodeHere,
    host_ips: Vec<std::net::IpAddr>,
) -> anyhow::Result<NodeFacts> {
    let (config, flags) = (&loaded.config, &loaded.flags);
    let cluster_dns = config.cluster_dns.iter().filter_map(|text| match text.parse() {
        Ok(ip) => Some(ip),
        Err(_) => {
            tracing::warn!(server = text, "clusterDNS has an entry that is no IP address; it is passed over");
            None
        }
    });
    let v2 = here.cgroup_version == Version::V2;
    let swap = match (&config.memory_swap.swap_behavior, v2) {
        (SwapBehavior::LimitedSwap, true) => Swap::Limited { capacity: here.machine.swap_bytes },
        (_, true) => Swap::NoSwap,
        (_, false) => Swap::Unaccounted,
    };
    Ok(NodeFacts {
        node_name: here.name.clone(),
        host_ips,
        root_dir: flags.root_dir.clone(),
        pod_logs_dir: config.pod_logs_dir.clone(),
        cluster_domain: config.cluster_domain.clone(),
        cluster_dns: cluster_dns.collect(),
        resolv_conf: settings::resolv_conf(&config.resolv_conf)?,
        allocatable: here.allocatable.clone(),
        capacity: here.capacity.clone(),
        seccomp_default: config.seccomp_default,
        selinux: Path::new("/sys/fs/selinux/enforce").exists(),
        cgroup_v2: v2,
        cpu_cfs_quota: config.cpu_cfs_quota,
        cpu_cfs_period: config.cpu_cfs_quota_period.get(),
        swap,
        single_process_oom_kill: config.single_process_oom_kill.unwrap_or(!v2),
        hugepage_sizes: here.machine.page_sizes().collect(),
        runtime_handlers: Vec::new(),
    })
}

fn admission_node(loaded: &Loaded, here: &NodeHere) -> admit::Node {
    let mut version = here.machine.kernel_version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let kernel = (version.next().unwrap_or(0), version.next().unwrap_or(0));
    let mut labels = loaded.flags.node_labels.clone();
    labels.insert("kubernetes.io/hostname".to_owned(), here.name.clone());
    labels.insert("kubernetes.io/os".to_owned(), "linux".to_owned());
    labels.insert("kubernetes.io/arch".to_owned(), arch().to_owned());
    admit::Node {
        name: here.name.clone(),
        labels,
        allocatable: here.allocatable.clone(),
        kernel,
        allowed_unsafe_sysctls: loaded.config.allowed_unsafe_sysctls.clone(),
        apparmor: std::fs::read_to_string("/sys/module/apparmor/parameters/enabled")
            .is_ok_and(|text| text.starts_with('Y')),
        ..admit::Node::default()
    }
}

/// The architecture as Kubernetes calls it.
pub(super) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn source_config(loaded: &Loaded) -> SourceConfig {
    let config = &loaded.config;
    let headers = config.static_pod_url_header.0.iter();
    SourceConfig {
        static_pod_path: Some(config.static_pod_path.clone()).filter(|path| !path.as_os_str().is_empty()),
        file_check_frequency: config.file_check_frequency.get(),
        static_pod_url: Some(config.static_pod_url.clone()).filter(|url| !url.is_empty()),
        static_pod_url_headers: headers
            .flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone())))
            .collect(),
        http_check_frequency: config.http_check_frequency.get(),
    }
}

fn serve(loaded: &Loaded, local: &Arc<dyn Local>, supervisor: &mut Supervisor) -> anyhow::Result<()> {
    let socket = loaded.flags.root_dir.join("berth.sock");
    let (router, shutdown) = (local_api(Arc::clone(local)), supervisor.shutdown());
    supervisor.spawn_fallible("local API", async move {
        serve_unix(&socket, router, shutdown).await.map_err(|error| telemetry::chain(&error))
    });
    let Ok(port) = u16::try_from(loaded.config.healthz_port) else { bail!("healthzPort is no port") };
    if port != 0 {
        let ip: std::net::IpAddr =
            loaded.config.healthz_bind_address.parse().context("healthzBindAddress")?;
        let (router, shutdown) = (healthz(Arc::clone(local)), supervisor.shutdown());
        supervisor.spawn_fallible("healthz", async move {
            serve_tcp((ip, port).into(), router, shutdown).await.map_err(|error| telemetry::chain(&error))
        });
    }
    Ok(())
}

fn spawn_rotation(
    loaded: &Loaded,
    runtime: Runtime,
    pleg: Pleg,
    supervisor: &mut Supervisor,
) -> anyhow::Result<()> {
    let config = &loaded.config;
    let size: Quantity = config.container_log_max_size.parse().context("containerLogMaxSize")?;
    let policy = RotationPolicy {
        max_bytes: u64::try_from(size.value()).ok(),
        max_files: usize::try_from(config.container_log_max_files).unwrap_or(5),
    };
    if policy.max_bytes.is_some() {
        let workers = usize::try_from(config.container_log_max_workers).unwrap_or(1);
        let every = config.container_log_monitor_interval.get();
        let rotator = Rotator::new(RunningContainers { runtime, pleg }, policy, every, workers);
        supervisor.spawn("log rotation", rotator.run());
    }
    Ok(())
}

/// What the cgroups of pods are made from once the runtime has said which driver it uses.
struct CgroupSetup {
    on: bool,
    configured: Driver,
    version: Version,
    root: CgroupName,
    page_sizes: Vec<u64>,
    together: Amounts,
    reserved: Vec<ReservedCgroup>,
    losing_support: Gauge,
    metrics: cgroup::Metrics,
}

impl CgroupSetup {
    fn new(
        loaded: &Loaded,
        here: &NodeHere,
        registry: &Registry,
        losing_support: Gauge,
    ) -> anyhow::Result<Self> {
        let config = &loaded.config;
        let root = match config.cgroup_root.as_str() {
            "" => CgroupName::root(),
            path => CgroupName::parse_cgroupfs(path).context("cgroupRoot")?,
        };
        Ok(Self {
            on: config.cgroups_per_qos,
            configured: if config.cgroup_driver == CgroupDriver::Systemd {
                Driver::Systemd
            } else {
                Driver::Cgroupfs
            },
            version: here.cgroup_version,
            root,
            page_sizes: here.machine.page_sizes().collect(),
            together: here.together.clone(),
            reserved: settings::reserved_cgroups(config)?,
            losing_support,
            metrics: cgroup::Metrics::register(registry),
        })
    }

    /// Makes the tree of cgroups with the driver that the runtime uses, or with the configured one if it does not say.
    async fn open(&self, runtime: Option<cri::CgroupDriver>) -> anyhow::Result<PodCgroup> {
        if !self.on {
            return Ok(PodCgroup::Off);
        }
        let runtime = runtime.map(|driver| match driver {
            cri::CgroupDriver::Systemd => Driver::Systemd,
            cri::CgroupDriver::Cgroupfs => Driver::Cgroupfs,
        });
        let driver = Driver::choose(self.configured, runtime);
        let mount_point = Path::new(cgroup::version::MOUNT_POINT);
        let cgroups =
            Cgroups::open(self.version, driver, mount_point, self.root.clone(), self.metrics.clone()).await?;
        let pods = PodCgroups::new(cgroups, &self.page_sizes)?;
        pods.setup(&self.together).await.context("cannot make the cgroups of pods")?;
        for reserved in &self.reserved {
            reserved.enforce(&pods, driver).await?;
        }
        tracing::info!(%driver, version = self.version.number(), "Pods have their cgroups");
        Ok(PodCgroup::On(pods))
    }
}

/// Has the runtime asked how it is as soon as its pods cannot be listed, and as soon as they can again.
async fn doubt_runtime(mut relists: watch::Receiver<pleg::Health>, doubt: Arc<Notify>) {
    let mut failing = false;
    while relists.changed().await.is_ok() {
        let fails = relists.borrow_and_update().error.is_some();
        if std::mem::replace(&mut failing, fails) != fails {
            doubt.notify_one();
        }
    }
}

/// Waits for the runtime's first answer and sets up what depends on it; then keeps what it can do up to date.
async fn negotiate(
    setup: CgroupSetup,
    runtime: Runtime,
    mut health: watch::Receiver<RuntimeHealth>,
    cgroups: watch::Sender<Option<PodCgroup>>,
    facts: watch::Sender<Arc<NodeFacts>>,
    lifecycle: Arc<PodLifecycle>,
) -> anyhow::Result<()> {
    let mut negotiated = false;
    loop {
        let status = health.wait_for(|health| health.status.is_some()).await?.status.clone();
        if let Some(status) = status {
            facts.send_if_modified(|facts| {
                let news = facts.runtime_handlers != status.handlers;
                if news {
                    Arc::make_mut(facts).runtime_handlers.clone_from(&status.handlers);
                }
                news
            });
        }
        if !negotiated {
            let answers =
                async { Ok::<_, cri::CriError>((runtime.version().await?, runtime.cgroup_driver().await?)) };
            let (version, driver) = match answers.await {
                Ok(answers) => answers,
                Err(error) => {
                    tracing::warn!(error = %telemetry::chain(&error), "The container runtime does not say what it is; it is asked again");
                    tokio::time::sleep(ASK_AGAIN).await;
                    continue;
                }
            };
            lifecycle.runtime_name.send_replace(version.name.clone());
            tracing::info!(
                runtime = version.name,
                version = version.version,
                "The container runtime answers"
            );
            if driver.is_none() {
                setup.losing_support.set(&[DRIVER_NEEDED_FROM], 1.0);
            }
            cgroups.send_replace(Some(setup.open(driver).await?));
            negotiated = true;
        }
        health.changed().await?;
    }
}
