//! The CSI volumes of all pods: shown to them, shown again, taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use linux::mountinfo::MountTable;
use pluginapi::csi::{Capabilities, Capability, Driver};
use task::blocking::{self, Abandoned};
use task::events::Recorder;
use tokio::sync::oneshot;
use tokio::time::timeout;
use types::PodUid;
use volume::claim::VolumeMode;
use volume::giving;
use volume::ownership::{Progress, give_counting};

use crate::disk::{self, Whose};
use crate::drivers::Drivers;
use crate::error::{HereError, TakeDownError, VolumeError};
use crate::here::Here;
use crate::layout::{Layout, Site, VolumeId, published_in};
use crate::note::Lifecycle;
use crate::owner::{Owners, Turn};
use crate::place::{Known, Place};
use crate::plan::{self, Actual, Desired, Step, Target, Wish};
use crate::usage::UsageCalls;
use crate::wanted::Wanted;

/// What [`Volumes`] has to know about the node.
#[derive(Clone, Debug)]
pub struct VolumesConfig {
    /// Where everything is.
    pub layout: Layout,
    /// The node's name.
    pub node: String,
    /// The drivers.
    pub drivers: Drivers,
    /// Who is told of volumes that take long.
    pub recorder: Recorder,
    /// How long looking at a volume's directories, or giving its files to a group, may take before it is waited for no
    /// longer. What a driver is asked has deadlines of its own.
    pub deadline: Duration,
}

/// The CSI volumes of all pods. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Volumes {
    pub(crate) config: Arc<VolumesConfig>,
    pub(crate) owners: Owners,
    pub(crate) usage_calls: UsageCalls,
}

/// Which targets are looked at.
enum Scope {
    One(Target),
    /// All that are or may be of the volume.
    All,
}

/// What is worked with in one go at a volume.
struct Work<'a> {
    volumes: &'a Volumes,
    site: Site,
    wanted: Option<&'a Wanted>,
    /// What was done. The same thing twice means that it does not help.
    done: Vec<Step>,
}

impl Volumes {
    /// The volumes of the node that `config` describes.
    #[must_use]
    pub fn new(config: VolumesConfig) -> Self {
        Self { config: Arc::new(config), owners: Owners::default(), usage_calls: UsageCalls::default() }
    }

    /// The path of the volume that the pod calls `name`, and as what the pod gets it, if it is there and whole; asks nobody. What cannot be looked at is
    /// not there.
    pub async fn shown(&self, pod: &PodUid, name: &str) -> Option<(PathBuf, VolumeMode)> {
        let (layout, of, called) = (self.config.layout.clone(), pod.clone(), name.to_owned());
        let marked = blocking::with_deadline("look for volume", self.config.deadline, move || {
            disk::marked(&layout, &of, &called)
        });
        match marked.await {
            Ok(Ok(target)) => {
                target.and_then(|target| Some((self.published_path(&target).ok()?, target.mode)))
            }
            Ok(Err(error)) => {
                tracing::debug!(%pod, name, %error, "A volume cannot be looked at");
                None
            }
            Err(error) => {
                tracing::debug!(%pod, name, %error, "A volume cannot be looked at");
                None
            }
        }
    }

    /// Which volume the pod calls `name`, if that was made whole for it; asks nobody. It need not be there any more. What cannot
    /// be looked at is none.
    pub async fn called(&self, pod: &PodUid, name: &str) -> Option<VolumeId> {
        let (layout, of, called) = (self.config.layout.clone(), pod.clone(), name.to_owned());
        let found = blocking::with_deadline("look for volume", self.config.deadline, move || {
            disk::called(&layout, &of, &called)
        });
        let (_, volume) = found.await.ok()?.ok()??;
        Some(volume)
    }

    /// The SELinux label that the volume is mounted with that the pod calls `name`, if it is mounted with one.
    pub async fn label(&self, pod: &PodUid, name: &str) -> Option<String> {
        let (layout, of, called) = (self.config.layout.clone(), pod.clone(), name.to_owned());
        let looked = blocking::with_deadline("look for label", self.config.deadline, move || {
            disk::label(&layout, &of, &called)
        });
        looked.await.ok()?.ok()?
    }

    /// The groups that all processes of the pod are in because of its volumes. What cannot be looked at brings none.
    pub async fn groups(&self, pod: &PodUid) -> Vec<i64> {
        let (layout, of) = (self.config.layout.clone(), pod.clone());
        let looked = blocking::with_deadline("look for groups", self.config.deadline, move || {
            disk::groups(&layout, &of)
        });
        match looked.await {
            Ok(Ok(groups)) => groups.into_iter().collect(),
            Ok(Err(error)) => {
                tracing::warn!(%pod, error = %telemetry::chain(&error), "The groups of volumes cannot be read");
                Vec::new()
            }
            Err(error) => {
                tracing::warn!(%pod, %error, "The groups of volumes cannot be read");
                Vec::new()
            }
        }
    }

    /// Shows a volume to a pod, and returns the path for its containers. One that is there already stays as it is, and its
    /// driver need not be there: so this can be called before each start of a container and after a restart of berth. May
    /// be dropped at any time.
    ///
    /// # Errors
    /// If it cannot be done now. What was done is noted on disk, and [`Volumes::take_down`] finds it.
    pub async fn prepare(&self, wanted: &Wanted) -> Result<PathBuf, VolumeError> {
        let _wanting = self.owners.want(&wanted.volume);
        let turn = self.owners.turn(&wanted.volume).await;
        self.show(wanted, turn).await
    }

    /// Has the driver publish once more what the pod has (`CSIDriver.spec.requiresRepublish`), and returns whether the pod has
    /// it. A failure leaves it as it is. Nobody stages, publishes or takes down the volume meanwhile.
    ///
    /// # Errors
    /// If the driver did not do it.
    pub async fn republish(&self, wanted: &Wanted) -> Result<bool, VolumeError> {
        let target = wanted.target();
        let Some(_turn) = self.turn_if_whole(&wanted.volume, &target).await? else { return Ok(false) };
        let path = self.published_path(&target)?;
        let (driver, capabilities) = self.driver(&wanted.volume).await?;
        driver.publish(&wanted.publish(&self.config.layout, path), &capabilities).await?;
        Ok(true)
    }

    /// The right to work on `volume`, if it is there at `target`, and whole.
    pub(crate) async fn turn_if_whole(
        &self,
        volume: &VolumeId,
        target: &Target,
    ) -> Result<Option<Turn>, VolumeError> {
        let turn = self.owners.turn(volume).await;
        let (layout, at) = (self.config.layout.clone(), target.clone());
        let looked = blocking::with_deadline("look at volume", self.config.deadline, move || {
            let seen = MountTable::read().map_err(Into::into);
            // The turn goes along: a thread that hangs keeps its volume.
            (seen.and_then(|mounts| disk::look_published(&layout, &at, &mounts)), turn)
        });
        let hung = |source| VolumeError::Hung { volume: volume.clone(), source };
        let (seen, turn) = looked.await.map_err(hung)?;
        let seen = seen?;
        Ok((seen.whose == Whose::Of(volume.clone()) && seen.shown.mark).then_some(turn))
    }

    async fn show(&self, wanted: &Wanted, turn: Turn) -> Result<PathBuf, VolumeError> {
        let target = wanted.target();
        let path = self.published_path(&target)?;
        let mut work = Work { volumes: self, site: wanted.site(), wanted: Some(wanted), done: Vec::new() };
        work.settle(turn, BTreeMap::from([(target, Wish::Wanted)])).await?;
        Ok(path)
    }

    /// Takes all volumes of the pod away, which no container uses any more, and unstages those that no pod has then.
    /// Returns whether there were any.
    ///
    /// # Errors
    /// Which volumes could not be taken away. A driver that hangs holds up only its own.
    pub async fn take_down(&self, pod: &PodUid) -> Result<bool, TakeDownError> {
        let found = self.targets_of(pod).await;
        let found = found.map_err(|error| {
            let mode = VolumeMode::Filesystem;
            let target = Target { pod: pod.clone(), mode, spec_name: String::new() };
            TakeDownError { pod: pod.clone(), failures: vec![(target, error)] }
        })?;
        let any = !found.is_empty();
        let leaving = found.into_iter().map(async |(target, whose)| {
            let left = match whose {
                Whose::Of(volume) => self.leave(&volume, &target).await,
                Whose::Nobody => self.forget_unknown(&target).await,
            };
            left.err().map(|error| (target, error))
        });
        let failures: Vec<_> = futures::future::join_all(leaving).await.into_iter().flatten().collect();
        if failures.is_empty() { Ok(any) } else { Err(TakeDownError { pod: pod.clone(), failures }) }
    }

    /// Unstages the volumes that are or may be staged, are published to nobody, and are not among `wanted`: what a crash
    /// left. `wanted` has to be complete.
    ///
    /// # Errors
    /// None: returns which volumes could not be unstaged, and why.
    pub async fn reclaim(&self, wanted: &BTreeSet<VolumeId>) -> Vec<(VolumeId, VolumeError)> {
        let layout = self.config.layout.clone();
        let staged = blocking::with_deadline("list staged", self.config.deadline, move || {
            MountTable::read().map_err(Into::into).and_then(|mounts| disk::staged(&layout, &mounts))
        });
        let staged = match staged.await {
            Ok(Ok(staged)) => staged,
            Ok(Err(error)) => {
                let error = telemetry::chain(&error);
                tracing::warn!(error, "What is staged for nobody cannot be found");
                return Vec::new();
            }
            Err(error) => {
                tracing::warn!(%error, "What is staged for nobody cannot be found");
                return Vec::new();
            }
        };
        let unwanted = staged.into_iter().filter(|site| !wanted.contains(&site.volume)).map(async |site| {
            let volume = site.volume.clone();
            let left = self.unstage_unused(site).await;
            left.err().map(|error| (volume, error))
        });
        futures::future::join_all(unwanted).await.into_iter().flatten().collect()
    }

    /// Which volumes are on the node, or may be.
    ///
    /// # Errors
    /// If it cannot be seen: then any volume may be.
    pub async fn here(&self) -> Result<Here, HereError> {
        let layout = self.config.layout.clone();
        let looked = blocking::with_deadline("look for volumes", self.config.deadline, move || {
            MountTable::read().map_err(Into::into).and_then(|mounts| Here::look(&layout, &mounts))
        });
        Ok(looked.await??)
    }

    /// Where everything is.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.config.layout
    }

    async fn leave(&self, volume: &VolumeId, target: &Target) -> Result<(), VolumeError> {
        let turn = self.owners.turn(volume).await;
        let site = Site::of(volume, target);
        let mut work = Work { volumes: self, site, wanted: None, done: Vec::new() };
        work.settle(turn, BTreeMap::from([(target.clone(), Wish::Leaving)])).await
    }

    async fn unstage_unused(&self, site: Site) -> Result<(), VolumeError> {
        // A thread that hangs keeps its volume, and must not hold up the others.
        let (volume, deadline) = (&site.volume, self.config.deadline);
        let late = |_| VolumeError::Hung {
            volume: volume.clone(),
            source: Abandoned::Late { what: "unstage volume", deadline },
        };
        let turn = timeout(deadline, self.owners.turn(volume)).await.map_err(late)?;
        let mut work = Work { volumes: self, site, wanted: None, done: Vec::new() };
        work.settle(turn, BTreeMap::new()).await
    }

    /// Removes a directory of which nothing says whose it is: a crash came before its note. Something mounted stays.
    async fn forget_unknown(&self, target: &Target) -> Result<(), VolumeError> {
        let (layout, target) = (self.config.layout.clone(), target.clone());
        let nobody = VolumeId { driver: "?".to_owned(), handle: target.spec_name.clone() };
        let forgotten = blocking::with_deadline("remove volume", self.config.deadline, move || {
            disk::forget_target(&layout, &target)
        });
        Ok(forgotten.await.map_err(|source| VolumeError::Hung { volume: nobody, source })??)
    }

    async fn targets_of(&self, pod: &PodUid) -> Result<Vec<(Target, Whose)>, VolumeError> {
        let (layout, of) = (self.config.layout.clone(), pod.clone());
        let all = blocking::with_deadline("list volumes", self.config.deadline, move || {
            let mounts = MountTable::read()?;
            let targets = disk::targets_of(&layout, &of)?;
            let looked = targets.into_iter().map(|target| {
                let whose = disk::look_published(&layout, &target, &mounts)?.whose;
                Ok((target, whose))
            });
            looked.collect::<Result<Vec<_>, disk::DiskError>>()
        });
        let volume = VolumeId { driver: "?".to_owned(), handle: pod.to_string() };
        Ok(all.await.map_err(|source| VolumeError::Hung { volume, source })??)
    }

    pub(crate) fn published_path(&self, target: &Target) -> Result<PathBuf, VolumeError> {
        let layout = &self.config.layout;
        // Both are below the directory of something that is called like the pod.
        let dir = layout.publish_dir(&target.pod, &target.spec_name).map_err(disk::DiskError::from)?;
        Ok(match target.mode {
            VolumeMode::Filesystem => published_in(&dir),
            VolumeMode::Block => layout.device_path(&target.spec_name, &target.pod),
        })
    }

    async fn driver(&self, volume: &VolumeId) -> Result<(Driver, Capabilities), VolumeError> {
        let registered = self.config.drivers.get(&volume.driver);
        let registered = registered.ok_or_else(|| VolumeError::NotRegistered(volume.driver.clone()))?;
        let capabilities = registered.capabilities().await?.clone();
        Ok((registered.driver, capabilities))
    }
}

impl Work<'_> {
    /// Does one step after the other until all is as it should be. `turn` is given up at the end, or by the thread that
    /// was last abandoned.
    async fn settle(&mut self, mut turn: Turn, wishes: BTreeMap<Target, Wish>) -> Result<(), VolumeError> {
        let mut desired = Desired { wishes, keep_staged: true };
        let mut everywhere = self.wanted.is_none_or(|wanted| wanted.by_one_pod);
        loop {
            let scope = match self.wanted {
                Some(wanted) if !everywhere => Scope::One(wanted.target()),
                _ => Scope::All,
            };
            let (actual, other_label);
            (actual, other_label, turn) = self.look(turn, scope).await?;
            if self.wanted.is_some_and(|wanted| wanted.by_one_pod && is_elsewhere(&actual, wanted)) {
                return Err(VolumeError::InUse);
            }
            let mut desired_now = None;
            if let (Some(staged), Some(wanted)) = (other_label, self.wanted)
                && actual.at(&wanted.target()) != Place::Ready
            {
                // What is mounted with another label is of no use to this pod. Whether one has it, all of them say.
                if !std::mem::replace(&mut everywhere, true) {
                    continue;
                }
                if is_elsewhere(&actual, wanted) {
                    let wanted = wanted.label.clone().unwrap_or_default();
                    return Err(VolumeError::Label { volume: self.site.volume.clone(), staged, wanted });
                }
                let wishes = BTreeMap::from([(wanted.target(), Wish::Leaving)]);
                desired_now = Some(Desired { wishes, keep_staged: false });
            }
            // Somebody may have come meanwhile. Who wants it has looked at its own target alone.
            desired.keep_staged = self.wanted.is_some() || self.volumes.owners.is_wanted(&self.site.volume);
            // A volume that goes with its pod is not staged; whether another is depends on its driver.
            let is_ephemeral = self.wanted.is_some_and(|wanted| wanted.lifecycle == Lifecycle::Ephemeral);
            let desired = desired_now.as_ref().unwrap_or(&desired);
            let Some(step) = plan::next(desired, &actual, !is_ephemeral) else { return Ok(()) };
            let (step, asked) = match step {
                // Nothing of the driver is needed for these.
                Step::PrepareTarget(_) | Step::ForgetTarget(_) | Step::ForgetStaging => (step, None),
                _ => {
                    let (driver, capabilities) = self.volumes.driver(&self.site.volume).await?;
                    let stages = !is_ephemeral && capabilities.has(Capability::StageUnstage);
                    let Some(step) = plan::next(desired, &actual, stages) else { return Ok(()) };
                    (step, Some((driver, capabilities)))
                }
            };
            if self.done.contains(&step) {
                return Err(VolumeError::Undone { volume: self.site.volume.clone() });
            }
            self.done.push(step.clone());
            turn = self.take(turn, step, &actual, asked.as_ref()).await?;
        }
    }

    /// Runs `call` on a thread that has the turn for as long as it runs.
    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        turn: Turn,
        call: impl FnOnce(&mut Turn) -> T + Send + 'static,
    ) -> Result<(T, Turn), VolumeError> {
        let mut turn = turn;
        let called = blocking::with_deadline(what, self.volumes.config.deadline, move || {
            let result = call(&mut turn);
            (result, turn)
        });
        called.await.map_err(|source| VolumeError::Hung { volume: self.site.volume.clone(), source })
    }

    /// What is there; and the SELinux label that it is staged with, if that is not the one that is wanted.
    async fn look(&self, turn: Turn, scope: Scope) -> Result<(Actual, Option<String>, Turn), VolumeError> {
        let (layout, site) = (self.volumes.config.layout.clone(), self.site.clone());
        // A volume that goes with its pod is not staged, and a device has no label.
        let has_label = |wanted: &&Wanted| {
            wanted.lifecycle == Lifecycle::Persistent && wanted.volume_mode == VolumeMode::Filesystem
        };
        let persistent = self.wanted.filter(has_label);
        let label = persistent.map(|wanted| wanted.label.clone());
        let looked = move |turn: &mut Turn| {
            let actual = look(&layout, &site, scope, turn)?;
            let staged = match (&label, actual.staged) {
                (None, _) | (_, Place::Nothing | Place::Remains | Place::Stray) => None,
                (Some(label), _) => {
                    let staged = disk::staged_label(&layout, &site.volume)?;
                    (staged != *label).then(|| staged.unwrap_or_default())
                }
            };
            Ok((actual, staged))
        };
        let (looked, turn) = self.blocking("look at volume", turn, looked).await?;
        let (actual, other_label) = looked.map_err(|error: disk::DiskError| VolumeError::from(error))?;
        Ok((actual, other_label, turn))
    }

    async fn take(
        &self,
        mut turn: Turn,
        step: Step,
        actual: &Actual,
        asked: Option<&(Driver, Capabilities)>,
    ) -> Result<Turn, VolumeError> {
        let config = &self.volumes.config;
        let (layout, site) = (config.layout.clone(), self.site.clone());
        let volume = &self.site.volume;
        tracing::debug!(%volume, ?step, "A step of a CSI volume");
        match (step, self.wanted, asked) {
            (Step::PrepareStaging, Some(wanted), _) => {
                let (note, known) = (wanted.staged_note(&config.node), actual.staged.prepared());
                let (made, mut turn) = self
                    .blocking("make directory", turn, move |_| disk::prepare_staging(&layout, &site, &note))
                    .await?;
                made?;
                turn.staged = known;
                Ok(turn)
            }
            (Step::PrepareTarget(target), Some(wanted), _) => {
                let (note, known) = (wanted.published_note(&config.node), actual.at(&target).prepared());
                let at = target.clone();
                let (made, mut turn) = self
                    .blocking("make directory", turn, move |_| disk::prepare_target(&layout, &at, &note))
                    .await?;
                made?;
                turn.published.insert(target, known);
                if self.site.device.is_some() && actual.staged == Place::Nothing {
                    // Its note is here now, and the driver was never asked.
                    turn.staged = Known::Fresh;
                }
                Ok(turn)
            }
            (Step::Stage, Some(wanted), Some((driver, capabilities))) => {
                if actual.staged == Place::Uncertain || site.device.is_some() {
                    // A crash came before the directory was made whole, or after the driver had removed it. Of a device there
                    // is a note before there is a directory to stage in.
                    let note = wanted.staged_note(&config.node);
                    let made;
                    (made, turn) = self
                        .blocking("make directory", turn, move |_| {
                            disk::prepare_staging(&layout, &site, &note)
                        })
                        .await?;
                    made?;
                }
                let before = std::mem::replace(&mut turn.staged, Known::Asked);
                let staged = driver.stage(&wanted.stage(&config.layout), capabilities).await;
                turn.staged = after(before, &staged, Known::Done { mounted: false });
                staged.map_err(VolumeError::Stage)?;
                Ok(turn)
            }
            (Step::Publish(target), Some(wanted), Some((driver, capabilities))) => {
                self.publish(turn, target, wanted, driver, capabilities).await
            }
            (Step::Unpublish(target), _, Some((driver, _))) => {
                let path = self.volumes.published_path(&target)?;
                turn.published.insert(target.clone(), Known::Asked);
                let at = target.clone();
                // Before the driver is asked: half of it is not whole.
                let (unmarked, mut turn) =
                    self.blocking("let go", turn, move |_| disk::let_go(&layout, &at)).await?;
                unmarked?;
                driver.unpublish(&volume.handle, &path).await?;
                turn.published.insert(target, Known::Undone);
                Ok(turn)
            }
            (Step::ForgetTarget(target), ..) => {
                let at = target.clone();
                let (forgotten, mut turn) = self
                    .blocking("remove directory", turn, move |_| {
                        disk::unmark(&layout, &at).and_then(|()| disk::forget_target(&layout, &at))
                    })
                    .await?;
                forgotten?;
                turn.published.remove(&target);
                Ok(turn)
            }
            (Step::Unstage, _, Some((driver, _))) => {
                turn.staged = Known::Asked;
                driver.unstage(&volume.handle, &layout.staged_path(&site)).await?;
                turn.staged = Known::Undone;
                Ok(turn)
            }
            (Step::ForgetStaging, ..) => {
                let (forgotten, mut turn) = self
                    .blocking("remove directory", turn, move |_| disk::forget_staging(&layout, &site))
                    .await?;
                forgotten?;
                turn.staged = Known::Unknown;
                Ok(turn)
            }
            // Without anybody who wants it nothing is prepared, and `settle` looks the driver up.
            (..) => Ok(turn),
        }
    }

    /// Has the driver publish, gives the files to the pod's group if nobody else does, and marks it as whole.
    async fn publish(
        &self,
        mut turn: Turn,
        target: Target,
        wanted: &Wanted,
        driver: &Driver,
        capabilities: &Capabilities,
    ) -> Result<Turn, VolumeError> {
        let layout = self.volumes.config.layout.clone();
        let path = self.volumes.published_path(&target)?;
        let before = turn.published.insert(target.clone(), Known::Asked).unwrap_or_default();
        let (marked, marks) = (target.clone(), layout.clone());
        // A mark that is left, as after the machine was booted, says nothing of what is made now.
        let (unmarked, mut turn) =
            self.blocking("remove mark", turn, move |_| disk::unmark(&marks, &marked)).await?;
        unmarked?;
        let published = driver.publish(&wanted.publish(&layout, path.clone()), capabilities).await;
        turn.published.insert(target.clone(), after(before, &published, Known::Asked));
        published?;
        let group =
            wanted.group.filter(|group| group.by_kubelet && !capabilities.has(Capability::VolumeMountGroup));
        let (read_only, gid) = (wanted.read_only, wanted.gid);
        let (at, name) = (target.clone(), wanted.name.clone());
        let (progress, (busy, ended)) = (Progress::default(), oneshot::channel());
        if group.is_some() {
            // Not even one who waits no longer ends that: the thread goes on.
            let (recorder, pod) = (self.volumes.config.recorder.clone(), wanted.pod_ref());
            tokio::spawn(giving::tell(recorder, pod, path.clone(), progress.clone(), ended));
        }
        let (whole, mut turn) = self
            .blocking("give volume to group", turn, move |_| {
                let _busy = busy;
                if let Some(group) = group {
                    let given = give_counting(&path, group.id, read_only, group.policy, &progress);
                    given.map_err(|source| VolumeError::Ownership { group: group.id, source })?;
                }
                Ok(disk::mark(&layout, &at, &name, gid)?)
            })
            .await?;
        let whole: Result<(), VolumeError> = whole;
        whole?;
        turn.published.insert(target, Known::Done { mounted: false });
        Ok(turn)
    }
}

/// Whether another pod has the volume, or may have it.
fn is_elsewhere(actual: &Actual, wanted: &Wanted) -> bool {
    actual.published.iter().any(|(target, place)| target.pod != wanted.pod && *place != Place::Nothing)
}

/// What is known after a call that was to make something: what `done` says if it succeeded; if it was refused as the first
/// thing that the driver was asked, that nothing is there.
fn after<T>(before: Known, called: &Result<T, pluginapi::PluginError>, done: Known) -> Known {
    match called {
        Ok(_) => done,
        Err(error) if before == Known::Fresh && !error.kind.is_uncertain() => Known::Undone,
        Err(_) => Known::Asked,
    }
}

/// What is there of a volume, from disk, the mount table and memory.
fn look(layout: &Layout, site: &Site, scope: Scope, turn: &mut Turn) -> Result<Actual, disk::DiskError> {
    let mounts = MountTable::read()?;
    let volume = &site.volume;
    let shown = disk::look_staged(layout, site, &mounts)?;
    settle_mounted(&mut turn.staged, shown.mounted);
    let staged = Place::of(shown, turn.staged);
    let (targets, of_all) = match scope {
        Scope::One(target) => (vec![target], false),
        Scope::All => {
            let mut targets: BTreeSet<_> = disk::targets(layout)?.into_iter().collect();
            targets.extend(turn.published.keys().cloned());
            (targets.into_iter().collect(), true)
        }
    };
    let mut published = BTreeMap::new();
    for target in targets {
        let seen = disk::look_published(layout, &target, &mounts)?;
        match &seen.whose {
            Whose::Of(other) if other != volume && of_all => continue,
            // A directory that a crash left before its note: nothing was asked for it.
            Whose::Nobody if of_all && !seen.shown.mounted && !turn.published.contains_key(&target) => {
                continue;
            }
            Whose::Of(other) if other != volume => {
                let path = layout.publish_dir(&target.pod, &target.spec_name)?;
                return Err(disk::DiskError::Another { path, other: other.clone() });
            }
            _ => {}
        }
        let known = turn.published.entry(target.clone()).or_default();
        settle_mounted(known, seen.shown.mounted);
        let place = Place::of(seen.shown, *known);
        if *known == Known::Unknown || place == Place::Nothing {
            turn.published.remove(&target);
        }
        // What is mounted without a note may be anybody's, so it may be this volume's.
        published.insert(target, place);
    }
    if staged == Place::Nothing {
        turn.staged = Known::Unknown;
    }
    Ok(Actual { staged, published })
}

/// A driver that mounts is known by what was mounted after it was asked.
fn settle_mounted(known: &mut Known, is_mounted: bool) {
    if *known == (Known::Done { mounted: false }) && is_mounted {
        *known = Known::Done { mounted: true };
    }
}

#[cfg(test)]
mod tests;
