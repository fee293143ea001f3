//! Answering: one reading for all who ask at once, and what is made of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cgroup::UsageReader;
use cri::{ImageFsInfo, v1};
use task::blocking::{Abandoned, NODE, with_deadline};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use types::PodUid;

use crate::disks::{self, Ask, Disks, Finds};
use crate::flights::Flights;
use crate::logs::LogUse;
use crate::machine::Machine;
use crate::needs::{Needs, Room, ShownTo};
use crate::rates::Rates;
use crate::reading::{Kind, PodReading, Reading};
use crate::summary::{self, Inputs, Storage, Summary, VolumeStats};
use crate::told::{self, Answers, Question, Told};
use crate::{Metrics, cadvisor, logs, read, resource};

/// How long the kernel's files may take, which is usually some milliseconds.
const KERNEL_PATIENCE: Duration = Duration::from_secs(10);
/// How long the runtime is waited for. What it does not tell in time is left out.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(5);
/// The same for file systems.
const DISK_PATIENCE: Duration = Duration::from_secs(2);
/// The same for drivers of volumes.
const DRIVER_PATIENCE: Duration = Duration::from_secs(2);

/// What stats are told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node's name.
    pub node_name: String,
    /// The agent's root directory (`--root-dir`), whose file system is the node's.
    pub root_dir: PathBuf,
    /// How often directories of volumes are looked through, at most (`volumeStatsAggPeriod`); none for never, and then
    /// volumes are left out.
    pub volume_period: Option<Duration>,
}

/// Why there are no stats.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StatsError {
    /// The kernel's files could not be read in time.
    #[error("the cgroups of this node could not be read")]
    Kernel(#[source] Abandoned),
    /// An earlier reading hangs.
    #[error(
        "the cgroups of this node are still being read since an earlier request: look for a process or a file of /sys/fs/cgroup that hangs"
    )]
    Busy,
}

/// What the node, its pods and their containers use. Everything is read when it is asked for, and nothing in between;
/// those who ask at the same time share one reading. Clones answer from the same one.
pub struct Stats<N> {
    shared: Arc<Shared<N>>,
}

impl<N> Clone for Stats<N> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<N> {
    settings: Settings,
    /// The root directory without links in its path, as mounts are listed.
    root_dir: PathBuf,
    needs: N,
    cgroups: UsageReader,
    machine: Machine,
    disks: Disks,
    told: Told,
    rates: Mutex<Rates>,
    readings: Flights<Result<Arc<Taken>, StatsError>>,
    /// For the one thread that reads; it keeps its place while it hangs.
    reader: Arc<Semaphore>,
    /// The same for the one that looks at logs.
    log_reader: Arc<Semaphore>,
}

/// A reading, with what belongs to it and is not the kernel's.
struct Taken {
    reading: Reading,
    finds: Finds,
    drivers: Answers,
    told: HashMap<String, v1::ContainerStats>,
    image_fs: Option<ImageFsInfo>,
    logs: HashMap<PodUid, LogUse>,
}

impl<N: Needs> Stats<N> {
    /// Stats of the cgroups that `cgroups` reads. Looks at the machine, which blocks for some milliseconds.
    #[must_use]
    pub fn new(settings: Settings, cgroups: UsageReader, needs: N, metrics: &Metrics) -> Self {
        metrics.by_the_kernel();
        let root_dir = settings.root_dir.canonicalize().unwrap_or_else(|_| settings.root_dir.clone());
        let shared = Shared {
            settings,
            root_dir,
            needs,
            cgroups,
            machine: Machine::detect(),
            disks: Disks::new(metrics.clone()),
            told: Told::default(),
            rates: Mutex::default(),
            readings: Flights::default(),
            reader: Arc::new(Semaphore::new(1)),
            log_reader: Arc::new(Semaphore::new(1)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The summary (`/stats/summary`); of CPU, memory and swap alone if that is asked.
    ///
    /// # Errors
    /// If the kernel's files cannot be read in time. What the runtime or a file system does not tell is left out.
    pub async fn summary(&self, only_cpu_and_memory: bool) -> Result<Summary, StatsError> {
        let kind = if only_cpu_and_memory { Kind::CpuAndMemory } else { Kind::Summary };
        let taken = self.take(kind).await?;
        Ok(self.shared.summary(&taken, kind))
    }

    /// The text of `/metrics/resource`.
    pub async fn resource_metrics(&self) -> String {
        let taken = told_error(self.take(Kind::Resource).await);
        self.written(move |shared| {
            resource::text(taken.map(|taken| shared.summary(&taken, Kind::Resource)).as_ref())
        })
        .await
    }

    /// The text of `/metrics/cadvisor`.
    pub async fn cadvisor_metrics(&self) -> String {
        let taken = told_error(self.take(Kind::Cadvisor).await);
        self.written(move |shared| match taken {
            Some(taken) => cadvisor::text(&shared.machine, Some(&taken.reading), &taken.finds),
            None => cadvisor::text(&shared.machine, None, &Finds::new()),
        })
        .await
    }

    /// How full the volumes of claims are, as their drivers tell, each claim once; for `/metrics`. A driver that does not
    /// answer loses its own.
    pub async fn claims(&self) -> Vec<VolumeStats> {
        let pods: Vec<_> = self.shared.needs.pods().into_iter().filter_map(PodReading::of).collect();
        let mut questions = told::questions(pods.iter().map(|pod| &pod.view));
        questions.retain(|question| question.key.claim().is_some());
        let names: Vec<_> =
            questions.iter().map(|question| (question.key.clone(), question.name().to_owned())).collect();
        let answers = self.shared.ask_drivers(questions).await;
        names.into_iter().filter_map(|(key, name)| Some(answers.get(&key)?.stats(name, &key))).collect()
    }

    /// Writes a text, which takes some milliseconds for hundreds of pods, where that holds up nobody.
    async fn written(&self, write: impl FnOnce(&Shared<N>) -> String + Send + 'static) -> String {
        let shared = Arc::clone(&self.shared);
        // There is none only when the program ends, or when writing panicked.
        tokio::task::spawn_blocking(move || write(&shared)).await.unwrap_or_default()
    }

    async fn take(&self, kind: Kind) -> Result<Arc<Taken>, StatsError> {
        let shared = Arc::clone(&self.shared);
        self.shared.readings.join(kind, || async move { shared.take(kind).await.map(Arc::new) }).await
    }
}

impl<N: Needs> Shared<N> {
    async fn take(self: Arc<Self>, kind: Kind) -> Result<Taken, StatsError> {
        let image_fs = async {
            if kind == Kind::Summary { told("ImageFsInfo", self.needs.image_fs()).await } else { None }
        };
        let (reading, image_fs) = tokio::join!(self.read(kind), image_fs);
        let mut reading = reading?;
        self.without_links(&mut reading);
        let asks_runtime = {
            let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
            rates.update(reading.rated());
            asks_runtime(kind, &reading, &rates)
        };
        let told = async {
            let stats = if asks_runtime {
                told("ListContainerStats", self.needs.container_stats()).await
            } else {
                None
            };
            let stats = stats.into_iter().flatten();
            stats.filter_map(|stats| Some((stats.attributes.as_ref()?.id.clone(), stats))).collect()
        };
        let asks = self.asks(kind, &reading, image_fs.as_ref());
        let disks = self.disks.measure(asks, DISK_PATIENCE);
        let drivers = async {
            let pods = reading.pods.iter().map(|pod| &pod.view);
            if kind == Kind::Summary { self.ask_drivers(told::questions(pods)).await } else { Answers::new() }
        };
        let (told, finds, drivers, logs): (HashMap<_, _>, _, _, _) =
            tokio::join!(told, disks, drivers, self.logs(kind, &reading));
        Ok(Taken { reading, finds, drivers, told, image_fs, logs })
    }

    /// What drivers tell of their volumes.
    async fn ask_drivers(self: &Arc<Self>, questions: Vec<Question>) -> Answers {
        let Some(period) = self.settings.volume_period else { return Answers::new() };
        let ask = |shown_to: Vec<ShownTo>| {
            let shared = Arc::clone(self);
            async move { shared.needs.driver_usage(&shown_to).await }
        };
        self.told.ask(questions, period, DRIVER_PATIENCE, ask).await
    }

    async fn logs(&self, kind: Kind, reading: &Reading) -> HashMap<PodUid, LogUse> {
        let place = Arc::clone(&self.log_reader).try_acquire_owned();
        let (Ok(place), Kind::Summary) = (place, kind) else { return HashMap::new() };
        let places = logs::places(reading);
        let measure = move || {
            let found = logs::measure(places);
            drop(place);
            found
        };
        with_deadline("logs", NODE, DISK_PATIENCE, measure).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "The logs of pods could not be measured");
            HashMap::new()
        })
    }

    async fn read(&self, kind: Kind) -> Result<Reading, StatsError> {
        let place = timeout(KERNEL_PATIENCE, Arc::clone(&self.reader).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(StatsError::Busy) };
        let (cgroups, node, pods) = (self.cgroups.clone(), self.needs.node(), self.needs.pods());
        let read = move || {
            let reading = read::read(&cgroups, kind, node, pods);
            drop(place);
            reading
        };
        with_deadline("stats", NODE, KERNEL_PATIENCE, read).await.map_err(StatsError::Kernel)
    }

    /// The kernel lists mounts by paths without links.
    fn without_links(&self, reading: &mut Reading) {
        if self.root_dir == self.settings.root_dir {
            return;
        }
        for volume in reading.pods.iter_mut().flat_map(|pod| &mut pod.view.volumes) {
            let Room::Directory { path, .. } = &mut volume.room else { continue };
            if let Ok(rest) = path.strip_prefix(&self.settings.root_dir) {
                *path = self.root_dir.join(rest);
            }
        }
    }

    /// What has to be known of disks.
    fn asks(&self, kind: Kind, reading: &Reading, image_fs: Option<&ImageFsInfo>) -> Vec<Ask> {
        let mounts = &reading.node.mounts;
        let full = |path: &Path| disks::full(path, mounts);
        match kind {
            Kind::Resource | Kind::CpuAndMemory => Vec::new(),
            Kind::Cadvisor => disks::on_device(mounts).into_iter().map(|mount| full(&mount.point)).collect(),
            Kind::Summary => {
                let runtime = image_fs.iter().flat_map(|info| info.images.iter().chain(&info.containers));
                let places = runtime.map(|fs| &*fs.mountpoint).chain([&*self.root_dir]).map(full);
                let volumes = reading.pods.iter().flat_map(|pod| &pod.view.volumes);
                let volumes = self.settings.volume_period.into_iter().flat_map(|period| {
                    volumes.clone().filter_map(move |volume| match &volume.room {
                        Room::Directory { path, project, .. } => {
                            Some(disks::volume(path, mounts, *project, period))
                        }
                        Room::Driver { .. } => None,
                    })
                });
                places.chain(volumes).collect()
            }
        }
    }

    fn summary(&self, taken: &Taken, kind: Kind) -> Summary {
        let storage = (kind == Kind::Summary).then(|| Storage {
            node: taken.finds.get(&self.root_dir),
            image_fs: taken.image_fs.as_ref(),
            finds: &taken.finds,
            drivers: &taken.drivers,
            logs: &taken.logs,
        });
        let rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        summary::build(&Inputs {
            node_name: &self.settings.node_name,
            reading: &taken.reading,
            rates: &rates,
            told: &taken.told,
            storage,
        })
    }
}

/// What was taken. Scrapers are told of an error by a sample, and the operator here.
fn told_error(taken: Result<Arc<Taken>, StatsError>) -> Option<Arc<Taken>> {
    let tell = |error: &StatsError| {
        tracing::error!(error = %telemetry::chain(error), "There are no metrics of pods and containers");
    };
    taken.inspect_err(tell).ok()
}

/// Whether the runtime has to be asked what containers use: for their writable layers, for those whose cgroups it keeps
/// out of sight, and for rates while there are none.
fn asks_runtime(kind: Kind, reading: &Reading, rates: &Rates) -> bool {
    let mut containers = reading.pods.iter().flat_map(|pod| &pod.containers).peekable();
    if kind == Kind::Cadvisor || containers.peek().is_none() {
        return false;
    }
    let unseen = containers.any(|container| container.member.is_none());
    kind == Kind::Summary || unseen || (kind == Kind::CpuAndMemory && rates.is_empty())
}

/// What the runtime tells, if it does in time.
async fn told<T>(call: &'static str, answer: impl Future<Output = Result<T, cri::CriError>>) -> Option<T> {
    match timeout(RUNTIME_PATIENCE, answer).await {
        Ok(Ok(told)) => Some(told),
        Ok(Err(error)) => {
            tracing::warn!(error = %telemetry::chain(&error), "The runtime does not tell its part of the stats");
            None
        }
        Err(_) => {
            tracing::warn!(call, patience = ?RUNTIME_PATIENCE, "The runtime does not tell its part of the stats in time");
            None
        }
    }
}

#[cfg(test)]
mod tests;
