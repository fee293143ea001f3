//! The CSI volumes of all pods: shown to them, shown again, taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use linux::mountinfo::MountTable;
use task::blocking::{self, Abandoned, NODE};
use tokio::time::timeout;
use types::PodUid;
use volume::Onlooker;
use volume::claim::VolumeMode;

use crate::calls::UsageCalls;
use crate::config::VolumesConfig;
use crate::disk::{self, Whose};
use crate::error::{HereError, TakeDownError, VolumeError};
use crate::here::Here;
use crate::layout::{Layout, Site, VolumeId};
use crate::owner::{Owners, Turn, carry};
use crate::plan::{Target, Wish};
use crate::wanted::Wanted;
use crate::work::Work;

/// The CSI volumes of all pods. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Volumes {
    pub(crate) config: Arc<VolumesConfig>,
    pub(crate) owners: Owners,
    pub(crate) usage_calls: UsageCalls,
}

impl Volumes {
    /// The volumes of the node that `config` describes.
    #[must_use]
    pub fn new(config: VolumesConfig) -> Self {
        Self { config: Arc::new(config), owners: Owners::default(), usage_calls: UsageCalls::default() }
    }

    /// The path of the volume that the pod calls `name`, and as what the pod gets it, if it is there and whole; asks nobody.
    /// What cannot be looked at is not there.
    pub async fn shown(&self, pod: &PodUid, name: &str) -> Option<(PathBuf, VolumeMode)> {
        let (layout, of, called) = (self.config.layout.clone(), pod.clone(), name.to_owned());
        let marked =
            blocking::with_deadline("look for volume", about(pod, name), self.config.deadline, move || {
                disk::marked(&layout, &of, &called)
            });
        match marked.await {
            Ok(Ok(target)) => {
                target.and_then(|target| Some((self.config.published_path(&target).ok()?, target.mode)))
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
        let (_, volume) = self.find(pod, name).await.ok()??;
        Some(volume)
    }

    /// As [`Volumes::called`], with where the pod has it.
    ///
    /// # Errors
    /// If it cannot be looked at.
    pub(crate) async fn find(
        &self,
        pod: &PodUid,
        name: &str,
    ) -> Result<Option<(Target, VolumeId)>, VolumeError> {
        let (layout, of, called) = (self.config.layout.clone(), pod.clone(), name.to_owned());
        let found =
            blocking::with_deadline("look for volume", about(pod, name), self.config.deadline, move || {
                disk::called(&layout, &of, &called)
            });
        let nobody = || VolumeId { driver: "?".to_owned(), handle: name.to_owned() };
        Ok(found.await.map_err(|source| VolumeError::Hung { volume: nobody(), source })??)
    }

    /// The SELinux label that the volume is mounted with that the pod calls `name`, if it is mounted with one.
    pub async fn label(&self, pod: &PodUid, name: &str) -> Option<String> {
        let (layout, of, called) = (self.config.layout.clone(), pod.clone(), name.to_owned());
        let looked =
            blocking::with_deadline("look for label", about(pod, name), self.config.deadline, move || {
                disk::label(&layout, &of, &called)
            });
        looked.await.ok()?.ok()?
    }

    /// The groups that all processes of the pod are in because of its volumes. What cannot be looked at brings none.
    pub async fn groups(&self, pod: &PodUid) -> Vec<i64> {
        let (layout, of) = (self.config.layout.clone(), pod.clone());
        let looked =
            blocking::with_deadline("look for groups", pod.as_str(), self.config.deadline, move || {
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
        let Some(turn) = self.turn_if_whole(&wanted.volume, &target).await? else { return Ok(false) };
        let path = self.config.published_path(&target)?;
        let (driver, capabilities) = self.config.driver(&wanted.volume).await?;
        let publish = wanted.publish(&self.config.layout, path);
        let (published, _turn) =
            carry(turn, async move { driver.publish(&publish, &capabilities).await }).await;
        published?;
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
        let looked =
            blocking::with_deadline("look at volume", volume.to_string(), self.config.deadline, move || {
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
        let path = self.config.published_path(&target)?;
        let wishes = BTreeMap::from([(target, Wish::Wanted)]);
        Work::new(&self.config, &self.owners, wanted.site(), Some(wanted)).settle(turn, wishes).await?;
        Ok(path)
    }

    /// Takes all volumes of the pod away, which no container uses any more, and unstages those that no pod has then.
    /// Returns whether there were any. `onlooker` is told which driver is waited for.
    ///
    /// # Errors
    /// Which volumes could not be taken away. A driver that hangs holds up only its own.
    pub async fn take_down(&self, pod: &PodUid, onlooker: &dyn Onlooker) -> Result<bool, TakeDownError> {
        let found = self.targets_of(pod).await;
        let found = found.map_err(|error| {
            let mode = VolumeMode::Filesystem;
            let target = Target { pod: pod.clone(), mode, spec_name: String::new() };
            TakeDownError { pod: pod.clone(), failures: vec![(target, error)] }
        })?;
        let mut found: BTreeMap<_, _> = found.into_iter().collect();
        // Somebody may have removed what was on disk, and the driver still has it published.
        for (volume, target) in self.owners.published_to(pod) {
            found.entry(target).or_insert(Whose::Of(volume));
        }
        let any = !found.is_empty();
        let leaving = found.into_iter().map(async |(target, whose)| {
            let left = match whose {
                Whose::Of(volume) => self.leave(&volume, &target, onlooker).await,
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
    /// Returns which volumes could not be unstaged, and why.
    ///
    /// # Errors
    /// If it cannot be seen what is staged.
    pub async fn reclaim(
        &self,
        wanted: &BTreeSet<VolumeId>,
    ) -> Result<Vec<(VolumeId, VolumeError)>, HereError> {
        let layout = self.config.layout.clone();
        let staged = blocking::with_deadline("list staged", NODE, self.config.deadline, move || {
            MountTable::read().map_err(Into::into).and_then(|mounts| disk::staged(&layout, &mounts))
        });
        let staged = staged.await??;
        let unwanted = staged.into_iter().filter(|site| !wanted.contains(&site.volume)).map(async |site| {
            let volume = site.volume.clone();
            let left = self.unstage_unused(site).await;
            left.err().map(|error| (volume, error))
        });
        Ok(futures::future::join_all(unwanted).await.into_iter().flatten().collect())
    }

    /// Which volumes are on the node, or may be.
    ///
    /// # Errors
    /// If it cannot be seen: then any volume may be.
    pub async fn here(&self) -> Result<Here, HereError> {
        let layout = self.config.layout.clone();
        let looked = blocking::with_deadline("look for volumes", NODE, self.config.deadline, move || {
            MountTable::read().map_err(Into::into).and_then(|mounts| Here::look(&layout, &mounts))
        });
        Ok(looked.await??)
    }

    /// Where everything is.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.config.layout
    }

    async fn leave(
        &self,
        volume: &VolumeId,
        target: &Target,
        onlooker: &dyn Onlooker,
    ) -> Result<(), VolumeError> {
        let VolumeId { driver, handle } = volume;
        let earlier = format!("what CSI driver {driver} was asked earlier about volume {handle}");
        onlooker.waits_for(&target.spec_name, Some(earlier));
        let turn = self.owners.turn(volume).await;
        let now = format!("CSI driver {driver} to take volume {handle} away");
        onlooker.waits_for(&target.spec_name, Some(now));
        let site = Site::of(volume, target);
        let wishes = BTreeMap::from([(target.clone(), Wish::Leaving)]);
        let left = Work::new(&self.config, &self.owners, site, None).settle(turn, wishes).await;
        onlooker.waits_for(&target.spec_name, None);
        left
    }

    async fn unstage_unused(&self, site: Site) -> Result<(), VolumeError> {
        // A thread that hangs keeps its volume, and must not hold up the others.
        let (volume, deadline) = (&site.volume, self.config.deadline);
        let late = |_| VolumeError::Hung {
            volume: volume.clone(),
            source: Abandoned::Late { what: "unstage volume", deadline },
        };
        let turn = timeout(deadline, self.owners.turn(volume)).await.map_err(late)?;
        Work::new(&self.config, &self.owners, site, None).settle(turn, BTreeMap::new()).await
    }

    /// Removes a directory of which nothing says whose it is: a crash came before its note. Something mounted stays.
    async fn forget_unknown(&self, target: &Target) -> Result<(), VolumeError> {
        let (layout, target) = (self.config.layout.clone(), target.clone());
        let nobody = VolumeId { driver: "?".to_owned(), handle: target.spec_name.clone() };
        let forgotten = blocking::with_deadline(
            "remove volume",
            about(&target.pod, &target.spec_name),
            self.config.deadline,
            move || disk::forget_target(&layout, &target),
        );
        Ok(forgotten.await.map_err(|source| VolumeError::Hung { volume: nobody, source })??)
    }

    async fn targets_of(&self, pod: &PodUid) -> Result<Vec<(Target, Whose)>, VolumeError> {
        let (layout, of) = (self.config.layout.clone(), pod.clone());
        let all = blocking::with_deadline("list volumes", pod.as_str(), self.config.deadline, move || {
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
}

/// A volume of a pod, in words.
fn about(pod: &PodUid, volume: &str) -> String {
    format!("{volume} of pod {pod}")
}

#[cfg(test)]
mod tests;
