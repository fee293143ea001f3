//! Puts the rooms together and supervises their tasks.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use config::Loaded;
use cri::{Endpoint, Runtime};
use image::gc::Collector;
use image::{Access, Images, NodeCredentials};
use jiff::Timestamp;
use logs::{RotationPolicy, Rotator};
use node::RuntimeWatch;
use pleg::Pleg;
use probe::Prober;
use server::{Local, healthz, local_api, serve_port, serve_unix};
use source::{SourceConfig, Sources};
use status::StatusStore;
use sync::{ApiObjects, Executor, Needs, Settings, UserNamespaces, WithoutApi};
use task::events::Recorder;
use task::supervisor::Supervisor;
use telemetry::logging::LogHandle;
use telemetry::metrics::Registry;
use tokio::sync::{Notify, mpsc, watch};
use types::{Quantity, SourceKind};
use volume::{Volumes, VolumesConfig};
use worker::Workers;

use super::addresses::NodeAddresses;
use super::admission::Admission;
use super::cgroups::{self, CgroupSetup, Negotiation};
use super::cluster::Cluster;
use super::collection::ImagesInUse;
use super::drivers::{ClusterDrivers, NodeDrivers, Ties, mounted_volumes, wake_after_commands};
use super::events::EventLog;
use super::here::{
    CONTAINER_LOGS_DIR, admission_node, node_facts, prepare_directories, prepare_node, tell_node_events,
};
use super::housekeeping::Housekeeping;
use super::lifecycle::PodLifecycle;
use super::local::LocalAnswers;
use super::membership::Membership;
use super::metrics::{self, Metrics, Milestones};
use super::nodeobject::NodeObject;
use super::podaccess::PodAccess;
use super::podobjects::{self, PodObjects};
use super::probes::Commands;
use super::problem::ClusterTroubles;
use super::referred::Referred;
use super::rotation::RunningContainers;
use super::signed::Signed;
use super::stats::{UsageAnswers, UsageNeeds, follow_sandbox_image, system_cgroups};
use super::termination::TerminationMessages;
use super::volumestats::DriverVolumes;
use super::{lock, memory, notify, podresources, port, qosclasses, settings};
use crate::process::StopSignals;

/// Pods started at once, for each core. The runtime itself is the limit; more than this only makes each of them slower.
const PARALLEL_STARTS_PER_CORE: usize = 2;
/// And at least so many: a start also waits for disks and networks.
const PARALLEL_STARTS: usize = 4;
/// How long one volume may take.
const VOLUME_DEADLINE: Duration = Duration::from_secs(123);
/// How long tasks that have something to finish have for it.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// Runs the agent until it is told to `stop` or until a task that must not end has ended.
pub(crate) async fn run(loaded: Loaded, log: LogHandle, mut stop: StopSignals) -> anyhow::Result<()> {
    let mut supervisor = Supervisor::new();
    let outcome = tokio::select! {
        ended = live(&loaded, log, &mut supervisor) => ended,
        () = stop.recv() => Ok(()),
    };
    supervisor.stop(STOP_DEADLINE).await;
    outcome
}

/// Starts everything and waits for a reason to end.
async fn live(loaded: &Loaded, log: LogHandle, supervisor: &mut Supervisor) -> anyhow::Result<()> {
    let flags = &loaded.flags;
    let _lock = match flags.lock_file.as_os_str().is_empty() {
        true => None,
        false => Some(lock::take(&flags.lock_file).await?),
    };
    start(loaded, log, supervisor).await?;
    let contended = async {
        if flags.exit_on_lock_contention {
            lock::contended(&flags.lock_file).await
        } else {
            std::future::pending().await
        }
    };
    tokio::select! {
        ended = supervisor.first_end() => Err(ended.into()),
        contended = contended => {
            tracing::info!("Another agent wants the lock; making way for it");
            contended
        }
    }
}

async fn start(loaded: &Loaded, log: LogHandle, supervisor: &mut Supervisor) -> anyhow::Result<()> {
    let (config, flags) = (&loaded.config, &loaded.flags);
    let started = Timestamp::now();
    let registry = Registry::new();
    let metrics = Metrics::register(&registry, loaded);
    let here = prepare_node(loaded)?;
    let node_metrics = node::Metrics::register(&registry);
    node_metrics.node_name(&here.name);
    let (addresses, host_ips) =
        NodeAddresses::find(flags, &here.name).await.context("the node has no address")?;
    prepare_directories(loaded)?;

    let (recorder, event_queue) = Recorder::channel(1024);
    let events = EventLog::default();
    let cluster = Cluster::open(loaded, &here.name, &kubeapi::Metrics::register(&registry), supervisor)?;
    let published = cluster.as_ref().map(|cluster| cluster.events.clone());
    let (referred, changed) = cluster
        .as_ref()
        .map(|cluster| {
            let signed = Signed::open(cluster, loaded, &here.name, recorder.clone(), &registry);
            Referred::open(cluster, config, signed, supervisor)
        })
        .unzip();
    supervisor.spawn("events", events.clone().run(event_queue, published));
    tell_node_events(&recorder, &here);

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

    let facts = watch::Sender::new(Arc::new(node_facts(loaded, &here, host_ips.clone())?));
    let pleg =
        Pleg::new(runtime.clone(), settings::pleg_options(&loaded.gates), pleg::Metrics::register(&registry));
    supervisor.spawn("pleg", pleg.clone().run());
    supervisor.spawn("runtime doubt", doubt_runtime(pleg.health(), doubt));
    let cgroups = watch::Sender::new(cgroups::awaited());
    let cgroups_seen = cgroups.subscribe();
    let quotas = settings::quotas(loaded);
    let volumes = Volumes::new(VolumesConfig {
        root_dir: flags.root_dir.clone(),
        allocatable: here.allocatable.clone(),
        deadline: VOLUME_DEADLINE,
        metrics: volume::Metrics::register(&registry),
        quotas: quotas.clone(),
    });
    volumes.expose(&registry);
    let image_metrics = image::Metrics::register(&registry);
    let access = settings::verification(config)
        .map(|policy| Access::open(&flags.root_dir, policy, image_metrics.clone()))
        .transpose()
        .context("cannot make image_manager in --root-dir, for the records of pulled images")?;
    let collector = Collector::new(
        runtime.clone(),
        access.clone(),
        settings::image_gc(config),
        recorder.clone(),
        image_metrics.clone(),
    );
    let images = Images::new(
        runtime.clone(),
        NodeCredentials::new(flags.root_dir.clone(), std::env::home_dir()),
        access,
        image::Options {
            registry_pull_qps: u32::try_from(config.registry_pull_qps).unwrap_or(0),
            registry_burst: u32::try_from(config.registry_burst).unwrap_or(0),
            parallel: settings::parallel_pulls(config),
            ..image::Options::default()
        },
        recorder.clone(),
        image_metrics,
    );
    let in_use = watch::Sender::new(None);
    let membership = Membership {
        runtime: runtime.clone(),
        health: health.clone(),
        images: [images.pulled(), collector.removed()],
        in_use: in_use.subscribe(),
        recorder: recorder.clone(),
        metrics: node_metrics,
    };
    let member = cluster
        .as_ref()
        .map(|cluster| membership.begin(loaded, &here, addresses.shown(&host_ips), cluster, supervisor));
    let mounted = mounted_volumes(loaded, &here.name, cluster.is_some(), VOLUME_DEADLINE, recorder.clone());
    let drivers = cluster.as_ref().zip(member.as_ref()).map(|(cluster, member)| {
        let (standing, strain) = (member.standing.clone(), member.strain.clone());
        let mounted = mounted.clone();
        let ties = Ties { cluster, node: &here.name, mounted, standing, in_use, strain };
        ClusterDrivers::open(loaded, ties, VOLUME_DEADLINE, &registry, &recorder, supervisor)
    });
    let all_drivers = Arc::new(NodeDrivers { mounted, cluster: drivers.clone() });
    let volumes = volumes.with_drivers(all_drivers.clone());
    let (standing, node_facts) = member.map(|member| (member.standing, member.facts)).unzip();
    let ids_per_pod =
        u32::try_from(config.user_namespaces.ids_per_pod).context("userNamespaces.idsPerPod")?;
    let max_pods = usize::try_from(config.max_pods).unwrap_or(0);
    let userns = Arc::new(UserNamespaces::load(&flags.root_dir, ids_per_pod, max_pods)?);
    let statuses = StatusStore::default();
    let object_metrics = podobjects::Metrics::register(&registry);
    let objects = cluster.as_ref().map(|cluster| PodObjects::follow(cluster, &here.name));
    let executor = Executor::new(
        Needs {
            runtime: runtime.clone(),
            pleg: pleg.clone(),
            images,
            volumes: volumes.clone(),
            userns: Arc::clone(&userns),
            objects: match &referred {
                Some(referred) => Arc::new(referred.clone()) as Arc<dyn ApiObjects>,
                None => Arc::new(WithoutApi),
            },
            cgroups: cgroups.subscribe(),
            recorder: recorder.clone(),
            facts: facts.subscribe(),
            metrics: sync::Metrics::register(&registry),
        },
        Settings {
            parallel_starts: parallel_starts(),
            crash_delays: settings::crash_delays(loaded),
            dead_containers: settings::dead_containers(flags),
            root_dir: flags.root_dir.clone(),
            pod_logs_dir: config.pod_logs_dir.clone(),
            container_logs_dir: CONTAINER_LOGS_DIR.into(),
            cgroup: settings::pod_cgroup(config, &here.machine),
        },
    );
    let under_way = executor.under_way();
    supervisor.spawn_finishing("starts", |shutdown| async move {
        shutdown.cancelled().await;
        under_way.all_ended().await;
        Ok(())
    });
    let probe_registry = metrics::of_probes();
    let (prober, wheel) = Prober::new(
        // Like a start, each is a process that the runtime makes.
        probe::Options { commands: parallel_starts() },
        recorder.clone(),
        probe::Metrics::register(&probe_registry),
    );
    supervisor.spawn("probes", wheel.run(Commands { runtime: runtime.clone() }));
    let lifecycle = Arc::new(PodLifecycle {
        executor,
        prober: prober.clone(),
        pleg: pleg.clone(),
        statuses: statuses.clone(),
        objects: objects.clone(),
        admission: Admission {
            node: admission_node(loaded, &here),
            object: cluster.as_ref().map(|cluster| NodeObject::new(cluster, &here.name)),
            health: health.clone(),
            recorder: recorder.clone(),
        },
        health: health.clone(),
        facts: facts.subscribe(),
        referred: referred.clone(),
        drivers: drivers.clone(),
        messages: TerminationMessages::new(volume::paths::pods_dir(&flags.root_dir)),
        milestones: Milestones::new(metrics.clone()),
        runtime_name: watch::Sender::new("containerd".to_owned()),
    });

    let sources = Sources::new(source_config(loaded), &here.name)?;
    let problems = sources.problems();
    let (workers, table) = Workers::new(
        Arc::clone(&lifecycle),
        &here.name,
        sources.configured().into_iter().chain(cluster.as_ref().map(|_| SourceKind::Api)),
        config.sync_frequency.get(),
        worker::Metrics::register(&registry),
    );
    let (changes, change_queue) = mpsc::channel(50);
    supervisor.spawn("workers", workers.run(change_queue, pleg.pods()));
    supervisor.spawn("addresses", addresses.run(facts.clone(), node_facts, table.clone()));
    let object_troubles = objects.map(|objects| {
        let off = settings::manifest_rules(&loaded.gates).off;
        let (changes, table, statuses) = (changes.clone(), table.clone(), statuses.clone());
        objects.serve(&off, statuses, table, changes, &object_metrics, supervisor)
    });
    supervisor.spawn("sources", sources.run(changes));

    if let (Some(cluster), Some(referred), Some(changed)) = (&cluster, referred, changed) {
        supervisor.spawn("objects of pods", referred.wake(changed, table.clone(), cluster.node.clone()));
    }

    let in_use = ImagesInUse { runtime: runtime.clone(), table: table.clone() };
    supervisor.spawn("image collection", collector.run(in_use));

    supervisor.spawn("commands of volumes", wake_after_commands(all_drivers.mounted.clone(), table.clone()));
    supervisor.spawn("mounted volumes", all_drivers.reclaim(table.clone()));
    let registered = drivers.as_ref().map(|drivers| drivers.registered());
    let driver_volumes =
        drivers.as_ref().map(|drivers| DriverVolumes::new(drivers.clone(), &loaded.gates, recorder.clone()));
    if let Some(drivers) = drivers {
        supervisor.spawn("CSI drivers", drivers.serve(table.clone()));
    }
    let sandbox_image = watch::Sender::new(None);
    let usage_needs = UsageNeeds {
        pleg: pleg.clone(),
        table: table.clone(),
        cgroups: cgroups.subscribe(),
        runtime: runtime.clone(),
        runtime_name: lifecycle.runtime_name.subscribe(),
        sandbox_image: sandbox_image.subscribe(),
        root_dir: flags.root_dir.clone(),
        pod_logs_dir: config.pod_logs_dir.clone(),
        system: system_cgroups(loaded),
        volumes: driver_volumes,
        quotas,
    };
    let usage = usage_needs.into_stats(loaded, &here, &stats::Metrics::register(&registry))?;
    let access = PodAccess { table: table.clone(), pleg: pleg.clone(), runtime: runtime.clone() };
    let troubles =
        cluster.as_ref().zip(standing).map(|(cluster, standing)| ClusterTroubles::new(cluster, standing));
    let local: Arc<dyn Local> = Arc::new(LocalAnswers {
        table: table.clone(),
        statuses: statuses.clone(),
        problems,
        objects: object_troubles,
        cluster: troubles,
        pleg: pleg.clone(),
        events: events.clone(),
        prober,
        usage: usage.clone(),
        registry: registry.clone(),
        probe_registry,
    });
    serve(loaded, &local, supervisor)?;
    let image_told = follow_sandbox_image(runtime.clone(), health.clone(), sandbox_image);
    supervisor.spawn("image of sandboxes", image_told);
    let server_metrics = server::Metrics::register(&registry);
    podresources::serve(&flags.root_dir, table.clone(), server_metrics.pod_resources.clone(), supervisor)?;
    let (answered, answers_seen) = watch::channel(());
    let answers = port::Answers {
        local: Arc::clone(&local),
        containers: Arc::new(access),
        usage: Arc::new(UsageAnswers::new(usage)),
        metrics: server_metrics,
        answered,
        log,
        started,
    };
    port::serve(loaded, &here.name, cluster.as_ref(), &answers, supervisor)?;

    let negotiation = Negotiation {
        setup: CgroupSetup::new(loaded, &here, &registry, metrics.losing_support.clone())?,
        runtime: runtime.clone(),
        cgroups,
        facts,
        recorder: recorder.clone(),
        lifecycle,
    };
    supervisor.spawn("cgroups and runtime facts", negotiation.run(health.clone()));
    supervisor.spawn("QoS classes", qosclasses::run(table.clone(), cgroups_seen.clone()));
    let housekeeping = Housekeeping {
        table,
        runtime: pleg.pods(),
        cgroups: cgroups_seen,
        volumes,
        userns,
        drivers: registered,
        statuses,
        events,
        metrics,
    };
    supervisor.spawn("housekeeping", housekeeping.run());
    spawn_rotation(loaded, runtime, pleg.clone(), supervisor)?;
    supervisor.spawn("memory", memory::trim_at_rest(pleg.pods(), answers_seen, memory::forget_code));
    metrics::collect_logs(&registry, pleg);
    metrics::count_families(&registry);
    notify::ready();
    let watched = Arc::clone(&local);
    supervisor.spawn("watchdog", async move { notify::watchdog(move || watched.health()).await });
    tracing::info!(node = here.name, "berth is up");
    Ok(())
}

fn parallel_starts() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores * PARALLEL_STARTS_PER_CORE).max(PARALLEL_STARTS)
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
        rules: settings::manifest_rules(&loaded.gates),
    }
}

fn serve(loaded: &Loaded, local: &Arc<dyn Local>, supervisor: &mut Supervisor) -> anyhow::Result<()> {
    let socket = loaded.flags.root_dir.join("berth.sock");
    let router = local_api(Arc::clone(local));
    supervisor.spawn_finishing("local API", |shutdown| async move {
        serve_unix(&socket, router, shutdown).await.map_err(|error| telemetry::chain(&error))
    });
    let Ok(port) = u16::try_from(loaded.config.healthz_port) else { bail!("healthzPort is no port") };
    if port != 0 {
        let ip: std::net::IpAddr =
            loaded.config.healthz_bind_address.parse().context("healthzBindAddress")?;
        let router = healthz(Arc::clone(local));
        supervisor.spawn_finishing("healthz", |shutdown| async move {
            serve_port((ip, port).into(), None, router, shutdown)
                .await
                .map_err(|error| telemetry::chain(&error))
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
