//! The runtime by itself: the calls that start and stop a pod, made by a number of workers. No node agent can be
//! faster.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use containerconfig::dns::ResolvConf;
use containerconfig::security::ImageUser;
use containerconfig::{ContainerInput, NodeFacts, Swap, container_config, sandbox_config};
use cri::Runtime;
use cri::v1::{ContainerConfig, PodSandboxConfig};
use lab::containerd::Containerd;
use tokio::task::JoinSet;
use tokio::time::Instant;
use types::resources::Amounts;
use types::{ContainerId, ContainerKind, SandboxId, pod};

use crate::events::Events;
use crate::figures::{Bare, Burst, Spread, Workers, ms};
use crate::pods;
use crate::scale::Scale;

/// A pod that runs.
struct Running {
    sandbox: SandboxId,
    container: ContainerId,
}

/// What the calls need.
#[derive(Clone)]
struct Bench {
    runtime: Runtime,
    facts: Arc<NodeFacts>,
    cgroup: String,
    /// What stands in for the files that an agent writes for each pod and container.
    file: PathBuf,
}

/// Measures the runtime, in which nothing runs.
pub(crate) async fn measure(containerd: &Containerd, scale: &Scale) -> Result<Bare> {
    // As where agents are measured, for it takes time too.
    let _listening = Events::listen(containerd).await?;
    let file = containerd.instance().dir().join("bare-file");
    std::fs::write(&file, "127.0.0.1 localhost\n").with_context(|| format!("write {}", file.display()))?;
    let bench = Bench {
        file,
        runtime: crate::runtime::client(containerd)?,
        facts: Arc::new(facts(containerd.instance().dir())),
        cgroup: format!("{}/bare", containerd.instance().cgroup_root()),
    };
    // The first pod of all pays for what is made once: the bridge's address, caches.
    let warm_up = bench.start("warm-up").await?;
    bench.stop(warm_up).await?;

    let (mut starts, mut stops, mut removals) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..scale.single_pods {
        let begun = Instant::now();
        let running = bench.start(&pods::name(number)).await?;
        starts.push(begun.elapsed());
        let begun = Instant::now();
        stops.push(bench.stop(running).await? - begun);
        removals.push(begun.elapsed());
    }
    let mut bursts = Vec::new();
    for &workers in scale.workers {
        eprintln!("bench: {} pods by {workers} workers", scale.pods);
        bursts.push(bench.burst(scale.pods, workers).await?);
        let left = bench.runtime.list_pods().await.context("list what is left")?;
        if !left.is_empty() {
            bail!("{} pods are left in the runtime", left.len());
        }
    }
    Ok(Bare {
        single_start: Spread::of(starts),
        single_stop: Spread::of(stops),
        single_gone: Spread::of(removals),
        bursts,
    })
}

impl Bench {
    async fn burst(&self, pods: usize, workers: usize) -> Result<Workers> {
        let next = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let started = self.by(workers, || {
            let (bench, next) = (self.clone(), Arc::clone(&next));
            async move {
                let mut done = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= pods {
                        return Ok(done);
                    }
                    let running = bench.start(&pods::name(number)).await?;
                    done.push((begun.elapsed(), running));
                }
            }
        });
        let (times, running): (Vec<_>, Vec<_>) = started.await?.into_iter().unzip();
        let start = Burst { total_ms: ms(begun.elapsed()), each: Spread::of(times) };

        let queue = Arc::new(std::sync::Mutex::new(running));
        let begun = Instant::now();
        let stopped = self.by(workers, || {
            let (bench, queue) = (self.clone(), Arc::clone(&queue));
            async move {
                let mut done = Vec::new();
                loop {
                    let running = queue.lock().ok().and_then(|mut queue| queue.pop());
                    let Some(running) = running else { return Ok(done) };
                    bench.stop(running).await?;
                    done.push(begun.elapsed());
                }
            }
        });
        let times = stopped.await?;
        let stop = Burst { total_ms: ms(begun.elapsed()), each: Spread::of(times) };
        Ok(Workers { workers, start, stop })
    }

    /// Runs as many of `worker` side by side, and puts together what they return.
    async fn by<T: Send + 'static, F>(&self, workers: usize, worker: impl Fn() -> F) -> Result<Vec<T>>
    where
        F: Future<Output = Result<Vec<T>>> + Send + 'static,
    {
        let mut set = JoinSet::new();
        for _ in 0..workers {
            set.spawn(worker());
        }
        let mut all = Vec::new();
        while let Some(joined) = set.join_next().await {
            all.extend(joined.context("a worker panicked")??);
        }
        Ok(all)
    }

    async fn start(&self, name: &str) -> Result<Running> {
        let (sandbox_config, container_config) = self.configurations(name)?;
        let log_dir = Path::new(&sandbox_config.log_directory).join(pods::CONTAINER);
        std::fs::create_dir_all(&log_dir).with_context(|| format!("create {}", log_dir.display()))?;
        let runtime = &self.runtime;
        let sandbox = runtime.run_pod_sandbox(sandbox_config.clone(), "").await?;
        runtime.pod_sandbox_status(&sandbox).await?;
        let container = runtime.create_container(&sandbox, container_config, sandbox_config).await?;
        runtime.start_container(&container).await?;
        Ok(Running { sandbox, container })
    }

    /// Stops and removes a pod. Returns when it had stopped.
    async fn stop(&self, Running { sandbox, container }: Running) -> Result<Instant> {
        self.runtime.stop_container(&container, Duration::from_secs(30)).await?;
        self.runtime.stop_pod_sandbox(&sandbox).await?;
        let stopped = Instant::now();
        self.runtime.remove_container(&container).await?;
        self.runtime.remove_pod_sandbox(&sandbox).await?;
        Ok(stopped)
    }

    /// What berth sends for the pod.
    fn configurations(&self, name: &str) -> Result<(PodSandboxConfig, ContainerConfig)> {
        let built = pods::built(name);
        let (kind, container) =
            pod::container(&built, pods::CONTAINER).context("the pod has no container")?;
        debug_assert_eq!(kind, ContainerKind::Regular);
        let sandbox =
            sandbox_config(&built, 0, &self.facts, &format!("{}/{name}", self.cgroup), None)?.config;
        let container = container_config(&ContainerInput {
            pod: &built,
            kind,
            container: &container,
            restart_count: 0,
            image_ref: testkit::containerd::BUSYBOX,
            image_user: &ImageUser { uid: None, name: String::new() },
            runtime_handler: "",
            env: &[],
            mounts: &[],
            devices: &[],
            cdi_devices: &[],
            annotations: &containerconfig::labels::Map::default(),
            hosts_file: Some(&self.file),
            termination_log: Some(&self.file),
            target_container_id: None,
            userns: None,
            exclusive_cpus: false,
            facts: &self.facts,
        })?;
        Ok((sandbox, container))
    }
}

fn facts(dir: &Path) -> NodeFacts {
    let resolv_conf = std::fs::read_to_string("/etc/resolv.conf").ok();
    NodeFacts {
        node_name: "bare".to_owned(),
        host_ips: Vec::new(),
        root_dir: dir.join("bare"),
        pod_logs_dir: dir.join("bare/logs"),
        cluster_domain: String::new(),
        cluster_dns: Vec::new(),
        resolv_conf: resolv_conf.as_deref().map(ResolvConf::parse),
        allocatable: Amounts::new(),
        capacity: Amounts::new(),
        seccomp_default: false,
        selinux: false,
        cgroup_v2: Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
        cpu_cfs_quota: true,
        cpu_cfs_period: Duration::from_millis(100),
        swap: Swap::NoSwap,
        single_process_oom_kill: false,
        hugepage_sizes: Vec::new(),
        runtime_handlers: Vec::new(),
    }
}
