//! The volumes of all pods: preparing, refreshing and taking them away, each in bounded time.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use task::blocking::{self, Abandoned, NODE};
use telemetry::metrics::Registry;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use types::corev1::Volume;
use types::objects::{Objects, TokenRequest};
use types::resources::Amounts;
use types::{Pod, PodRef, PodUid};

use crate::attempts::{Attempts, Key};
use crate::drivers::{Drivers, FoundVolumes, Onlooker};
use crate::error::{Operation, Problem, VolumeError, VolumeFailure};
use crate::file::{self, ReadError};
use crate::kind::{self, Kind};
use crate::metrics::Metrics;
use crate::paths::{PROJECTED, PodPaths, UnusableUid};
use crate::prepare::prepare;
use crate::prepared::{Mounted, Prepared};
use crate::projected;
use crate::quota::Quotas;
use crate::subpath::{self, SubPath, SubPathError, SubPathProblem};
use crate::tally::Tally;
use crate::teardown::{self, NotTornDown, TeardownError};

/// What [`Volumes`] has to know about the node.
#[derive(Clone, Debug)]
pub struct VolumesConfig {
    /// The root directory, such as `/var/lib/kubelet`.
    pub root_dir: PathBuf,
    /// What the node can give to pods; its memory bounds every tmpfs.
    pub allocatable: Amounts,
    /// How long one volume may take before its pod is told that a file system does not answer.
    pub deadline: Duration,
    /// Where operations are counted.
    pub metrics: Metrics,
    /// Who has file systems count volumes; nobody, and they are looked through.
    pub quotas: Option<Quotas>,
}

/// The volumes of all pods. Cheap to clone. Keeps nothing in memory but which attempts are still under
/// way, which failed, and how many volumes there are.
#[derive(Clone, Debug)]
pub struct Volumes {
    pub(crate) config: Arc<VolumesConfig>,
    drivers: Option<Arc<dyn Drivers>>,
    busy: watch::Sender<HashSet<(PodUid, String)>>,
    pub(crate) attempts: Arc<Attempts>,
    tally: Tally,
}

/// In the place of a volume's name, for all that is left of a pod. No volume has a space in its name.
const ORPHAN: &str = "an orphan";

/// Marks an attempt as under way for as long as its thread is in it.
struct Busy {
    all: watch::Sender<HashSet<(PodUid, String)>>,
    key: (PodUid, String),
}

/// What is left of a pod that nobody knows is being removed.
pub struct HeldOrphan(#[expect(dead_code, reason = "it counts for as long as it is there")] Busy);

impl Busy {
    /// What the attempt is about, in words.
    fn about(&self) -> String {
        let (uid, volume) = &self.key;
        format!("{volume} of pod {uid}")
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.all.send_if_modified(|all| all.remove(&self.key));
    }
}

impl Volumes {
    /// The volumes of the node that `config` describes.
    #[must_use]
    pub fn new(config: VolumesConfig) -> Self {
        Self {
            config: Arc::new(config),
            drivers: None,
            busy: watch::Sender::default(),
            attempts: Arc::default(),
            tally: Tally::default(),
        }
    }

    /// The same with drivers for claims and inline volumes.
    #[must_use]
    pub fn with_drivers(self, drivers: Arc<dyn Drivers>) -> Self {
        Self { drivers: Some(drivers), ..self }
    }

    /// Has `registry` show how many volumes there are.
    pub fn expose(&self, registry: &Registry) {
        self.tally.expose(registry);
    }

    /// Where the files of the pod `uid` are.
    ///
    /// # Errors
    /// If the UID cannot be the name of a directory.
    pub fn paths(&self, uid: &PodUid) -> Result<PodPaths, UnusableUid> {
        PodPaths::new(&self.config.root_dir, uid)
    }

    /// Finds the volumes of drivers that containers of `pod` use, all at once, for [`Volumes::prepare_found`]. This waits
    /// for others for as long as it takes: nothing may be held meanwhile. A pod that comes back under its UID waits until
    /// nothing is removed any more of what it left.
    ///
    /// # Errors
    /// If some of them cannot be had as things are, with a failure for each.
    pub async fn find(&self, pod: &Arc<Pod>, onlooker: &dyn Onlooker) -> Result<FoundVolumes, VolumeError> {
        self.nothing_is_removed(&PodRef::of(pod).uid, onlooker).await;
        let Some(drivers) = &self.drivers else { return Ok(FoundVolumes::default()) };
        let theirs = kind::used(pod).into_iter().filter(|volume| Kind::of(volume).is_of_driver());
        let found = theirs.map(async |volume| {
            let began = Instant::now();
            let found = drivers.find(pod, volume, onlooker).await;
            (volume, self.noted(pod, volume, began, found))
        });
        let (mut all, mut failures) = (FoundVolumes::default(), Vec::new());
        for (volume, found) in futures::future::join_all(found).await {
            match found {
                Ok(found) => drop(all.0.insert(volume.name.clone(), found)),
                Err(failure) => failures.push(*failure),
            }
        }
        if failures.is_empty() { Ok(all) } else { Err(VolumeError { pod: PodRef::of(pod), failures }) }
    }

    /// As [`Volumes::prepare_found`], for a pod without volumes of drivers.
    ///
    /// # Errors
    /// As [`Volumes::prepare_found`].
    pub async fn prepare(&self, pod: &Arc<Pod>, objects: &Arc<Objects>) -> Result<Prepared, VolumeError> {
        self.prepare_found(pod, objects, &FoundVolumes::default()).await
    }

    /// Prepares the volumes that containers of `pod` use, all at once. Those that are ready stay as they are, so it can be
    /// called before each start of a container, and after a restart of berth. `objects` is what was found of
    /// [`references`](crate::references), and `found` what [`Volumes::find`] did. A volume that shows something already keeps
    /// that if what it should show cannot be had now: it is then among [`Prepared::behind`].
    ///
    /// # Errors
    /// If some of them could not be prepared, with a failure for each. A volume whose file system does not answer
    /// fails after [`VolumesConfig::deadline`] and holds up no other.
    pub async fn prepare_found(
        &self,
        pod: &Arc<Pod>,
        objects: &Arc<Objects>,
        found: &FoundVolumes,
    ) -> Result<Prepared, VolumeError> {
        self.each(pod, kind::used(pod), objects, found).await
    }

    /// Writes anew what has changed of what volumes show of the pod, whose containers have them, and of `objects`. Returns why
    /// some of them could not follow, and show what they showed before.
    ///
    /// # Errors
    /// As [`Volumes::prepare`].
    pub async fn refresh(
        &self,
        pod: &Arc<Pod>,
        objects: &Arc<Objects>,
    ) -> Result<Vec<VolumeFailure>, VolumeError> {
        let (mut volumes, uid) = (kind::used(pod), PodRef::of(pod).uid);
        if self.tally.is_new(&uid) {
            for volume in &volumes {
                self.tally.wants(&uid, &volume.name, Kind::of(volume).plugin());
            }
            futures::future::join_all(volumes.iter().map(|volume| self.count(&uid, volume))).await;
        }
        volumes.retain(|volume| Kind::of(volume).is_followed());
        let none = FoundVolumes::default();
        Ok(self.each(pod, volumes, objects, &none).await?.behind)
    }

    /// The groups that all processes of the pod `uid` are in because of volumes that were prepared for it.
    pub async fn groups(&self, uid: &PodUid) -> Vec<i64> {
        let Some(drivers) = &self.drivers else { return Vec::new() };
        // A file system that hangs is told of elsewhere.
        timeout(self.config.deadline, drivers.groups(uid)).await.unwrap_or_default()
    }

    /// The tokens that volumes of `pod` show now: what is left of them after a restart of berth.
    pub async fn shown_tokens(&self, pod: &Arc<Pod>) -> Vec<(TokenRequest, String)> {
        let (config, pod, uid) = (Arc::clone(&self.config), Arc::clone(pod), PodRef::of(pod).uid);
        let shown = self.blocking("read tokens", uid.as_str().to_owned(), move || {
            let paths = PodPaths::new(&config.root_dir, &uid).ok();
            let mut shown = Vec::new();
            for volume in kind::used(&pod) {
                if let (Kind::Projected(source), Some(paths)) = (Kind::of(volume), &paths) {
                    let dir = paths.volume(PROJECTED, &volume.name);
                    shown.extend(projected::shown_tokens(&dir, source));
                }
            }
            shown
        });
        // Without them new ones are asked for.
        shown.await.unwrap_or_default()
    }

    async fn each(
        &self,
        pod: &Arc<Pod>,
        volumes: Vec<&Volume>,
        objects: &Arc<Objects>,
        found: &FoundVolumes,
    ) -> Result<Prepared, VolumeError> {
        let uid = PodRef::of(pod).uid;
        let attempts = volumes.into_iter().map(async |volume| {
            let start = Instant::now();
            self.tally.wants(&uid, &volume.name, Kind::of(volume).plugin());
            let result = match found.0.get(&volume.name) {
                Some(found) => {
                    let shown = self.attempts.show(&uid, &volume.name, &**found, self.config.deadline).await;
                    shown.map(|mounted| (mounted, None)).map_err(|failed| {
                        let operation = match (kind::is_device(pod, &volume.name), failed.of_all) {
                            (false, true) => Operation::MountDevice,
                            (false, false) => Operation::SetUp,
                            (true, true) => Operation::SetUpDevice,
                            (true, false) => Operation::MapPodDevice,
                        };
                        Box::new(VolumeFailure {
                            operation,
                            ..failure(volume, failed.problem, failed.again_in)
                        })
                    })
                }
                None => self.noted(pod, volume, start, self.attempt(pod, volume, objects).await),
            };
            let was_tried = result.as_ref().err().is_none_or(|failure| failure.was_tried());
            if let Some(plugin) = Kind::of(volume).plugin().filter(|_| was_tried) {
                let succeeded = matches!(&result, Ok((_, None)));
                self.config.metrics.mounted(plugin, start.elapsed(), succeeded);
            }
            if result.is_ok() {
                self.count(&uid, volume).await;
            }
            (volume, result)
        });
        let mut failures = Vec::new();
        let mut behind = Vec::new();
        let mut ready = Vec::new();
        for (volume, result) in futures::future::join_all(attempts).await {
            match result {
                Ok((mounted, problem)) => {
                    ready.push((volume.name.clone(), mounted));
                    behind.extend(problem.map(|problem| failure(volume, problem, None)));
                }
                Err(failure) => failures.push(*failure),
            }
        }
        if failures.is_empty() {
            let mut prepared: Prepared = ready.into_iter().collect();
            prepared.behind = behind;
            Ok(prepared)
        } else {
            Err(VolumeError { pod: PodRef::of(pod), failures })
        }
    }

    /// Counts a volume that is there. Of one of a driver it is found out once of which.
    async fn count(&self, uid: &PodUid, volume: &Volume) {
        if self.tally.has(uid, &volume.name) {
            return;
        }
        let Some(drivers) = &self.drivers else { return };
        // A file system that hangs is told of elsewhere.
        let found = timeout(self.config.deadline, drivers.plugin(uid, &volume.name)).await;
        if let Ok(Some(plugin)) = found {
            self.tally.is_of(uid, &volume.name, plugin);
        }
    }

    /// Takes note of how it went to find out what `volume` is, or to make it without a driver.
    fn noted<T>(
        &self,
        pod: &Pod,
        volume: &Volume,
        began: Instant,
        result: Result<T, Problem>,
    ) -> Result<T, Box<VolumeFailure>> {
        let why = result.as_ref().err().map(|problem| telemetry::chain(problem));
        let key = Key::Find(PodRef::of(pod).uid, volume.name.clone());
        let again_in = self.attempts.ended(key, began, why.as_deref());
        result.map_err(|problem| {
            let is_over = matches!(problem, Problem::Rejected { .. });
            let is_mapped =
                matches!(problem, Problem::NotAttached { .. }) && kind::is_device(pod, &volume.name);
            let operation = if is_mapped { Operation::SetUpDevice } else { Operation::SetUp };
            Box::new(VolumeFailure { operation, ..failure(volume, problem, again_in.filter(|_| !is_over)) })
        })
    }

    async fn attempt(
        &self,
        pod: &Arc<Pod>,
        volume: &Volume,
        objects: &Arc<Objects>,
    ) -> Result<(Mounted, Option<Problem>), Problem> {
        let of_node = match Kind::of(volume) {
            Kind::HostPath(source) => Some(source.path.clone()),
            _ => None,
        };
        let path = of_node.clone().unwrap_or_else(|| self.config.root_dir.display().to_string());
        let key = (PodRef::of(pod).uid, volume.name.clone());
        let Some(busy) = self.begin(key) else { return Err(Problem::StillHung { path }) };
        let (config, pod, volume) = (Arc::clone(&self.config), Arc::clone(pod), volume.clone());
        let objects = Arc::clone(objects);
        // A path of the node outlives the pods that name it, and so does what hangs there.
        let about = of_node.unwrap_or_else(|| busy.about());
        let prepared = self
            .blocking("prepare volume", about, move || {
                let _busy = busy;
                let VolumesConfig { root_dir, allocatable, quotas, .. } = &*config;
                prepare(root_dir, allocatable, quotas.as_ref(), &pod, &volume, &objects)
            })
            .await;
        prepared.unwrap_or_else(|source| Err(Problem::Hung { path, source }))
    }

    /// Mounts a part of a volume for one container of the pod `uid`, and returns the path to give to the runtime.
    ///
    /// # Errors
    /// If the path leads out of the volume or cannot be mounted.
    pub async fn mount_subpath(&self, uid: &PodUid, part: SubPath) -> Result<PathBuf, SubPathError> {
        let (volume, container, path) = (part.volume.clone(), part.container.clone(), part.path.clone());
        self.try_subpath(uid, part).await.map_err(|problem| SubPathError { volume, container, path, problem })
    }

    async fn try_subpath(&self, uid: &PodUid, part: SubPath) -> Result<PathBuf, SubPathProblem> {
        let paths = self.paths(uid)?;
        // No volume has a slash in its name.
        let key = (uid.clone(), format!("{}/{}/{}", part.volume, part.container, part.index));
        let busy = self.begin(key).ok_or(SubPathProblem::StillHung)?;
        let about = part.volume_path.display().to_string();
        let mount = move || {
            let _busy = busy;
            subpath::mount(&paths, &part)
        };
        self.blocking("mount subPath", about, mount).await?
    }

    /// Reads the file at `path` in the pod's volume `volume`, which is at `dir`. `None` when there is no such file.
    ///
    /// # Errors
    /// If it cannot be read within the deadline, a link leads to it, or it is no text of at most 64 KiB.
    pub async fn read_file(
        &self,
        uid: &PodUid,
        volume: &str,
        dir: &Path,
        path: &str,
    ) -> Result<Option<String>, ReadError> {
        // The keys of sub-paths have a container's name between the slashes.
        let key = (uid.clone(), format!("{volume}//{path}"));
        let busy = self.begin(key).ok_or(ReadError::StillHung)?;
        let (dir, path) = (dir.to_owned(), PathBuf::from(path));
        let about = dir.display().to_string();
        let read = move || {
            let _busy = busy;
            file::read(&dir, &path)
        };
        self.blocking("read volume", about, read).await?
    }

    /// Unmounts and removes the volumes of the pod `uid`, which no container may use any more. Never removes anything
    /// below a mount point, and never follows a link.
    ///
    /// # Errors
    /// If something is in the way, or was a moment ago. What was done stays done, and trying again continues.
    pub async fn teardown(&self, uid: &PodUid, onlooker: &dyn Onlooker) -> Result<(), NotTornDown> {
        self.tally.leaves(uid);
        let arrivals = self.arrivals();
        if let Some(rest) = self.attempts.rest(&Key::TakeDown(uid.clone(), arrivals)) {
            return Err(NotTornDown { error: TeardownError::Resting(rest.why), again_in: rest.left });
        }
        self.tear_down(uid, arrivals, onlooker, "remove volumes", teardown::volumes).await?;
        self.attempts.forget(uid);
        self.tally.forget(uid);
        Ok(())
    }

    /// Removes the whole directory of the pod `uid`, its volumes first: the last step of a pod, and what is done with
    /// orphans, at once.
    ///
    /// # Errors
    /// As [`Volumes::teardown`].
    pub async fn remove_pod_dir(&self, uid: &PodUid, onlooker: &dyn Onlooker) -> Result<(), NotTornDown> {
        self.tear_down(uid, self.arrivals(), onlooker, "remove pod dir", teardown::pod_dir).await?;
        self.attempts.forget(uid);
        self.tally.forget(uid);
        Ok(())
    }

    /// Has a pod that comes back under the UID wait in [`Volumes::find`] for as long as this is held, so that what is left of a pod
    /// that nobody knew can be removed. `None` if the pod `is_known` by now, which is asked once one that comes waits; or if
    /// somebody else holds it.
    #[must_use]
    pub fn hold_orphan(&self, uid: &PodUid, is_known: impl FnOnce() -> bool) -> Option<HeldOrphan> {
        let held = self.begin((uid.clone(), ORPHAN.to_owned()))?;
        (!is_known()).then_some(HeldOrphan(held))
    }

    /// Waits until nothing of the pod `uid` is removed, also by a thread that nobody waits for any more.
    async fn nothing_is_removed(&self, uid: &PodUid, onlooker: &dyn Onlooker) {
        let keys = [String::new(), ORPHAN.to_owned()].map(|name| (uid.clone(), name));
        let is_removed = |all: &HashSet<_>| keys.iter().any(|key| all.contains(key));
        if is_removed(&self.busy.borrow()) {
            onlooker.waits_for("", Some("what an earlier pod of its UID left to be removed".to_owned()));
            // The sender is here.
            let _ = self.busy.subscribe().wait_for(|all| !is_removed(all)).await;
            onlooker.waits_for("", None);
        }
    }

    fn arrivals(&self) -> u64 {
        self.drivers.as_ref().map_or(0, |drivers| drivers.arrivals())
    }

    async fn tear_down(
        &self,
        uid: &PodUid,
        arrivals: u64,
        onlooker: &dyn Onlooker,
        what: &'static str,
        call: fn(&Path, &PodUid) -> Result<(), TeardownError>,
    ) -> Result<(), NotTornDown> {
        let began = Instant::now();
        let failed = |error: TeardownError, key| {
            let again_in = self.attempts.ended(key, began, Some(&telemetry::chain(&error)));
            NotTornDown { error, again_in: again_in.unwrap_or_default() }
        };
        let of_drivers = Key::TakeDown(uid.clone(), arrivals);
        self.take_down_drivers(uid, onlooker).await.map_err(|error| failed(error, of_drivers))?;
        // No volume has an empty name.
        let of_rest = Key::Find(uid.clone(), String::new());
        self.take_away(what, uid, call).await.map_err(|error| failed(error, of_rest))
    }

    /// Has drivers take away what is theirs. Parts of their volumes that containers had are in their way, and go first.
    async fn take_down_drivers(&self, uid: &PodUid, onlooker: &dyn Onlooker) -> Result<(), TeardownError> {
        let Some(drivers) = &self.drivers else { return Ok(()) };
        self.take_away("unmount subPaths", uid, teardown::subpaths).await?;
        let deadline = self.config.deadline;
        let gone = timeout(deadline, drivers.take_down(uid, onlooker)).await;
        gone.map_err(|_| TeardownError::DriverLate(deadline))?.map_err(TeardownError::Driver)
    }

    async fn take_away(
        &self,
        what: &'static str,
        uid: &PodUid,
        call: fn(&Path, &PodUid) -> Result<(), TeardownError>,
    ) -> Result<(), TeardownError> {
        // No volume has an empty name.
        let busy = self.begin((uid.clone(), String::new())).ok_or(TeardownError::StillHung)?;
        let config = Arc::clone(&self.config);
        self.blocking(what, uid.as_str(), move || call(&config.root_dir, &busy.key.0)).await?
    }

    /// The pods that have a directory and are not among `known`, for [`Volumes::hold_orphan`].
    ///
    /// # Errors
    /// If the directory of pods cannot be listed.
    pub async fn orphans(&self, known: HashSet<PodUid>) -> Result<Vec<PodUid>, TeardownError> {
        let config = Arc::clone(&self.config);
        self.blocking("list pod dirs", NODE, move || teardown::orphans(&config.root_dir, &known)).await?
    }

    /// Learns which volumes their file systems count, and releases what counted volumes that are gone.
    ///
    /// # Errors
    /// If a file system does not answer in time.
    pub async fn settle_quotas(&self) -> Result<(), Abandoned> {
        match self.config.quotas.clone() {
            Some(quotas) => self.blocking("quotas", NODE, move || quotas.settle()).await,
            None => Ok(()),
        }
    }

    /// Marks an attempt as under way; `None` if one is already.
    fn begin(&self, key: (PodUid, String)) -> Option<Busy> {
        let is_first = self.busy.send_if_modified(|all| all.insert(key.clone()));
        is_first.then(|| Busy { all: self.busy.clone(), key })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        about: impl Into<String>,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Abandoned> {
        blocking::with_deadline(what, about, self.config.deadline, call).await
    }
}

fn failure(volume: &Volume, problem: Problem, again_in: Option<Duration>) -> VolumeFailure {
    let (operation, kind) = (Operation::SetUp, Kind::of(volume).field());
    VolumeFailure { volume: volume.name.clone(), kind, operation, problem, again_in }
}

#[cfg(test)]
mod tests;
