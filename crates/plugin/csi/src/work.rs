//! Work at one volume: step after step, until it is as who wants it would have it.

use std::collections::{BTreeMap, BTreeSet};

use linux::mountinfo::MountTable;
use pluginapi::csi::{Capabilities, Capability, Driver};
use task::blocking;
use tokio::sync::oneshot;
use volume::claim::VolumeMode;
use volume::giving;
use volume::ownership::{Progress, give_counting};

use crate::config::VolumesConfig;
use crate::disk::{self, Whose};
use crate::error::VolumeError;
use crate::layout::{Layout, Site};
use crate::note::Lifecycle;
use crate::owner::{Owners, Turn, carry};
use crate::place::{Known, Place};
use crate::plan::{self, Actual, Desired, Step, Target, Wish};
use crate::wanted::Wanted;

/// Which targets are looked at.
enum Scope {
    One(Target),
    /// All that are or may be of the volume.
    All,
}

/// What is worked with in one go at a volume.
pub(crate) struct Work<'a> {
    config: &'a VolumesConfig,
    owners: &'a Owners,
    site: Site,
    wanted: Option<&'a Wanted>,
    /// What was done. The same thing twice means that it does not help.
    done: Vec<Step>,
}

impl<'a> Work<'a> {
    /// Work at the volume of `site`, for `wanted` or to have it away. Nothing is done yet.
    pub(crate) fn new(
        config: &'a VolumesConfig,
        owners: &'a Owners,
        site: Site,
        wanted: Option<&'a Wanted>,
    ) -> Self {
        Self { config, owners, site, wanted, done: Vec::new() }
    }

    /// Does one step after the other until all is as it should be. `turn` is given up at the end, or by the thread that
    /// was last abandoned.
    ///
    /// # Errors
    /// If a step fails, or helps nothing.
    pub(crate) async fn settle(
        mut self,
        mut turn: Turn,
        wishes: BTreeMap<Target, Wish>,
    ) -> Result<(), VolumeError> {
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
            desired.keep_staged = self.wanted.is_some() || self.owners.is_wanted(&self.site.volume);
            // A volume that goes with its pod is not staged; whether another is depends on its driver.
            let is_ephemeral = self.wanted.is_some_and(|wanted| wanted.lifecycle == Lifecycle::Ephemeral);
            let desired = desired_now.as_ref().unwrap_or(&desired);
            let Some(step) = plan::next(desired, &actual, !is_ephemeral) else { return Ok(()) };
            let (step, asked) = match step {
                // Nothing of the driver is needed for these.
                Step::PrepareTarget(_) | Step::ForgetTarget(_) | Step::ForgetStaging => (step, None),
                _ => {
                    let (driver, capabilities) = self.config.driver(&self.site.volume).await?;
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
        let about = self.site.volume.to_string();
        let called = blocking::with_deadline(what, about, self.config.deadline, move || {
            let result = call(&mut turn);
            (result, turn)
        });
        called.await.map_err(|source| VolumeError::Hung { volume: self.site.volume.clone(), source })
    }

    /// What is there; and the SELinux label that it is staged with, if that is not the one that is wanted.
    async fn look(&self, turn: Turn, scope: Scope) -> Result<(Actual, Option<String>, Turn), VolumeError> {
        let (layout, site) = (self.config.layout.clone(), self.site.clone());
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
        let config = self.config;
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
                let (driver, capabilities) = (driver.clone(), capabilities.clone());
                let stage = wanted.stage(&config.layout);
                let (staged, mut turn) =
                    carry(turn, async move { driver.stage(&stage, &capabilities).await }).await;
                turn.staged = after(before, &staged, Known::Done { mounted: false });
                staged.map_err(VolumeError::Stage)?;
                Ok(turn)
            }
            (Step::Publish(target), Some(wanted), Some((driver, capabilities))) => {
                self.publish(turn, target, wanted, driver, capabilities).await
            }
            (Step::Unpublish(target), _, Some((driver, _))) => {
                let path = self.config.published_path(&target)?;
                turn.published.insert(target.clone(), Known::Asked);
                let at = target.clone();
                // Before the driver is asked: half of it is not whole.
                let (unmarked, turn) =
                    self.blocking("let go", turn, move |_| disk::let_go(&layout, &at)).await?;
                unmarked?;
                let (driver, handle) = (driver.clone(), volume.handle.clone());
                let (unpublished, mut turn) =
                    carry(turn, async move { driver.unpublish(&handle, &path).await }).await;
                unpublished?;
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
                let (driver, handle, path) =
                    (driver.clone(), volume.handle.clone(), layout.staged_path(&site));
                let (unstaged, mut turn) =
                    carry(turn, async move { driver.unstage(&handle, &path).await }).await;
                unstaged?;
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
        let layout = self.config.layout.clone();
        let path = self.config.published_path(&target)?;
        let before = turn.published.insert(target.clone(), Known::Asked).unwrap_or_default();
        let (marked, marks) = (target.clone(), layout.clone());
        // A mark that is left, as after the machine was booted, says nothing of what is made now.
        let (unmarked, turn) =
            self.blocking("remove mark", turn, move |_| disk::unmark(&marks, &marked)).await?;
        unmarked?;
        let publish = wanted.publish(&layout, path.clone());
        let (asked, able) = (driver.clone(), capabilities.clone());
        let (published, mut turn) = carry(turn, async move { asked.publish(&publish, &able).await }).await;
        turn.published.insert(target.clone(), after(before, &published, Known::Asked));
        published?;
        let group =
            wanted.group.filter(|group| group.by_kubelet && !capabilities.has(Capability::VolumeMountGroup));
        let (read_only, gid) = (wanted.read_only, wanted.gid);
        let (at, name) = (target.clone(), wanted.name.clone());
        let (progress, (busy, ended)) = (Progress::default(), oneshot::channel());
        if group.is_some() {
            // Not even one who waits no longer ends that: the thread goes on.
            let (recorder, pod) = (self.config.recorder.clone(), wanted.pod_ref());
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
